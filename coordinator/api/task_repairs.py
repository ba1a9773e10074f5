"""The part of TaskService that mends and questions: dead tasks put back, tasks computed again, outputs compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import Caller, current_caller
from coordinator.api.program_outputs import OutputsOf, outputs_by_version
from coordinator.dispatch.requeue import MOST_AT_ONCE, dead_tasks, requeue
from coordinator.ledger.history_tables import RerunRow
from coordinator.ledger.store import Ledger, get_task, record_event
from coordinator.ledger.tables import AttemptRow, ProjectRow, ProverRow, TaskRow
from verifier.errors import InvalidInput, NotFound, W3bstreamError
from w3bstream.v1 import task_pb2

MAX_REASON = 200
"""Characters of a caller's reason."""
Computed = AttemptRow | RerunRow


def check_reason(reason: str) -> None:
    """Raises InvalidInput (W3B-7008) for a reason that is too long."""
    if len(reason) > MAX_REASON:
        raise InvalidInput("W3B-7008", f"reason has more than {MAX_REASON} characters", field="reason")


class TaskRepairs:
    """What `TaskService` is made of beside looking and following."""

    _ledger: Ledger
    _outputs_of: OutputsOf

    async def RequeueTask(self, request: task_pb2.RequeueTaskRequest, context: object) -> task_pb2.Task:
        """Put one dead task back."""
        check_reason(request.reason)
        caller = current_caller()
        async with self._ledger.transaction() as session:
            row = await get_task(session, request.task_id)
            caller.require_project(row.project_id)
            row = await requeue(
                session,
                self._ledger.clock(),
                row.id,
                reason=_put_back(caller, request.reason),
                deadline_at=_deadline(request),
            )
            outputs = await outputs_by_version(session, [row], self._outputs_of)
        return render.task(row, outputs[row.project_id, row.version])

    async def RequeueTasks(
        self, request: task_pb2.RequeueTasksRequest, context: object
    ) -> task_pb2.RequeueTasksResponse:
        """Put a project's dead tasks back, each in a transaction of its own."""
        check_reason(request.reason)
        caller = current_caller()
        caller.require_project(request.project_id)
        async with self._ledger.reading() as session:
            if await session.get(ProjectRow, request.project_id) is None:
                raise NotFound("W3B-2002", f"there is no project {request.project_id}", field="project_id")
            found = await dead_tasks(session, request.project_id, request.code)
        answer = task_pb2.RequeueTasksResponse(has_more=len(found) == MOST_AT_ONCE)
        for task_id in found:
            try:
                async with self._ledger.transaction() as session:
                    reason, now = _put_back(caller, request.reason), self._ledger.clock()
                    await requeue(session, now, task_id, reason=reason, deadline_at=_deadline(request))
            except W3bstreamError as error:
                answer.refused.add(task_id=task_id, code=error.code, reason=error.message)
            else:
                answer.task_ids.append(task_id)
        return answer

    async def RerunTask(self, request: task_pb2.RerunTaskRequest, context: object) -> task_pb2.Rerun:
        """Ask for a task to be computed once more."""
        caller = current_caller()
        async with self._ledger.transaction() as session:
            task = await get_task(session, request.task_id)
            caller.require_project(task.project_id)
            kind = await _kind(session, task, request)
            now = self._ledger.clock()
            row = RerunRow(
                task_id=task.id,
                kind=kind,
                prover_id=request.prover_id,
                requested_by=caller.key_id,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            await session.flush()
            wanted = request.prover_id or f"any {kind} prover"
            reason = f"to be computed again by {wanted}, asked for by {caller.key_id}"
            await record_event(session, now, task, subject="rerun", source="", target="QUEUED", reason=reason)
            return await self._rerun(session, task, row)

    async def GetRerun(self, request: task_pb2.GetRerunRequest, context: object) -> task_pb2.Rerun:
        """A re-run."""
        async with self._ledger.reading() as session:
            row = await session.get(RerunRow, request.rerun_id)
            if row is None:
                raise NotFound("W3B-3084", f"there is no re-run {request.rerun_id}", field="rerun_id")
            task = await get_task(session, row.task_id)
            current_caller().require_project(task.project_id)
            return await self._rerun(session, task, row)

    async def _rerun(self, session: AsyncSession, task: TaskRow, row: RerunRow) -> task_pb2.Rerun:
        outputs = await outputs_by_version(session, [task], self._outputs_of)
        return task_pb2.Rerun(
            id=row.id or 0,
            task_id=row.task_id,
            kind=row.kind,
            prover_id=row.prover_id,
            state=row.state,
            output=row.output,
            public_output=row.public_output or b"",
            result=render.result(outputs[task.project_id, task.version], row.public_output),
            verdict={True: "same", False: "different", None: ""}[row.same],
            code=row.code,
            reason=row.reason,
            created_at=render.timestamp(row.created_at),
            updated_at=render.timestamp(row.updated_at),
        )

    async def DiffOutputs(self, request: task_pb2.DiffOutputsRequest, context: object) -> task_pb2.DiffOutputsResponse:
        """Every output that was computed of the task, side by side."""
        async with self._ledger.reading() as session:
            task = await get_task(session, request.task_id)
            current_caller().require_project(task.project_id)
            attempts = await session.exec(
                select(AttemptRow)
                .where(AttemptRow.task_id == task.id, col(AttemptRow.public_output).is_not(None))
                .order_by(col(AttemptRow.id))
            )
            reruns = await session.exec(
                select(RerunRow)
                .where(RerunRow.task_id == task.id, col(RerunRow.public_output).is_not(None))
                .order_by(col(RerunRow.id))
            )
            rows: list[Computed] = [*attempts.all(), *reruns.all()]
            outputs = await outputs_by_version(session, [task], self._outputs_of)
        return task_pb2.DiffOutputsResponse(
            sources=[_source(row) for row in rows],
            fields=_differences(rows, outputs[task.project_id, task.version]),
            same=len({row.public_output for row in rows}) <= 1,
        )


def _put_back(caller: Caller, reason: str) -> str:
    return f"put back by {caller.key_id}" + (f": {reason}" if reason else "")


def _deadline(request: task_pb2.RequeueTaskRequest | task_pb2.RequeueTasksRequest) -> int:
    return render.milliseconds(request.deadline, "deadline") if request.HasField("deadline") else 0


async def _kind(session: AsyncSession, task: TaskRow, request: task_pb2.RerunTaskRequest) -> str:
    """The kind to compute with. Raises InvalidInput (W3B-7008) for one that the task does not allow or the prover is
    not of, NotFound (W3B-3007) for a prover that is not there."""
    kind = request.kind
    if request.prover_id:
        prover = await session.get(ProverRow, request.prover_id)
        if prover is None:
            raise NotFound("W3B-3007", f"there is no prover {request.prover_id}", field="prover_id")
        if kind and kind != prover.kind:
            raise InvalidInput("W3B-7008", f"prover {prover.id} is of kind {prover.kind}, not {kind}", field="kind")
        kind = prover.kind
    kind = kind or task.kinds[0]
    if kind not in task.kinds:
        raise InvalidInput("W3B-7008", f"the task's kinds are {', '.join(task.kinds)}, not {kind}", field="kind")
    return kind


def _source(row: Computed) -> task_pb2.OutputSource:
    return task_pb2.OutputSource(
        subject="rerun" if isinstance(row, RerunRow) else "attempt",
        id=row.id or 0,
        kind=row.kind,
        prover_id=row.prover_id,
        state=row.state,
        output=row.output,
        code=row.code,
    )


def _differences(rows: Sequence[Computed], outputs: Sequence[str] | None) -> list[task_pb2.OutputDifference]:
    """Field by field as the manifest names them, or as one field of raw bytes where it does not fit."""
    decoded: list[dict[str, Any]] = [
        {field.name: field for field in render.result(outputs, row.public_output)} for row in rows
    ]
    named = next((fields for fields in decoded if fields), None)
    if named is None:
        values = ["0x" + (row.public_output or b"").hex() for row in rows]
        raw = task_pb2.OutputDifference(name="public_output", type="bytes", values=values, same=len(set(values)) <= 1)
        return [raw] if rows else []
    differences = []
    for name, field in named.items():
        values = [fields[name].value if name in fields else "" for fields in decoded]
        same = len(set(values)) == 1
        differences.append(task_pb2.OutputDifference(name=name, type=field.type, values=values, same=same))
    return differences
