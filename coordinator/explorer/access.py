"""Who looks at a page: an API key or a DID's token sent with the request, or a session that stands for one.

A session is worth what its key or identity is worth at that moment: revoking it ends the session. One of a token ends
with the token too, so that a login is never longer than the API's. The ledger keeps only the SHA-256 of a session's own
token (256 random bits), so that a copy of the ledger signs nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.access.audit import Act, append
from coordinator.access.tokens import Tokens
from coordinator.api.auth import ADMIN, bearer, find_identity, find_key
from coordinator.ledger.control_tables import ExplorerTokenRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ApiKeyRow
from verifier.errors import Denied

SESSION_MS = 12 * 3_600_000
"""How long a session lasts."""
LINK_MS = 600_000
"""How long a sign-in link can be used."""
FAILURES = 10
"""Failed sign-ins that one peer may make in `FAILURE_SECONDS`, before it has to wait."""
FAILURES_OF_ALL = 100
FAILURE_SECONDS = 60.0


@dataclass(frozen=True)
class Viewer:
    """Who looks, and what they may see."""

    key_id: str
    """`ApiKeyRow.id`, or a DID."""
    name: str
    """What the key or identity is called."""
    scopes: frozenset[str]
    project_id: int | None
    """The only project that the key works for, or None for every one."""
    csrf: str = ""
    """What a form must send back; empty for a request with a key or token, which no other site can forge."""
    granted: Mapping[str, Any] = field(default_factory=dict)
    """What the token of a DID granted: `scopes`, `project_id`, and `expires_at` in milliseconds; empty for a key."""

    def can(self, scope: str) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes

    def require(self, scope: str) -> None:
        """Refuse without the scope. Raises Denied (W3B-7004)."""
        if scope not in self.scopes:
            raise Denied("W3B-7004", f"{self.key_id} lacks the scope {scope}", field="scope")

    def sees(self, project_id: int | None) -> bool:
        """Whether something of the project (None: of no project) is for this viewer's eyes."""
        return self.project_id is None or self.project_id == project_id

    def only(self, project_column: Any) -> list[Any]:
        """The SQL condition that keeps a query to what the viewer may see; none for a key of every project."""
        return [] if self.project_id is None else [project_column == self.project_id]

    @property
    def everywhere(self) -> bool:
        """Whether the key is an administrator's: it sees the installation itself."""
        return ADMIN in self.scopes


def token_hash(token: str) -> str:
    """SHA-256 of a token, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """The form token of a session; it does not give the session away."""
    return hmac.new(token.encode(), b"w3bstream explorer form", hashlib.sha256).hexdigest()


def _viewer(row: ApiKeyRow, now: int, csrf: str = "") -> Viewer:
    if row.revoked_at is not None:
        raise Denied("W3B-7003", f"API key {row.id} was revoked", field="authorization")
    if row.expires_at is not None and row.expires_at <= now:
        raise Denied("W3B-7020", f"API key {row.id} has run out", field="authorization")
    return Viewer(row.id, row.name, frozenset(row.scopes), row.project_id, csrf)


async def _of_identity(session: AsyncSession, now: int, did: str, granted: Mapping[str, Any], csrf: str = "") -> Viewer:
    """A DID with what its token granted; what the identity lost since then is lost at once."""
    if granted["expires_at"] <= now:
        raise Denied("W3B-7020", f"the token of {did} has run out", field="authorization")
    row = await find_identity(session, did)
    if row.project_id != granted["project_id"]:
        raise Denied("W3B-7021", f"{did} works for another project by now", field="authorization")
    return Viewer(did, row.name, frozenset(granted["scopes"]) & frozenset(row.scopes), row.project_id, csrf, granted)


def is_token(secret: str) -> bool:
    """Whether the text has the form of a DID's token (RFC 7515 §7.1); an API key has no dot."""
    return secret.count(".") == 2


async def by_secret(session: AsyncSession, tokens: Tokens, now: int, secret: str) -> Viewer:
    """The viewer with that API key or token. Raises Denied (W3B-7002, W3B-7003, W3B-7020, W3B-7021)."""
    if not is_token(secret):
        return _viewer(await find_key(session, secret, now), now)
    grant = tokens.read(secret, now)
    granted = {"scopes": list(grant.scopes), "project_id": grant.project_id, "expires_at": grant.expires_at}
    return await _of_identity(session, now, grant.did, granted)


async def by_header(session: AsyncSession, tokens: Tokens, now: int, header: str) -> Viewer:
    """The viewer of an `Authorization` header. Raises Denied (W3B-7002, W3B-7003, W3B-7020, W3B-7021)."""
    return await by_secret(session, tokens, now, bearer([("authorization", header)]))


