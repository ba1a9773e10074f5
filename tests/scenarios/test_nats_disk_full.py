"""What must hold: when the stream's disk is full, publishers are told so with a code and lose nothing that was
acknowledged; the intake stays alive, and everything goes on when there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.intake.nats_server import EmbeddedNats
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow
from tests.intake.intake_world import KEYS
from tests.scenarios.intake_process import intake_process, published_project, rows, send_until_stored, taken
from verifier.errors import Unavailable
from verifier.reading import Reading

ROOM = 1 << 20
"""Bytes that JetStream may use on disk, until there is more."""


class SmallNats(EmbeddedNats):
    """A server whose disk holds `room` bytes."""

    room = ROOM

    def _configuration(self) -> str:
        return super()._configuration().replace("jetstream {", f"jetstream {{\n  max_file_store: {self.room}", 1)


def batch(first: int) -> list[Reading]:
    """Sixteen readings of four bytes each, from 'first' on."""
    return [KEYS[0].sign(1, sequence, 1, bytes(4)) for sequence in range(first, first + 16)]


@pytest.mark.slow
async def test_nats_disk_full(tmp_path: Path, ledger_url: str) -> None:
    ledger, server = Ledger(ledger_url), SmallNats(tmp_path)
    await server.start()
    stream = await published_project(ledger, server.url)
    stored, refusal = 0, None
    with intake_process(ledger, tmp_path, server.url) as process:
        while refusal is None:
            try:
                await stream.publish(batch(stored + 1))
                stored += 16
                assert stored < 100_000, "the disk was never full"
            except Unavailable as error:
                refusal = error
        assert (refusal.code, "readings were stored" in refusal.message) == ("W3B-1051", True)
        state = await stream.state(1)
        assert state is not None
        assert stored <= state.last < stored + 16, "what was acknowledged is there"
        await taken(ledger, state.last)
        assert process.poll() is None
        (cursor,) = await rows(ledger, StreamCursorRow)
        assert cursor.stopped_code == ""

        await server.stop()
        server.room = 64 * ROOM
        await server.start()
        assert await send_until_stored(stream, batch(stored + 1)) <= {"W3B-1008"}
        assert await send_until_stored(stream, batch(stored + 17)) <= {"W3B-1008"}
        state = await stream.state(1)
        assert state is not None
        await taken(ledger, state.last)
    sequences = sorted(row.sequence for row in await rows(ledger, ReadingRow))
    assert sequences == list(range(1, stored + 33))
    assert {row.code for row in await rows(ledger, DeadLetterRow)} <= {"W3B-1005"}
    await stream.close()
    await server.stop()
    await ledger.close()
