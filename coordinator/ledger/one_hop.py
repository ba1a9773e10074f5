"""Many statements at once: a function over a plain SQLAlchemy connection, run inside an open transaction.

With aiosqlite each step of each statement (cursor, execute, fetch, close) is a message to the connection's thread and
back, about 0.1 ms every time; a round of the dispatcher makes dozens. Here the whole function goes over in one message
and runs there on the same SQLite connection, in the same transaction. On PostgreSQL it runs as SQLAlchemy does it, one
network round trip a statement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool
from sqlmodel.ext.asyncio.session import AsyncSession

Result = TypeVar("Result")
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
        with _sqlite.connect() as lent:
            return work(lent)
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


async def whole_in_one_hop(engine: AsyncEngine, work: Callable[[Connection], Result], begin: str) -> Result:
    """A whole transaction of SQLite in one message: `begin` (BEGIN IMMEDIATE or DEFERRED), `work`, COMMIT; or ROLLBACK
    when `work` raises."""
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        result: Result = await raw._execute(_whole, raw._conn, work, begin)
        return result


def _whole(connection: Any, work: Callable[[Connection], Result], begin: str) -> Result:
    connection.execute(begin)
    try:
        result = _over(connection, work)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
