"""Who looks at a page: an API key sent with the request, or a session that stands for one.

A session is worth what its key is worth at that moment: revoking the key ends it. The ledger keeps only the SHA-256 of
a session's token (256 random bits), so that a copy of the ledger signs nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.auth import ADMIN, bearer, find_key
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
    """`ApiKeyRow.id`."""
    name: str
    """What the key is called."""
    scopes: frozenset[str]
    project_id: int | None
    """The only project that the key works for, or None for every one."""
    csrf: str = ""
    """What a form must send back; empty for a request with an API key, which no other site can forge."""

    def can(self, scope: str) -> bool:
        """Whether the key has the scope."""
        return scope in self.scopes

    def require(self, scope: str) -> None:
        """Refuse without the scope. Raises Denied (W3B-7004)."""
        if scope not in self.scopes:
            raise Denied("W3B-7004", f"API key {self.key_id} lacks the scope {scope}", field="scope")

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


async def by_key(session: AsyncSession, now: int, secret: str) -> Viewer:
    """The viewer with that API key. Raises Denied (W3B-7002, W3B-7003, W3B-7020)."""
    return _viewer(await find_key(session, secret, now), now)


async def by_header(session: AsyncSession, now: int, header: str) -> Viewer:
    """The viewer of an `Authorization` header. Raises Denied (W3B-7002, W3B-7003, W3B-7020)."""
    return await by_key(session, now, bearer([("authorization", header)]))


async def by_session(session: AsyncSession, now: int, token: str) -> Viewer:
    """The viewer of a session cookie. Raises Denied (W3B-7502; W3B-7003, W3B-7020 when its key is not valid any more)."""
    row = await session.get(ExplorerTokenRow, token_hash(token), populate_existing=True)
    key = None
    if row is not None and row.kind == "session" and now < row.expires_at:
        key = await session.get(ApiKeyRow, row.key_id, populate_existing=True)
    if key is None:
        raise Denied("W3B-7502", "there is no such session any more")
    return _viewer(key, now, csrf_of(token))


async def make_token(ledger: Ledger, key_id: str, kind: str) -> tuple[str, int]:
    """(token, when it runs out in milliseconds) of a new session or sign-in link for a key."""
    token, now = secrets.token_urlsafe(32), ledger.clock()
    expires_at = now + (SESSION_MS if kind == "session" else LINK_MS)
    async with ledger.transaction() as session:
        await session.exec(delete(ExplorerTokenRow).where(col(ExplorerTokenRow.expires_at) <= now))
        session.add(
            ExplorerTokenRow(hash=token_hash(token), kind=kind, key_id=key_id, created_at=now, expires_at=expires_at)
        )
    return token, expires_at


async def use_link(ledger: Ledger, token: str) -> Viewer:
    """Use a sign-in link up and say whose it was.

    Raises Denied (W3B-7503; W3B-7003, W3B-7020 when its key is not valid any more).
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
        key = await session.get(ApiKeyRow, row.key_id) if row is not None and good and gone.rowcount == 1 else None
        if key is None:
            raise Denied("W3B-7503", "the sign-in link was used, ran out, or never was")
        return _viewer(key, now)


async def end_session(ledger: Ledger, token: str) -> None:
    """Forget a session."""
    async with ledger.transaction() as session:
        await session.exec(delete(ExplorerTokenRow).where(col(ExplorerTokenRow.hash) == token_hash(token)))


class SignInLimit:
    """Counts failed sign-ins of the last minute, by peer and of all; its memory is bounded by `FAILURES_OF_ALL`."""

    def __init__(self) -> None:
        self._failed: deque[tuple[float, str]] = deque()

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
