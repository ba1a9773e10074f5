"""The way into the ledger: transactions and guarded transitions.

A room opens `async with ledger.transaction() as session` and does all of one change in it. Writers take turns, so that
what one has read is true until it ends (`sqlite.py`, `postgres.py`, docs/adr/0004).
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, make_url, update
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.leadership import Term
from coordinator.ledger.migrations import upgrade
from coordinator.ledger.one_hop import AtOnce, BusyError, WholeSteps, in_one_hop, is_sqlite
from coordinator.ledger.postgres import Postgres
from coordinator.ledger.sqlite import PRAGMAS, Sqlite
from coordinator.ledger.tables import (
    AttemptRow,
    TaskEventRow,
    TaskRow,
)
from coordinator.ledger.transitions import (
    ATTEMPT_TRANSITIONS,
    TASK_TRANSITIONS,
    AttemptState,
    TaskState,
)
from coordinator.observability.tally import ledger_failed, ledger_transaction
from verifier.errors import Conflict, InvalidInput, NotFound, W3bstreamError

Result = TypeVar("Result")
Clock = Callable[[], int]
"""Milliseconds since the Unix epoch."""


def system_clock() -> int:
    """The wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


class _Wakeups:
    """Who waits in this process for a commit, and how many there were."""

    def __init__(self) -> None:
        self.commits = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def committed(self) -> None:
        """Wake everybody."""
        self.commits += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def after(self, seen: int, seconds: float) -> bool:
        """Whether a commit after the count `seen` came within `seconds`."""
        if self.commits != seen:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True


def _database(url: str, clock: Clock) -> Sqlite | Postgres:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput("W3B-3026", "the ledger's URL cannot be read", field="ledger_url") from None
    backend = parsed.drivername.split("+")[0]
    if backend == "sqlite":
        return Sqlite(parsed, clock)
    if backend in ("postgresql", "postgres"):
        return Postgres(parsed)
    raise InvalidInput("W3B-3026", f"the ledger cannot be on {backend!r}", field="ledger_url")


