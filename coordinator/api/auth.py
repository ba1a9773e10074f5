"""API keys: who calls, what the key may do, and in which project.

A key is `w3b_<12 hex digits>_<43 characters of base64url>`; the ledger keeps its SHA-256 only. Its 256 random bits
make a slow hash needless. Every method stands in `SCOPES`; one that does not is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ApiKeyRow
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

SCOPES = {
    "/w3bstream.v1.ProjectService/CreateProject": "projects:write",
    "/w3bstream.v1.ProjectService/PublishVersion": "projects:write",
    "/w3bstream.v1.ProjectService/PauseProject": "projects:write",
    "/w3bstream.v1.ProjectService/ResumeProject": "projects:write",
    "/w3bstream.v1.ProjectService/GetProject": "projects:read",
    "/w3bstream.v1.ProjectService/ListProjects": "projects:read",
    "/w3bstream.v1.TaskService/SubmitTask": "tasks:write",
    "/w3bstream.v1.TaskService/GetTask": "tasks:read",
    "/w3bstream.v1.TaskService/ListTasks": "tasks:read",
    "/w3bstream.v1.TaskService/CancelTask": "tasks:write",
    "/w3bstream.v1.TaskService/WatchTasks": "tasks:read",
    "/w3bstream.v1.IngestService/Ingest": "ingest:write",
    "/w3bstream.v1.IngestService/GetIntake": "tasks:read",
    "/w3bstream.v1.IngestService/ListDeadLetters": "tasks:read",
    "/w3bstream.v1.ProverService/ListProvers": "provers:read",
    "/w3bstream.v1.ProverService/WatchProvers": "provers:read",
    "/w3bstream.v1.ProverService/DrainProver": "provers:write",
    "/w3bstream.v1.WebhookService/CreateWebhook": "webhooks:write",
    "/w3bstream.v1.WebhookService/ListWebhooks": "webhooks:read",
    "/w3bstream.v1.WebhookService/ListDeliveries": "webhooks:read",
    "/w3bstream.v1.WebhookService/SetWebhookDisabled": "webhooks:write",
    "/w3bstream.v1.WebhookService/RotateWebhookSecret": "webhooks:write",
    "/w3bstream.v1.WebhookService/ReplayMessage": "webhooks:write",
    "/w3bstream.v1.AdminService/CreateApiKey": ADMIN,
    "/w3bstream.v1.AdminService/ListApiKeys": ADMIN,
    "/w3bstream.v1.AdminService/RevokeApiKey": ADMIN,
    "/w3bstream.v1.AdminService/GetStatus": ANY_KEY,
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": ANY_KEY,
    "/grpc.health.v1.Health/List": ANY_KEY,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_KEY,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ANY_KEY,
}
"""What each method asks for: the one table."""

KEY_FILE = "admin.key"
_KEY = re.compile(r"w3b_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Caller:
    """Who makes the call under way."""

    key_id: str
    """`ApiKeyRow.id`."""
    project_id: int | None
    """The only project that the key works for, or None for every one."""
    secret: str
    """The whole key as it was sent; it seals stored answers (idempotency.py). Never logged."""

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


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The key in `authorization: Bearer …`. Raises Denied: W3B-7001 without one, W3B-7002 for another form."""
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        raise Denied("W3B-7001", "the call has no authorization metadata", field="authorization")
    scheme, _, secret = values[0].partition(" ") if isinstance(values[0], str) else ("", "", "")
    if len(values) != 1 or scheme.lower() != "bearer" or _KEY.fullmatch(secret) is None:
        raise Denied("W3B-7002", "authorization is not `Bearer w3b_…` with a whole key", field="authorization")
    return secret


async def find_key(session: AsyncSession, secret: str) -> ApiKeyRow:
    """The valid key of that text. Raises Denied: W3B-7002 (unknown), W3B-7003 (revoked)."""
    match = _KEY.fullmatch(secret)
    row = await session.get(ApiKeyRow, f"key_{match.group(1)}" if match else "", populate_existing=True)
    # The comparison runs for an unknown id too, so that the time taken does not tell which ids exist.
    expected = row.secret_hash if row is not None else key_hash("")
    if not hmac.compare_digest(expected, key_hash(secret)) or row is None:
        raise Denied("W3B-7002", "there is no such API key", field="authorization")
    if row.revoked_at is not None:
        raise Denied("W3B-7003", f"API key {row.id} ({row.name}) was revoked", field="authorization")
    return row


async def authenticate(ledger: Ledger, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Caller | None:
    """The caller, allowed to call `method`; None where the method is public.

    Raises Denied: W3B-7001, W3B-7002, W3B-7003 (who), W3B-7004 (scope).
    """
    scope = SCOPES.get(method)
    if scope == PUBLIC:
        return None
    secret = bearer(metadata)
    async with ledger.reading() as session:
        row = await find_key(session, secret)
    if scope != ANY_KEY and (scope is None or scope not in row.scopes):
        raise Denied("W3B-7004", f"API key {row.id} ({row.name}) lacks the scope {scope or method}")
    return Caller(row.id, row.project_id, secret)


async def require_still_valid(session: AsyncSession, caller: Caller) -> None:
    """For long calls: refuse to go on once the key was revoked. Raises Denied (W3B-7003)."""
    await find_key(session, caller.secret)


def check_scopes(scopes: Sequence[str], project_id: int | None) -> list[str]:
    """The scopes, sorted and once each. Raises InvalidInput (W3B-7008)."""
    unknown = sorted(set(scopes) - set(ALL_SCOPES))
    if unknown or not scopes:
        raise InvalidInput("W3B-7008", f"scopes {unknown or 'missing'}; there are {list(ALL_SCOPES)}", field="scopes")
    if project_id is not None and ADMIN in scopes:
        raise InvalidInput("W3B-7008", "a key of one project cannot have the scope admin", field="scopes")
    return sorted(set(scopes))


def _write_private(path: Path, text: str) -> None:
    """Write a file durably that is never, not even for a moment, readable by others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


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
            await asyncio.to_thread(_write_private, path, text + "\n")
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
