"""JobService: jobs are accepted durably and at once; `coordinator.jobs.runner` works them off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlmodel import and_, col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import Caller, current_caller, require_still_valid
from coordinator.api.gate import needs_no_shelter
from coordinator.api.job_intake import MAX_PROJECT, JobIntake
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.api.unbroken import Unbroken
from coordinator.jobs.rows import JobState, NewJob
from coordinator.ledger.control_tables import JobRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import TaskRow
from verifier.errors import InvalidInput, NotFound
from w3bstream.v1 import job_pb2, job_pb2_grpc

LOOK_SECONDS = 1.0
"""How often a watch looks by itself."""
_STATES = {state.value: job_pb2.JobState.Value(f"JOB_STATE_{state}") for state in JobState}
MAX_TASKS = 1000
"""Task ids that a job names; `ListTasks` has them all."""


def rendered(row: JobRow | NewJob, task_ids: Sequence[str] = ()) -> job_pb2.Job:
    """The job as callers see it."""
    return job_pb2.Job(
        id=row.id,
        project_id=row.project_id,
        state=_STATES[row.state],
        reason=row.reason,
        signer=row.signer or "",
        nonce=row.nonce or "",
        deadline=render.timestamp(row.deadline_at or None) if row.deadline_at < _LAST else None,
        submitted_by=row.key_id,
        up_to=row.up_to,
        task_ids=task_ids,
        created_at=render.timestamp(row.created_at),
        updated_at=render.timestamp(row.updated_at),
    )


_LAST = 253_402_300_800_000
"""The year 10000, where google.protobuf.Timestamp ends."""


async def tasks_of(session: AsyncSession, job: JobRow) -> list[str]:
    """Ids of the tasks that the job's windows became, oldest first; at most `MAX_TASKS`."""
    if job.state != JobState.WINDOWED:
        return []
    query = (
        select(TaskRow.id)
        .where(
            TaskRow.project_id == job.project_id,
            TaskRow.window_start >= job.window_start,
            TaskRow.window_start < job.up_to,
        )
        .order_by(col(TaskRow.window_start))
        .limit(MAX_TASKS)
    )
    return list(await session.exec(query))


class JobService(job_pb2_grpc.JobServiceServicer):
    """Accepts jobs and tells how they stand."""

    def __init__(self, ledger: Ledger, intake: JobIntake, unbroken: Unbroken) -> None:
        self._ledger = ledger
        self._intake = intake
        self._unbroken = unbroken

    @needs_no_shelter
    async def SubmitJob(self, request: job_pb2.SubmitJobRequest, context: object) -> job_pb2.Job:
        """Accept a job; it is committed when this answers."""
        intent = request.intent if request.HasField("intent") else None
        return rendered(await self._intake.accept(current_caller(), "SubmitJob", request, request.readings, intent))

    async def _read(self, caller: Caller, job_id: str) -> tuple[JobRow, list[str]]:
        async with self._ledger.reading() as session:
            await require_still_valid(session, caller)
            row = await session.get(JobRow, job_id, populate_existing=True)
            if row is None:
                raise NotFound("W3B-7030", f"there is no job {job_id[:100]!r}", field="job_id")
            caller.require_project(row.project_id)
            return row, await tasks_of(session, row)

    async def GetJob(self, request: job_pb2.GetJobRequest, context: object) -> job_pb2.Job:
        """A job with its tasks."""
        return rendered(*await self._read(current_caller(), request.job_id))

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: object) -> job_pb2.ListJobsResponse:
        """A page of jobs, newest first."""
        caller = current_caller()
        project_id = request.project_id or caller.project_id
        if project_id:
            caller.require_project(project_id)
        if request.project_id > MAX_PROJECT:
            raise NotFound("W3B-2002", f"there is no project {request.project_id}", field="project_id")
        if request.state not in job_pb2.JobState.values():
            raise InvalidInput("W3B-7008", f"state {request.state} is unknown", field="state")
        state = "" if not request.state else job_pb2.JobState.Name(request.state).removeprefix("JOB_STATE_")
        size, scope = page_size(request.page_size), ("ListJobs", project_id, state)
        cursor = read_token(scope, request.page_token, (int, str))
        query = select(JobRow).order_by(col(JobRow.created_at).desc(), col(JobRow.id).desc()).limit(size + 1)
        if project_id:
            query = query.where(JobRow.project_id == project_id)
        if state:
            query = query.where(JobRow.state == state)
        if cursor:
            at, last = cursor
            earlier: Any = or_(
                col(JobRow.created_at) < at, and_(col(JobRow.created_at) == at, col(JobRow.id) < str(last))
            )
            query = query.where(earlier)
        async with self._ledger.reading() as session:
            rows = list(await session.exec(query))
        page = rows[:size]
        token = make_token(scope, (page[-1].created_at, page[-1].id)) if len(rows) > size else ""
        return job_pb2.ListJobsResponse(jobs=[rendered(row) for row in page], next_page_token=token)

    async def WatchJob(self, request: job_pb2.WatchJobRequest, context: object) -> AsyncIterator[job_pb2.Job]:
        """The job whenever it changed, until it ended."""
        caller, last = current_caller(), None
        while True:
            seen = self._ledger.commits
            row, task_ids = await self._unbroken.run(self._read(caller, request.job_id))
            job = rendered(row, task_ids)
            if job != last:
                yield job
                last = job
            if row.state != JobState.ACCEPTED:
                return
            await self._ledger.changed(seen, LOOK_SECONDS)
