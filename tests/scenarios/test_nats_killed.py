"""What must hold: when nats-server is killed again and again in the middle of batches, every reading that it acknowledged
is in the ledger exactly once, and the intake goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import StreamCursorRow, TaskRow
from tests.intake.intake_world import CAPACITY, reading
from tests.scenarios.intake_process import (
    intake_process,
    published_project,
    require_each_once,
    rows,
    send_until_stored,
    taken,
)

BATCHES = 30
BATCH = 32
KILLS = (5, 12, 19, 26)


@pytest.mark.slow
async def test_nats_killed_under_load(tmp_path: Path, ledger_url: str) -> None:
    ledger, server = Ledger(ledger_url), EmbeddedNats(tmp_path)
    await server.start()
    supervising = asyncio.create_task(server.run())
    stream = await published_project(ledger, server.url)
    codes: set[str] = set()
    with intake_process(ledger, tmp_path, server.url):
        for number in range(BATCHES):
            batch = [reading(number * BATCH + at) for at in range(1, BATCH + 1)]
            sending = asyncio.create_task(send_until_stored(stream, batch))
            if number in KILLS:
                await asyncio.sleep(0)  # the batch is on its way
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
            codes |= await sending
        state = await stream.state(1)
        assert state is not None
        await taken(ledger, state.last)
    assert codes <= {"W3B-1008"}
    await require_each_once(ledger, range(1, BATCHES * BATCH + 1))
    assert len(await rows(ledger, TaskRow)) == BATCHES * BATCH // CAPACITY
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert cursor.stopped_code == ""
    await stream.close()
    await server.stop()
    await supervising
    await ledger.close()
