"""What must hold: when the ledger's disk is full, nothing is acknowledged that is not committed, the intake says why it
stands still, and with room again it goes on where it was: each reading once."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import nats
import pytest

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.stream import CONSUMER, stream_name
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ReadingRow, StreamCursorRow, TaskRow
from tests.databases import Databases
from tests.intake.intake_world import CAPACITY, reading
from tests.scenarios.intake_process import (
    WAIT_SECONDS,
    intake_process,
    published_project,
    require_each_once,
    rows,
    taken,
)

FIRST, SECOND = 64, 400


async def acknowledged(url: str) -> int:
    """The position up to which the server knows everything acknowledged."""
    client = await nats.connect(url)
    info = await client.jetstream().consumer_info(stream_name(1), CONSUMER)
    await client.close()
    return int(info.ack_floor.stream_seq) if info.ack_floor else 0


@pytest.mark.slow
async def test_ledger_disk_full(tmp_path: Path, databases: Databases) -> None:
    path = tmp_path / "ledger.db"
    ledger, server = Ledger(databases.sqlite(path)), EmbeddedNats(tmp_path)
    await server.start()
    stream = await published_project(ledger, server.url)
    with intake_process(ledger, tmp_path, server.url) as process:
        await stream.publish([reading(sequence) for sequence in range(1, FIRST + 1)])
        await taken(ledger, FIRST)
        # The kernel refuses what a full disk would: the process cannot make a file longer than its log is now.
        full = path.with_name("ledger.db-wal").stat().st_size
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, most))
        await stream.publish([reading(sequence) for sequence in range(FIRST + 1, FIRST + SECOND + 1)])

        log = tmp_path / "intake.log"
        async with asyncio.timeout(WAIT_SECONDS):
            while "W3B-1052" not in log.read_text(errors="replace"):  # it may end within a character, for want of room
                await asyncio.sleep(0.1)
        committed = len(await rows(ledger, ReadingRow))
        assert FIRST <= committed < FIRST + SECOND
        assert await acknowledged(server.url) <= committed
        assert process.poll() is None

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        await taken(ledger, FIRST + SECOND)
    await require_each_once(ledger, range(1, FIRST + SECOND + 1))
    assert len(await rows(ledger, TaskRow)) == (FIRST + SECOND) // CAPACITY
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert cursor.stopped_code == ""
    await stream.close()
    await server.stop()
    await ledger.close()
