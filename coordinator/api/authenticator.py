"""Finds the caller of a call, fast: keys and tokens that were found valid are remembered for at most a second.

A key or identity that this process revokes is forgotten at once, one that another coordinator revoked within
`FRESH_SECONDS`; calls under way are ended in the same time, whatever they wait for.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from coordinator.access.quotas import Buckets, OverQuota
from coordinator.access.tokens import Tokens
from coordinator.api.auth import (
    Caller,
    bearer,
    find_identity,
    find_key,
    is_api_key,
    require_scope,
    require_still_valid,
)
from coordinator.api.peers import network_of
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ApiKeyRow
from verifier.errors import Denied, W3bstreamError

FRESH_SECONDS = 1.0
"""How long what was read of a key or identity holds."""
REMEMBERED = 10_000
"""Callers that are remembered at once."""
USED_SECONDS = 60.0
"""How old `ApiKeyRow.last_used_at` may be."""

Metadata = Sequence[tuple[str, str | bytes]]

log = structlog.get_logger(__name__)


def require_in_time(caller: Caller, now: int) -> None:
    """Raises Denied (W3B-7020) when the caller's key or token has run out at `now`, milliseconds."""
    if caller.expires_at is not None and caller.expires_at <= now:
        raise Denied("W3B-7020", f"what {caller.key_id} came with has run out", field="authorization")


@dataclass
class _Known:
    caller: Caller
    read_at: float
    """time.monotonic()."""


class LongCall:
    """A stream under way; it is ended when its caller may not go on."""

    def __init__(self, caller: Caller, task: asyncio.Task[object]) -> None:
        self.caller = caller
        """Who called."""
        self.refusal: W3bstreamError | None = None
        """Why it was ended; None while it was not."""
        self._task = task

    def end(self, refusal: W3bstreamError) -> None:
        """End it with this error."""
        if self.refusal is None:
            self.refusal = refusal
            self._task.cancel()


