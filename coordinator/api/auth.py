"""Who calls, what the caller may do, and in which project: the scope table, and API keys.

A key is `w3b_<12 hex digits>_<43 characters of base64url>`; the ledger keeps its SHA-256 only. Its 256 random bits
make a slow hash needless. Every method stands in `SCOPES`; one that does not is refused. `authenticator.py` finds the
caller of a call.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.control_tables import IdentityRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ApiKeyRow
from provers.installation import write_private
from verifier.errors import Denied, InvalidInput

log = structlog.get_logger(__name__)

ADMIN = "admin"
ALL_SCOPES = (
    "projects:read",
    "projects:write",
    "tasks:read",
    "tasks:write",
    "ingest:write",
    "provers:read",
    "provers:write",
    "webhooks:read",
    "webhooks:write",
    ADMIN,
)
"""Every scope there is."""
ANY_KEY = "any key"
"""The method asks for a valid key, whatever its scopes."""
PUBLIC = "public"
"""The method asks for no key. Only a short unary call may be this: a stream would hold one of the calls under way."""
LOGIN = "login"
"""The method asks for no key and its caller's failures are counted."""

SCOPES = {
    "/w3bstream.v1.ProjectService/CreateProject": "projects:write",
    "/w3bstream.v1.ProjectService/PublishVersion": "projects:write",
    "/w3bstream.v1.ProjectService/PauseProject": "projects:write",
    "/w3bstream.v1.ProjectService/ResumeProject": "projects:write",
    "/w3bstream.v1.ProjectService/GetProject": "projects:read",
    "/w3bstream.v1.ProjectService/GetQuote": "projects:read",
    "/w3bstream.v1.ProjectService/ListProjects": "projects:read",
    "/w3bstream.v1.TaskService/SubmitTask": "tasks:write",
    "/w3bstream.v1.TaskService/GetTask": "tasks:read",
    "/w3bstream.v1.TaskService/ListTasks": "tasks:read",
    "/w3bstream.v1.TaskService/CancelTask": "tasks:write",
    "/w3bstream.v1.TaskService/WatchTasks": "tasks:read",
    "/w3bstream.v1.TaskService/RequeueTask": "tasks:write",
    "/w3bstream.v1.TaskService/RequeueTasks": "tasks:write",
    "/w3bstream.v1.TaskService/RerunTask": "tasks:write",
    "/w3bstream.v1.TaskService/GetRerun": "tasks:read",
    "/w3bstream.v1.TaskService/DiffOutputs": "tasks:read",
    "/w3bstream.v1.IngestService/Ingest": "ingest:write",
    "/w3bstream.v1.IngestService/GetIntake": "tasks:read",
    "/w3bstream.v1.IngestService/ListDeadLetters": "tasks:read",
    "/w3bstream.v1.IngestService/RequeueDeadLetters": "projects:write",
    "/w3bstream.v1.IngestService/ReplayStream": "tasks:read",
    "/w3bstream.v1.IngestService/VerifyStream": "tasks:read",
    "/w3bstream.v1.EvidenceService/GetEvidence": "tasks:read",
    "/w3bstream.v1.EvidenceService/GetInclusionReceipt": "tasks:read",
    "/w3bstream.v1.ProverService/ListProvers": "provers:read",
    "/w3bstream.v1.ProverService/WatchProvers": "provers:read",
    "/w3bstream.v1.ProverService/DrainProver": "provers:write",
    "/w3bstream.v1.WebhookService/CreateWebhook": "webhooks:write",
    "/w3bstream.v1.WebhookService/ListWebhooks": "webhooks:read",
    "/w3bstream.v1.WebhookService/ListDeliveries": "webhooks:read",
    "/w3bstream.v1.WebhookService/SetWebhookDisabled": "webhooks:write",
    "/w3bstream.v1.WebhookService/RotateWebhookSecret": "webhooks:write",
    "/w3bstream.v1.WebhookService/ReplayMessage": "webhooks:write",
    "/w3bstream.v1.WebhookService/ReplayMessages": "webhooks:write",
    "/w3bstream.v1.ChainService/ListTransactions": "tasks:read",
    "/w3bstream.v1.ChainService/GetTransaction": "tasks:read",
    "/w3bstream.v1.ChainService/RetryDapp": "tasks:write",
    "/w3bstream.v1.ChainService/Reconcile": ADMIN,
    "/w3bstream.v1.AdminService/CreateApiKey": ADMIN,
    "/w3bstream.v1.AdminService/ListApiKeys": ADMIN,
    "/w3bstream.v1.AdminService/RevokeApiKey": ADMIN,
    "/w3bstream.v1.AdminService/CreateIdentity": ADMIN,
    "/w3bstream.v1.AdminService/ListIdentities": ADMIN,
    "/w3bstream.v1.AdminService/RevokeIdentity": ADMIN,
    "/w3bstream.v1.AdminService/ListQuotas": ADMIN,
    "/w3bstream.v1.AdminService/SetQuota": ADMIN,
    "/w3bstream.v1.AdminService/ListAudit": ADMIN,
    "/w3bstream.v1.AdminService/PruneLedger": ADMIN,
    "/w3bstream.v1.AdminService/GetStatus": ANY_KEY,
    "/w3bstream.v1.AuthService/GetChallenge": LOGIN,
    "/w3bstream.v1.AuthService/Login": LOGIN,
    "/w3bstream.v1.JobService/SubmitJob": "tasks:write",
    "/w3bstream.v1.JobService/GetJob": "tasks:read",
    "/w3bstream.v1.JobService/ListJobs": "tasks:read",
    "/w3bstream.v1.JobService/WatchJob": "tasks:read",
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": ANY_KEY,
    "/grpc.health.v1.Health/List": ANY_KEY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_KEY,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ANY_KEY,
}
"""What each method asks for: the one table."""

