"""Test only: the webhook sender in a process of its own over a real ledger, and receivers that misbehave on real sockets.

As a program it runs the sender until it is told to stop:
`python -m tests.scenarios.webhook_process LEDGER_URL TOTAL_SECONDS PAUSE[,PAUSE…]`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

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

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 120.0
LOOPBACK = UrlPolicy(allow_loopback=True)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def sender_process(
    ledger: Ledger, *, total_seconds: float = 2.0, pauses: Sequence[float] = (0.2,)
) -> Iterator[subprocess.Popen[bytes]]:
    """The sender's process, ended at the end."""
    options = [str(total_seconds), ",".join(str(pause) for pause in pauses)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.webhook_process", ledger.url, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class OddReceiver:
    """Listens on loopback while it is entered; each connection that brings a whole request is handed to `behave`.

    `behave(connection, number)` gets the socket and how many requests came before; the connection is closed after it.
    """

    def __init__(self, behave: Callable[[socket.socket, int], None]) -> None:
        self._behave = behave
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._lock = threading.Lock()
        self.ids: list[str] = []
        """The webhook-ids that came, in order."""
        self.over = threading.Event()
        """Set when the test ends, for behaviours that hold a connection open."""
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        # A blocked accept does not notice a close; a shutdown wakes it.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = _request(connection)
                with self._lock:
                    number = len(self.ids)
                    self.ids.append(_header(request, "webhook-id"))
                self._behave(connection, number)
            except OSError:
                return  # the sender gave up first


def _header(request: bytes, name: str) -> str:
    for line in request.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def _request(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536) or _closed()
    whole = got.index(b"\r\n\r\n") + 4 + int(_header(got, "content-length"))
    while len(got) < whole:
        got += connection.recv(65_536) or _closed()
    return got


def _closed() -> bytes:
    raise OSError("the sender closed the connection")


async def endpoint(ledger: Ledger, url: str) -> WebhookEndpointRow:
    """A new endpoint of project 1."""
    async with ledger.transaction() as session:
        return await create_endpoint(session, ledger.clock(), LOOPBACK, project_id=1, url=url)


async def event(ledger: Ledger, subject: str) -> list[str]:
    """One event for every endpoint; the message ids."""

    def body(message_id: str) -> bytes:
        at = 1_700_000_000_000
        return cloud_event(message_id, TASK_FINAL, project_id=1, subject=subject, at=at, data={"task_id": subject})

    async with ledger.transaction() as session:
        return await enqueue_webhooks(
            session, ledger.clock(), project_id=1, event_type=TASK_FINAL, subject=subject, body=body
        )


async def message(ledger: Ledger, message_id: str) -> WebhookMessageRow:
    """A message as the ledger has it."""
    async with ledger.reading() as session:
        return await session.get_one(WebhookMessageRow, message_id)


async def statuses(ledger: Ledger, message_id: str) -> list[int | None]:
    """What each try was answered, in order."""
    async with ledger.reading() as session:
        found = await session.exec(
            select(WebhookDeliveryRow.status_code)
            .where(WebhookDeliveryRow.message_id == message_id)
            .order_by(col(WebhookDeliveryRow.id))
        )
        return list(found)


async def delivered(ledger: Ledger, message_ids: Sequence[str]) -> None:
    """Wait until all are DELIVERED."""
    async with asyncio.timeout(WAIT_SECONDS):
        for each in message_ids:
            while (await message(ledger, each)).state != "DELIVERED":
                await asyncio.sleep(0.05)


async def _run(ledger: str, total_seconds: str, pauses: str) -> None:
    policy = UrlPolicy(allow_loopback=True, total_seconds=float(total_seconds))
    backoff = Backoff(tuple(float(pause) for pause in pauses.split(",")))
    sender = WebhookSender(Ledger(ledger), GuardedClient(policy), backoff=backoff, cap=10)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)
    await sender.run()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
