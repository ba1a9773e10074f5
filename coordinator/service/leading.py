"""Leading and standing by: takes the lease when it is free, works while it is held, and lets go when it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from coordinator.api.surroundings import ComponentStatus
from coordinator.ledger.control_tables import CoordinatorRow
from coordinator.ledger.coordinators import beat, join, standing
from coordinator.ledger.leadership import Leadership, Term
from coordinator.ledger.store import Ledger
from verifier.errors import Unavailable

log = structlog.get_logger(__name__)

Work = Callable[[Ledger, asyncio.Event], Awaitable[None]]
"""Works as the leader on the ledger that it is given, until the event is set; then ends cleanly."""
RENEWALS = 3
"""In one lease."""
START_LEASES = 3
"""How many leases long a lease is in the beginning of a term: starting Ray keeps a busy machine's process from renewing
for many seconds, and without this two coordinators could take over from each other for ever."""
START_SECONDS = 60.0
"""How long that beginning is."""
LOOK_SECONDS = 0.25
"""The least time between two looks at a lease that another holds."""


class Leading:
    """This coordinator among those on its ledger.

    Parameters: `me` is its row, not stored yet; `seconds` is the lease; `work` is what a leader does. When `work` ends
    by itself, with an error or without, the lease is kept and it is begun anew with the next renewal.
    """

    def __init__(self, ledger: Ledger, me: CoordinatorRow, seconds: float, work: Work) -> None:
        self._ledger = ledger
        self._me = me
        self._seconds = seconds
        self._work = work
        self._leadership = Leadership(ledger, me.id, round(seconds * 1000), START_LEASES)
        self._term: Term | None = None
        self._began = self._renewed = 0.0
        self._working: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Whether this coordinator leads, as far as it knows."""
        return self._term is not None

    async def join(self) -> None:
        """Enter the ledger's list of coordinators. Raises Conflict (W3B-8011)."""
        await join(self._ledger, self._me, round(self._seconds * 1000))

    async def run(self) -> None:
        """Lead or stand by until `stop`; then end the work and give the lease back."""
        while not self._stopping.is_set():
            try:
                await self._turn()
            except Unavailable as error:
                log.warning("leadership_unknown", code=error.code, reason=error.message, leads=self.leads)
                if self.leads and time.monotonic() - self._renewed > self._seconds:
                    # Nothing can be written; but nothing may be begun either that another leader begins too.
                    await self._step_down("the ledger does not answer")
            await self._pause()
        await self._hand_over()

    def stop(self) -> None:
        """Make `run` end."""
        self._stopping.set()

    async def announce(self, api: str) -> None:
        """Say where this coordinator's API listens."""
        await beat(self._ledger, self._me.id, api=api)

    async def _turn(self) -> None:
        began = time.monotonic()
        if self._term is None:
            self._term = await self._leadership.take()
            self._began = began
            if self._term is not None:
                log.info("leadership_taken", coordinator=self._me.id, term=self._term.fence)
        elif not await self._leadership.renew(self._term, starting=began - self._began < START_SECONDS):
            await self._step_down("another coordinator leads")
        self._renewed = began
        if self._term is not None and (self._working is None or self._working.done()):
            self._begin(self._term)
        await beat(self._ledger, self._me.id)

    def _begin(self, term: Term) -> None:
        self._ending = asyncio.Event()
        self._working = asyncio.create_task(self._lead(self._ledger.led_by(term), self._ending), name="leader")

    async def _lead(self, ledger: Ledger, ending: asyncio.Event) -> None:
        try:
            await self._work(ledger, ending)
        except Exception:  # whatever the work may raise: the lease goes on, and it is begun anew
            log.exception("leading_failed")

    async def _step_down(self, reason: str) -> None:
        term, self._term = self._term, None
        log.warning("leadership_lost", coordinator=self._me.id, term=term.fence if term else 0, reason=reason)
        self._ending.set()
        if self._working is not None:
            await self._working
            self._working = None

    async def _hand_over(self) -> None:
        """End the work, renewing meanwhile, and free the lease for whoever stands by."""
        self._ending.set()
        while self._working is not None and not self._working.done():
            await asyncio.wait({self._working}, timeout=self._seconds / RENEWALS)
            if self._term is not None:
                with suppress(Unavailable):  # the lease runs out by itself then
                    await self._leadership.renew(self._term)
        try:
            if self._term is not None:
                await self._leadership.give_back(self._term)
            await beat(self._ledger, self._me.id, stopped=True)
        except Unavailable as error:
            log.warning("leadership_not_given_back", code=error.code, reason=error.message)
        self._term = None

    async def _pause(self) -> None:
        """Until it is time to renew, or to look again whether the lease is free."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._stopping.wait())]
        waits.append(asyncio.ensure_future(self._term.lost.wait() if self._term else self._freed()))
        await asyncio.wait(waits, timeout=self._seconds / RENEWALS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _freed(self) -> None:
        """Until the lease looks free: a leader that ends gives it back, and its commit is heard at once."""
        while True:
            seen = self._ledger.commits
            try:
                if await self._leadership.free():
                    return
            except Unavailable as error:
                log.info("leadership_unknown", code=error.code, reason=error.message, leads=False)
            await asyncio.sleep(LOOK_SECONDS)
            await self._ledger.changed(seen, self._seconds)

    async def component(self) -> ComponentStatus:
        """Who leads, since when, and who stands by."""
        found = await standing(self._ledger, round(self._seconds * 1000))
        others = ", ".join(f"{row.id} ({row.host})" for row in found.others)
        waiting = f"; standing by: {others}" if others else ""
        if found.leader is None:
            return ComponentStatus("leader", False, f"nobody leads{waiting}")
        since = datetime.fromtimestamp(found.since / 1000, UTC).isoformat(timespec="seconds")
        me = ", this one" if found.leader.id == self._me.id else ""
        return ComponentStatus(
            "leader",
            True,
            f"{found.leader.id} ({found.leader.host}{me}) since {since}{waiting}",
            found.leader.api,
        )
