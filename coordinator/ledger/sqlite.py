"""The ledger on SQLite: one writer at a time because a transaction begins IMMEDIATE; WAL and synchronous FULL keep what
was committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from verifier.errors import InvalidInput

PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000")
READ_ONLY = "w3b_read_only"


class Sqlite:
    """One file. Parameters: its `url`."""

    def __init__(self, url: URL, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.shared = False
        """Whether other hosts may work on this ledger too."""
        self.engine: AsyncEngine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
        """For read-write transactions."""
        event.listen(self.engine.sync_engine, "connect", _on_connect)
        event.listen(self.engine.sync_engine, "begin", _on_begin)
        self.read_engine: AsyncEngine = self.engine.execution_options(**{READ_ONLY: True})
        """For consistent reads."""

    async def begin_write(self, connection: AsyncConnection) -> None:
        """Nothing more: the transaction has begun IMMEDIATE, which waits for the other writers."""

    def now(self) -> int:
        """The database's clock in milliseconds: this machine's."""
        return self._clock()

    def coded(self, error: BaseException) -> Exception | None:
        """W3B-3025 for a number that SQLite cannot hold; its other errors have no code of their own."""
        if isinstance(error, OverflowError) and "SQLite INTEGER" in str(error):
            return InvalidInput("W3B-3025", "a value is out of range")
        return None

    async def listen(self, heard: Callable[[], None]) -> None:
        """Nobody calls: other processes' commits are found by looking."""

    async def close(self) -> None:
        """Give the connections back."""
        await self.engine.dispose()


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Any) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")
