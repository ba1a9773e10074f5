"""The ledger on PostgreSQL: one writer at a time, as on SQLite, by a lock that every writing transaction takes first.

Why one writer, and what it costs, is docs/adr/0004. What follows from it:
- READ COMMITTED is enough: after the lock each statement sees everything that was committed, and nobody else writes
  until this transaction ends. So no transaction is ever aborted for a conflict, and none has to be tried again.
- Ids become visible in their order, which the watches need.
- A transaction that does not end would stop everybody: the server itself ends one that is idle for `IDLE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from verifier.errors import InvalidInput, Unavailable, W3bstreamError

OLDEST = 14
"""The oldest major version that we support: the oldest that PostgreSQL itself still did when we began."""
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0
LOCK_SECONDS = 30.0
"""Longest wait for the other writers."""
IDLE_SECONDS = 15.0
"""A writer that is silent so long in a transaction (its process is stopped, its network gone) loses it."""
SPARE_SECONDS = 15.0
"""The client gives up so long after the server should have."""
POOL = 8
"""Connections kept; writers take turns, so more would wait for each other."""
OVERFLOW = 16
"""Further connections for readers in a rush."""
WRITERS_LOCK = 0x773362_6C6564  # "w3b led"
CHANNEL = "w3bstream_ledger"
RELISTEN_SECONDS = 2.0
ABSENT_SQLSTATES = ("08", "53", "57P")
"""Classes: no connection, no resources, the operator shut the server down."""
TOO_LATE_SQLSTATES = {
    "55P03": f"the other writers did not end within {LOCK_SECONDS:g} s",
    "57014": f"a statement took longer than {STATEMENT_SECONDS:g} s",
    "25P03": f"a transaction was silent for {IDLE_SECONDS:g} s",
}

log = structlog.get_logger(__name__)


def _seconds(value: float) -> str:
    return f"{value:g}s"


class Postgres:
    """One database of a server. Parameters: its `url`, as libpq takes it (`sslmode` and the like included).

    Raises InvalidInput (W3B-3020) when the driver is not installed.
    """

    def __init__(self, url: URL) -> None:
        try:
            import asyncpg
        except ImportError as error:
            raise InvalidInput("W3B-3020", "a ledger on PostgreSQL needs the package asyncpg") from error
        self._asyncpg = asyncpg
        self.shared = True
        """Whether other hosts may work on this ledger too."""
        self._where = f"{url.host or url.query.get('host') or 'localhost'}, database {url.database or ''!r}"
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._me = secrets.token_hex(8)
        self._listening: asyncio.Task[None] | None = None
        # The driver reads the URL itself: what libpq understands is understood here.
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=POOL,
            max_overflow=OVERFLOW,
            pool_timeout=LOCK_SECONDS,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
        )
        """For read-write transactions."""
        self.read_engine: AsyncEngine = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        """For consistent reads."""

    async def _connect(self) -> Any:
        connection = await self._asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS + SPARE_SECONDS,
            server_settings={
                "application_name": "w3bstream",
                "statement_timeout": _seconds(STATEMENT_SECONDS),
                "lock_timeout": _seconds(LOCK_SECONDS),
                "idle_in_transaction_session_timeout": _seconds(IDLE_SECONDS),
            },
        )
        version = connection.get_server_version()
        if version.major < OLDEST:
            await connection.close()
            raise InvalidInput("W3B-3023", f"the server at {self._where} is PostgreSQL {version.major}")
        return connection

    async def begin_write(self, connection: AsyncConnection) -> None:
        """Wait for the other writers; and have everybody told when this transaction commits."""
        query = text("SELECT pg_advisory_xact_lock(:lock), pg_notify(:channel, :me)")
        await connection.execute(query, {"lock": WRITERS_LOCK, "channel": CHANNEL, "me": self._me})

    def now(self) -> Any:
        """The database's clock in milliseconds, as SQL."""
        return text("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")

    def coded(self, error: BaseException) -> W3bstreamError | None:
        """The error as users see it; None for one that is no matter of the connection or of a value."""
        if isinstance(error, PoolTimeoutError):
            return Unavailable("W3B-3021", f"every connection to the ledger at {self._where} is busy")
        causes = list(_causes(error))
        sqlstate = next((state for each in causes if (state := getattr(each, "sqlstate", None))), "")
        if sqlstate.startswith(("28", "3D")):
            return Unavailable("W3B-3022", f"the server at {self._where} refused us: {causes[-1]}")
        if sqlstate in TOO_LATE_SQLSTATES:
            return Unavailable("W3B-3024", TOO_LATE_SQLSTATES[sqlstate])
        if sqlstate.startswith("22") or any(isinstance(each, self._asyncpg.DataError) for each in causes):
            return InvalidInput("W3B-3025", "a value is out of range, or holds a NUL character")
        absent = any(isinstance(each, OSError | TimeoutError | self._asyncpg.InterfaceError) for each in causes)
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if absent or lost or sqlstate.startswith(ABSENT_SQLSTATES):
            return Unavailable("W3B-3021", f"the ledger at {self._where} does not answer: {type(causes[-1]).__name__}")
        return None

    async def listen(self, heard: Callable[[], None]) -> None:
        """From now on call `heard` whenever another process has committed, as long as the server can be reached."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(heard), name="ledger-notifications")

    async def _listen(self, heard: Callable[[], None]) -> None:
        def on_notification(_connection: Any, _pid: int, _channel: str, who: str) -> None:
            if who != self._me:
                heard()

        while True:
            ended = asyncio.Event()
            connection = None
            try:
                connection = await self._connect()
                connection.add_termination_listener(lambda _, ended=ended: ended.set())
                await connection.add_listener(CHANNEL, on_notification)
                heard()  # what was committed before
                await ended.wait()
            except Exception as error:
                coded = self.coded(error)
                if coded is None:
                    raise
                # Only a hint is lost: everybody who waits looks by himself too.
                log.warning("ledger_notifications_lost", code=coded.code, reason=coded.message)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(RELISTEN_SECONDS)

    async def close(self) -> None:
        """Give the connections back."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        await self.engine.dispose()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from, outermost first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = getattr(found, "orig", None) or found.__cause__
