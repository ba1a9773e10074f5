"""The ledger changes state only along its tables, only once, and keeps what it committed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel, select

from coordinator.ledger.bulk import TASKS
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow
from coordinator.ledger.outboxes import enqueue_tx, enqueue_webhooks
from coordinator.ledger.store import Ledger, get_task, move_attempt, move_task, record_late_report
from coordinator.ledger.tables import AttemptRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import (
    ATTEMPT_TRANSITIONS,
    TASK_TRANSITIONS,
    TERMINAL_TASK_STATES,
    AttemptState,
    TaskState,
    mermaid,
)
from verifier.errors import Conflict, InvalidInput, NotFound

OF_PROJECT = sqlalchemy.select(TASKS.c.id).where(TASKS.c.project_id == sqlalchemy.bindparam("at"))


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """An empty migrated ledger."""
    store = Ledger(ledger_url)
    yield store
    await store.close()


def task_row(state: TaskState = TaskState.OPEN, identity: str = "0x01") -> TaskRow:
    """A task of project 1 over the window that its id names."""
    start = int(identity, 16)
    return TaskRow(
        id=identity,
        project_id=1,
        version=1,
        window_start=start,
        window_end=start + 1,
        count=1,
        readings_root="0x",
        device_set_root="0x",
        inputs="0x",
        state=state,
        kinds=["zkp.groth16"],
        deadline_at=10**15,
        first_reading_at=1,
        created_at=1,
        updated_at=1,
    )


def attempt_row(state: AttemptState, identity: int = 1, fence: int = 1) -> AttemptRow:
    """An attempt at task 0x01."""
    return AttemptRow(
        id=identity,
        task_id="0x01",
        kind="zkp.groth16",
        program_id="0x",
        prover_id="p",
        prover_address="0x",
        fence=fence,
        state=state,
        lease_expires_at=2,
        heartbeat_at=1,
        deadline_at=2,
        created_at=1,
        updated_at=1,
    )


async def test_task_moves_along_its_table_only(ledger: Ledger) -> None:
    pairs = {hex(n): pair for n, pair in enumerate(itertools.product(TaskState, TaskState), start=1)}
    async with ledger.transaction() as session:
        session.add_all([task_row(source, identity) for identity, (source, _) in pairs.items()])
    for identity, (source, target) in pairs.items():
        allowed = target in TASK_TRANSITIONS[source]
        with contextlib.nullcontext() if allowed else pytest.raises(Conflict, match="W3B-3001"):
            async with ledger.transaction() as session:
                await move_task(session, 5, identity, target)
        async with ledger.reading() as session:
            assert (await get_task(session, identity)).state == (target if allowed else source)
            events = await session.exec(select(TaskEventRow).where(TaskEventRow.task_id == identity))
            assert len(events.all()) == int(allowed)


async def test_attempt_moves_along_its_table_and_under_its_fence_only(ledger: Ledger) -> None:
    pairs = dict(enumerate(itertools.product(AttemptState, AttemptState), start=1))
    async with ledger.transaction() as session:
        session.add(task_row())
        await session.flush()
        session.add_all([attempt_row(source, number, 10 * number) for number, (source, _) in pairs.items()])
    for number, (source, target) in pairs.items():
        for fence in (10 * number - 1, 10 * number + 1):
            with pytest.raises(Conflict, match="W3B-3002"):
                async with ledger.transaction() as session:
                    await move_attempt(session, 5, number, fence, target)
        allowed = target in ATTEMPT_TRANSITIONS[source]
        with contextlib.nullcontext() if allowed else pytest.raises(Conflict, match="W3B-3001"):
            async with ledger.transaction() as session:
                await move_attempt(session, 5, number, 10 * number, target)
        async with ledger.reading() as session:
            attempt = await session.get(AttemptRow, number)
            assert attempt is not None
            assert attempt.state == (target if allowed else source)


async def test_two_writers_cannot_both_win(ledger: Ledger) -> None:
    async with ledger.transaction() as session:
        session.add(task_row())

    async def cancel() -> bool:
        try:
            async with ledger.transaction() as session:
                await move_task(session, 5, "0x01", TaskState.CANCELLED)
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*[cancel() for _ in range(8)])) == [False] * 7 + [True]
    async with ledger.reading() as session:
        assert len((await session.exec(select(TaskEventRow))).all()) == 1


async def test_a_transaction_that_raises_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        async with ledger.transaction() as session:
            session.add(task_row())
            await get_task(session, "0x02")
    async with ledger.reading() as session:
        assert (await session.exec(select(TaskRow))).all() == []


async def test_a_number_that_no_ledger_can_hold_is_refused(ledger: Ledger) -> None:
    """A caller may ask for project 2^63: that is the caller's mistake, not an incident."""
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(InvalidInput, match="W3B-3025"):
            async with ledger.reading() as session:
                await session.exec(select(TaskRow).where(TaskRow.project_id == number))
        with pytest.raises(InvalidInput, match="W3B-3025"):
            await ledger.read(lambda connection, at=number: connection.execute(OF_PROJECT, {"at": at}).all())  # type: ignore[misc]


