"""Looking back: replay names every position, a rebuild finds what was tampered with, a dead letter comes back once."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
import pytest
from intake_world import CAPACITY, KEYS, PROGRAMS, add_project, add_version, reading, until
from sqlalchemy import update
from sqlmodel import col, select

from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.rebuild import Rebuild, RebuildReport
from coordinator.intake.replay import Kind, Record, replay
from coordinator.intake.requeue import requeue
from coordinator.intake.service import Intake
from coordinator.intake.stream import DaStream, JetStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow, TaskRow
from verifier.errors import InvalidInput, NotFound
from verifier.reading import Reading


async def records(ledger: Ledger, stream: DaStream | None, start: int = 1, end: int | None = None) -> list[Record]:
    return [record async for record in replay(ledger, stream, 1, start, end)]


async def taken(ledger: Ledger, position: int) -> None:
    async def reached() -> bool:
        async with ledger.reading() as session:
            row = await session.get(StreamCursorRow, 1)
        return row is not None and row.next_position > position

    await until(reached)


async def raw(server: EmbeddedNats, subject: str, data: bytes) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().publish(subject, data)
    await client.close()


async def filled(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> DaStream:
    """Nine readings in two windows and an open one, a duplicate, a late one, rubbish and a liar: positions 1 to 13."""
    await add_project(ledger)
    await add_version(ledger)

    async def made() -> DaStream | None:
        try:
            await intake.end(1)
        except NotFound:
            return None
        return await intake.stream(1)

    stream: DaStream = await until(made)
    await intake.publish(1, [reading(1), reading(2), reading(1, device=1), reading(5)])  # 1-4, a window
    await raw(server, reading(9).subject(), b"rubbish")  # 5
    await raw(server, reading(2).subject(), reading(2).to_wire())  # 6, a duplicate
    await intake.publish(1, [reading(3), reading(2, device=1), reading(6), reading(7)])  # 7-10, a window, 3 is late
    await intake.publish(1, [reading(6, value=8)])  # 11, says something else than position 9
    await intake.publish(1, [reading(1, device=2)])  # 12, unknown device
    await intake.publish(1, [reading(8)])  # 13
    await taken(ledger, 13)
    return stream


async def test_replay_names_every_position(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    stream = await filled(ledger, intake, server)
    found = await records(ledger, stream)
    assert [record.position for record in found] == list(range(1, 14))
    assert {record.position: record.code for record in found if record.code} == {
        5: "W3B-1001",
        6: "W3B-1005",
        11: "W3B-1050",
        12: "W3B-1004",
    }
    assert all(record.from_stream and not record.difference for record in found)
    assert found[0].wire == reading(1).to_wire()
    assert [bool(record.task_id) for record in found if record.kind is Kind.READING] == [True] * 8 + [False]
    assert found[4:] == await records(ledger, stream, 5)
    assert found[4:7] == await records(ledger, stream, 5, 8)
    assert await records(ledger, stream, 99) == []


async def test_replay_goes_on_from_the_ledger_where_the_stream_let_go(
    ledger: Ledger, intake: Intake, server: EmbeddedNats
) -> None:
    stream = await filled(ledger, intake, server)
    whole = await records(ledger, stream)
    await stream.trim(1, 8)
    async with ledger.transaction() as session:
        row = await session.get(DeadLetterRow, (1, 5))
        await session.delete(row)
    found = await records(ledger, stream)
    assert [record.from_stream for record in found] == [False] * 7 + [True] * 6
    assert (found[4].kind, found[4].position, found[4].end) == (Kind.HOLE, 5, 6)
    assert [record.wire for record in found if record.position != 5] == [
        record.wire for record in whole if record.position != 5
    ]
    assert [each.wire for each in await records(ledger, None)] == [each.wire for each in found]


async def test_replay_of_nothing_and_of_what_was_not_taken_yet(
    ledger: Ledger, intake: Intake, server: EmbeddedNats
) -> None:
    with pytest.raises(NotFound, match="W3B-1006"):
        await records(ledger, None)
    await filled(ledger, intake, server)
    await intake.stop()
    await raw(server, reading(9).subject(), reading(9).to_wire())
    stream = await JetStream.connect(server.url)
    last = (await records(ledger, stream, 13))[-1]
    await stream.close()
    assert (last.position, last.kind, last.wire) == (14, Kind.PENDING, reading(9).to_wire())


async def rebuilt(ledger: Ledger, stream: DaStream | None) -> RebuildReport:
    pool = CryptoPool(0)
    try:
        return await Rebuild(ledger, stream, 1, pool, PROGRAMS).run()
    finally:
        pool.close()


async def test_a_rebuild_finds_what_the_ledger_holds(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    stream = await filled(ledger, intake, server)
    await add_version(ledger, 2, devices=(0, 2))

    async def entered() -> bool:
        async with ledger.reading() as session:
            return len((await session.exec(select(TaskRow.id))).all()) == 3

    await until(entered)
    await intake.publish(1, [reading(sequence, device=2) for sequence in range(2, 2 + CAPACITY)])
    await taken(ledger, 17)
    found = await rebuilt(ledger, stream)
    assert found.differences == []
    assert (found.positions, found.readings, found.dead_letters, found.windows) == (17, 13, 4, 4)
    assert (found.from_stream, found.unknown) == (17, 0)
    await stream.trim(1, 100)
    again = await rebuilt(ledger, stream)
    assert (again.different, again.from_stream, again.windows) == (0, 0, 4)


@pytest.mark.parametrize(
    ("table", "where", "values", "says"),
    [
        (ReadingRow, {"position": 3}, {"wire": reading(1, device=1, value=9).to_wire()}, "another message"),
        (DeadLetterRow, {"position": 6}, {"code": "W3B-1003"}, "the ledger says W3B-1003"),
        (ReadingRow, {"position": 8}, {"task_id": None}, "gives it to none"),
        (TaskRow, {"window_start": 1}, {"readings_root": "0x00"}, "readings_root"),
        (TaskRow, {"window_start": 5}, {"late": 0}, "late is 0"),
        (TaskRow, {"window_start": 1}, {"window_end": 4}, "count"),
    ],
)
async def test_a_rebuild_names_what_was_tampered_with(
    ledger: Ledger,
    intake: Intake,
    server: EmbeddedNats,
    table: Any,
    where: dict[str, int],
    values: dict[str, Any],
    says: str,
) -> None:
    stream = await filled(ledger, intake, server)
    async with ledger.transaction() as session:
        conditions = [col(getattr(table, name)) == value for name, value in where.items()]
        assert (await session.exec(update(table).where(*conditions).values(**values))).rowcount == 1
    found = await rebuilt(ledger, stream)
    assert found.different >= 1
    assert any(says in each for each in found.differences), found.differences


async def test_a_dead_letter_comes_back_once(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    stream = await filled(ledger, intake, server)
    await add_version(ledger, 2, devices=(0, 1, 2))
    await asyncio.sleep(0.3)  # the intake enters the version
    (done,) = await requeue(ledger, stream, 1, code="W3B-1004")
    assert (done.position, done.code) == (12, "")
    await taken(ledger, done.new_position)
    async with ledger.reading() as session:
        row = await session.get(ReadingRow, (1, done.new_position))
        letter = await session.get(DeadLetterRow, (1, 12))
    assert row is not None
    assert Reading.from_wire(row.wire).device == KEYS[2].device
    assert letter is not None
    assert letter.requeued_at is not None
    assert await requeue(ledger, stream, 1, code="W3B-1004") == []
    again = await requeue(ledger, stream, 1, [12, 5, 77])
    assert [(each.position, each.code) for each in again] == [(77, "W3B-1054"), (5, "W3B-1001"), (12, "W3B-1054")]
    assert all(not each.new_position for each in again)


async def test_a_requeued_duplicate_stays_a_duplicate(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    stream = await filled(ledger, intake, server)
    (done,) = await requeue(ledger, stream, 1, [6])
    await taken(ledger, done.new_position)
    async with ledger.reading() as session:
        letter = await session.get(DeadLetterRow, (1, done.new_position))
        readings = (await session.exec(select(ReadingRow.position))).all()
    assert letter is not None
    assert letter.code == "W3B-1005"
    assert len(readings) == 9


async def test_what_a_requeue_does_not_take(ledger: Ledger, intake: Intake, server: EmbeddedNats) -> None:
    stream = await filled(ledger, intake, server)
    for wrong in ({}, {"positions": [1], "code": "W3B-1004"}, {"positions": list(range(1001))}):
        with pytest.raises(InvalidInput, match="W3B-7008"):
            await requeue(ledger, stream, 1, **wrong)  # type: ignore[arg-type]
    async with ledger.transaction() as session:
        await session.exec(update(DeadLetterRow).where(col(DeadLetterRow.position) == 5).values(wire=bytes(8192)))
    (cut,) = await requeue(ledger, stream, 1, [5])
    assert (cut.code, "in part" in cut.reason) == ("W3B-1054", True)