async def _by_row(session: AsyncSession, now: int, row: ExplorerTokenRow, csrf: str = "") -> Viewer | None:
    """The viewer that a session or link stands for; None when its key is not there at all."""
    if row.granted:
        return await _of_identity(session, now, row.key_id, row.granted, csrf)
    key = await session.get(ApiKeyRow, row.key_id, populate_existing=True)
    return _viewer(key, now, csrf) if key is not None else None


async def by_session(session: AsyncSession, now: int, token: str) -> Viewer:
    """The viewer of a session cookie. Raises Denied (W3B-7502; W3B-7003, W3B-7020, W3B-7021 when its key or identity is
    not valid any more)."""
    row = await session.get(ExplorerTokenRow, token_hash(token), populate_existing=True)
    viewer = None
    if row is not None and row.kind == "session" and now < row.expires_at:
        viewer = await _by_row(session, now, row, csrf_of(token))
    if viewer is None:
        raise Denied("W3B-7502", "there is no such session any more")
    return viewer


async def make_token(ledger: Ledger, viewer: Viewer, kind: str, act: Act) -> tuple[str, int]:
    """(token, when it runs out in milliseconds) of a new session or sign-in link for a viewer; the act goes into the
    audit log with it."""
    token, now = secrets.token_urlsafe(32), ledger.clock()
    expires_at = now + (SESSION_MS if kind == "session" else LINK_MS)
    if viewer.granted:
        expires_at = min(expires_at, int(viewer.granted["expires_at"]))
    async with ledger.transaction() as session:
        await session.exec(delete(ExplorerTokenRow).where(col(ExplorerTokenRow.expires_at) <= now))
        session.add(
            ExplorerTokenRow(
                hash=token_hash(token),
                kind=kind,
                key_id=viewer.key_id,
                granted=dict(viewer.granted),
                created_at=now,
                expires_at=expires_at,
            )
        )
        await append(session, now, act)
    return token, expires_at


async def use_link(ledger: Ledger, token: str) -> Viewer:
    """Use a sign-in link up and say whose it was.

    Raises Denied (W3B-7503; W3B-7003, W3B-7020, W3B-7021 when its key or identity is not valid any more).
    """
    now = ledger.clock()
    async with ledger.transaction() as session:
        row = await session.get(ExplorerTokenRow, token_hash(token), populate_existing=True)
        good = row is not None and row.kind == "link" and now < row.expires_at
        gone = await session.exec(
            delete(ExplorerTokenRow).where(
                col(ExplorerTokenRow.hash) == token_hash(token), col(ExplorerTokenRow.kind) == "link"
            )
        )
        viewer = await _by_row(session, now, row) if row is not None and good and gone.rowcount == 1 else None
        if viewer is None:
            raise Denied("W3B-7503", "the sign-in link was used, ran out, or never was")
        return viewer


async def end_session(ledger: Ledger, token: str, act: Act) -> None:
    """Forget a session; the act goes into the audit log with it."""
    async with ledger.transaction() as session:
        gone = await session.exec(delete(ExplorerTokenRow).where(col(ExplorerTokenRow.hash) == token_hash(token)))
        if gone.rowcount:
            await append(session, ledger.clock(), act)


class SignInLimit:
    """Counts failed sign-ins of the last minute, by peer and of all; its memory is bounded by `FAILURES_OF_ALL`."""

    def __init__(self) -> None:
        self._failed: deque[tuple[float, str]] = deque()
        self._turned_away = 0
        self._told_at = float("-inf")

    def check(self, now: float, peer: str) -> None:
        """Refuse a peer that failed too often. Raises Denied (W3B-7506). `now` is in seconds, of any clock."""
        while self._failed and now - self._failed[0][0] > FAILURE_SECONDS:
            self._failed.popleft()
        of_peer = sum(each == peer for _, each in self._failed)
        if of_peer >= FAILURES or len(self._failed) >= FAILURES_OF_ALL:
            raise Denied("W3B-7506", f"too many sign-ins failed within {FAILURE_SECONDS:.0f} s")

    def failed(self, now: float, peer: str) -> None:
        """Count a failure."""
        self._failed.append((now, peer))

    def turned_away(self, now: float) -> int:
        """Count a sign-in that was not looked at. Returns how many the audit log must hear of now: 0 but once in
        `FAILURE_SECONDS`, or strangers could fill it."""
        self._turned_away += 1
        if now - self._told_at < FAILURE_SECONDS:
            return 0
        told, self._turned_away, self._told_at = self._turned_away, 0, now
        return told
