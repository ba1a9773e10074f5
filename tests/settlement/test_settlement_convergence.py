"""What must hold: whatever order blocks come, go and come again in, whatever the mempool loses, whatever the RPC does not
answer and whenever the sender is restarted, every task becomes FINAL once and is settled once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from tests.databases import Databases
from tests.settlement.memory_chain import Sent
from tests.settlement.memory_run import IMPATIENT, LIMITS, Run

ROUNDS = 400
_numbers = itertools.count()
Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("mine"), st.integers(0, 3), st.integers(0, 7)),
        st.tuples(st.just("reorg"), st.integers(1, 6), st.integers(0, 7)),
        st.tuples(st.just("drop"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("silent"), st.integers(0, 12), st.integers(0, 1)),
        st.tuples(st.just("restart"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("later"), st.integers(1, 12), st.just(0)),
        st.tuples(st.just("window"), st.just(0), st.just(0)),
    ),
    max_size=20,
)


def _some(mask: int) -> Callable[[Sent], bool]:
    """Every transaction whose hash falls into the mask: an arbitrary but repeatable choice."""
    return lambda sent: bool(mask) and int(sent.hash[-1], 16) % 8 < mask


async def _act(run: Run, action: Action) -> None:
    what, first, second = action
    if what == "window":
        await run.close_window()
    elif what == "mine":
        run.chain.mine(most=first or 100, skip=_some(second))
    elif what == "reorg":
        run.chain.reorg(first, lost=_some(second), blocks=second % 2)
    elif what == "drop":
        run.chain.mempool = {each.hash: each for each in run.chain.mempool.values() if not _some(first + 1)(each)}
    elif what == "silent":
        run.chain.silences = ["ok"] * first + ["after" if second else "before"]
    elif what == "restart":
        run.restart(IMPATIENT if first else LIMITS)
    else:
        run.time[0] += first * 60_000


async def _converges(url: str, actions: list[Action]) -> None:
    run = await Run.begin(url, tasks=2)
    try:
        for action in actions:
            await _act(run, action)
            await run.step()
        run.chain.silences = []
        for _ in range(ROUNDS):
            await run.step()
            run.chain.mine()
            if all(task.state == "FINAL" for task in await run.tasks()):
                break
        await _require_settled_once(run)
    finally:
        await run.ledger.close()


async def _require_settled_once(run: Run) -> None:
    tasks = await run.tasks()
    async with run.ledger.reading() as session:
        rows = (await session.exec(select(OutboxTxRow).order_by(col(OutboxTxRow.id)))).all()
        steps = (await session.exec(select(TxEventRow).order_by(col(TxEventRow.id)))).all()
    shown = [f"{row.id} {row.purpose} {row.state} {row.nonce} {row.reason}" for row in rows]
    assert [task.state for task in tasks] == ["FINAL"] * len(tasks), (run.settlement.last_error, shown)
    assert run.told == {f"{task.id} FINAL": 1 for task in tasks}
    for task in tasks:
        receipt = run.chain.state.receipts[task.transaction_hash]
        assert (receipt.succeeded, receipt.block_hash) == (True, task.block_hash)
        assert receipt.block_number == run.chain.state.accepted[bytes.fromhex(task.id[2:])][3]
        assert receipt.block_number <= run.chain.finalized
    for row in rows:
        ladder = [step.target for step in steps if step.tx_id == row.id]
        assert ladder[0] == "QUEUED"
        assert ladder.count("REORGED") == row.reorgs
        assert ladder.count("FINAL") == (row.state == "FINAL")
        if row.state == "FINAL":
            assert ladder[-2:] == ["SAFE", "FINAL"]


WHOLE_PATH = [("mine", 0, 0)] * 8
"""Enough to register, record, assign and settle."""
GROWING = [("mine", 0, 0), ("window", 0, 0)] * 5
"""A window closes whenever an assignment is due: were both in one batch, a late reorg would lose the window."""
LAST_WINDOW = [("mine", 0, 0), ("mine", 0, 0), ("window", 0, 0), ("mine", 0, 0)]
"""A window that closes when no assignment is due."""


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(actions=[*WHOLE_PATH, ("reorg", 6, 0), ("mine", 1, 0)])
@example(actions=[*WHOLE_PATH, ("reorg", 6, 7), ("later", 12, 0), ("restart", 0, 0)])
@example(actions=[*WHOLE_PATH, ("reorg", 6, 3), ("reorg", 6, 5), ("restart", 1, 0), ("reorg", 2, 0)])
@example(actions=[*GROWING, *LAST_WINDOW, ("reorg", 6, 0), ("later", 12, 0), ("mine", 0, 0)])
@example(actions=[("mine", 1, 0)] * 4 + [("later", 11, 0), ("reorg", 4, 4), ("drop", 7, 0)])
@given(actions=ACTIONS)
def test_every_task_is_final_once_and_settled_once(databases: Databases, tmp_path: Path, actions: list[Action]) -> None:
    asyncio.run(_converges(databases.sqlite(tmp_path / f"ledger{next(_numbers)}.db"), actions))


def test_it_converges_on_postgresql_too(postgresql_url: str) -> None:
    actions = [*WHOLE_PATH, ("reorg", 6, 4), ("silent", 3, 1), ("restart", 1, 0), ("later", 12, 0), ("mine", 2, 3)]
    asyncio.run(_converges(postgresql_url, actions))
