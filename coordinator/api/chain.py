"""ChainService: transactions on the finality ladder, the retry of a dApp's call, and the comparison of ledger, chain and
streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import Caller, current_caller
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.api.surroundings import Installation
from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger, get_task
from coordinator.ledger.tables import AttemptRow, TaskRow
from coordinator.reconcile.reconciler import Reconciler
from coordinator.reconcile.report import InvariantReport
from coordinator.settlement.dapp_retry import enqueue_dapp_retry
from verifier.errors import InvalidInput, NotFound, Unavailable
from w3bstream.v1 import chain_pb2, chain_pb2_grpc

STATES = ("QUEUED", "SENT", "MINED", "SAFE", "FINAL", "REFUSED")
"""The states of a transaction."""
_ABOUT_PROJECTS = ("create_project", "publish_version", "pause", "resume")
_MOST = (1 << 63) - 1
"""What the ledger's integers hold."""


class ChainService(chain_pb2_grpc.ChainServiceServicer):
    """Serves transactions from the ledger.

    Parameters: `reconciler` compares this installation; None where there is nothing to compare with.
    """

    def __init__(self, ledger: Ledger, installation: Installation, reconciler: Reconciler | None) -> None:
        self._ledger = ledger
        self._installation = installation
        self._reconciler = reconciler

    async def ListTransactions(
        self, request: chain_pb2.ListTransactionsRequest, context: object
    ) -> chain_pb2.ListTransactionsResponse:
        """A page of transactions, newest first."""
        caller = current_caller()
        project_id = _project(caller, request.project_id)
        if unknown := sorted(set(request.states) - set(STATES)):
            raise InvalidInput("W3B-7008", f"states {unknown} are unknown; there are {list(STATES)}", field="states")
        size, states = page_size(request.page_size), sorted(set(request.states))
        scope = ("ListTransactions", project_id, request.task_id, states, request.purpose)
        cursor = read_token(scope, request.page_token, (int,))
        async with self._ledger.reading() as session:
            wanted = [] if not project_id else [_in_project(project_id)]
            if request.task_id:
                task = await get_task(session, request.task_id)
                caller.require_project(task.project_id)
                wanted.append(_about_task(task))
            if states:
                wanted.append(col(OutboxTxRow.state).in_(states))
            if request.purpose:
                wanted.append(col(OutboxTxRow.purpose) == request.purpose)
            if cursor:
                wanted.append(col(OutboxTxRow.id) < cursor[0])
            query = select(OutboxTxRow).where(*wanted).order_by(col(OutboxTxRow.id).desc()).limit(size + 1)
            found = (await session.exec(query)).all()
            rows = found[:size]
            shown = await _rendered(session, rows, project_id)
        more = make_token(scope, (rows[-1].id or 0,)) if len(found) > size else ""
        return chain_pb2.ListTransactionsResponse(transactions=shown, next_page_token=more)

    async def GetTransaction(
        self, request: chain_pb2.GetTransactionRequest, context: object
    ) -> chain_pb2.ChainTransaction:
        """A transaction with its ladder, by id or by any hash that it was signed or mined under."""
        project_id = _project(current_caller(), 0)
        if bool(request.id) == bool(request.hash):
            raise InvalidInput("W3B-7008", "name a transaction by its id or its hash, not both", field="id")
        async with self._ledger.reading() as session:
            return await self._shown(session, await _row_id(session, request), project_id)

    async def _shown(self, session: AsyncSession, row_id: int, project_id: int) -> chain_pb2.ChainTransaction:
        wanted = [col(OutboxTxRow.id) == row_id, *([_in_project(project_id)] if project_id else [])]
        row = (await session.exec(select(OutboxTxRow).where(*wanted))).first()
        if row is None:
            raise NotFound("W3B-5015", f"there is no transaction {row_id}", field="id")
        (shown,) = await _rendered(session, [row], project_id)
        steps = await session.exec(select(TxEventRow).where(TxEventRow.tx_id == row.id).order_by(col(TxEventRow.id)))
        shown.ladder.extend(_step(each) for each in steps)
        return shown

    async def RetryDapp(self, request: chain_pb2.RetryDappRequest, context: object) -> chain_pb2.ChainTransaction:
        """Put the call into the outbox; while one is under way, that one. Raises Conflict (W3B-3001)."""
        caller = current_caller()
        async with self._ledger.transaction() as session:
            task = await get_task(session, request.task_id)
            caller.require_project(task.project_id)
            deployment = self._installation.deployment
            row_id = await enqueue_dapp_retry(session, self._ledger.clock(), deployment, task.id)
            await session.flush()
            return await self._shown(session, row_id, caller.project_id or 0)

    async def Reconcile(
        self, request: chain_pb2.ReconcileRequest, context: object
    ) -> AsyncIterator[chain_pb2.ReconcileProgress]:
        """Each stage as it begins, then the report."""
        caller = current_caller()
        if self._reconciler is None:
            raise Unavailable("W3B-8002", "this installation has no chain to compare with")
        if request.project_id:
            caller.require_project(request.project_id)
        else:
            caller.require_all_projects()
        async for progress in self._reconciler.steps(request.project_id or None):
            report = None if progress.report is None else _report(progress.report)
            yield chain_pb2.ReconcileProgress(stage=progress.stage, done=progress.done, report=report)


def _project(caller: Caller, asked: int) -> int:
    project_id = asked or caller.project_id or 0
    if project_id:
        caller.require_project(project_id)
    return project_id