class Ledger:
    """The database of record.

    Parameters: `url` is `sqlite:///path/ledger.db` or `postgresql://user:password@host/database`; `clock` gives the
    time. Raises InvalidInput: W3B-3026 for another URL, W3B-3020 when the driver for it is not installed.
    """

    def __init__(self, url: str, clock: Clock = system_clock) -> None:
        self.clock = clock
        """The one clock of the ledger."""
        self._database = _database(url, clock)
        self.url = make_url(url).render_as_string(hide_password=True)
        """Where it is; never with a password, so it may be shown."""
        self.engine: AsyncEngine = self._database.engine
        """SQLAlchemy's engine of the read-write transactions."""
        self._steps = WholeSteps(self.engine)
        self._at_once = AtOnce(self.engine.url.database or "", PRAGMAS)
        self.shared = self._database.shared
        """Whether coordinators of other hosts may work on this ledger too."""
        self._wakeups = _Wakeups()
        self._turn = asyncio.Lock()
        self._term: Term | None = None

    @classmethod
    def at(cls, path: Path, clock: Clock = system_clock) -> Ledger:
        """The SQLite ledger in file `path`."""
        return cls(f"sqlite+aiosqlite:///{path}", clock)

    def led_by(self, term: Term) -> Ledger:
        """This ledger for the loops of the leader: each `transaction` first requires that `term` still holds.

        It shares connections and wake-ups with this one; only this one is closed.
        """
        led = copy.copy(self)
        led._term = term
        return led

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; safe to call at every start, by several at once.

        Raises Unavailable (W3B-3021, W3B-3022) and InvalidInput (W3B-3023) when a server cannot be used.
        """
        with self._coded():
            async with self.engine.begin() as connection:
                await self._database.begin_write(connection)
                await connection.run_sync(upgrade)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One read-write transaction: committed when the block ends, rolled back when it raises.

        There is one writer at a time, on every database: what the block reads stays as it is until it ends.
        Raises Conflict (W3B-8010) when the term of a leader's ledger is over, Unavailable (W3B-3021, W3B-3024) when
        the server is away or busy, and InvalidInput (W3B-3025) for a value that it cannot hold. After Unavailable at
        the very end it is open whether it was committed.
        """
        with ledger_transaction(), self._coded():
            # In the order in which they came: SQLite itself lets writers wait by looking again, up to 0.1 s apart.
            async with self._turn, AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
                await self._database.begin_write(await session.connection())
                if self._term is not None:
                    # A lock keeps others away from a ledger that is not shared: there the lease cannot run out, and
                    # this machine's clock may jump.
                    await self._term.require(session, self.now() if self.shared else None)
                yield session
        self._wakeups.committed()

    def now(self) -> Any:
        """The database's own clock in milliseconds, for SQL: the one that coordinators share."""
        return self._database.now()

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except W3bstreamError:
            raise
        except Exception as error:
            coded = self._database.coded(error)
            if isinstance(coded or error, W3bstreamError | OperationalError):  # SQLite's own have no code
                ledger_failed(getattr(coded, "code", "none"))
            if coded is None:
                raise
            raise coded from error

    @property
    def commits(self) -> int:
        """How many commits this object has heard of; take it before you look, hand it to `changed`."""
        return self._wakeups.commits

    async def changed(self, seen: int, seconds: float) -> bool:
        """Wait until a transaction commits after the count `seen`, at most `seconds`; say whether one did.

        A hint that saves latency. Other processes' commits are heard on PostgreSQL while its notifications arrive, on
        SQLite never: every loop also looks by itself.
        """
        await self._database.listen(self._wakeups.committed)
        return await self._wakeups.after(seen, seconds)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One consistent read. Raises Unavailable (W3B-3021, W3B-3024) and InvalidInput (W3B-3025)."""
        with self._coded():
            async with AsyncSession(self._database.read_engine, expire_on_commit=False) as session, session.begin():
                yield session

    async def write(self, work: Callable[[Connection], Result], *, synced: bool = True, brief: bool = False) -> Result:
        """`transaction` for a function over a plain connection: on SQLite all of it is one step. It must not await.

        Unless `synced`, SQLite does not wait for the disk: when the machine itself goes down, what was written since
        the last synced commit may be gone, in order. That is for what only this machine's processes act on, and only
        until they die with it. PostgreSQL outlives its clients, and always waits. What is `brief` as well, a few rows,
        SQLite does at once in this thread, unless the database is busy.

        Raises what `transaction` raises, and what `work` raises.
        """
        if not is_sqlite(self.engine):
            async with self.transaction() as session:
                return await in_one_hop(session, work)

        def guarded(connection: Connection) -> Result:
            if self._term is not None:
                self._term.require_at_once(connection)
            return work(connection)

        with ledger_transaction(), self._coded():
            async with self._turn:
                result = await self._step(guarded, "BEGIN IMMEDIATE", synced=synced, brief=brief and not synced)
        self._wakeups.committed()
        return result

    async def read(self, work: Callable[[Connection], Result], *, brief: bool = False) -> Result:
        """`reading` for a function over a plain connection: on SQLite all of it is one step. It must not await. What is
        `brief`, a few queries by index, SQLite does at once in this thread, unless the database is busy."""
        if not is_sqlite(self.engine):
            async with self.reading() as session:
                return await in_one_hop(session, work)
        with self._coded():
            return await self._step(work, "BEGIN DEFERRED", synced=True, brief=brief)

    async def _step(self, work: Callable[[Connection], Result], begin: str, *, synced: bool, brief: bool) -> Result:
        if brief:
            with suppress(BusyError):
                return self._at_once.run(work, begin)
        return await self._steps.run(work, begin, synced=synced)

    async def close(self) -> None:
        """Give the connections back."""
        self._at_once.close()
        await self._steps.close()
        await self._database.close()


async def record_event(
    session: AsyncSession,
    now: int,
    task: TaskRow,
    *,
    subject: str,
    source: str,
    target: str,
    reason: str,
    code: str = "",
    attempt_id: int | None = None,
) -> None:
    """Add a line to the task's timeline."""
    session.add(
        TaskEventRow(
            task_id=task.id,
            project_id=task.project_id,
            attempt_id=attempt_id,
            subject=subject,
            source=source,
            target=target,
            reason=reason,
            code=code,
            at=now,
        )
    )


