"""Whatever dies, and whenever: nothing that was acknowledged is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import nats
import pytest
from intake_world import CAPACITY, PROGRAMS, add_project, add_version, reading, until
from nats.js import api
from sqlmodel import select

from coordinator.intake.batch_rows import CursorMovedError
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.nats_server import EmbeddedNats
from coordinator.intake.recorder import Recorder
from coordinator.intake.status import note_stopped
from coordinator.intake.stream import JetStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import (
    DeadLetterRow,
    DeviceCursorRow,
    GapRow,
    ProjectRow,
    ReadingRow,
    StreamCursorRow,
    TaskEventRow,
    TaskRow,
)
from verifier.errors import NotFound, Unavailable

ROOT = Path(__file__).parents[2]


async def rows(ledger: Ledger, table: Any) -> list[Any]:
    async with ledger.reading() as session:
        return list(await session.exec(select(table)))


async def everything(ledger: Ledger) -> list[str]:
    """The whole intake as text, for comparing before and after."""
    tables = (ReadingRow, DeadLetterRow, GapRow, DeviceCursorRow, StreamCursorRow, TaskRow, TaskEventRow)
    return [repr(row) for table in tables for row in await rows(ledger, table)]


async def check_exactly_once(ledger: Ledger, sequences: range) -> None:
    """Each sequence is one reading, in exactly one window or in the open one; windows do not overlap."""
    readings = sorted(await rows(ledger, ReadingRow), key=lambda row: row.position)
    assert sorted(row.sequence for row in readings) == list(sequences)
    tasks = sorted(await rows(ledger, TaskRow), key=lambda row: row.window_start)
    for earlier, later in itertools.pairwise(tasks):
        assert earlier.window_end <= later.window_start
    for task in tasks:
        inside = [row for row in readings if task.window_start <= row.position < task.window_end]
        assert len(inside) == task.count
        assert {row.task_id for row in inside} == {task.id}
    (cursor,) = await rows(ledger, StreamCursorRow)
    open_rows = [row for row in readings if row.task_id is None]
    assert len(open_rows) == cursor.open_count
    assert all(row.position >= cursor.window_start for row in open_rows)


async def reached(ledger: Ledger, count: int) -> bool:
    return len(await rows(ledger, ReadingRow)) >= count


async def make_stream(ledger: Ledger, server: EmbeddedNats) -> JetStream:
    await add_project(ledger)
    await add_version(ledger)
    stream = await JetStream.connect(server.url)
    await stream.ensure(1)
    return stream


@pytest.mark.parametrize(("point", "committed"), [("before_ack", range(1, 7)), ("in_transaction", range(1))])
async def test_a_coordinator_killed_around_its_commit(
    ledger: Ledger,
    ledger_url: str,
    server: EmbeddedNats,
    tmp_path: Path,
    make_intake: Any,
    point: str,
    committed: range,
) -> None:
    stream = await make_stream(ledger, server)
    await stream.publish([reading(sequence) for sequence in range(1, 7)])
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("crashing_intake.py")),
        point,
        ledger_url,
        str(tmp_path),
        server.url,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    )
    async with asyncio.timeout(60):
        assert await child.wait() == -signal.SIGKILL
    assert (
        len(await rows(ledger, ReadingRow)) in committed
    )  # of six: messages are taken as they arrive, not in full batches

    intake = make_intake()
    running = asyncio.create_task(intake.run())
    await stream.publish([reading(sequence) for sequence in range(7, 10)])
    await until(lambda: reached(ledger, 9))
    await intake.stop()
    await running
    await check_exactly_once(ledger, range(1, 10))
    assert len(await rows(ledger, TaskRow)) == 9 // CAPACITY
    assert await rows(ledger, DeadLetterRow) == []
    await stream.close()


async def test_a_nats_server_killed_under_load_loses_nothing_that_it_acknowledged(
    ledger: Ledger, server: EmbeddedNats, make_intake: Any
) -> None:
    stream = await make_stream(ledger, server)
    intake = make_intake()
    running = asyncio.create_task(intake.run())
    for start in range(1, 121, 20):
        batch = [reading(sequence) for sequence in range(start, start + 20)]
        if start in (41, 81):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
        while True:
            try:
                await stream.publish(batch)
                break
            except Unavailable:  # not acknowledged: a device sends again
                await asyncio.sleep(0.05)
    await until(lambda: reached(ledger, 120), 60)
    await intake.stop()
    await running
    await check_exactly_once(ledger, range(1, 121))
    assert len(await rows(ledger, TaskRow)) == 120 // CAPACITY
    assert {row.code for row in await rows(ledger, DeadLetterRow)} <= {"W3B-1005"}
    await stream.close()


async def test_a_batch_that_is_delivered_twice_changes_nothing(ledger: Ledger) -> None:
    await add_project(ledger)
    await add_version(ledger)
    recorder = Recorder(ledger, CryptoPool(0), 1, PROGRAMS)
    batch = [
        StreamMessage(position, each.subject(), each.to_wire(), 0)
        for position, each in enumerate((reading(sequence) for sequence in (1, 2, 4, 5, 6)), start=1)
    ]
    await recorder.turn(batch)
    before = await everything(ledger)
    assert (await recorder.turn(batch)).next_position == 6
    assert (await recorder.turn(batch[2:4])).next_position == 6
    assert await everything(ledger) == before
    assert [row.position for row in await rows(ledger, ReadingRow)] == [1, 2, 3, 4, 5]


async def test_of_two_coordinators_one_wins_and_nothing_counts_twice(ledger: Ledger) -> None:
    await add_project(ledger)
    await add_version(ledger)
    pool = CryptoPool(0)
    first, second = Recorder(ledger, pool, 1, PROGRAMS), Recorder(ledger, pool, 1, PROGRAMS)
    await first.turn()
    batch = [
        StreamMessage(sequence, reading(sequence).subject(), reading(sequence).to_wire(), ledger.clock())
        for sequence in range(1, 10)
    ]
    done = await asyncio.gather(first.turn(batch), second.turn(batch), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) in (["CursorMovedError", "Turn"], ["Turn", "Turn"])
    for each in done:
        assert not isinstance(each, BaseException) or isinstance(each, CursorMovedError)
    await check_exactly_once(ledger, range(1, 10))
    assert len(await rows(ledger, TaskRow)) == 2


@pytest.mark.parametrize("published", [0, 2, 9])
async def test_a_stream_made_anew_stops_the_project_with_a_code(
    ledger: Ledger, server: EmbeddedNats, make_intake: Any, published: int
) -> None:
    """Positions that repeat would make windows overlap; that holds also when the new stream is already longer."""
    stream = await make_stream(ledger, server)
    await stream.publish([reading(sequence) for sequence in range(1, 6)])
    intake = make_intake()
    running = asyncio.create_task(intake.run())
    await until(lambda: reached(ledger, 5))
    before = await everything(ledger)

    client = await nats.connect(server.url)
    await client.jetstream().delete_stream("DA_1")
    await stream.ensure(1)
    await stream.publish([reading(100 + sequence) for sequence in range(published)])

    async def stopped() -> bool:
        (cursor,) = await rows(ledger, StreamCursorRow)
        return str(intake.stopped(1)).startswith("W3B-1011") and cursor.stopped_code == "W3B-1011"

    await until(stopped)
    assert "begin at 6" in intake.stopped(1)
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert (cursor.stopped_code, "begin at 6" in cursor.stopped_reason) == ("W3B-1011", True)
    await asyncio.sleep(0.3)  # a reader that went on would have read by now
    async with ledger.transaction() as session:
        await note_stopped(session, 1, "", "")
    assert await everything(ledger) == before

    # The message's advice works: the stream anew from position 6, then pause and resume.
    await client.jetstream().delete_stream("DA_1")
    await stream.ensure(1, 6)
    await stream.publish([reading(6)])
    await switch(ledger, "PAUSED")
    await asyncio.sleep(0.2)
    await switch(ledger, "ACTIVE")
    await until(lambda: reached(ledger, 6))
    assert intake.stopped(1) == ""
    (cursor,) = await rows(ledger, StreamCursorRow)
    assert (cursor.stopped_code, cursor.stopped_reason) == ("", "")
    await intake.stop()
    await running
    await check_exactly_once(ledger, range(1, 7))
    await client.close()
    await stream.close()


async def switch(ledger: Ledger, state: str) -> None:
    async with ledger.transaction() as session:
        project = await session.get(ProjectRow, 1)
        assert project is not None
        project.state = state
        session.add(project)


async def test_a_lost_consumer_is_made_anew_at_the_cursor(
    ledger: Ledger, server: EmbeddedNats, make_intake: Any
) -> None:
    stream = await make_stream(ledger, server)
    await stream.publish([reading(1)])
    intake = make_intake()
    running = asyncio.create_task(intake.run())
    await until(lambda: reached(ledger, 1))
    client = await nats.connect(server.url)
    await client.jetstream().delete_consumer("DA_1", "coordinator")
    await stream.publish([reading(2)])
    await until(lambda: reached(ledger, 2))
    # A consumer that somebody moved ahead of the ledger loses nothing either.
    await intake.stop()
    await running
    await client.jetstream().delete_consumer("DA_1", "coordinator")
    ahead = api.ConsumerConfig(durable_name="coordinator", deliver_policy=api.DeliverPolicy.NEW)
    await stream.publish([reading(3)])
    await client.jetstream().add_consumer("DA_1", ahead)
    intake = make_intake()
    running = asyncio.create_task(intake.run())
    await until(lambda: reached(ledger, 3))
    await intake.stop()
    await running
    await check_exactly_once(ledger, range(1, 4))
    await client.close()
    await stream.close()


async def test_a_stream_hands_out_messages_in_order_whatever_was_left_unacknowledged(
    ledger: Ledger, server: EmbeddedNats
) -> None:
    stream = await make_stream(ledger, server)
    await stream.publish([reading(sequence) for sequence in range(1, 11)])
    consumer = await stream.consume(1, 1)
    taken = await consumer.fetch(4, 2)
    assert [message.position for message in taken] == [1, 2, 3, 4]
    await consumer.close()  # nothing acknowledged: JetStream alone would go on at 5
    consumer = await stream.consume(1, 3)
    handed: list[int] = []
    async with asyncio.timeout(30):
        while len(handed) < 8:  # a fetch hands over what has arrived
            handed += [message.position for message in await consumer.fetch(100, 2)]
    assert handed == list(range(3, 11))
    assert await consumer.fetch(1, 0.1) == []
    await stream.trim(1, 5)
    state = await stream.state(1)
    assert state is not None
    assert (state.first, state.last) == (5, 10)
    assert await stream.message_at(1, 4) is None
    assert await stream.message_at(1, 5) == reading(5).to_wire()
    with pytest.raises(NotFound, match="W3B-1006"):
        await stream.publish([reading(1, project=9)])
    await stream.close()


async def test_a_server_that_is_gone_is_a_coded_error_without_the_password(
    server: EmbeddedNats, ledger: Ledger
) -> None:
    stream = await make_stream(ledger, server)
    await server.stop()
    with pytest.raises(Unavailable, match="W3B-1008") as refused:
        await JetStream.connect(server.url)
    password = server.url.split("@", 1)[0].rsplit(":", 1)[1]
    assert password not in str(refused.value)
    await stream.close()