def _in_project(project_id: int) -> Any:
    """A transaction that records, assigns or settles the project's tasks, or is about the project itself."""
    task_ids = select(TaskRow.id).where(TaskRow.project_id == project_id)
    attempts = (
        select(getattr(AttemptRow, column)).where(col(AttemptRow.task_id).in_(task_ids))
        for column in ("assign_tx", "settle_tx")
    )
    records = select(TaskRow.record_tx).where(TaskRow.project_id == project_id)
    ref: Any = OutboxTxRow.ref
    return or_(
        col(OutboxTxRow.id).in_(records),
        *(col(OutboxTxRow.id).in_(each) for each in attempts),
        col(OutboxTxRow.purpose).in_(_ABOUT_PROJECTS) & (ref["project_id"].as_integer() == project_id),
        (col(OutboxTxRow.purpose) == "retry_dapp") & ref["task_id"].as_string().in_(task_ids),
    )


def _about_task(task: TaskRow) -> Any:
    attempts = (
        select(getattr(AttemptRow, column)).where(AttemptRow.task_id == task.id)
        for column in ("assign_tx", "settle_tx")
    )
    ref: Any = OutboxTxRow.ref
    return or_(
        col(OutboxTxRow.id) == (task.record_tx or 0),
        *(col(OutboxTxRow.id).in_(each) for each in attempts),
        (col(OutboxTxRow.purpose) == "retry_dapp") & (ref["task_id"].as_string() == task.id),
    )


async def _row_id(session: AsyncSession, request: chain_pb2.GetTransactionRequest) -> int:
    """Raises NotFound (W3B-5015)."""
    if request.id:
        if request.id > _MOST:
            raise NotFound("W3B-5015", f"there is no transaction {request.id}", field="id")
        return request.id
    wanted = request.hash.lower()
    now = await session.exec(select(OutboxTxRow.id).where(OutboxTxRow.tx_hash == wanted).limit(1))
    earlier = select(TxEventRow.tx_id).where(TxEventRow.tx_hash == wanted).limit(1)
    found = now.first() or (await session.exec(earlier)).first()
    if found is None:
        raise NotFound("W3B-5015", f"there is no transaction {request.hash[:80]!r}", field="hash")
    return found


async def _rendered(
    session: AsyncSession, rows: Sequence[OutboxTxRow], project_id: int
) -> list[chain_pb2.ChainTransaction]:
    """With the tasks that each is about; for a key of one project, that project's only."""
    by_attempt = await _task_of_attempts(session, rows)
    named = {each for row in rows for each in _task_ids(row, by_attempt)}
    wanted: list[Any] = [col(TaskRow.id).in_(named), *([TaskRow.project_id == project_id] if project_id else [])]
    query: Any = select(TaskRow.id, TaskRow.project_id).where(*wanted)
    projects: dict[str, int] = dict((await session.exec(query)).all())
    return [_transaction(row, _task_ids(row, by_attempt), projects) for row in rows]


async def _task_of_attempts(session: AsyncSession, rows: Iterable[OutboxTxRow]) -> dict[int, str]:
    ids = {each for row in rows for each in row.ref.get("assignments", ())}
    query: Any = select(AttemptRow.id, AttemptRow.task_id).where(col(AttemptRow.id).in_(ids))
    return dict((await session.exec(query)).all()) if ids else {}


def _task_ids(row: OutboxTxRow, by_attempt: dict[int, str]) -> list[str]:
    ref = row.ref
    named = [ref["task_id"]] if "task_id" in ref else []
    named += ref.get("tasks", ())
    named += [by_attempt[each] for each in ref.get("assignments", ()) if each in by_attempt]
    return list(dict.fromkeys(named))


def _transaction(row: OutboxTxRow, tasks: Sequence[str], projects: dict[str, int]) -> chain_pb2.ChainTransaction:
    shown = [each for each in tasks if each in projects]
    of_tasks = {projects[each] for each in shown}
    return chain_pb2.ChainTransaction(
        id=row.id or 0,
        purpose=row.purpose,
        state=row.state,
        hash=row.tx_hash,
        chain_id=row.chain_id,
        sender=row.sender,
        to=row.to.lower(),
        nonce=row.nonce,
        block_number=row.block_number or 0,
        block_hash=row.block_hash,
        gas_used=row.gas_used or 0,
        tries=row.tries,
        reorgs=row.reorgs,
        code=row.code,
        reason=row.reason,
        task_ids=shown,
        attempt_id=row.ref.get("attempt_id", 0),
        project_id=row.ref.get("project_id", 0) or (of_tasks.pop() if len(of_tasks) == 1 else 0),
        created_at=render.timestamp(row.created_at),
        updated_at=render.timestamp(row.updated_at),
    )


def _step(row: TxEventRow) -> chain_pb2.LadderStep:
    return chain_pb2.LadderStep(
        id=row.id or 0,
        source=row.source,
        target=row.target,
        hash=row.tx_hash,
        block_number=row.block_number or 0,
        block_hash=row.block_hash,
        code=row.code,
        reason=row.reason,
        at=render.timestamp(row.at),
    )


def _report(report: InvariantReport) -> chain_pb2.InvariantReport:
    return chain_pb2.InvariantReport(
        breaks=[
            chain_pb2.Break(
                code=each.code,
                subject=each.subject,
                project_id=each.project_id,
                message=each.message,
                next_step=each.next_step,
            )
            for each in report.breaks
        ],
        found=report.found,
        checked=dict(report.checked),
        left_out=report.left_out,
        at=render.timestamp(report.at),
        whole=report.whole,
    )
