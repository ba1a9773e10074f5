"""What must hold: an installation that fits together has no break, and each kind of corruption is found and named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookDeliveryRow, WebhookMessageRow
from coordinator.ledger.tables import AttemptRow, DeadLetterRow, ReadingRow, TaskRow
from coordinator.reconcile.report import MOST_BREAKS, Break, InvariantReport
from tests.reconcile.reconcile_world import HOLE, MemoryStream, Whole
from verifier.error_codes import CODES
from verifier.errors import NotFound, Unavailable


@pytest.fixture
async def whole(ledger_url: str) -> AsyncIterator[Whole]:
    made = await Whole.build(ledger_url)
    yield made
    await made.ledger.close()


async def test_what_fits_together_has_no_break(whole: Whole) -> None:
    report = await whole.report()
    assert (report.breaks, report.left_out, report.whole) == ([], {}, True)
    checked = {name: report.checked[name] for name in ("positions", "holes", "readings", "tasks", "settlements")}
    assert checked == {"positions": 64, "holes": 1, "readings": 12, "tasks": 3, "settlements": 3}
    assert report.checked["recorded tasks"] == report.checked["assignments"] == report.checked["webhook messages"] == 3
    assert report.checked["transactions"] >= 6
    assert (await whole.report(1)).whole


async def test_work_under_way_is_no_break(whole: Whole) -> None:
    """Blocks taken back, rows on their way again: ledger and chain differ, and nothing is wrong."""
    whole.run.chain.reorg(3)
    await whole.run.step()
    assert (await whole.report()).whole


async def test_an_unknown_project_is_refused(whole: Whole) -> None:
    with pytest.raises(NotFound, match="W3B-2002"):
        await whole.report(77)


# --- each kind of corruption ---

Corrupt = Callable[[Whole, AsyncSession, TaskRow], Awaitable[object]]


def rows(change: Callable[[TaskRow], Any]) -> Corrupt:
    """One statement on the ledger."""

    async def corrupt(_: Whole, session: AsyncSession, task: TaskRow) -> object:
        return await session.exec(change(task))

    return corrupt


def outside(change: Callable[[Whole, TaskRow], object]) -> Corrupt:
    """A change of the stream or of the chain."""

    async def corrupt(whole: Whole, _: AsyncSession, task: TaskRow) -> object:
        return change(whole, task)

    return corrupt


def key(task: TaskRow) -> bytes:
    return bytes.fromhex(task.id[2:])


def _settled_twice(whole: Whole, task: TaskRow) -> None:
    receipts = whole.run.chain.state.receipts
    receipts["0xtwin"] = receipts[task.transaction_hash]


async def _forgotten(_: Whole, session: AsyncSession, task: TaskRow) -> None:
    await session.exec(delete(ReadingRow).where(col(ReadingRow.task_id) == task.id))
    await session.exec(delete(AttemptRow).where(col(AttemptRow.task_id) == task.id))
    await session.exec(delete(TaskRow).where(col(TaskRow.id) == task.id))


async def _accepted_twice(_: Whole, session: AsyncSession, task: TaskRow) -> None:
    row = (await session.exec(select(AttemptRow).where(AttemptRow.task_id == task.id))).one()
    again = {name: value for name, value in row.model_dump().items() if name not in ("id", "fence")}
    session.add(AttemptRow(**again, fence=99))


BREAKS: dict[str, tuple[str, str, Corrupt]] = {
    "a message that was passed over": (
        "W3B-5020",
        "position 4",
        rows(lambda _: delete(DeadLetterRow).where(col(DeadLetterRow.position) == 4)),
    ),
    "a position that is a reading and a dead letter": (
        "W3B-5021",
        "position 4",
        rows(
            lambda task: text(
                "insert into reading"
                " (project_id, position, version, device, sequence, timestamp, wire, received_at, task_id)"
                " select 1, 4, 1, '0x02', 4, 1, wire, 1, :task from dead_letter where position = 4"
            ).bindparams(task=task.id)
        ),
    ),
    "a reading of a closed window in no task": (
        "W3B-5022",
        "position 1",
        rows(lambda _: update(ReadingRow).where(col(ReadingRow.position) == 1).values(task_id=None)),
    ),
    "a reading in another window's task": (
        "W3B-5022",
        "position 21",
        rows(lambda task: update(ReadingRow).where(col(ReadingRow.position) == 21).values(task_id=task.id)),
    ),
    "a reading of the open window in a task": (
        "W3B-5022",
        "position 61",
        rows(lambda task: update(ReadingRow).where(col(ReadingRow.position) == 61).values(task_id=task.id)),
    ),
    "two windows that overlap": (
        "W3B-5022",
        "task",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(window_end=25)),
    ),
    "a task that counts other readings": (
        "W3B-5022",
        "counts 4 readings and has 3",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(count=4)),
    ),
    "another message in the stream": (
        "W3B-5023",
        "position 1",
        outside(lambda whole, _: whole.stream.messages.update({1: b"another"})),
    ),
    "a stream that ends before what was read": (
        "W3B-5023",
        "ends at position 9",
        outside(lambda whole, _: setattr(whole.stream, "last", 9)),
    ),
    "a task that the chain has not recorded": (
        "W3B-5024",
        "no such task",
        outside(lambda whole, task: whole.run.chain.state.tasks.pop(key(task))),
    ),
    "a task recorded with other inputs": (
        "W3B-5024",
        "FleetManagement 0x07",
        outside(lambda whole, task: whole.run.chain.state.tasks.update({key(task): b"\x07" * 32})),
    ),
    "a settlement that the chain does not have": (
        "W3B-5025",
        "the Router NONE",
        outside(lambda whole, task: whole.run.chain.state.accepted.pop(key(task))),
    ),
    "another output than the settled one": (
        "W3B-5025",
        "with output 0x99",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(output="0x99")),
    ),
    "another transaction than the one that settled": (
        "W3B-5025",
        "settled in 0x99",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(transaction_hash="0x99")),
    ),
    "a task that was settled twice": ("W3B-5025", "2 times", outside(_settled_twice)),
    "a final task on nobody's word": (
        "W3B-5025",
        "on nobody's word",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(finality_source="")),
    ),
    "a settlement that the ledger does not know": ("W3B-5026", "does not have it", _forgotten),
    "a settlement of a task that ended otherwise": (
        "W3B-5026",
        "the ledger has it FAILED",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(state="FAILED")),
    ),
    "an assignment that the chain does not have": (
        "W3B-5027",
        "FleetManagement fence 0",
        outside(lambda whole, _: whole.run.chain.state.assignments.clear()),
    ),
    "a transaction without a receipt": (
        "W3B-5028",
        "no receipt",
        outside(lambda whole, task: whole.run.chain.state.receipts.pop(task.transaction_hash)),
    ),
    "a transaction in another block": (
        "W3B-5028",
        "in block 0x99",
        rows(lambda _: update(OutboxTxRow).where(col(OutboxTxRow.purpose) == "settle").values(block_hash="0x99")),
    ),
    "a nonce that two transactions hold": (
        "W3B-5028",
        "mined transactions hold it",
        rows(lambda _: update(OutboxTxRow).where(col(OutboxTxRow.purpose) == "settle").values(nonce=0)),
    ),
    "a nonce that the chain has not counted": (
        "W3B-5028",
        "has nonce 999",
        rows(lambda _: update(OutboxTxRow).where(col(OutboxTxRow.purpose) == "register_prover").values(nonce=999)),
    ),
    "an accepted proof whose transaction was not mined": (
        "W3B-5028",
        "is QUEUED",
        rows(lambda _: update(OutboxTxRow).where(col(OutboxTxRow.purpose) == "settle").values(state="QUEUED")),
    ),
    "two accepted proofs of one kind": ("W3B-5029", "2 proofs of kind test.kind", _accepted_twice),
    "too few kinds of proof": (
        "W3B-5029",
        "needed 2 kinds",
        rows(lambda task: update(TaskRow).where(col(TaskRow.id) == task.id).values(threshold=2)),
    ),
    "a message delivered without a 2xx": (
        "W3B-5030",
        "without a 2xx",
        rows(lambda _: update(WebhookDeliveryRow).values(status_code=301)),
    ),
    "a message that was given up": (
        "W3B-5030",
        "given up",
        rows(lambda _: update(WebhookMessageRow).values(state="DEAD")),
    ),
}


@pytest.fixture
async def sqlite_whole(databases: Any, tmp_path: Path) -> AsyncIterator[Whole]:
    """The queries are the same on both databases; what each finds is tried on one."""
    made = await Whole.build(databases.sqlite(tmp_path / "ledger.db"))
    yield made
    await made.ledger.close()


@pytest.mark.parametrize("what", BREAKS)
async def test_each_corruption_is_found(sqlite_whole: Whole, what: str) -> None:
    whole, (code, words, corrupt) = sqlite_whole, BREAKS[what]
    task = (await whole.run.tasks())[0]
    async with whole.ledger.transaction() as session:
        await corrupt(whole, session, task)
        if "given up" in words:
            await session.exec(update(WebhookDeliveryRow).values(status_code=500))
    report = await whole.report()
    assert not report.whole
    found = [f"{each.subject}: {each.message}" for each in report.breaks if each.code == code]
    assert any(words in each for each in found), (what, report.breaks)
    assert all(each.next_step == CODES[each.code].next_step for each in report.breaks)


async def test_every_code_of_a_break_is_tried_here() -> None:
    assert {code for code, _, _ in BREAKS.values()} == {f"W3B-{number}" for number in range(5020, 5031)}


async def test_both_databases_find_the_same(whole: Whole) -> None:
    async with whole.ledger.transaction() as session:
        await session.exec(update(ReadingRow).where(col(ReadingRow.position) == 1).values(task_id=None))
        await session.exec(update(TaskRow).values(threshold=2))
        await session.exec(update(WebhookDeliveryRow).values(status_code=301))
        await session.exec(delete(DeadLetterRow).where(col(DeadLetterRow.position) == 4))
    assert (await whole.report()).counts() == {"W3B-5022": 2, "W3B-5029": 3, "W3B-5030": 3, "W3B-5020": 1}


# --- what does not answer ---


async def test_what_does_not_answer_is_said_to_be_left_out(sqlite_whole: Whole) -> None:
    whole = sqlite_whole
    whole.run.chain.silences = ["before"] * 3

    async def gone(_project_id: int) -> MemoryStream:
        raise Unavailable("W3B-1008", "no NATS")

    reconciler = whole.reconciler()
    reconciler._stream_of = gone
    report = await reconciler.run()
    assert set(report.left_out) == {"stream of project 1", "chain"}
    assert not report.whole, "nothing was found, but not everything was compared"


async def test_a_stream_that_lost_its_beginning_cannot_vouch_for_a_hole(sqlite_whole: Whole) -> None:
    whole = sqlite_whole
    whole.stream.first = HOLE + 1
    whole.stream.messages = {at: wire for at, wire in whole.stream.messages.items() if at > HOLE}
    report = await whole.report()
    assert [(each.code, each.subject) for each in report.breaks] == [("W3B-5020", f"project 1 position {HOLE}")]


async def test_the_stages_are_told_and_the_report_comes_last(sqlite_whole: Whole) -> None:
    steps = [each async for each in sqlite_whole.reconciler().steps()]
    assert [each.stage for each in steps] == ["ledger", "stream of project 1 (1 of 1)", "chain", "done"]
    assert [each.report is not None for each in steps] == [False, False, False, True]


def test_a_report_holds_a_bounded_number_of_breaks() -> None:
    report = InvariantReport(1)
    for number in range(MOST_BREAKS + 5):
        report.add(Break("W3B-5020", f"position {number}", "it has no row"))
    assert (report.found, len(report.breaks)) == (MOST_BREAKS + 5, MOST_BREAKS)
    shown = report.as_dict()
    assert (shown["found"], shown["whole"], len(shown["breaks"])) == (MOST_BREAKS + 5, False, MOST_BREAKS)
