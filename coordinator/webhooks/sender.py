"""Delivers the messages of the webhook outbox: at least one 2xx per webhook-id, or DEAD after the cap.

Rules:
1. A message is due when it is PENDING, its endpoint is not disabled and `next_at` has come. The ledger alone says so:
   after a crash a message whose answer was not recorded is sent again, with the same webhook-id and the same bytes.
2. An endpoint holds at most `per_endpoint` connections, all of them together at most `limit`: a slow endpoint delays
   nobody else's messages.
3. 2xx is DELIVERED; 410 disables the endpoint (Standard Webhooks); a URL that the guard refuses and everything else
   counts as a failed try. Every try is one row in the delivery log.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import structlog
from sqlalchemy import func
from sqlmodel import col, select
from standardwebhooks import Webhook

from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.ssrf import GuardedClient
from verifier.errors import W3bstreamError

logger = structlog.get_logger(__name__)
GONE = 410
_IDLE_SECONDS = 5.0
"""The ledger is looked at this often without a hint, for messages that another process put in."""


@dataclass(frozen=True)
class _Try:
    """What came of one POST."""

    status: int | None
    error: str
    seconds: float
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WebhookSender:
    """The delivery loop.

    Parameters: `cap` tries before a message is DEAD; `limit` and `per_endpoint` bound the connections.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: GuardedClient,
        *,
        cap: int = 10,
        backoff: Backoff | None = None,
        limit: int = 64,
        per_endpoint: int = 4,
        draw: random.Random | None = None,
    ) -> None:
        self.ledger = ledger
        """Where the messages are."""
        self.cap = cap
        """Tries before a message is DEAD."""
        self._client = client
        self._backoff = backoff or Backoff()
        self._limit = limit
        self._per_endpoint = per_endpoint
        self._draw = draw or random.Random()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Deliver until `stop` is called; running POSTs are then cancelled and will be sent again by the next run."""
        try:
            while not self._stopping.is_set():
                seen = self.ledger.commits
                self._freed.clear()
                now = self.ledger.clock()
                await self._start_due(now)
                await self._wait(seen, await self._pause(now))
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self._client.close()

    def stop(self) -> None:
        """Make `run` end."""
        self._stopping.set()

    async def _wait(self, seen: int, seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self.ledger.changed(seen, seconds)),
            asyncio.ensure_future(self._freed.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _pause(self, now: int) -> float:
        """Seconds until the next message falls due, at most `_IDLE_SECONDS`; `now` is as `_start_due` had it."""
        async with self.ledger.reading() as session:
            first = await session.exec(
                select(func.min(WebhookMessageRow.next_at))
                .join(WebhookEndpointRow, col(WebhookEndpointRow.id) == col(WebhookMessageRow.endpoint_id))
                .where(
                    WebhookMessageRow.state == "PENDING",
                    col(WebhookEndpointRow.disabled).is_(False),
                    col(WebhookMessageRow.next_at) > now,
                )
            )
            at = first.one()
        return _IDLE_SECONDS if at is None else max(0.0, min(_IDLE_SECONDS, (at - self.ledger.clock()) / 1000))

    async def _start_due(self, now: int) -> None:
        async with self.ledger.reading() as session:
            endpoints = (
                await session.exec(
                    select(WebhookEndpointRow).where(
                        col(WebhookEndpointRow.disabled).is_(False),
                        col(WebhookEndpointRow.id).in_(
                            select(WebhookMessageRow.endpoint_id).where(
                                WebhookMessageRow.state == "PENDING", col(WebhookMessageRow.next_at) <= now
                            )
                        ),
                    )
                )
            ).all()
            # Whoever has the fewest open connections goes first, so that a full house stays fair.
            for endpoint in sorted(endpoints, key=lambda row: self._busy[row.id]):
                room = min(self._per_endpoint - self._busy[endpoint.id], self._limit - len(self._running))
                if room <= 0:
                    continue
                due = await session.exec(
                    select(WebhookMessageRow)
                    .where(
                        WebhookMessageRow.endpoint_id == endpoint.id,
                        WebhookMessageRow.state == "PENDING",
                        col(WebhookMessageRow.next_at) <= now,
                        col(WebhookMessageRow.id).not_in(list(self._running)),
                    )
                    .order_by(col(WebhookMessageRow.next_at), col(WebhookMessageRow.id))
                    .limit(room)
                )
                for message in due.all():
                    self._start(endpoint, message)

    def _start(self, endpoint: WebhookEndpointRow, message: WebhookMessageRow) -> None:
        self._busy[endpoint.id] += 1
        task = asyncio.create_task(self._deliver(endpoint, message))
        self._running[message.id] = task

        def ended(done: asyncio.Task[None]) -> None:
            del self._running[message.id]
            self._busy[endpoint.id] -= 1
            self._freed.set()
            if not done.cancelled() and (error := done.exception()) is not None:
                logger.error("webhook delivery not recorded", message=message.id, error=repr(error))

        task.add_done_callback(ended)

    async def _deliver(self, endpoint: WebhookEndpointRow, message: WebhookMessageRow) -> None:
        outcome = await self._post(endpoint, message)
        await self._record(endpoint.id, message.id, outcome)
        logger.info(
            "webhook tried",
            message=message.id,
            endpoint=endpoint.id,
            status=outcome.status,
            error=outcome.error,
        )

    async def _post(self, endpoint: WebhookEndpointRow, message: WebhookMessageRow) -> _Try:
        started = time.monotonic()
        moment = datetime.fromtimestamp(self.ledger.clock() // 1000, tz=UTC)
        headers = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "user-agent": "w3bstream-webhooks/1",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(endpoint.secret).sign(message.id, moment, message.body.decode()),
        }
        try:
            answer = await self._client.post(endpoint.url, message.body, headers)
        except (W3bstreamError, aiohttp.ClientError, OSError, TimeoutError) as error:
            text = str(error) or type(error).__name__
            return _Try(None, f"{type(error).__name__}: {text}"[:500], time.monotonic() - started)
        error_text = ""
        if not 200 <= answer.status < 300:
            kind = "a redirect, which is not followed" if 300 <= answer.status < 400 else "no success"
            error_text = f"answered {answer.status}: {kind}"
        return _Try(answer.status, error_text, answer.seconds, answer.retry_after)

    async def _record(self, endpoint_id: str, message_id: str, outcome: _Try) -> None:
        now = self.ledger.clock()
        async with self.ledger.transaction() as session:
            message = await session.get(WebhookMessageRow, message_id, populate_existing=True)
            endpoint = await session.get(WebhookEndpointRow, endpoint_id, populate_existing=True)
            if message is None or endpoint is None:
                return
            session.add(
                WebhookDeliveryRow(
                    message_id=message_id,
                    at=now,
                    status_code=outcome.status,
                    error=outcome.error,
                    duration_ms=round(outcome.seconds * 1000),
                )
            )
            message.tries += 1
            if outcome.delivered:
                message.state, message.delivered_at = "DELIVERED", now
            elif outcome.status == GONE:
                message.state, endpoint.disabled = "DEAD", True
                session.add(endpoint)
            elif message.tries >= self.cap:
                message.state = "DEAD"
            else:
                wait = self._backoff.delay(message.tries, self._draw, outcome.retry_after)
                message.next_at = now + round(wait * 1000)
            session.add(message)
