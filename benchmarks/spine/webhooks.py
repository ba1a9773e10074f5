"""Webhooks sent durably against bare aiohttp posts.

    python -m benchmarks.spine.webhooks [--messages 2000] [--rounds 5] [--json]

Both sides post the same bodies over the same number of connections to the same receiver (a process of its own that
answers 204), in turn. Ours reads each message from a ledger on disk (SQLite, every commit synced), signs it, posts it and
commits the outcome with its row in the delivery log; a round ends when every message is DELIVERED in the ledger. The peer
posts ready-made bodies with one `aiohttp.ClientSession`. Messages are made before the clock starts; each round has a
ledger of its own. The figures are medians of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from sqlalchemy import func
from sqlmodel import select

from benchmarks.spine.figures import LOAD, load_average, parser, show
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.store import Ledger
from coordinator.service.logs import configure_logs
from coordinator.webhooks.endpoints import create_endpoint
from coordinator.webhooks.event import TASK_FINAL, cloud_event
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.sender import WebhookSender
from coordinator.webhooks.ssrf import UrlPolicy

ENDPOINTS = 4
PER_ENDPOINT = 8
CONNECTIONS = ENDPOINTS * PER_ENDPOINT
ROUND_SECONDS = 300.0
LOOK_SECONDS = 0.02
POLICY = UrlPolicy(allow_loopback=True)
DATA = {
    "task_id": "0x" + "6b" * 32,
    "project_id": 1,
    "version": 1,
    "window": {"start": 1, "end": 17},
    "count": 16,
    "completeness": {"missing": "2", "duplicates": 1, "late": 0, "reordered": 3},
    "state": "FINAL",
    "inputs": "0x" + "1a" * 32,
    "output": {"hash": "0x" + "2b" * 32, "abi": "0x" + "00" * 256},
    "settlement": {"chain_id": 4690, "router": "0x" + "3c" * 20, "transaction_hash": "0x" + "4d" * 32},
    "link": "/tasks/0x" + "6b" * 32,
}
"""An event of the usual size."""


def _body(message_id: str, subject: str) -> bytes:
    return cloud_event(message_id, TASK_FINAL, project_id=1, subject=subject, at=1_700_000_000_000, data=DATA)


async def bare(url: str, messages: int) -> float:
    """Seconds for aiohttp to post the messages."""
    bodies = [_body(f"msg_{at:024x}", f"0x{at:064x}") for at in range(messages)]
    waiting = iter(bodies)
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def post() -> None:
            for body in waiting:
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    if answer.status != 204:
                        raise RuntimeError(f"the receiver answered {answer.status}")

        began = time.perf_counter()
        await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
        return time.perf_counter() - began


async def _filled(path: Path, url: str, messages: int, signing: str) -> Ledger:
    """A fresh ledger with the messages, spread over the endpoints."""
    ledger = Ledger.at(path)
    await ledger.migrate()
    now = ledger.clock()
    async with ledger.transaction() as session:
        for _ in range(ENDPOINTS):
            await create_endpoint(session, now, POLICY, project_id=1, url=url, signing=signing)
    for start in range(0, messages // ENDPOINTS, 250):
        async with ledger.transaction() as session:
            for at in range(start, min(start + 250, messages // ENDPOINTS)):
                subject = f"0x{at:064x}"

                def body(message_id: str, named: str = subject) -> bytes:
                    return _body(message_id, named)

                await enqueue_webhooks(session, now, project_id=1, event_type=TASK_FINAL, subject=subject, body=body)
    return ledger


async def ours(path: Path, url: str, messages: int, signing: str = "v1") -> float:
    """Seconds for the sender to deliver the messages and commit that it did."""
    ledger = await _filled(path, url, messages, signing)
    sender = WebhookSender(ledger, GuardedClient(POLICY), per_endpoint=PER_ENDPOINT)
    left = select(WebhookMessageRow.id).where(WebhookMessageRow.state == "PENDING").limit(1)
    began = time.perf_counter()
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(ROUND_SECONDS):
        while await ledger.read(lambda connection: connection.execute(left).first()) is not None:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
    took = time.perf_counter() - began
    sender.stop()
    await running
    async with ledger.reading() as session:
        tries = (await session.exec(select(func.count()).select_from(WebhookDeliveryRow))).one()
        delivered = select(func.count()).select_from(WebhookMessageRow).where(WebhookMessageRow.state == "DELIVERED")
        ends = (await session.exec(delivered)).one()
    if not tries == ends == messages:
        raise RuntimeError(f"{tries} tries and {ends} deliveries for {messages} messages")
    await ledger.close()
    return took


async def measure(messages: int = 2000, rounds: int = 5) -> dict[str, float]:
    """Messages a second on each side and their ratio `webhook_vs_aiohttp`; `_v1a` with ed25519 signatures."""
    load = load_average()
    sink = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.spine.webhook_sink", stdout=asyncio.subprocess.PIPE
    )
    seconds: dict[str, list[float]] = {"bare": [], "v1": [], "v1a": []}
    try:
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{int(await sink.stdout.readline())}/hook"
        with tempfile.TemporaryDirectory() as folder:
            configure_logs(Path(folder), quiet=True)
            await ours(Path(folder) / "warm.db", url, ENDPOINTS * 10)  # compiled statements, imported modules
            for at in range(rounds):
                seconds["bare"].append(await bare(url, messages))
                for signing in ("v1", "v1a"):
                    seconds[signing].append(await ours(Path(folder) / f"{signing}-{at}.db", url, messages, signing))
    finally:
        sink.terminate()
        await sink.wait()
    peer, v1, v1a = (messages / statistics.median(seconds[name]) for name in ("bare", "v1", "v1a"))
    return {
        LOAD: load,
        "webhook_vs_aiohttp": v1 / peer,
        "webhook_vs_aiohttp_v1a": v1a / peer,
        "webhooks_per_second": v1,
        "webhooks_per_second_v1a": v1a,
        "aiohttp_posts_per_second": peer,
    }


def main() -> None:
    """Measure and print a table, and JSON where it is asked for."""
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=2000, help="messages a round (2000)")
    options.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    chosen = options.parse_args()
    found = asyncio.run(measure(chosen.messages, chosen.rounds))
    title = f"{chosen.messages} messages, {CONNECTIONS} connections, medians of {chosen.rounds} rounds"
    show(title, found, as_json=chosen.json)


if __name__ == "__main__":
    main()
