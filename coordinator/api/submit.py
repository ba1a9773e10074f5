"""Submit: publish readings, ask the intake to close the open window, and wait until it did.

Two steps are recorded under the idempotency key, each in one transaction: where the open window began, before anything
is published; and, with the flush itself, up to where the submit reaches. A repeat goes on from the last recorded step,
so it publishes nothing twice (the DA layer drops equal messages, the intake refuses equal sequences) and answers with
the same tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlmodel import col, select

from coordinator.api.auth import Caller
from coordinator.api.idempotency import Once
from coordinator.api.reading_check import ReadingCheck
from coordinator.api.stream_door import StreamDoor
from coordinator.intake.status import request_flush
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, StreamCursorRow, TaskRow
from verifier.errors import InvalidInput, NotFound, Unavailable
from verifier.reading import Reading
from w3bstream.v1 import task_pb2

MAX_READINGS = 1024
WAIT_SECONDS = 300.0
"""Longest wait for the windows, where the caller's own deadline is later or missing."""
LOOK_SECONDS = 1.0


class Submit:
    """Closes windows on request.

    Parameters: `wait_seconds` bounds the wait for the intake.
    """

    def __init__(
        self, ledger: Ledger, streams: StreamDoor, check: ReadingCheck, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._ledger = ledger
        self._streams = streams
        self._check = check
        self._wait_seconds = wait_seconds

    async def run(self, caller: Caller, request: task_pb2.SubmitTaskRequest) -> tuple[list[TaskRow], int]:
        """The tasks that cover the stream from the open window's start on, and the first position after the submit.

        Raises InvalidInput (also for a reading that would be refused: nothing is published then), NotFound (W3B-1006),
        Conflict (W3B-7007), Unavailable (W3B-1008, W3B-7012).
        """
        caller.require_project(request.project_id)
        once = Once(caller, "SubmitTask", request)
        async with self._ledger.reading() as session:
            span = await once.answered(session, task_pb2.Task)
        if span is None or not span.window_end:
            readings = await self._checked(caller, request)
            if span is None:
                span = await self._begin(once, request.project_id)
            span = await self._flush(once, request.project_id, await self._end(request.project_id, readings))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._wait(request.project_id, span.window_end)
        except TimeoutError as error:
            stopped = self._streams.stopped(request.project_id)
            what = f"the window did not close within {self._wait_seconds:.0f} s"
            raise Unavailable("W3B-7012", f"{what}{': ' if stopped else ''}{stopped}") from error
        return await self._tasks(request.project_id, span), span.window_end

    async def _checked(self, caller: Caller, request: task_pb2.SubmitTaskRequest) -> list[Reading]:
        if len(request.readings) > MAX_READINGS:
            raise InvalidInput(
                "W3B-7010", f"{len(request.readings)} readings; at most {MAX_READINGS}", field="readings"
            )
        await self._check.admission(request.project_id)
        readings: list[Reading] = []
        for index, verdict in enumerate(await self._check.check(caller, request.readings)):
            if not isinstance(verdict, Reading):
                raise InvalidInput(
                    verdict.code, verdict.message, field=f"readings[{index}]", next_step=verdict.next_step
                )
            if verdict.project != request.project_id:
                raise InvalidInput(
                    "W3B-1009", f"reading {index} is for project {verdict.project}", field=f"readings[{index}]"
                )
            readings.append(verdict)
        return readings

    async def _end(self, project_id: int, readings: Sequence[Reading]) -> int:
        """Publish; returns the first position after the submit."""
        if not readings:
            return await self._streams.end(project_id)
        return max(each.position for each in await self._streams.publish(project_id, readings)) + 1

    async def _begin(self, once: Once, project_id: int) -> task_pb2.Task:
        """Record where the open window begins. The span travels as a Task of which only the window is set."""
        async with self._ledger.transaction() as session:
            span = await once.answered(session, task_pb2.Task)
            if span is None:
                cursor = await session.get(StreamCursorRow, project_id) or StreamCursorRow(project_id=project_id)
                span = task_pb2.Task(project_id=project_id, window_start=cursor.window_start)
                await once.store(session, self._ledger.clock(), span)
        return span

    async def _flush(self, once: Once, project_id: int, up_to: int) -> task_pb2.Task:
        """Ask for the flush and record its reach; of two calls under one key the first one's reach holds."""
        async with self._ledger.transaction() as session:
            span = await once.answered(session, task_pb2.Task)
            assert span is not None
            if not span.window_end:
                span.window_end = up_to
                await request_flush(session, project_id, up_to)
                await once.store(session, self._ledger.clock(), span)
        return span

    async def _wait(self, project_id: int, up_to: int) -> None:
        """Until everything below `up_to` lies in closed windows or dead letters."""
        while True:
            seen = self._ledger.commits
            async with self._ledger.reading() as session:
                cursor = await session.get(StreamCursorRow, project_id) or StreamCursorRow(project_id=project_id)
                project = await session.get(ProjectRow, project_id)
            # An open window without an accepted reading makes no task; its start may stay where it is.
            if cursor.window_start >= up_to or (cursor.next_position >= up_to and not cursor.open_count):
                return
            if project is None or project.state != "ACTIVE":
                raise NotFound(
                    "W3B-1006", f"project {project_id} was paused before the window closed", field="project_id"
                )
            await self._ledger.changed(seen, LOOK_SECONDS)

    async def _tasks(self, project_id: int, span: task_pb2.Task) -> list[TaskRow]:
        query = (
            select(TaskRow)
            .where(
                TaskRow.project_id == project_id,
                TaskRow.window_start >= span.window_start,
                TaskRow.window_start < span.window_end,
            )
            .order_by(col(TaskRow.window_start))
        )
        async with self._ledger.reading() as session:
            return list(await session.exec(query))
