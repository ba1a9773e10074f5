"""Delivers the messages of the webhook outbox: at least one 2xx per webhook-id, or DEAD after the cap.

Rules:
1. A message is due when it is PENDING, its endpoint is not disabled and `next_at` has come. The ledger alone says so:
   after a crash a message whose answer was not recorded is sent again, with the same webhook-id and the same bytes.
2. An endpoint holds at most `per_endpoint` connections, one while it does not answer, and all of them together at most
   `limit`: a slow endpoint delays nobody else's messages (`lanes.py`).
3. 2xx is DELIVERED; a URL that the guard refuses and everything else counts as a failed try (`delivery.py`). 410 disables
   the endpoint (Standard Webhooks), and so do `GIVE_UP_SECONDS` without one 2xx; its messages wait.
4. Pauses are kept in wall time, for they last longer than a process. Where the clock was set back, those that it wrote
   before are called off.
5. Every try is one row in the delivery log. What came of many tries is committed at once, and the next messages are read
   in the same step; a message is not read again before its try is committed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection

from coordinator.access.audit import Act, append
from coordinator.ledger.one_hop import in_one_hop
from coordinator.ledger.store import Ledger
from coordinator.webhooks import outbox
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.delivery import GONE, Courier, sign_ahead
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.lanes import Lanes
from coordinator.webhooks.outbox import DELIVERED, Due, Message, Outcome, Room, Target
from verifier.errors import Unavailable, W3bstreamError

logger = structlog.get_logger(__name__)
GIVE_UP_SECONDS = 2 * 86_400.0
"""An endpoint whose tries failed for so long, without one 2xx, is disabled when the next one fails."""
ACTOR = "webhooks"
"""Who the audit log says disabled an endpoint."""
_IDLE_SECONDS = 5.0
"""The ledger is looked at this often without a hint, for messages that another process put in."""
_SET_BACK_SECONDS = 1.0
"""A clock that falls behind by more from one look to the next was set back."""
_AWAY_SECONDS = 1.0
"""Pause when the ledger is away."""
_GATHER_SECONDS = 0.02
"""Outcomes that come so soon after the first share its commit, while more POSTs are under way."""
_GATHERED = 128
"""So many outcomes are worth a commit at once."""
_BATCH = 512
_HELD = 4096
"""Messages in memory at most; a body has less than 20 KB."""


class WebhookSender:
    """The delivery loop.

    Parameters: `cap` tries before a message is DEAD; `limit` and `per_endpoint` bound the connections; POSTs under way
    get `grace` seconds when the loop is told to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: GuardedClient,
        *,
        cap: int = 10,
        backoff: Backoff | None = None,
        limit: int = 256,
        per_endpoint: int = 8,
        grace: float = 2.0,
        draw: random.Random | None = None,
    ) -> None:
        self.ledger = ledger
        """Where the messages are."""
        self._courier = Courier(
            client, ledger.clock, cap=cap, backoff=backoff or Backoff(), draw=draw or random.Random()
        )
        self._limit = limit
        self._grace = grace
        self._lanes = Lanes(per_endpoint, _HELD)
        self._flying: set[asyncio.Task[None]] = set()
        self._done: list[Outcome] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._own = 0
        self._broken: BaseException | None = None
        self._ahead: float | None = None

    async def run(self) -> None:
        """Deliver until `stop` is called; POSTs that do not end then are cancelled and sent again by the next run."""
        try:
            while not self._stopping:
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                before, self._own = self.ledger.commits, 0
                try:
                    due = await self._turn()
                except Unavailable as error:
                    logger.warning("webhooks wait for the ledger", code=error.code, error=str(error))
                    await self._wait(self.ledger.commits, _AWAY_SECONDS)
                    continue
                # Where nobody else has committed meanwhile there is nothing new: what was read is of our last commit.
                others = self.ledger.commits - before != self._own
                await self._wait(before if others else self.ledger.commits, self._pause(due))
        finally:
            await self._end()

    def stop(self) -> None:
        """Make `run` end."""
        self._stopping = True
        self._wake.set()

    async def _turn(self) -> Due:
        """Record what came, read what is due, start it."""
        now = self.ledger.clock()
        await self._look_at_clock(now)
        outcomes, self._done = self._done[:_BATCH], self._done[_BATCH:]
        if self._done:  # nothing else may come that would say so
            self._wake.set()
        room = self._lanes.room(time.monotonic(), {each.message_id for each in outcomes})
        try:
            if outcomes:
                await self._disable(outcomes)
                due = await self.ledger.write(lambda connection: _recorded(connection, outcomes, now, room))
                self._own += 1
            else:
                due = await self.ledger.read(lambda connection: outbox.due(connection, now, room))
        except Unavailable:
            # They were answered: sending them again is for the case that the ledger stays away.
            self._done[:0] = outcomes
            raise
        for each in outcomes:
            self._lanes.release(each.endpoint_id, each.message_id)
        # Counted from here: where the ledger is slow, what it gave must not be too old to be sent before it is here.
        read_at = time.monotonic()
        due = await sign_ahead(due, self.ledger.clock)
        self._lanes.add(due, read_at)
        self._fill()
        return due

    async def _look_at_clock(self, now: int) -> None:
        """At the start, and when the wall clock fell behind the steady one: a pause may end hours from now."""
        ahead = now / 1000 - time.monotonic()
        if self._ahead is None or ahead < self._ahead - _SET_BACK_SECONDS:
            self._own += 1
            if called_off := await self.ledger.write(lambda connection: outbox.call_off_waits(connection, now)):
                logger.warning("the clock was set back: pauses of webhooks called off", messages=called_off)
        self._ahead = ahead

    def _pause(self, due: Due) -> float:
        if due.next_at is None:
            return _IDLE_SECONDS
        return max(0.0, min(_IDLE_SECONDS, (due.next_at - self.ledger.clock()) / 1000))

    async def _wait(self, seen: int, seconds: float) -> None:
        if not self._wake.is_set():
            waits = [
                asyncio.ensure_future(self.ledger.changed(seen, seconds)),
                asyncio.ensure_future(self._wake.wait()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._flying and len(self._done) < _GATHERED and not self._stopping:
            await asyncio.sleep(_GATHER_SECONDS)

    def _fill(self) -> None:
        """Start POSTs while there is room."""
        now = time.monotonic()
        while len(self._flying) < self._limit and not self._stopping:
            found = self._lanes.take(now)
            if found is None:
                return
            task = asyncio.create_task(self._deliver(*found))
            self._flying.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
        self._wake.set()
        self._fill()

    async def _deliver(self, target: Target, message: Message) -> None:
        """Make one try after the other, as long as there are messages."""
        found: tuple[Target, Message] | None = (target, message)
        while found is not None:
            target = found[0]
            await self._try(*found)
            found = None
            if not self._stopping:
                now = time.monotonic()
                # With connections to spare each endpoint has its own share of them, and nobody need be looked for.
                if len(self._flying) < self._limit:
                    found = self._lanes.next_of(target.id, now)
                found = found or self._lanes.take(now)

    async def _try(self, target: Target, message: Message) -> None:
        outcome: Outcome | None = None
        try:
            outcome = await self._courier.deliver(target, message)
        finally:
            self._lanes.landed(target.id, answered=outcome is not None and outcome.status is not None)
            if outcome is None:
                self._lanes.release(target.id, message.id)
            else:
                self._done.append(outcome)
                self._wake.set()
        if outcome.state != DELIVERED:
            logger.info(
                "webhook not delivered",
                message=message.id,
                endpoint=target.id,
                state=outcome.state,
                status=outcome.status,
                error=outcome.error,
            )

    async def _disable(self, outcomes: Sequence[Outcome]) -> None:
        """Disable the endpoints that said 410 or failed for too long, with a line in the audit log."""
        reasons = self._reasons(outcomes)
        if not reasons:
            return
        self._own += 1
        async with self.ledger.transaction() as session:
            for endpoint_id, reason in reasons.items():
                target = self._lanes.target(endpoint_id)

                def change(connection: Connection, named: str = endpoint_id, why: str = reason) -> bool:
                    return outbox.disable(connection, named, why)

                if await in_one_hop(session, change):
                    act = Act("webhook.disable", ACTOR, subject=endpoint_id, project_id=target.project_id)
                    act.detail["reason"] = reason
                    await append(session, self.ledger.clock(), act)
                    logger.warning("webhook endpoint disabled", endpoint=endpoint_id, reason=reason)

    def _reasons(self, outcomes: Sequence[Outcome]) -> dict[str, str]:
        reasons = {each.endpoint_id: "410 Gone" for each in outcomes if each.status == GONE}
        worked = {each.endpoint_id for each in outcomes if each.state == DELIVERED}
        for each in outcomes:
            since = self._lanes.target(each.endpoint_id).failing_since
            if since and each.endpoint_id not in worked and each.at - since >= GIVE_UP_SECONDS * 1000:
                moment = datetime.fromtimestamp(since / 1000, tz=UTC).isoformat(timespec="seconds")
                reasons.setdefault(each.endpoint_id, f"every try failed since {moment}")
        return reasons

    async def _end(self) -> None:
        if self._flying:
            await asyncio.wait(self._flying, timeout=self._grace)
        for task in tuple(self._flying):
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        if self._done:
            try:
                await self._disable(self._done)
                await self.ledger.write(lambda connection: outbox.record(connection, self._done))
            except W3bstreamError as error:
                # Another coordinator leads, or the ledger is away: they will be sent again.
                logger.warning("webhook tries not recorded", tries=len(self._done), code=error.code, error=str(error))
        await self._courier.close()


def _recorded(connection: Connection, outcomes: Sequence[Outcome], now: int, room: Room) -> Due:
    outbox.record(connection, outcomes)
    return outbox.due(connection, now, room)
