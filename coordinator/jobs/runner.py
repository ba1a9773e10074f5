"""Works jobs off: publishes their readings, asks the intake to close the window, and notes when it is closed.

Each step is recorded before the next, and each may be done again: message ids follow from the readings, so the DA layer
drops what it has and the intake refuses what it took; of two flushes the larger holds. So a crash anywhere costs time
only. One runner works at a time, the leader's.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import structlog
from sqlalchemy import and_, func, or_, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from coordinator.intake.status import request_flush
from coordinator.intake.stream import Published
from coordinator.jobs.rows import JobState, unpack
from coordinator.ledger.control_tables import JobRow
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import StreamCursorRow
from verifier.errors import W3bstreamError
from verifier.reading import Reading

LOOK_SECONDS = 1.0
"""How often jobs are looked for when no commit of this process said so."""
SETTLE_SECONDS = 0.01
"""Commits within this time are looked at together."""
BATCH = 500
"""Jobs of one round."""
BATCH_BYTES = 8 << 20
"""Readings of one round and project."""
PAUSES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds until a project whose stream did not answer is tried again, by failures in a row."""

log = structlog.get_logger(__name__)


class Streams(Protocol):
    """The intake as the runner uses it; `coordinator.intake.service.Intake` is one."""

    async def publish(self, project_id: int, readings: Sequence[Reading]) -> list[Published]:
        """Store readings of one project; durable when this returns. Raises Unavailable, NotFound, Refused."""

    async def end(self, project_id: int) -> int:
        """First stream position that is not taken yet. Raises Unavailable, NotFound, Refused."""


class _Waiting(NamedTuple):
    """An accepted job that nothing was done for, without its readings."""

    id: str
    project_id: int
    deadline_at: int
    asked_up_to: int
    bytes: int


