"""What must hold: a connection to NATS that is open and dead, and a consumer that somebody deleted, stop the intake for a
while only; every reading is taken once, in order, and the status says what is wrong meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
import pytest_asyncio
from intake_world import PROGRAMS, add_project, add_version, reading, until
from sqlmodel import col, select

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.service import Intake
from coordinator.intake.stream import CONSUMER, stream_name
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow
from coordinator.settings import Settings
from verifier.errors import NotFound

BACK_SECONDS = 90.0
"""Four missed heartbeats and a reconnection take ten seconds alone on a machine."""


class Wire:
    """A TCP proxy before nats-server that can stop to forward, with every connection left open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self.takes_new = asyncio.Event()
        self.takes_new.set()
        self.connections = 0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self.takes_new.wait()
        moving = self._moving
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink, moving))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, moving: asyncio.Event) -> None:
        try:
            while data := await source.read(65536):
                await moving.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            return
        finally:
            sink.close()

    def freeze(self, *, new_too: bool) -> None:
        """Forward nothing any more on the connections that are there; on new ones unless `new_too`."""
        self._moving.clear()
        self._moving = asyncio.Event()
        self._moving.set()
        if new_too:
            self.takes_new.clear()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest_asyncio.fixture
async def wire(server: EmbeddedNats) -> AsyncIterator[Wire]:
    made = Wire(urlsplit(server.url).port or 0)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def intake(ledger: Ledger, server: EmbeddedNats, wire: Wire, tmp_path: Path) -> AsyncIterator[Intake]:
    """A running intake that reaches NATS over the wire, with a project whose first readings it has taken."""
    url = server.url.replace(f":{urlsplit(server.url).port}", f":{wire.port}")
    made = Intake(ledger, Settings(home=tmp_path), url, workers=0, programs=PROGRAMS)
    running = asyncio.create_task(made.run())
    await add_project(ledger)
    await add_version(ledger)
    await until(lambda: _published(made), BACK_SECONDS)
    await until(_taken(ledger, 6), BACK_SECONDS)
    yield made
    await made.stop()
    await running


async def _published(intake: Intake) -> bool:
    """Once the stream is there: five readings are in it."""
    try:
        await intake.publish(1, [reading(number) for number in range(1, 6)])
    except NotFound:
        return False
    return True


def _taken(ledger: Ledger, next_position: int) -> Callable[[], Awaitable[Any]]:
    async def look() -> bool:
        async with ledger.reading() as session:
            row = await session.get(StreamCursorRow, 1)
            return row is not None and row.next_position >= next_position

    return look


async def publish_past(server: EmbeddedNats, first: int, last: int) -> None:
    """Devices that reach the server by another way."""
    client = await nats.connect(server.url)
    for number in range(first, last + 1):
        each = reading(number)
        await client.jetstream().publish(each.subject(), each.to_wire())
    await client.close()


async def require_each_once(ledger: Ledger, last: int) -> None:
    """Readings 1 to `last`, each at its own position; nothing in the dead letters."""
    async with ledger.reading() as session:
        rows = (await session.exec(select(ReadingRow).order_by(col(ReadingRow.position)))).all()
        dead = (await session.exec(select(DeadLetterRow))).all()
    assert [(row.position, row.sequence) for row in rows] == [(number, number) for number in range(1, last + 1)]
    assert not dead


async def test_a_dead_connection_is_noticed_and_nothing_is_lost(
    ledger: Ledger, server: EmbeddedNats, wire: Wire, intake: Intake
) -> None:
    before = wire.connections
    wire.freeze(new_too=False)
    await publish_past(server, 6, 25)
    await until(_taken(ledger, 26), BACK_SECONDS)
    await require_each_once(ledger, 25)
    assert wire.connections > before, "it went on over another connection"


async def test_a_network_that_swallows_everything_for_a_while(
    ledger: Ledger, server: EmbeddedNats, wire: Wire, intake: Intake
) -> None:
    before = wire.connections
    wire.freeze(new_too=True)
    await publish_past(server, 6, 25)

    async def tried_again() -> bool:
        return wire.connections > before

    await until(tried_again, BACK_SECONDS)
    assert not await _taken(ledger, 7)(), "nothing comes through"
    wire.takes_new.set()
    await until(_taken(ledger, 26), BACK_SECONDS)
    await require_each_once(ledger, 25)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_consumer_that_was_deleted_is_made_again(
    ledger: Ledger, server: EmbeddedNats, intake: Intake, times: int
) -> None:
    last = 5
    for _ in range(times):
        client = await nats.connect(server.url)
        assert await client.jetstream().delete_consumer(stream_name(1), CONSUMER)
        await client.close()
        await publish_past(server, last + 1, last + 10)
        last += 10
        await until(_taken(ledger, last + 1), BACK_SECONDS)
    await require_each_once(ledger, last)
