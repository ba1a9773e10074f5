"""Many statements at once: a function over a plain SQLAlchemy connection, run inside an open transaction.

With aiosqlite each step of each statement (cursor, execute, fetch, close) is a message to the connection's thread and
back, about 0.1 ms every time; a round of the dispatcher makes dozens. Here the whole function goes over in one message
and runs there on the same SQLite connection, in the same transaction. On PostgreSQL it runs as SQLAlchemy does it, one
network round trip a statement.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.prepared import PreparedConnection

Result = TypeVar("Result")
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
        self._idle: list[AsyncConnection] = []
        self._closed = False

    async def run(self, work: Callable[[Connection], Result], begin: str, *, synced: bool = True) -> Result:
        """Run `work` after `begin` (BEGIN IMMEDIATE or DEFERRED). Unless `synced`, the commit does not wait for the
        disk: it is there after the process dies, and after the machine does with the next commit that waits."""
        connection = self._idle.pop() if self._idle else await self._engine.connect()
        try:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            result: Result = await raw._execute(_whole, raw._conn, work, begin, synced)
        except BaseException:  # when it was cancelled, the thread goes on: the engine's pool waits for it
            await asyncio.shield(connection.close())
            raise
        if len(self._idle) < KEPT and not self._closed:
            self._idle.append(connection)
        else:
            await connection.close()
        return result

    async def close(self) -> None:
        """Give the connections back to the engine, from now on each after its step."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()


def _whole(connection: Any, work: Callable[[Connection], Result], begin: str, synced: bool) -> Result:
    if not synced:
        connection.execute("PRAGMA synchronous=NORMAL")
    try:
        connection.execute(begin)
        try:
            result = _over(connection, work)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        if not synced:
            connection.execute("PRAGMA synchronous=FULL")
    return result
