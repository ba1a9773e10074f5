"""Tails: tables that only grow, followed from any id on, by many watchers at the price of one.

One task reads new rows and wakes the watchers that they concern; each watcher then reads its own rows after its own
cursor. So a slow watcher holds no memory here, and none can lose or repeat a row: the ledger's id is the only cursor.
Ids must become visible in their order, which holds where writers take turns, as on SQLite.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import structlog
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.unbroken import Unbroken
from coordinator.ledger.store import Ledger
from verifier.errors import Unavailable

LOOK_SECONDS = 1.0
"""How often the table is looked at when no commit of this process said so."""
PAGE = 500
"""Rows that are read at a time."""

Row = TypeVar("Row", bound=SQLModel)

log = structlog.get_logger(__name__)


class Tail(Generic[Row]):
    """The new rows of one table with an integer key `id`.

    Parameters: `topics` gives the names under which a row may be followed; a watcher follows one topic.
    """

    def __init__(
        self, ledger: Ledger, table: type[Row], topics: Callable[[Row], tuple[str, ...]], unbroken: Unbroken
    ) -> None:
        self._ledger = ledger
        self._unbroken = unbroken
        self._id: Any = col(table.id)  # type: ignore[attr-defined]
        self._table = table
        self._topics = topics
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to wake watchers."""
        self._stopping = False
        self._task = asyncio.create_task(self._run(), name=f"tail-{self._table.__name__}")

    async def stop(self) -> None:
        """End every watch with Unavailable (W3B-7011), so that its client comes back with its cursor."""
        self._stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        last: int | None = None
        while True:
            seen = self._ledger.commits
            if not self._watchers:  # nobody to wake; the first look for the next watcher wakes everyone
                last = None
                await self._ledger.changed(seen, LOOK_SECONDS)
                continue
            try:
                last = await self._unbroken.run(self._advance(last))
            except Exception:
                # Watchers hang on this task: it outlives a ledger that does not answer for a while.
                log.exception("tail_failed", table=self._table.__name__)
                await asyncio.sleep(LOOK_SECONDS)
                continue
            await self._ledger.changed(seen, LOOK_SECONDS)

    async def _advance(self, last: int | None) -> int:
        """Wake who follows the rows after `last`; the first look wakes everyone. Returns the newest id."""
        async with self._ledger.reading() as session:
            if last is None:
                newest = (await session.exec(select(func.max(self._id)))).one()
                self._wake(list(self._watchers))
                return int(newest or 0)
            while rows := (await session.exec(self._query(last))).all():
                self._wake({topic for row in rows for topic in self._topics(row)})
                last = int(rows[-1].id)
            return last

    async def _look(
        self, after: int, condition: Any, ended: Callable[[AsyncSession], Awaitable[bool]]
    ) -> tuple[bool, Sequence[Any]]:
        async with self._ledger.reading() as session:
            return await ended(session), (await session.exec(self._query(after).where(condition))).all()

    def _query(self, after: int) -> Any:
        return select(self._table).where(self._id > after).order_by(self._id).limit(PAGE)

    def _wake(self, topics: set[str] | list[str]) -> None:
        for topic in topics:
            for watcher in self._watchers.get(topic, ()):
                watcher.set()

    @contextmanager
    def _watching(self, topic: str) -> Iterator[asyncio.Event]:
        woken = asyncio.Event()
        self._watchers.setdefault(topic, set()).add(woken)
        try:
            yield woken
        finally:
            watchers = self._watchers[topic]
            watchers.discard(woken)
            if not watchers:
                del self._watchers[topic]

    async def follow(
        self,
        topic: str,
        after: int,
        condition: Any,
        ended: Callable[[AsyncSession], Awaitable[bool]],
    ) -> AsyncIterator[Row]:
        """The rows after id `after` that meet the SQL `condition`, in order, as they come.

        `ended(session)` is asked in each consistent read; the watch ends when it says so in one that found no further
        row, and at once with what it raises. Raises Unavailable (W3B-7011) when the service stops.
        """
        with self._watching(topic) as woken:
            while True:
                woken.clear()
                over, rows = await self._unbroken.run(self._look(after, condition, ended))
                for row in rows:
                    yield row
                    after = int(row.id)
                if over and not rows:
                    return
                if self._stopping:
                    raise Unavailable(
                        "W3B-7011", "the service is stopping", next_step="Watch again from the last event id."
                    )
                if not rows:
                    await woken.wait()
