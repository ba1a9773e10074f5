"""TaskService: look at tasks, cancel them, follow them. `submit.py` makes them, `task_repairs.py` mends them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlmodel import col, func, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import Caller, current_caller, require_still_valid
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.api.program_outputs import OutputsOf, outputs_by_version
from coordinator.api.submit import Submit
from coordinator.api.tail import Tail
from coordinator.api.task_repairs import TaskRepairs, check_reason
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger, get_task, move_task
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProverRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import TERMINAL_TASK_STATES, TaskState
from verifier.errors import InvalidInput, NotFound
from w3bstream.v1 import task_pb2, task_pb2_grpc


def task_topics(row: TaskEventRow) -> tuple[str, ...]:
    """Under which names an event is followed."""
    return f"task:{row.task_id}", f"project:{row.project_id}"


class TaskService(TaskRepairs, task_pb2_grpc.TaskServiceServicer):
    """Serves tasks from the ledger; the tail tells watchers of new events."""

    def __init__(self, ledger: Ledger, tail: Tail[TaskEventRow], submit: Submit, outputs_of: OutputsOf) -> None:
        self._ledger = ledger
        self._tail = tail
        self._submit = submit
        self._outputs_of = outputs_of

    async def SubmitTask(self, request: task_pb2.SubmitTaskRequest, context: object) -> task_pb2.SubmitTaskResponse:
        """Publish readings and close the open window; answers when the windows are formed."""
        rows, up_to = await self._submit.run(current_caller(), request)
        async with self._ledger.reading() as session:
            tasks = await self._render(session, rows)
        return task_pb2.SubmitTaskResponse(tasks=tasks, up_to=up_to)

    async def _render(self, session: AsyncSession, rows: Sequence[TaskRow]) -> list[task_pb2.Task]:
        outputs = await outputs_by_version(session, rows, self._outputs_of)
        return [render.task(row, outputs[row.project_id, row.version]) for row in rows]

    async def GetTask(self, request: task_pb2.GetTaskRequest, context: object) -> task_pb2.GetTaskResponse:
        """The task with its attempts, transactions and timeline."""
        async with self._ledger.reading() as session:
            row = await get_task(session, request.task_id)
            current_caller().require_project(row.project_id)
            attempts = await session.exec(
                select(AttemptRow).where(AttemptRow.task_id == row.id).order_by(col(AttemptRow.id))
            )
            made = attempts.all()
            trust = await _trust(session, made)
            timeline = await session.exec(
                select(TaskEventRow).where(TaskEventRow.task_id == row.id).order_by(col(TaskEventRow.id))
            )
            return task_pb2.GetTaskResponse(
                task=(await self._render(session, [row]))[0],
                attempts=[render.attempt(each, trust.get(each.prover_id, "")) for each in made],
                transactions=await _transactions(session, row, made),
                timeline=[render.task_event(each) for each in timeline],
            )

    async def ListTasks(self, request: task_pb2.ListTasksRequest, context: object) -> task_pb2.ListTasksResponse:
        """A page of tasks, newest first, with the counts by state."""
        caller = current_caller()
        size, (wanted, states, scope) = page_size(request.page_size), _filter(request, caller)
        cursor = read_token(scope, request.page_token, (int, str))
        query = select(TaskRow).where(*wanted)
        if states:
            query = query.where(col(TaskRow.state).in_(states))
        if cursor:
            at, task_id = cursor
            same = (col(TaskRow.created_at) == at) & (col(TaskRow.id) < task_id)
            query = query.where(or_(col(TaskRow.created_at) < at, same))
        query = query.order_by(col(TaskRow.created_at).desc(), col(TaskRow.id).desc()).limit(size + 1)
        async with self._ledger.reading() as session:
            found = (await session.exec(query)).all()
            counts = await session.exec(select(TaskRow.state, func.count()).where(*wanted).group_by(col(TaskRow.state)))
            rows = found[:size]
            last = rows[-1] if len(found) > size else None
            return task_pb2.ListTasksResponse(
                tasks=await self._render(session, rows),
                next_page_token=make_token(scope, (last.created_at, last.id)) if last else "",
                counts=dict(counts.all()),
            )

    async def CancelTask(self, request: task_pb2.CancelTaskRequest, context: object) -> task_pb2.Task:
        """Cancel a task that is RECEIVED or OPEN; any other state is a Conflict (W3B-3001)."""
        caller = current_caller()
        check_reason(request.reason)
        async with self._ledger.transaction() as session:
            row = await get_task(session, request.task_id)
            caller.require_project(row.project_id)
            reason = f"cancelled by {caller.key_id}" + (f": {request.reason}" if request.reason else "")
            row = await move_task(session, self._ledger.clock(), row.id, TaskState.CANCELLED, reason=reason)
            return (await self._render(session, [row]))[0]

    async def WatchTasks(
        self, request: task_pb2.WatchTasksRequest, context: object
    ) -> AsyncIterator[task_pb2.TaskEvent]:
        """The timeline from `after_event_id` on, each event once and in order."""
        caller = current_caller()
        if bool(request.task_id) == bool(request.project_id):
            raise InvalidInput("W3B-7008", "name a task or a project, not both", field="task_id")
        if request.task_id:
            topic, condition = f"task:{request.task_id}", col(TaskEventRow.task_id) == request.task_id
        else:
            topic, condition = f"project:{request.project_id}", col(TaskEventRow.project_id) == request.project_id

        async def ended(session: AsyncSession) -> bool:
            return await _watch_ended(session, caller, request)

        async for row in self._tail.follow(topic, request.after_event_id, condition, ended):
            yield render.task_event(row)


async def _watch_ended(session: AsyncSession, caller: Caller, request: task_pb2.WatchTasksRequest) -> bool:
    """Whether nothing more can come. Raises Denied (W3B-7003, W3B-7005) and NotFound (W3B-3003, W3B-2002)."""
    await require_still_valid(session, caller)
    if request.task_id:
        task = await get_task(session, request.task_id)
        caller.require_project(task.project_id)
        return TaskState(task.state) in TERMINAL_TASK_STATES
    caller.require_project(request.project_id)
    if await session.get(ProjectRow, request.project_id) is None:
        raise NotFound("W3B-2002", f"there is no project {request.project_id}", field="project_id")
    if not request.until_settled:
        return False
    live = await session.exec(
        select(TaskRow.id)
        .where(TaskRow.project_id == request.project_id, col(TaskRow.state).not_in(TERMINAL_TASK_STATES))
        .limit(1)
    )
    return live.first() is None


def _filter(request: task_pb2.ListTasksRequest, caller: Caller) -> tuple[list[Any], list[str], tuple[object, ...]]:
    """The conditions but for the states, the states, and what a page token must belong to."""
    project_id = request.project_id or caller.project_id or 0
    if project_id:
        caller.require_project(project_id)
    known = set(task_pb2.TaskState.values()) - {task_pb2.TASK_STATE_UNSPECIFIED}
    if unknown := sorted(set(request.states) - known):
        raise InvalidInput("W3B-7008", f"states {unknown} are unknown", field="states")
    states = sorted(task_pb2.TaskState.Name(state).removeprefix("TASK_STATE_") for state in set(request.states))
    wanted: list[Any] = [col(TaskRow.project_id) == project_id] if project_id else []
    bounds: list[int | None] = [None, None]
    if request.HasField("created_after"):
        bounds[0] = render.milliseconds(request.created_after, "created_after")
        wanted.append(col(TaskRow.created_at) > bounds[0])
    if request.HasField("created_before"):
        bounds[1] = render.milliseconds(request.created_before, "created_before")
        wanted.append(col(TaskRow.created_at) < bounds[1])
    return wanted, states, ("ListTasks", project_id, states, bounds)


async def _trust(session: AsyncSession, attempts: Sequence[AttemptRow]) -> dict[str, str]:
    """The trust anchors of the attempts' provers, in words."""
    ids = {each.prover_id for each in attempts}
    rows = await session.exec(select(ProverRow.id, ProverRow.trust).where(col(ProverRow.id).in_(ids)))
    return dict(rows.all())


async def _transactions(
    session: AsyncSession, task: TaskRow, attempts: Sequence[AttemptRow]
) -> list[task_pb2.Transaction]:
    """The task's transactions by what they did for it; a batch that did two things stands twice."""
    purposes = [("record", task.record_tx)]
    purposes += [("assign", each.assign_tx) for each in attempts]
    purposes += [("settle", each.settle_tx) for each in attempts]
    wanted = list(dict.fromkeys((purpose, tx) for purpose, tx in purposes if tx is not None))
    found = await session.exec(select(OutboxTxRow).where(col(OutboxTxRow.id).in_({tx for _, tx in wanted})))
    rows = {row.id: row for row in found}
    return [render.transaction(purpose, rows[tx]) for purpose, tx in wanted if tx in rows]
