"""Ledger ↔ chain: tasks, settlements, assignments and transactions.

The ledger is ahead of the chain or behind it while work is under way. So what looks broken is looked at once more after
a moment, both sides anew, and only what still contradicts itself then is a break.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eth_abi.exceptions import DecodingError
from sqlmodel import col, func, select

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, AttemptState, Confirmation, TaskState
from coordinator.reconcile.report import Break, InvariantReport
from coordinator.settlement.chain import Chain, RpcRefused
from coordinator.settlement.outbox import DONE_STATES, UNSENT_STATES
from verifier import bindings
from verifier.bindings import Deployment, TaskStatus, decode_event, decode_result, encode_call, event_topic

Row = TypeVar("Row")
PAGE = 500
"""Rows of a table that are held in memory at a time."""
AT_ONCE = 8
"""Questions to the chain under way at a time."""
SPAN = 2_000
"""Blocks of one question for events; halved where the server refuses."""
MOST_TRANSACTIONS = 100_000
"""Transactions, the newest ones, whose receipts are looked up."""
_RECORDED = (TaskState.OPEN.value, TaskState.SATISFIED.value, TaskState.SETTLED.value, TaskState.FINAL.value)
_SETTLED = (TaskState.SETTLED.value, TaskState.FINAL.value)
_PROVED = (
    AttemptState.PROVING.value,
    AttemptState.PROVED.value,
    AttemptState.POSTED.value,
    AttemptState.VERIFIED.value,
)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@dataclass(frozen=True)
class ChainSide:
    """Where to look, and as whom."""

    chain: Chain
    deployment: Deployment
    account: str
    """The coordinator's address."""
    moment: float = 1.0
    """Seconds until what looks broken is looked at again."""

    async def call(self, to: str, data: bytes) -> bytes:
        """As of the latest block."""
        return await self.chain.call(self.account, to.lower(), data)


async def check_chain(ledger: Ledger, side: ChainSide, report: InvariantReport, project_id: int | None) -> None:
    """Compare one project, or all of them. Raises Unavailable (W3B-5001) when the chain does not answer."""
    checks = _Checks(ledger, side, report, project_id)
    await checks.tasks()
    await checks.assignments()
    await checks.settlements()
    await checks.transactions()


