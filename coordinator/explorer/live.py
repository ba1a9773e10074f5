"""Server-sent events: what changed, so that pages load their live parts again.

One task reads the timeline after the last event it saw and hands each new line to every client that may see it. It
runs only while somebody listens, wakes on commits, and reads at most a few times a second however much happens. A
client that does not keep up is let go; its browser comes back with the last event id that it has.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.explorer.access import Viewer
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProverEventRow, TaskEventRow
from verifier.errors import Unavailable

MAX_CLIENTS = 64
"""Clients at a time."""
QUEUE = 256
"""Events that a client may be behind."""
REPLAYED = 200
"""Missed events that a returning client is told one by one; after more its page loads itself anew."""
PAUSE_SECONDS = 0.25
"""Shortest time between two looks."""
LOOK_SECONDS = 2.0
"""Longest time between two looks: another process's commits are not announced."""
HEARTBEAT_SECONDS = 15.0
"""A comment line goes out so often, so that proxies keep the connection and a dead one shows."""
PAGE = 500

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Client:
    """One open connection."""

    viewer: Viewer
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    lost: bool = False
    """It fell behind, or the explorer stops: its connection is closed."""

    def offer(self, line: bytes) -> None:
        """Queue a line, or give the client up."""
        try:
            self.queue.put_nowait(line)
        except asyncio.QueueFull:
            self.give_up()

    def give_up(self) -> None:
        """Make its connection end."""
        self.lost = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(b"")


def message(event: str, data: dict[str, Any], number: int | None = None) -> bytes:
    """One event in the stream's form (HTML Living Standard §9.2, event stream format)."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def task_message(row: TaskEventRow) -> bytes:
    """A line of a task's timeline."""
    data = {
        "task": row.task_id,
        "project": row.project_id,
        "subject": row.subject,
        "attempt": row.attempt_id,
        "state": row.target,
        "reason": row.reason,
        "at": row.at,
    }
    return message("task", data, row.id)


class Live:
    """The fan-out of one explorer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._clients: set[Client] = set()
        self._running: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        """Set once the running look has a line to go on from."""

    @property
    def clients(self) -> int:
        """Open connections."""
        return len(self._clients)

    @asynccontextmanager
    async def client(self, viewer: Viewer) -> AsyncIterator[Client]:
        """A connection's place: what is committed from now on reaches it. Raises Unavailable (W3B-7507) when all are
        taken."""
        if len(self._clients) >= MAX_CLIENTS:
            raise Unavailable("W3B-7507", f"{MAX_CLIENTS} pages are live already")
        client = Client(viewer)
        self._clients.add(client)
        if self._running is None or self._running.done():
            self._looked = asyncio.Event()
            self._running = asyncio.create_task(self._run(self._looked), name="explorer-live")
        try:
            # What is committed between a client's replay and the first look would be told by neither.
            await self._looked.wait()
            yield client
        finally:
            self._clients.discard(client)

    async def missed(self, viewer: Viewer, after: int) -> list[bytes]:
        """What a client that returns with the id `after` has not seen; `reset` when it is too much."""
        async with self._ledger.reading() as session:
            rows = await _rows_after(session, after, REPLAYED + 1, viewer)
            newest = await _newest(session, TaskEventRow)
        if len(rows) > REPLAYED:
            return [message("reset", {}, newest)]
        return [task_message(row) for row in rows]

    async def newest(self) -> int:
        """Id of the newest line of the timeline, 0 before the first."""
        async with self._ledger.reading() as session:
            return await _newest(session, TaskEventRow)

    async def stop(self) -> None:
        """Let every client go."""
        for client in list(self._clients):
            client.give_up()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def _run(self, looked: asyncio.Event) -> None:
        last = seen_prover = None
        while self._clients:
            commits = self._ledger.commits
            try:
                last, seen_prover = await self._look(last, seen_prover)
            except Exception:  # a ledger that does not answer for a while must not end the live pages for good
                log.exception("explorer_live_failed")
            finally:
                looked.set()
            await asyncio.sleep(PAUSE_SECONDS)
            if await self._ledger.changed(commits, LOOK_SECONDS):
                # Heartbeats and progress leave no line in the timeline: the tick tells of them.
                self._tell_all(message("tick", {}))

    async def _look(self, last: int | None, seen_prover: int | None) -> tuple[int, int]:
        async with self._ledger.reading() as session:
            if last is None or seen_prover is None:
                return await _newest(session, TaskEventRow), await _newest(session, ProverEventRow)
            rows = await _rows_after(session, last, PAGE, None)
            newest_prover = await _newest(session, ProverEventRow)
        for row in rows:
            line = task_message(row)
            for client in list(self._clients):
                if client.viewer.sees(row.project_id) and client.viewer.can("tasks:read"):
                    client.offer(line)
        if newest_prover != seen_prover:
            self._tell_all(message("prover", {}))
        return (rows[-1].id or last) if rows else last, newest_prover

    def _tell_all(self, line: bytes) -> None:
        for client in list(self._clients):
            client.offer(line)


async def _newest(session: AsyncSession, table: type[TaskEventRow] | type[ProverEventRow]) -> int:
    return int((await session.exec(select(func.max(col(table.id))))).one() or 0)


async def _rows_after(session: AsyncSession, after: int, limit: int, viewer: Viewer | None) -> list[TaskEventRow]:
    query = select(TaskEventRow).where(col(TaskEventRow.id) > after)
    if viewer is not None:
        query = query.where(*viewer.only(col(TaskEventRow.project_id)))
    return list((await session.exec(query.order_by(col(TaskEventRow.id)).limit(limit))).all())