class Authenticator:
    """Knows every caller.

    Parameters: `failures_per_minute` wrong keys or logins may come from one address; 0 sets no bound.
    """

    def __init__(self, ledger: Ledger, tokens: Tokens, failures_per_minute: int) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._failures_per_minute = failures_per_minute
        self._failures = Buckets()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._generation = 0
        self._asking: dict[tuple[bytes, int], asyncio.Task[Caller]] = {}
        self._used: dict[str, int] = {}
        self._long: defaultdict[str, set[LongCall]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after long calls."""
        self._task = asyncio.create_task(self._look_after(), name="authenticator")

    async def stop(self) -> None:
        """End, with the keys' last uses written."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self._write_used()

    def remembered(self, method: str, metadata: Metadata) -> Caller | None:
        """The caller, when it was found valid a moment ago; else None: ask `find`.

        Raises Denied: W3B-7001, W3B-7002, W3B-7020 (who), W3B-7004 (scope).
        """
        digest = hashlib.sha256(bearer(metadata).encode()).digest()
        known = self._known.get(digest)
        if known is None or time.monotonic() - known.read_at > FRESH_SECONDS:
            return None
        caller = known.caller
        require_in_time(caller, self._ledger.clock())
        require_scope(caller, method)
        return caller

    async def find(self, method: str, metadata: Metadata, peer: str) -> Caller:
        """The caller, allowed to call `method`, as the ledger says now.

        Raises Denied: W3B-7001, W3B-7002, W3B-7003, W3B-7020, W3B-7021 (who), W3B-7004 (scope), and OverQuota
        (W3B-7029) for an address that sent too many wrong ones.
        """
        secret = bearer(metadata)
        digest = hashlib.sha256(secret.encode()).digest()
        # Who was served before goes on, whatever else comes from the same address.
        if digest not in self._known:
            self.require_trusted(peer)
        try:
            caller = await self._ask_once(secret, digest)
        except Denied:
            self.failed(peer)
            raise
        require_scope(caller, method)
        return caller

    async def _ask_once(self, secret: str, digest: bytes) -> Caller:
        """The caller, read once for all the calls that come meanwhile; one that comes after a revocation asks anew."""
        asked = (digest, self._generation)
        task = self._asking.get(asked)
        if task is None:
            task = self._asking[asked] = asyncio.create_task(self._ask(secret, digest))
            task.add_done_callback(partial(self._answered, asked))
        return await asyncio.shield(task)

    def _answered(self, asked: tuple[bytes, int], task: asyncio.Task[Caller]) -> None:
        del self._asking[asked]
        if not task.cancelled():
            task.exception()  # whoever still waits is told; nobody may

    async def _ask(self, secret: str, digest: bytes) -> Caller:
        generation = self._generation
        caller = await (self._of_key(secret) if is_api_key(secret) else self._of_token(secret))
        # A revocation in between must not be overtaken by what was read before it.
        if generation == self._generation:
            self._known[digest] = _Known(caller, time.monotonic())
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return caller

    async def _of_key(self, secret: str) -> Caller:
        now = self._ledger.clock()
        async with self._ledger.reading() as session:
            row = await find_key(session, secret, now)
        if row.last_used_at is None or now - row.last_used_at > USED_SECONDS * 1000:
            self._used[row.id] = now
        return Caller(row.id, row.project_id, secret, frozenset(row.scopes), row.expires_at)

    async def _of_token(self, secret: str) -> Caller:
        grant = self._tokens.read(secret, self._ledger.clock())
        async with self._ledger.reading() as session:
            row = await find_identity(session, grant.did)
        if row.project_id != grant.project_id:
            raise Denied("W3B-7021", f"{grant.did} works for another project by now", field="authorization")
        # What the identity lost since the login is lost at once; what it gained comes with the next login.
        scopes = frozenset(grant.scopes) & frozenset(row.scopes)
        return Caller(grant.did, grant.project_id, self._tokens.seal(grant.did), scopes, grant.expires_at)

    def require_trusted(self, peer: str) -> None:
        """Raises OverQuota (W3B-7029) for an address that failed too often within the last minute."""
        if self._failures_per_minute:
            wait = self._failures.empty_for(network_of(peer), self._failures_per_minute, 60.0)
            if wait:
                raise OverQuota("W3B-7029", f"too many failures came from {peer}", retry_after=wait)

    def failed(self, peer: str) -> None:
        """Count a failure of an address."""
        if self._failures_per_minute:
            self._failures.wait(network_of(peer), self._failures_per_minute, 60.0)

    def forget(self, who: str) -> None:
        """A key or identity was revoked or changed: nothing remembered of it holds, and its calls under way end."""
        self._generation += 1
        for digest in [digest for digest, known in self._known.items() if known.caller.key_id == who]:
            del self._known[digest]
        refusal = Denied("W3B-7003", f"{who} was revoked or changed", field="authorization")
        for call in list(self._long.get(who, ())):
            call.end(refusal)

    @contextmanager
    def long_call(self, caller: Caller) -> Iterator[LongCall]:
        """Look after the stream that the current task serves."""
        task = asyncio.current_task()
        assert task is not None
        call = LongCall(caller, task)
        self._long[caller.key_id].add(call)
        try:
            yield call
        finally:
            calls = self._long[caller.key_id]
            calls.discard(call)
            if not calls:
                del self._long[caller.key_id]

    async def _look_after(self) -> None:
        written = time.monotonic()
        while True:
            await asyncio.sleep(FRESH_SECONDS)  # a poll: another coordinator's revocation wakes nobody here
            try:
                await self._end_invalid([call for calls in self._long.values() for call in calls])
                if time.monotonic() - written > USED_SECONDS / 4:
                    await self._write_used()
                    written = time.monotonic()
            except (SQLAlchemyError, W3bstreamError):  # the ledger is away for a while: look again
                log.exception("authenticator_cannot_look")

    async def _end_invalid(self, calls: Iterable[LongCall]) -> None:
        now = self._ledger.clock()
        by_caller: defaultdict[Caller, list[LongCall]] = defaultdict(list)
        for call in calls:
            by_caller[call.caller].append(call)
        if not by_caller:
            return
        async with self._ledger.reading() as session:
            for caller, theirs in by_caller.items():
                try:
                    require_in_time(caller, now)
                    await require_still_valid(session, caller)
                except Denied as refusal:
                    for call in theirs:
                        call.end(refusal)

    async def _write_used(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        async with self._ledger.transaction() as session:
            for key_id, at in used.items():
                await session.exec(update(ApiKeyRow).where(col(ApiKeyRow.id) == key_id).values(last_used_at=at))