class _Checks:
    def __init__(self, ledger: Ledger, side: ChainSide, report: InvariantReport, project_id: int | None) -> None:
        self._ledger, self._side, self._report, self._project_id = ledger, side, report, project_id

    async def _pages(self, table: Any, *wanted: Any, most: int = 0) -> AsyncIterator[Sequence[Any]]:
        """Ids of rows, newest first, page by page; each page is one short transaction."""
        last, left = None, most
        while True:
            query = select(table.id).where(*wanted).order_by(col(table.id).desc()).limit(PAGE)
            if last is not None:
                query = query.where(col(table.id) < last)
            async with self._ledger.reading() as session:
                found = list((await session.exec(query)).all())
            if found:
                yield found
                last, left = found[-1], left - len(found)
            if len(found) < PAGE or (most and left <= 0):
                return

    async def _each(self, ids: Sequence[Any], look: Callable[[Any], Awaitable[Break | None]]) -> None:
        """Look at each, and again after a moment at those that seem broken."""
        for attempt in (1, 2):
            found = await _in_turn(ids, look)
            ids = [each for each, broken in zip(ids, found, strict=True) if broken is not None]
            if not ids:
                return
            if attempt == 1:
                await asyncio.sleep(self._side.moment)
        for broken in found:
            if broken is not None:
                self._report.add(broken)

    async def _get(self, table: type[Row], row_id: Any) -> Row | None:
        async with self._ledger.reading() as session:
            return await session.get(table, row_id)

    def _mine(self, column: Any) -> list[Any]:
        return [] if self._project_id is None else [column == self._project_id]

    # --- tasks ---

    async def tasks(self) -> None:
        """Each recorded with the same inputs; each settled one settled at the Router with the same output."""
        wanted = (*self._mine(col(TaskRow.project_id)), col(TaskRow.state).in_(_RECORDED))
        async for ids in self._pages(TaskRow, *wanted):
            self._report.checked["recorded tasks"] += len(ids)
            await self._each(ids, self._task)

    async def _task(self, task_id: str) -> Break | None:
        task = await self._get(TaskRow, task_id)
        if task is None or task.state not in _RECORDED:
            return None
        subject = f"task {task.id}"
        inputs = await self._inputs(task)
        if inputs != task.inputs:
            message = f"the ledger has inputs {task.inputs}, FleetManagement {inputs or 'no such task'}"
            return Break("W3B-5024", subject, message, task.project_id)
        answer = await self._side.call(self._side.deployment.router, bindings.call_task_state(_bytes(task.id)))
        state = bindings.decode_task_state(answer)
        # A result that was FINAL when it was contradicted: the ledger has said so.
        is_told = task.confirmation == Confirmation.CONTRADICTED.value and state.status is TaskStatus.FROZEN
        if task.state not in _SETTLED or is_told:
            return None
        output = "0x" + state.output.hex()
        if state.status is not TaskStatus.SETTLED or output != task.output:
            ours = f"{task.state} with output {task.output}"
            message = f"the ledger has it {ours}, the Router {state.status.name} with {output}"
            return Break("W3B-5025", subject, message, task.project_id)
        if state.settled_block != task.block_number:
            message = f"the ledger has it settled in block {task.block_number}, the Router in {state.settled_block}"
            return Break("W3B-5025", subject, message, task.project_id)
        return None

    async def _inputs(self, task: TaskRow) -> str:
        answer = await self._side.call(
            self._side.deployment.fleet, encode_call("FleetManagement", "taskOf", _bytes(task.id))
        )
        (record,) = decode_result("FleetManagement", "taskOf", answer)
        names = [each["name"] for each in _components("FleetManagement", "taskOf")]
        inputs: bytes = record[names.index("inputs")]
        return "0x" + inputs.hex() if any(inputs) else ""

    # --- assignments ---

    async def assignments(self) -> None:
        """Each attempt's assignment, or a later one of the same prover and kind."""
        wanted: list[Any] = [col(AttemptRow.state).in_(_PROVED)]
        if self._project_id is not None:
            mine = select(TaskRow.id).where(TaskRow.project_id == self._project_id)
            wanted.append(col(AttemptRow.task_id).in_(mine))
        async for ids in self._pages(AttemptRow, *wanted):
            self._report.checked["assignments"] += len(ids)
            await self._each(ids, self._assignment)

    async def _assignment(self, attempt_id: int) -> Break | None:
        attempt = await self._get(AttemptRow, attempt_id)
        if attempt is None or attempt.state not in _PROVED or attempt.assign_tx is None:
            return None
        assign = await self._get(OutboxTxRow, attempt.assign_tx)
        task = await self._get(TaskRow, attempt.task_id)
        if assign is None or assign.state not in DONE_STATES or task is None:
            return None
        call = bindings.call_assignment_of(_bytes(task.id), _bytes(attempt.prover_address), attempt.kind)
        state = bindings.decode_assignment_of(await self._side.call(self._side.deployment.fleet, call))
        deadline = attempt.deadline_at // 1000
        same = state.fence > attempt.fence or (state.fence == attempt.fence and state.deadline == deadline)
        if same:
            return None
        message = (
            f"attempt {attempt.id} has fence {attempt.fence} and deadline {deadline}, "
            f"FleetManagement fence {state.fence} and deadline {state.deadline}"
        )
        return Break("W3B-5027", f"task {task.id}", message, task.project_id)

    # --- settlements ---

    async def settlements(self) -> None:
        """Each of the Router's TaskSettled events is one task's of the ledger, and its only one."""
        head = await self._side.chain.block("latest")
        if head is None:
            return
        seen: dict[str, list[str]] = {}
        async for tx_hash, task_id in self._settled_events(head.number):
            seen.setdefault(task_id, []).append(tx_hash)
        self._report.checked["settlements"] += len(seen)
        await self._each(list(seen.items()), self._settlement)

    async def _settlement(self, event: tuple[str, list[str]]) -> Break | None:
        task_id, hashes = event
        task = await self._get(TaskRow, task_id)
        subject = f"task {task_id}"
        if task is None:
            return Break("W3B-5026", subject, f"the Router settled it in {hashes[0]}; the ledger does not have it")
        if len(set(hashes)) > 1 or len(hashes) > 1:
            message = f"the Router settled it {len(hashes)} times: {', '.join(hashes)}"
            return Break("W3B-5025", subject, message, task.project_id)
        if task.state in _SETTLED and task.transaction_hash != hashes[0]:
            message = f"the ledger has it settled in {task.transaction_hash}, the Router in {hashes[0]}"
            return Break("W3B-5025", subject, message, task.project_id)
        ended = task.state in TERMINAL_TASK_STATES - {TaskState.FINAL, TaskState.FROZEN}
        if ended or (task.state not in (*_SETTLED, TaskState.FROZEN.value) and not await self._under_way(task_id)):
            message = f"the Router settled it in {hashes[0]}; the ledger has it {task.state}"
            return Break("W3B-5026", subject, message, task.project_id)
        return None

    async def _under_way(self, task_id: str) -> bool:
        """Whether the ledger may still hear of the settlement: a proof of the task is on its way."""
        async with self._ledger.reading() as session:
            found = await session.exec(
                select(AttemptRow.id)
                .outerjoin(OutboxTxRow, col(OutboxTxRow.id) == col(AttemptRow.settle_tx))
                .where(AttemptRow.task_id == task_id, col(OutboxTxRow.state).in_((*UNSENT_STATES, *DONE_STATES)))
                .limit(1)
            )
            return found.first() is not None

    async def _settled_events(self, head: int) -> AsyncIterator[tuple[str, str]]:
        topics: list[bytes | None] = [event_topic("Router", "TaskSettled")]
        if self._project_id is not None:
            topics += [None, self._project_id.to_bytes(32, "big")]
        router = self._side.deployment.router.lower()
        first, span = self._side.deployment.block, SPAN
        while first <= head:
            last = min(head, first + span - 1)
            try:
                found = await self._side.chain.logs(router, topics, first, last)
            except RpcRefused:
                if span == 1:
                    raise
                span = max(1, span // 2)
                continue
            for tx_hash, log in found:
                event = decode_event(log.topics, log.data)
                if event is not None:
                    yield tx_hash, "0x" + event.args["taskId"].hex()
            first = last + 1

    # --- transactions ---

    async def transactions(self) -> None:
        """Each mined row's receipt, in its block; no nonce held twice; none above what the chain has counted."""
        if self._project_id is None:
            await self._nonces()
        wanted: list[Any] = [col(OutboxTxRow.state).in_(DONE_STATES), OutboxTxRow.tx_hash != ""]
        if self._project_id is not None:
            wanted.append(col(OutboxTxRow.id).in_(self._of_project()))
        async for ids in self._pages(OutboxTxRow, *wanted, most=MOST_TRANSACTIONS):
            self._report.checked["transactions"] += len(ids)
            await self._each(ids, self._transaction)

    def _of_project(self) -> Any:
        mine = col(TaskRow.project_id) == self._project_id
        return (
            select(TaskRow.record_tx)
            .where(mine, col(TaskRow.record_tx).is_not(None))
            .union(
                select(AttemptRow.settle_tx)
                .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
                .where(mine, col(AttemptRow.settle_tx).is_not(None))
            )
        )

    async def _transaction(self, row_id: int) -> Break | None:
        row = await self._get(OutboxTxRow, row_id)
        if row is None or row.state not in DONE_STATES or not row.tx_hash:
            return None
        receipt = await self._side.chain.receipt(row.tx_hash)
        subject = f"transaction {row.id} ({row.purpose})"
        if receipt is None:
            return Break("W3B-5028", subject, f"it is {row.state}, and the chain has no receipt of {row.tx_hash}")
        if not receipt.succeeded:
            return Break("W3B-5028", subject, f"it is {row.state}, and {row.tx_hash} failed on chain")
        if receipt.block_hash != row.block_hash:
            message = f"the ledger has it in block {row.block_hash}, the chain in {receipt.block_hash}"
            return Break("W3B-5028", subject, message)
        return None

    async def _nonces(self) -> None:
        held = (col(OutboxTxRow.state).in_(DONE_STATES), col(OutboxTxRow.nonce).is_not(None))
        async with self._ledger.reading() as session:
            twice = await session.exec(
                select(OutboxTxRow.sender, OutboxTxRow.nonce, func.count())
                .where(*held)
                .group_by(col(OutboxTxRow.sender), col(OutboxTxRow.nonce))
                .having(func.count() > 1)
            )
            for sender, nonce, count in twice:
                self._report.add(Break("W3B-5028", f"nonce {nonce} of {sender}", f"{count} mined transactions hold it"))
            highest = dict(
                (
                    await session.exec(
                        select(OutboxTxRow.sender, func.max(OutboxTxRow.nonce))
                        .where(*held)
                        .group_by(col(OutboxTxRow.sender))
                    )
                ).all()
            )
        for sender, nonce in highest.items():
            counted = await self._side.chain.nonce(sender)
            if nonce is not None and counted <= nonce:
                message = f"a mined transaction has nonce {nonce}, and the chain has counted {counted}"
                self._report.add(Break("W3B-5028", f"account {sender}", message))


async def _in_turn(ids: Sequence[Any], look: Callable[[Any], Awaitable[Break | None]]) -> list[Break | None]:
    """The answers in order, a few questions at a time."""
    found: list[Break | None] = []
    for at in range(0, len(ids), AT_ONCE):
        found += await asyncio.gather(*(_looked(each, look) for each in ids[at : at + AT_ONCE]))
    return found


async def _looked(item: Any, look: Callable[[Any], Awaitable[Break | None]]) -> Break | None:
    try:
        return await look(item)
    except DecodingError as error:  # no contract there, or another one
        return Break("W3B-5024", f"{item}", f"a contract gave no answer of ours: {error}"[:300])


def _components(contract: str, function: str) -> list[dict[str, Any]]:
    """The members of the struct that a view returns."""
    entry = next(
        each for each in bindings.abi_of(contract) if each.get("name") == function and each["type"] == "function"
    )
    members: list[dict[str, Any]] = entry["outputs"][0]["components"]
    return members