class JobRunner:
    """Runs every accepted job."""

    def __init__(self, ledger: Ledger, streams: Streams) -> None:
        self._ledger = ledger
        self._streams = streams
        self._stopping = asyncio.Event()
        self._failures: dict[int, tuple[int, float]] = {}

    async def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            seen = self._ledger.commits
            try:
                await self._finish()
                busy = await self._round()
            except SQLAlchemyError:
                log.exception("job_round_failed")
                busy = False
            if not busy:
                await self._sleep(seen)

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()

    async def _sleep(self, seen: int) -> None:
        due = min((at for _, at in self._failures.values()), default=float("inf")) - time.monotonic()
        changed = asyncio.create_task(self._ledger.changed(seen, max(0.01, min(LOOK_SECONDS, due))))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(SETTLE_SECONDS)
        finally:
            for task in (changed, stopping):
                task.cancel()
            await asyncio.gather(changed, stopping, return_exceptions=True)

    async def _round(self) -> bool:
        """Publish for the jobs that wait; says whether any was worked on. A project that fails holds no other."""
        by_project: defaultdict[int, list[_Waiting]] = defaultdict(list)
        now = time.monotonic()
        held = {project_id for project_id, (_, at) in self._failures.items() if at > now}
        for job in await self._waiting(held):
            by_project[job.project_id].append(job)
        if not by_project:
            return False
        await asyncio.gather(*(self._guarded(project_id, jobs) for project_id, jobs in by_project.items()))
        return True

    async def _waiting(self, held: set[int]) -> list[_Waiting]:
        size = func.coalesce(func.length(col(JobRow.readings)), 0)
        columns: Any = (JobRow.id, JobRow.project_id, JobRow.deadline_at, JobRow.asked_up_to, size)
        query = (
            select(*columns)
            .where(JobRow.state == JobState.ACCEPTED, JobRow.up_to == 0, col(JobRow.project_id).not_in(held))
            .order_by(col(JobRow.created_at), col(JobRow.id))
            .limit(BATCH)
        )
        async with self._ledger.reading() as session:
            return [_Waiting(*row) for row in await session.exec(query)]

    async def _guarded(self, project_id: int, jobs: Sequence[_Waiting]) -> None:
        try:
            await self._work(project_id, jobs)
        except W3bstreamError as error:
            count = self._failures.get(project_id, (0, 0.0))[0]
            pause = PAUSES[min(count, len(PAUSES) - 1)]
            self._failures[project_id] = (count + 1, time.monotonic() + pause)
            if count == len(PAUSES) - 1:
                log.warning("jobs_wait", project_id=project_id, code=error.code, reason=error.message)
            await self._note([job.id for job in jobs], f"{error.code} {error.message}"[:500])
        else:
            self._failures.pop(project_id, None)

    async def _note(self, ids: Sequence[str], reason: str) -> None:
        """Say why the jobs wait, once for each reason."""
        query = update(JobRow).where(
            col(JobRow.id).in_(ids), col(JobRow.state) == JobState.ACCEPTED, col(JobRow.reason) != reason
        )
        async with self._ledger.transaction() as session:
            await session.exec(query.values(reason=reason, updated_at=self._ledger.clock()))

    async def _work(self, project_id: int, jobs: Sequence[_Waiting]) -> None:
        chosen: list[_Waiting] = []
        total = 0
        for job in jobs:
            total += job.bytes
            if chosen and total > BATCH_BYTES:
                break
            chosen.append(job)
        live = await self._begin(project_id, chosen)
        if not live:
            return
        end = await self._publish(project_id, [job.id for job in live])
        await self._flush(project_id, live, end)

    async def _begin(self, project_id: int, jobs: Sequence[_Waiting]) -> list[_Waiting]:
        """End those whose deadline passed; record for the others where the open window begins."""
        now = self._ledger.clock()
        late = [job for job in jobs if job.deadline_at and job.deadline_at <= now]
        live = [job for job in jobs if not (job.deadline_at and job.deadline_at <= now)]
        accepted = col(JobRow.state) == JobState.ACCEPTED
        async with self._ledger.transaction() as session:
            cursor = await session.get(StreamCursorRow, project_id, populate_existing=True)
            start = cursor.window_start if cursor else 1
            ids = col(JobRow.id).in_([job.id for job in live])
            began = update(JobRow).where(ids, accepted, col(JobRow.window_start) == 0)
            await session.exec(began.values(window_start=start, updated_at=now))
            if late:
                # A job that had begun goes on: its readings may be in the stream already.
                ended = update(JobRow).where(
                    col(JobRow.id).in_([job.id for job in late]), accepted, col(JobRow.window_start) == 0
                )
                reason = "W3B-7027 its deadline passed before it was acted on"
                await session.exec(
                    ended.values(state=JobState.EXPIRED.value, reason=reason, readings=None, updated_at=now)
                )
                query = select(JobRow.id).where(
                    col(JobRow.id).in_([job.id for job in late]), JobRow.state == JobState.ACCEPTED
                )
                begun = set(await session.exec(query))
                live += [job for job in late if job.id in begun]
        return live

    async def _publish(self, project_id: int, ids: Sequence[str]) -> int:
        """Put the jobs' readings into the stream; returns the stream's end."""
        query = (
            select(JobRow.readings)
            .where(col(JobRow.id).in_(ids), col(JobRow.readings).is_not(None))
            .order_by(col(JobRow.created_at), col(JobRow.id))
        )
        async with self._ledger.reading() as session:
            blobs = list(await session.exec(query))
        readings = [Reading.from_wire(wire) for blob in blobs for wire in unpack(blob)]
        published = await self._streams.publish(project_id, readings) if readings else []
        return max([await self._streams.end(project_id), *(each.position + 1 for each in published)])

    async def _flush(self, project_id: int, jobs: Sequence[_Waiting], end: int) -> None:
        """Ask for the windows to be closed, and record up to where each job reaches."""
        now = self._ledger.clock()
        reaches: defaultdict[int, list[str]] = defaultdict(list)
        for job in jobs:
            reaches[min(job.asked_up_to, end) if job.asked_up_to else end].append(job.id)
        async with self._ledger.transaction() as session:
            await request_flush(session, project_id, max(reaches))
            for up_to, ids in reaches.items():
                query = update(JobRow).where(col(JobRow.id).in_(ids), col(JobRow.state) == JobState.ACCEPTED)
                await session.exec(query.values(up_to=up_to, readings=None, reason="", updated_at=now))

    async def _finish(self) -> None:
        """Note which jobs' windows are closed."""
        cursor = StreamCursorRow
        # An open window without an accepted reading makes no task; its start may stay where it is.
        closed = or_(
            col(cursor.window_start) >= col(JobRow.up_to),
            and_(col(cursor.next_position) >= col(JobRow.up_to), col(cursor.open_count) == 0),
        )
        query = (
            select(JobRow.id)
            .join(cursor, col(cursor.project_id) == col(JobRow.project_id))
            .where(JobRow.state == JobState.ACCEPTED, JobRow.up_to > 0, closed)
            .limit(BATCH)
        )
        while True:
            async with self._ledger.reading() as session:
                ids = list(await session.exec(query))
            if not ids:
                return
            now = self._ledger.clock()
            async with self._ledger.transaction() as session:
                done = update(JobRow).where(col(JobRow.id).in_(ids), col(JobRow.state) == JobState.ACCEPTED)
                await session.exec(done.values(state=JobState.WINDOWED.value, reason="", updated_at=now))
