"""One service at a time in a home folder, and on a ledger that is a file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sqlalchemy import make_url

from verifier.errors import Unavailable

LOCK_FILE = "service.lock"


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    Raises Unavailable (W3B-8001) when another process has it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise Unavailable("W3B-8001", f"another service runs in {path.parent}", field="home") from error

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._handle)


def locks_of(home: Path, ledger_url: str) -> list[Path]:
    """The files to lock: the home folder's, and that of an SQLite ledger which is elsewhere."""
    found = [home / LOCK_FILE]
    url = make_url(ledger_url)
    if url.drivername.startswith("sqlite") and url.database:
        database = Path(url.database).absolute()
        if database.parent != home.absolute():
            found.append(database.with_name(f"{database.name}.lock"))
    return found
