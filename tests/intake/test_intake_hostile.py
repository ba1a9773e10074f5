"""Hostile messages: whatever the bytes, each position ends in one place with a reason, and nothing grows for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_world import KEYS, PROGRAMS, add_project, add_version, reading
from sqlmodel import SQLModel, select

from coordinator.intake import batch_rows
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.recorder import Recorder
from coordinator.intake.status import stats
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow, TaskRow
from verifier.error_codes import CODES

GOOD = [reading(sequence, device) for sequence in range(1, 9) for device in (0, 1)]
LIES = [reading(sequence, 0, value=99) for sequence in range(1, 9)]
EDGES = [KEYS[0].sign(1, sequence, timestamp, bytes(4)) for sequence, timestamp in
         ((0, 0), ((1 << 63) - 1, (1 << 63) - 1), ((1 << 63), 1), ((1 << 64) - 1, 1), (9, (1 << 64) - 1))]  # fmt: skip
WIRES = [each.to_wire() for each in (*GOOD, *LIES, *EDGES, reading(1, 2), reading(1, 0, project=2))]


def spoiled(wire: bytes, at: int, bit: int) -> bytes:
    """The wire with one bit flipped."""
    at %= len(wire)
    return wire[:at] + bytes([wire[at] ^ 1 << bit]) + wire[at + 1 :]


wires = st.one_of(
    st.sampled_from(WIRES),
    st.binary(max_size=200),
    st.just(bytes(8192)),
    st.builds(lambda wire, cut: wire[:cut], st.sampled_from(WIRES), st.integers(0, 118)),
    st.builds(spoiled, st.sampled_from(WIRES), st.integers(0, 117), st.integers(0, 7)),
    st.builds(lambda wire, more: wire + more, st.sampled_from(WIRES), st.binary(min_size=1, max_size=9)),
)
subjects = st.sampled_from([GOOD[0].subject(), GOOD[1].subject(), "da.1.", "da.2.x", ""])
messages = st.lists(st.tuples(wires, st.one_of(st.none(), subjects)), min_size=1, max_size=40)


def as_messages(given: Sequence[tuple[bytes, str | None]], start: int = 1) -> list[StreamMessage]:
    """In the stream from `start` on, most of them under the subject that the bytes name."""
    return [
        StreamMessage(at, f"da.1.{wire[74:94].hex()}" if subject is None else subject, wire, 1_000 + at)
        for at, (wire, subject) in enumerate(given, start)
    ]


async def made(path: Path) -> tuple[Ledger, Recorder]:
    path.unlink(missing_ok=True)
    ledger = Ledger.at(path)
    async with ledger.engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    await add_project(ledger)
    await add_version(ledger)
    return ledger, Recorder(ledger, CryptoPool(0), 1, PROGRAMS)


async def rows(ledger: Ledger, table: Any) -> list[Any]:
    async with ledger.reading() as session:
        return list(await session.exec(select(table)))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages, st.data())
def test_every_message_ends_in_one_place(tmp_path: Path, given: list[tuple[bytes, str | None]], data: Any) -> None:
    """Also when batches are cut anywhere and delivered twice."""
    stream = as_messages(given)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))

    async def run() -> None:
        ledger, recorder = await made(tmp_path / "hostile.db")
        try:
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                await recorder.turn(stream[max(0, start - 3) : end])
            accepted, letters = await rows(ledger, ReadingRow), await rows(ledger, DeadLetterRow)
            places = sorted(row.position for row in (*accepted, *letters))
            assert places == list(range(1, len(stream) + 1))
            assert all(letter.code in CODES and letter.reason for letter in letters)
            assert len({(row.device, row.sequence) for row in accepted}) == len(accepted)
            said = {(row.device, row.sequence): row.wire[66:] for row in accepted}
            for letter in letters:
                if letter.code in ("W3B-1005", "W3B-1050"):
                    same = said[letter.device, letter.sequence] == letter.wire[66:]
                    assert same == (letter.code == "W3B-1005")
            for task in await rows(ledger, TaskRow):
                inside = [row for row in accepted if task.window_start <= row.position < task.window_end]
                assert len(inside) == task.count
                assert {row.task_id for row in inside} == {task.id}
            async with ledger.reading() as session:
                figures = await stats(session, 1)
            assert (figures.accepted, sum(figures.refused.values())) == (len(accepted), len(letters))
        finally:
            await ledger.close()

    asyncio.run(run())


async def test_dead_letters_are_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_rows, "DEAD_LETTERS_KEPT", 50)
    monkeypatch.setattr(batch_rows, "DROP_AT", 10)
    ledger, recorder = await made(tmp_path / "bounded.db")
    for start in range(1, 401, 40):
        await recorder.turn(as_messages([(bytes([at % 256]), GOOD[0].subject()) for at in range(40)], start))
        assert len(await rows(ledger, DeadLetterRow)) <= 50 + 10
    kept = await rows(ledger, DeadLetterRow)
    assert max(row.position for row in kept) == 400, "the newest are kept"
    async with ledger.reading() as session:
        assert (await stats(session, 1)).refused == {"W3B-1001": 400}
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert cursor.next_position == 401
    await ledger.close()


async def test_gaps_wider_than_the_ledgers_integers_stop_at_the_largest(tmp_path: Path) -> None:
    ledger, recorder = await made(tmp_path / "gaps.db")
    far = [KEYS[device].sign(1, sequence, 1, bytes(4)) for device in (0, 1) for sequence in (0, (1 << 63) - 1)]
    await recorder.turn(as_messages([(each.to_wire(), None) for each in far]))
    await recorder.turn(as_messages([(reading(5).to_wire(), None)], 5))
    async with ledger.reading() as session:
        figures = await stats(session, 1)
    assert (figures.accepted, figures.missing) == (5, (1 << 63) - 1)
    assert [gap.missing for gap in figures.gaps] == [(1 << 63) - 2, (1 << 63) - 3]
    await ledger.close()
