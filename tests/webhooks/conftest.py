"""A ledger, a receiver on loopback that behaves as it is told, and a sender to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from sqlmodel import col, select

from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.store import Ledger
from coordinator.webhooks.backoff import Backoff
from coordinator.webhooks.endpoints import create_endpoint
from coordinator.webhooks.event import TASK_FINAL, cloud_event
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.sender import WebhookSender
from coordinator.webhooks.ssrf import UrlPolicy

LOOPBACK = UrlPolicy(allow_loopback=True, total_seconds=1.0, connect_seconds=0.5)
QUICK = Backoff(pauses=(0.02,))


@dataclass
class Received:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server whose answer to each path is `answers[path]`: a status, or a coroutine."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append(Received(request.path, dict(request.headers), await request.read()))
        answer = self.answers.get(request.path, 200)
        if callable(answer):
            made: web.StreamResponse = await answer(request)
            return made
        return web.Response(status=answer)

    def at(self, path: str) -> list[Received]:
        return [each for each in self.got if each.path == path]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(ledger_url)
    yield made
    await made.close()


@dataclass
class Desk:
    """What the tests do with the ledger and the sender."""

    ledger: Ledger

    async def endpoint(
        self, url: str, events: tuple[str, ...] = (), policy: UrlPolicy = LOOPBACK
    ) -> WebhookEndpointRow:
        async with self.ledger.transaction() as session:
            return await create_endpoint(session, self.ledger.clock(), policy, project_id=1, url=url, events=events)

    async def event(self, subject: str, event_type: str = TASK_FINAL) -> list[str]:
        def body(message_id: str) -> bytes:
            data = {"task_id": subject, "note": "grüße"}
            return cloud_event(message_id, event_type, project_id=1, subject=subject, at=1_700_000_000_000, data=data)

        async with self.ledger.transaction() as session:
            return await enqueue_webhooks(
                session, self.ledger.clock(), project_id=1, event_type=event_type, subject=subject, body=body
            )

    def sender(self, policy: UrlPolicy = LOOPBACK, **changes: Any) -> WebhookSender:
        options = {"backoff": QUICK, "grace": 0.1, "draw": random.Random(1), **changes}
        return WebhookSender(self.ledger, GuardedClient(policy), **options)

    async def message(self, message_id: str) -> WebhookMessageRow:
        async with self.ledger.reading() as session:
            return await session.get_one(WebhookMessageRow, message_id)

    async def tries(self, message_id: str) -> list[WebhookDeliveryRow]:
        async with self.ledger.reading() as session:
            found = await session.exec(
                select(WebhookDeliveryRow)
                .where(WebhookDeliveryRow.message_id == message_id)
                .order_by(col(WebhookDeliveryRow.id))
            )
            return list(found.all())

    async def run_until(self, sender: WebhookSender, reached: Callable[[], Any], seconds: float = 15.0) -> None:
        """Run the sender until `await reached()` holds, then stop it."""
        running = asyncio.create_task(sender.run())
        deadline = time.monotonic() + seconds
        try:
            while not await reached():
                assert not running.done(), running.exception()
                assert time.monotonic() < deadline, "not reached"
                await asyncio.sleep(0.01)
        finally:
            sender.stop()
            await running

    async def run_until_state(self, sender: WebhookSender, message_id: str, state: str) -> WebhookMessageRow:
        async def reached() -> bool:
            return (await self.message(message_id)).state == state

        await self.run_until(sender, reached)
        return await self.message(message_id)


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    return Desk(ledger)