async def test_a_late_report_is_recorded_and_changes_nothing(ledger: Ledger) -> None:
    async with ledger.transaction() as session:
        session.add(task_row())
        await session.flush()
        session.add(attempt_row(AttemptState.LOST))
    async with ledger.transaction() as session:
        attempt = await session.get(AttemptRow, 1)
        assert attempt is not None
        await record_late_report(session, 5, attempt, "proof with fence 1")
    async with ledger.reading() as session:
        (event,) = (await session.exec(select(TaskEventRow))).all()
        assert (event.source, event.target, event.code) == ("LOST", "LOST", "W3B-3002")


async def test_outboxes_take_each_thing_once(ledger: Ledger) -> None:
    async with ledger.transaction() as session:
        session.add(WebhookEndpointRow(id="ep_1", project_id=1, url="https://x", secret="s", events=[], created_at=1))
        session.add(
            WebhookEndpointRow(id="ep_2", project_id=1, url="https://y", secret="s", events=["other"], created_at=1)
        )
    made: list[list[str]] = []
    ids = []
    for _ in range(2):
        async with ledger.transaction() as session:
            ids.append(await enqueue_tx(session, 1, dedupe_key="settle:1", purpose="settle", to="0x", data=b"", ref={}))
            made.append(
                await enqueue_webhooks(
                    session, 1, project_id=1, event_type="w3bstream.task.final", subject="0x01", body=str.encode
                )
            )
    assert ids[0] == ids[1]
    assert [len(messages) for messages in made] == [1, 0]
    async with ledger.reading() as session:
        assert len((await session.exec(select(OutboxTxRow))).all()) == 1


async def test_changed_wakes_on_commit_and_not_before(ledger: Ledger) -> None:
    if ledger.shared:  # the listener has just come up: what was committed before may be news
        assert await ledger.changed(ledger.commits, 60)
    seen = ledger.commits
    assert not await ledger.changed(seen, 0.01)
    waiting = asyncio.create_task(ledger.changed(seen, 5))
    await asyncio.sleep(0)
    async with ledger.transaction() as session:
        session.add(task_row())
    assert await waiting
    assert await ledger.changed(seen, 5)


async def test_migrations_make_exactly_the_tables(ledger: Ledger) -> None:
    async with ledger.engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True}), SQLModel.metadata
            )
        )
    assert differences == []


async def test_sqlite_is_durable(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "other.db")
    async with ledger.engine.connect() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
        assert (await connection.exec_driver_sql("PRAGMA synchronous")).scalar() == 2
    await ledger.close()


WRITER = """
import asyncio, sys
from coordinator.ledger.outboxes import enqueue_tx
from coordinator.ledger.store import Ledger
async def main(path):
    ledger = Ledger(path)
    for number in range(100000):
        async with ledger.transaction() as session:
            await enqueue_tx(session, 1, dedupe_key=str(number), purpose="settle", to="0x", data=b"", ref={})
        print(number, flush=True)
asyncio.run(main(sys.argv[1]))
"""


async def test_what_was_committed_survives_sigkill(ledger: Ledger, ledger_url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, ledger_url], stdout=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    for _ in range(20):
        committed = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    committed = max([committed, *[int(line) for line in process.stdout.read().splitlines()]])
    process.stdout.close()
    async with ledger.reading() as session:
        keys = {int(row.dedupe_key) for row in (await session.exec(select(OutboxTxRow))).all()}
    assert set(range(committed + 1)) <= keys


def test_terminal_states_have_no_way_out_and_every_state_is_drawn() -> None:
    assert {
        TaskState.FINAL,
        TaskState.FAILED,
        TaskState.EXPIRED,
        TaskState.CANCELLED,
        TaskState.FROZEN,
    } == TERMINAL_TASK_STATES
    page = mermaid()
    assert all(state.value in page for state in [*TaskState, *AttemptState])
