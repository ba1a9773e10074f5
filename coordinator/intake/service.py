"""The intake service: one reader for each active project with a published version, and the door through which the API
publishes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from coordinator.intake.admission import Admission
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.reader import ProjectReader
from coordinator.intake.recorder import Recorder
from coordinator.intake.stream import DaStream, JetStream, Published
from coordinator.intake.version_terms import load_admission, newest_version
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow, StreamCursorRow
from coordinator.projects.da_url import EMBEDDED, da_policy
from coordinator.projects.programs import Manifest
from coordinator.settings import Settings
from coordinator.webhooks.ssrf import UrlPolicy
from verifier.errors import NotFound
from verifier.reading import Reading

Connect = Callable[[str, Path | None, UrlPolicy | None], Awaitable[DaStream]]
"""Connects to (URL, credentials file); the policy guards a project's own URL, None is the operator's."""
LOOK_SECONDS = 1.0
"""How often the projects are looked at when nothing in this process changed the ledger."""
SETTLE_SECONDS = 0.02
"""Changes within this time are looked at together."""
END_SECONDS = 15.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Due:
    """What makes a reader look at the ledger before its next message."""

    version: int
    flush_to: int


class Intake:
    """Runs every project's intake.

    Parameters: `nats_url` is the DA layer of projects whose file says `embedded`: the embedded server's or
    `settings.nats_url`; `workers` are processes for signatures and roots (None: by the machine's cores; 0: threads).
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        nats_url: str,
        *,
        workers: int | None = None,
        connect: Connect = JetStream.connect,
        programs: Mapping[str, Manifest] | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._nats_url = nats_url
        self._connect = connect
        self._programs = programs
        self._pool = CryptoPool(workers)
        self._streams: dict[tuple[str, str], DaStream] = {}
        self._connecting: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._da_policy = da_policy(settings)
        self._readers: dict[int, tuple[ProjectReader, asyncio.Task[None]]] = {}
        self._seen: dict[int, _Due] = {}
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Start and end readers as projects come, pause and resume, until `stop`."""
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                seen = self._ledger.commits
                try:
                    await self._review()
                except SQLAlchemyError:
                    # The database went away or was busy for too long; the readers go on, and we look again.
                    log.exception("intake_review_failed")
                await self._sleep_until_changed(seen)
            await self._end_readers(list(self._readers))
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End every reader after its batch, then close the connections and the workers."""
        self._stopping.set()
        await self._ended.wait()
        await self._end_readers(list(self._readers))
        for stream in self._streams.values():
            await stream.close()
        self._streams.clear()
        self._pool.close()

    def stopped(self, project_id: int) -> str:
        """Why the project's intake stands still, with a code; empty when it runs or is paused."""
        running = self._readers.get(project_id)
        return running[0].stopped if running else ""

    async def admission(self, project_id: int) -> Admission:
        """What the project admits now, for checking readings before they are published. Raises NotFound (W3B-1006)."""
        async with self._ledger.reading() as session:
            return await load_admission(session, project_id, self._programs)

    async def publish(self, project_id: int, readings: Sequence[Reading]) -> list[Published]:
        """Store checked readings of one project in its stream; durable when this returns.

        Raises Unavailable (W3B-1008), NotFound (W3B-1006) and Refused (W3B-1013).
        """
        await self.end(project_id)
        return await (await self._stream_of(project_id)).publish(readings)

    async def end(self, project_id: int) -> int:
        """First stream position that is not taken yet. Raises Unavailable (W3B-1008), NotFound (W3B-1006), Refused."""
        stream = await self._stream_of(project_id)
        state = await stream.state(project_id)
        if state is None:
            raise NotFound("W3B-1006", f"the stream of project {project_id} is not there yet", field="project")
        return state.last + 1

    async def stream(self, project_id: int) -> DaStream:
        """The project's DA layer, to look at. Raises Unavailable (W3B-1008), NotFound (W3B-1006), Refused (W3B-1013)."""
        return await self._stream_of(project_id)

    async def _sleep_until_changed(self, seen: int) -> None:
        changed = asyncio.create_task(self._ledger.changed(seen, LOOK_SECONDS))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            stopping.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._stopping.wait()

    async def _review(self) -> None:
        wanted = await self._wanted()
        for project_id, due in wanted.items():
            if project_id not in self._readers:
                self._start(project_id)
            elif due.flush_to or due != self._seen.get(project_id):
                self._readers[project_id][0].wake()
        self._seen = wanted
        await self._end_readers([project_id for project_id in self._readers if project_id not in wanted])

    async def _wanted(self) -> dict[int, _Due]:
        """Active projects with a published version."""
        query = (
            select(ProjectRow.id, func.max(ProjectVersionRow.version), func.max(StreamCursorRow.flush_to))
            .join(ProjectVersionRow, col(ProjectVersionRow.project_id) == col(ProjectRow.id))
            .outerjoin(StreamCursorRow, col(StreamCursorRow.project_id) == col(ProjectRow.id))
            .where(ProjectRow.state == "ACTIVE", ProjectVersionRow.state == "PUBLISHED")
            .group_by(col(ProjectRow.id))
        )
        async with self._ledger.reading() as session:
            rows = await session.exec(query)
            return {project_id: _Due(version, flush_to or 0) for project_id, version, flush_to in rows if project_id}

    def _start(self, project_id: int) -> None:
        async def stream() -> DaStream:
            return await self._stream_of(project_id)

        recorder = Recorder(self._ledger, self._pool, project_id, self._programs)
        reader = ProjectReader(self._ledger, project_id, stream, recorder)
        self._readers[project_id] = (reader, asyncio.create_task(reader.run(), name=f"intake-{project_id}"))
        log.info("intake_started", project=project_id)

    async def _end_readers(self, project_ids: Sequence[int]) -> None:
        ending = [self._readers.pop(project_id) for project_id in project_ids if project_id in self._readers]
        for reader, _ in ending:
            reader.end()
        if ending:
            # Ending midway is safe: what was not committed is read again.
            _, late = await asyncio.wait([task for _, task in ending], timeout=END_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*(task for _, task in ending), return_exceptions=True)
            log.info("intake_ended", projects=list(project_ids))

    async def _stream_of(self, project_id: int) -> DaStream:
        """The DA layer that the project's newest published version names, connected once for all who name it."""
        async with self._ledger.reading() as session:
            row = await newest_version(session, project_id)
        if row is None:
            raise NotFound("W3B-1006", f"project {project_id} has no published version", field="project")
        da = row.config.get("da", {})
        key = url, credentials = str(da.get("url", EMBEDDED)), str(da.get("credentials") or "")
        # One lock a DA layer: a server that is slow to answer holds up the projects that name it, and no other.
        if key not in self._streams:
            async with self._connecting[key]:
                if key not in self._streams:
                    self._streams[key] = await self._connected(url, credentials)
        return self._streams[key]

    async def _connected(self, url: str, credentials: str) -> DaStream:
        path = self._settings.home / "credentials" / credentials if credentials else None
        if url == EMBEDDED:
            return await self._connect(self._nats_url, path, None)
        return await self._connect(url, path, self._da_policy)