async def get_task(session: AsyncSession, task_id: str) -> TaskRow:
    """The task. Raises NotFound (W3B-3003)."""
    task = await session.get(TaskRow, task_id, populate_existing=True)
    if task is None:
        raise NotFound("W3B-3003", f"there is no task {task_id}", field="task_id")
    return task


async def move_task(
    session: AsyncSession,
    now: int,
    task_id: str,
    target: TaskState,
    *,
    reason: str = "",
    code: str = "",
    **values: Any,
) -> TaskRow:
    """Move a task along its table and set `values` in the same statement.

    Raises Conflict (W3B-3001) when the table has no such way from the current state.
    """
    task = await get_task(session, task_id)
    source = TaskState(task.state)
    ways = TASK_TRANSITIONS[source]
    if target not in ways:
        raise Conflict("W3B-3001", f"task {task_id} is {source}; it cannot become {target}", field="state")
    values = {
        "state": target.value,
        "updated_at": now,
        "code": code,
        "reason": reason or ways[target],
        **values,
    }
    done = await session.exec(
        update(TaskRow).where(TaskRow.id == task_id, TaskRow.state == source.value).values(**values)  # type: ignore[arg-type]
    )
    if done.rowcount != 1:
        raise Conflict("W3B-3001", f"task {task_id} left {source} meanwhile", field="state")
    await record_event(
        session,
        now,
        task,
        subject="task",
        source=source,
        target=target,
        reason=reason or ways[target],
        code=code,
    )
    await session.refresh(task)
    return task


async def move_attempt(
    session: AsyncSession,
    now: int,
    attempt_id: int,
    fence: int,
    target: AttemptState,
    *,
    reason: str = "",
    code: str = "",
    **values: Any,
) -> AttemptRow:
    """Move an attempt along its table under its fencing token and set `values` in the same statement.

    Raises NotFound (W3B-3004), and Conflict: W3B-3002 when the fence is not the attempt's, W3B-3001 when the table
    has no such way. A late report is for the caller to record (`record_late_report`) in a transaction of its own.
    """
    attempt = await session.get(AttemptRow, attempt_id, populate_existing=True)
    if attempt is None:
        raise NotFound("W3B-3004", f"there is no attempt {attempt_id}", field="attempt_id")
    if attempt.fence != fence:
        raise Conflict("W3B-3002", f"attempt {attempt_id} has fence {attempt.fence}, not {fence}", field="fence")
    source = AttemptState(attempt.state)
    ways = ATTEMPT_TRANSITIONS[source]
    if target not in ways:
        raise Conflict("W3B-3001", f"attempt {attempt_id} is {source}; it cannot become {target}", field="state")
    values = {
        "state": target.value,
        "updated_at": now,
        "code": code,
        "reason": reason or ways[target],
        **values,
    }
    done = await session.exec(
        update(AttemptRow)
        .where(
            AttemptRow.id == attempt_id,  # type: ignore[arg-type]
            AttemptRow.fence == fence,  # type: ignore[arg-type]
            AttemptRow.state == source.value,  # type: ignore[arg-type]
        )
        .values(**values)
    )
    if done.rowcount != 1:
        raise Conflict("W3B-3001", f"attempt {attempt_id} left {source} meanwhile", field="state")
    task = await get_task(session, attempt.task_id)
    await record_event(
        session,
        now,
        task,
        subject="attempt",
        source=source,
        target=target,
        reason=reason or ways[target],
        code=code,
        attempt_id=attempt_id,
    )
    await session.refresh(attempt)
    return attempt


async def record_late_report(session: AsyncSession, now: int, attempt: AttemptRow, what: str) -> None:
    """Record, without any effect, a report that came under an old fence or after the attempt ended."""
    task = await get_task(session, attempt.task_id)
    await record_event(
        session,
        now,
        task,
        subject="attempt",
        source=attempt.state,
        target=attempt.state,
        reason=f"late report refused: {what}",
        code="W3B-3002",
        attempt_id=attempt.id,
    )