KEY_FILE = "admin.key"
_KEY = re.compile(r"w3b_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Caller:
    """Who makes the call under way."""

    key_id: str
    """`ApiKeyRow.id`, or the DID of a caller with a token."""
    project_id: int | None
    """The only project that the key works for, or None for every one."""
    secret: str
    """The whole key as it was sent, or the installation's seal of a DID; it seals stored answers (idempotency.py).
    Never logged."""
    scopes: frozenset[str] = frozenset()
    """What the caller may do."""
    expires_at: int | None = None
    """When the key or token runs out, milliseconds."""

    @property
    def is_identity(self) -> bool:
        """Whether it came with a token of a DID."""
        return self.key_id.startswith("did:")

    def require_project(self, project_id: int) -> None:
        """Refuse another project than the key's. Raises Denied (W3B-7005)."""
        if self.project_id is not None and self.project_id != project_id:
            raise Denied(
                "W3B-7005", f"the key works for project {self.project_id}, not {project_id}", field="project_id"
            )

    def require_all_projects(self) -> None:
        """Refuse a key that is bound to a project. Raises Denied (W3B-7005)."""
        if self.project_id is not None:
            raise Denied("W3B-7005", f"the key works for project {self.project_id} only; this concerns them all")

    def __repr__(self) -> str:
        return f"Caller({self.key_id})"


_caller: ContextVar[Caller] = ContextVar("caller")


def set_caller(caller: Caller) -> None:
    """Note the caller of the call that this task serves."""
    _caller.set(caller)


def current_caller() -> Caller:
    """The caller of the call that this task serves; LookupError outside of one."""
    return _caller.get()


def key_hash(secret: str) -> str:
    """SHA-256 of the whole key, hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_key() -> tuple[str, str]:
    """(id, key) of a fresh key with 256 random bits."""
    number = secrets.token_hex(6)
    return f"key_{number}", f"w3b_{number}_{secrets.token_urlsafe(32)}"


def is_api_key(secret: str) -> bool:
    """Whether the text has the form of an API key; a token has another."""
    return _KEY.fullmatch(secret) is not None


def named_key(secret: str) -> str:
    """The id of the key that a text claims to be; empty when it has not a key's form. The id is no secret."""
    match = _KEY.fullmatch(secret)
    return f"key_{match.group(1)}" if match else ""


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The key or token in `authorization: Bearer …`.

    Raises Denied: W3B-7001 without one, W3B-7002 for another form.
    """
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        raise Denied("W3B-7001", "the call has no authorization metadata", field="authorization")
    scheme, _, secret = values[0].partition(" ") if isinstance(values[0], str) else ("", "", "")
    whole = _KEY.fullmatch(secret) or _TOKEN.fullmatch(secret)
    if len(values) != 1 or scheme.lower() != "bearer" or whole is None:
        raise Denied("W3B-7002", "authorization is not `Bearer ` and a whole API key or token", field="authorization")
    return secret


async def find_key(session: AsyncSession, secret: str, now: int) -> ApiKeyRow:
    """The valid key of that text. Raises Denied: W3B-7002 (unknown), W3B-7003 (revoked), W3B-7020 (run out)."""
    match = _KEY.fullmatch(secret)
    row = await session.get(ApiKeyRow, f"key_{match.group(1)}" if match else "", populate_existing=True)
    # The comparison runs for an unknown id too, so that the time taken does not tell which ids exist.
    expected = row.secret_hash if row is not None else key_hash("")
    if not hmac.compare_digest(expected, key_hash(secret)) or row is None:
        raise Denied("W3B-7002", "there is no such API key", field="authorization")
    if row.revoked_at is not None:
        raise Denied("W3B-7003", f"API key {row.id} ({row.name}) was revoked", field="authorization")
    if row.expires_at is not None and row.expires_at <= now:
        raise Denied("W3B-7020", f"API key {row.id} ({row.name}) has run out", field="authorization")
    return row


async def find_identity(session: AsyncSession, did: str) -> IdentityRow:
    """The valid identity. Raises Denied (W3B-7003) for one that was revoked or is not there."""
    row = await session.get(IdentityRow, did, populate_existing=True)
    if row is None or row.revoked_at is not None:
        raise Denied("W3B-7003", f"{did} is not registered here, or was revoked", field="authorization")
    return row


def require_scope(caller: Caller, method: str) -> None:
    """Raises Denied (W3B-7004) unless the caller may call the method."""
    scope = SCOPES.get(method)
    if scope != ANY_KEY and (scope is None or scope not in caller.scopes):
        raise Denied("W3B-7004", f"{caller.key_id} lacks the scope {scope or method}")


async def require_still_valid(session: AsyncSession, caller: Caller) -> None:
    """For long calls: refuse to go on once the key or identity was revoked. Raises Denied (W3B-7003).

    (What has run out by itself ends at the gate.)
    """
    if caller.is_identity:
        await find_identity(session, caller.key_id)
    else:
        await find_key(session, caller.secret, 0)


def check_scopes(scopes: Sequence[str], project_id: int | None) -> list[str]:
    """The scopes, sorted and once each. Raises InvalidInput (W3B-7008)."""
    unknown = sorted(set(scopes) - set(ALL_SCOPES))
    if unknown or not scopes:
        raise InvalidInput("W3B-7008", f"scopes {unknown or 'missing'}; there are {list(ALL_SCOPES)}", field="scopes")
    if project_id is not None and ADMIN in scopes:
        raise InvalidInput("W3B-7008", "a key of one project cannot have the scope admin", field="scopes")
    return sorted(set(scopes))


def _key_file_text(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


async def bootstrap_admin_key(ledger: Ledger, home: Path) -> Path:
    """Make the first admin key, once, and write it to `<home>/admin.key` (mode 600); returns that path.

    The file is written before the ledger's row: a crash in between is mended at the next start, which takes the key
    from the file. Once a valid admin key exists nothing is made, so that removing the file gives nobody a new key.
    """
    path = home / KEY_FILE
    async with ledger.transaction() as session:
        rows = (await session.exec(select(ApiKeyRow).where(col(ApiKeyRow.revoked_at).is_(None)))).all()
        if any(ADMIN in row.scopes for row in rows):
            return path
        text = await asyncio.to_thread(_key_file_text, path)
        match = _KEY.fullmatch(text)
        known = match is not None and await session.get(ApiKeyRow, f"key_{match.group(1)}") is not None
        if match is None or known:
            key_id, text = new_key()
            await asyncio.to_thread(write_private, path, text + "\n")
        else:
            key_id = f"key_{match.group(1)}"
        session.add(
            ApiKeyRow(
                id=key_id,
                name="first admin key",
                secret_hash=key_hash(text),
                scopes=list(ALL_SCOPES),
                created_at=ledger.clock(),
            )
        )
        log.info("admin_key_created", key_id=key_id, file=str(path))
    return path
