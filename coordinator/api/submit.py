"""SubmitTask: a job whose caller waits until its windows are closed.

The job is committed first, under the call's idempotency key. A repeat finds it and waits on: nothing is published
twice, and the tasks are the same.
"""

from __future__ import annotations

import asyncio

from sqlmodel import col, select

from coordinator.api.auth import Caller
from coordinator.api.job_intake import JobIntake
from coordinator.api.stream_door import StreamDoor
from coordinator.jobs.rows import JobState, NewJob
from coordinator.ledger.control_tables import JobRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, TaskRow
from verifier.errors import NotFound, Unavailable
from w3bstream.v1 import task_pb2

WAIT_SECONDS = 300.0
"""Longest wait for the windows, where the caller's own deadline is later or missing."""
LOOK_SECONDS = 1.0


class Submit:
    """Closes windows on request.

    Parameters: `wait_seconds` bounds the wait for the intake.
    """

    def __init__(
        self, ledger: Ledger, streams: StreamDoor, jobs: JobIntake, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._ledger = ledger
        self._streams = streams
        self._jobs = jobs
        self._wait_seconds = wait_seconds

    async def run(self, caller: Caller, request: task_pb2.SubmitTaskRequest) -> tuple[list[TaskRow], int]:
        """The tasks that cover the stream from the open window's start on, and the first position after the submit.

        Raises what `JobIntake.accept` raises, NotFound (W3B-1006) when the project is paused meanwhile, and Unavailable
        (W3B-7012) when the wait is over; the job goes on.
        """
        accepted = await self._jobs.accept(caller, "SubmitTask", request, request.readings)
        try:
            async with asyncio.timeout(self._wait_seconds):
                job = await self._wait(accepted)
        except TimeoutError as error:
            why = accepted.reason or self._streams.stopped(request.project_id)
            what = f"the window did not close within {self._wait_seconds:.0f} s"
            raise Unavailable("W3B-7012", f"{what}{': ' if why else ''}{why}") from error
        return await self._tasks(job), job.up_to

    async def _wait(self, job: JobRow | NewJob) -> JobRow:
        """The job once its windows are closed."""
        while True:
            seen = self._ledger.commits
            async with self._ledger.reading() as session:
                now = await session.get(JobRow, job.id)
                project = await session.get(ProjectRow, job.project_id)
            assert now is not None, "jobs are never deleted"
            if now.state != JobState.ACCEPTED:
                return now
            if project is None or project.state != "ACTIVE":
                raise NotFound(
                    "W3B-1006", f"project {job.project_id} was paused before the window closed", field="project_id"
                )
            job.reason = now.reason
            await self._ledger.changed(seen, LOOK_SECONDS)

    async def _tasks(self, job: JobRow) -> list[TaskRow]:
        query = (
            select(TaskRow)
            .where(
                TaskRow.project_id == job.project_id,
                TaskRow.window_start >= job.window_start,
                TaskRow.window_start < job.up_to,
            )
            .order_by(col(TaskRow.window_start))
        )
        async with self._ledger.reading() as session:
            return list(await session.exec(query))
