"""Many statements at once: a function over a plain SQLAlchemy connection, run inside an open transaction.

With aiosqlite each step of each statement (cursor, execute, fetch, close) is a message to the connection's thread and
back, about 0.1 ms every time; a round of the dispatcher makes dozens. Here the whole function goes over in one message
and runs there on the same SQLite connection, in the same transaction. On PostgreSQL it runs as SQLAlchemy does it, one
network round trip a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.prepared import PreparedConnection, told

Result = TypeVar("Result")
BUSY, LOCKED = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED
KEPT = 3
"""Connections that are kept for steps; the engine's pool has more for sessions."""
_lent = threading.local()


class _Lent:
    """A DBAPI connection whose transaction belongs to somebody else: it is neither begun, ended nor closed here."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """The owner commits."""

    def rollback(self) -> None:
        """The owner rolls back."""

    def close(self) -> None:
        """The owner closes."""


def _lend() -> Any:
    return _lent.connection


_sqlite: Engine = create_engine("sqlite://", creator=_lend, poolclass=NullPool)
"""Compiles and runs for whatever connection the thread was lent; it keeps none."""


def _over(connection: Any, work: Callable[[Connection], Result]) -> Result:
    """Run `work` over a raw sqlite3 connection, in the thread that it belongs to."""
    _lent.connection = _Lent(connection)
    try:
        with PreparedConnection(connection, _sqlite.connect) as lent:
            return work(cast(Connection, lent))
    except StopIteration as error:  # no future takes one: whoever waits would wait for ever
        raise RuntimeError("work ended with StopIteration") from error
    finally:
        del _lent.connection


async def in_one_hop(session: AsyncSession, work: Callable[[Connection], Result]) -> Result:
    """Run `work` in the session's transaction and return what it returns. It must not commit, roll back or await.

    What the session has pending is flushed first; rows it holds are not refreshed. Raises what `work` raises; the
    transaction is then the caller's to end, as with any other error.
    """
    await session.flush()
    connection = await session.connection()
    if not is_sqlite(connection):
        return await connection.run_sync(work)
    raw: Any = (await connection.get_raw_connection()).driver_connection
    # aiosqlite has no public way to run a function in a connection's thread; tests/dispatch keeps watch over this one.
    result: Result = await raw._execute(_over, raw._conn, work)
    return result


def is_sqlite(engine: AsyncEngine | AsyncConnection) -> bool:
    """Whether connections are aiosqlite's, each with a thread of its own."""
    return engine.dialect.driver == "aiosqlite"


class WholeSteps:
    """Whole transactions of SQLite, each in one message: BEGIN, the work, COMMIT; or ROLLBACK when the work raises.

    Connections are kept between steps: to take one from the engine's pool and give it back costs more than a small
    transaction. Parameters: `engine` makes them.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._idle: list[tuple[AsyncConnection, Any]] = []
        self._closed = False

    async def run(self, work: Callable[[Connection], Result], begin: str, *, synced: bool = True) -> Result:
        """Run `work` after `begin` (BEGIN IMMEDIATE or DEFERRED). Unless `synced`, the commit does not wait for the
        disk: it is there after the process dies, and after the machine does with the next commit that waits."""
        connection, raw = self._idle.pop() if self._idle else await self._connect()
        try:
            result: Result = await raw._execute(_whole, raw._conn, work, begin, synced)
        except BaseException:  # when it was cancelled, the thread goes on: the engine's pool waits for it
            await asyncio.shield(connection.close())
            raise
        if len(self._idle) < KEPT and not self._closed:
            self._idle.append((connection, raw))
        else:
            await connection.close()
        return result

    async def _connect(self) -> tuple[AsyncConnection, Any]:
        """A connection, and the driver's own below it."""
        connection = await self._engine.connect()
        try:
            return connection, (await connection.get_raw_connection()).driver_connection
        except BaseException:  # also a cancellation: nobody else would give it back
            await asyncio.shield(connection.close())
            raise

    async def close(self) -> None:
        """Give the connections back to the engine, from now on each after its step."""
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].close()


class BusyError(Exception):
    """Another process or thread holds the database; nothing was done."""


class AtOnce:
    """Whole transactions of SQLite in the caller's own thread, for work that takes less than to wake another thread and
    wait for it. They never wait: for a lock there is BusyError, and commits are not synced.

    Parameters: `path` of the database; `pragmas` of its connections.
    """

    def __init__(self, path: str, pragmas: Sequence[str]) -> None:
        self._path = path
        # A checkpoint waits for the disk: it is left to the connections that have threads.
        self._pragmas = (*pragmas, "synchronous=NORMAL", "busy_timeout=0", "wal_autocheckpoint=0")
        self._raw: sqlite3.Connection | None = None
        self._taken = threading.Lock()

    def run(self, work: Callable[[Connection], Result], begin: str) -> Result:
        """Run `work` after `begin`. Raises BusyError, and what `work` raises."""
        if not self._taken.acquire(blocking=False):
            raise BusyError
        try:
            return _whole(self._connection(), work, begin, synced=True)
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (LOCKED, BUSY):
                raise BusyError from error
            raise
        finally:
            self._taken.release()

    def _connection(self) -> sqlite3.Connection:
        if self._raw is None:
            raw = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            for pragma in self._pragmas:
                _say(raw, f"PRAGMA {pragma}")
            self._raw = raw
        return self._raw

    def close(self) -> None:
        """Close the connection; the next `run` opens another."""
        with self._taken:
            raw, self._raw = self._raw, None
            if raw is not None:
                raw.close()


def _whole(connection: Any, work: Callable[[Connection], Result], begin: str, synced: bool) -> Result:
    if not synced:
        connection.execute("PRAGMA synchronous=NORMAL")
    try:
        _say(connection, begin)
        try:
            result = _over(connection, work)
            _say(connection, "COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        if not synced:
            connection.execute("PRAGMA synchronous=FULL")
    return result


def _say(connection: Any, text: str) -> None:
    """Run a statement. Raises SQLAlchemy's errors, as the work does: whoever waits for room or a lock knows those."""
    try:
        connection.execute(text)
    except sqlite3.Error as error:
        raise told(error, text) from error
