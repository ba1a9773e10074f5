"""What a broker remembers: its challenges, each good for one release, and a line for every request, never changed.

SQLite, one transaction a step, synced to disk before an answer leaves.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from provers.installation import private_folder
from verifier.errors import Refused, Unavailable

CHALLENGE_SECONDS = 300
"""How long a challenge may be answered."""
MOST_CHALLENGES = 10_000
"""Challenges that may be open at once: asking for one costs nothing, so that it must not cost us much."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS challenge (nonce BLOB PRIMARY KEY, expires_at INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS request (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, secret TEXT NOT NULL,"
    " model TEXT NOT NULL, program_id TEXT NOT NULL, prover TEXT NOT NULL, session_key TEXT NOT NULL,"
    " anchor TEXT NOT NULL, evidence_sha256 TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS request_stays BEFORE UPDATE ON request BEGIN SELECT RAISE(ABORT, 'append only'); END",
    "CREATE TRIGGER IF NOT EXISTS request_is_kept BEFORE DELETE ON request"
    " BEGIN SELECT RAISE(ABORT, 'append only'); END",
)


@dataclass(frozen=True)
class Entry:
    """One request and how it ended."""

    at: int
    """Unix seconds."""
    secret: str
    """The name that was asked for."""
    model: str
    """`background-check` or `passport`."""
    program_id: str
    """0x hex, as the request claims it; proven where `code` is empty."""
    prover: str
    """Address, 0x hex."""
    session_key: str
    """Digest of the session key, 0x hex."""
    anchor: str = ""
    """`vendor` or `simulated`; empty where nothing led to an anchor."""
    evidence_sha256: str = ""
    code: str = ""
    """Why it was refused; empty where the secret was released."""
    reason: str = ""


class Journal:
    """One broker's file, which several processes may share. Raises Unavailable (W3B-9125) where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            private_folder(path.parent)
            path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise Unavailable("W3B-9125", f"{path.name} cannot be made: {error.strerror}", field="folder") from error
        with self._transaction() as db:
            for statement in _SCHEMA:
                db.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(
                "W3B-9125", f"the broker's journal {self._path.name}: {error}", field="journal"
            ) from error

    def challenge(self, now: int) -> bytes:
        """A fresh nonce, 32 bytes. Raises Refused (W3B-9122) where too many are open."""
        nonce = secrets.token_bytes(32)
        with self._transaction() as db:
            db.execute("DELETE FROM challenge WHERE expires_at <= ?", (now,))
            (count,) = db.execute("SELECT count(*) FROM challenge").fetchone()
            if count >= MOST_CHALLENGES:
                raise Refused("W3B-9122", f"{count} challenges are open; ask again in a while", field="nonce")
            db.execute("INSERT INTO challenge VALUES (?, ?)", (nonce, now + CHALLENGE_SECONDS))
        return nonce

    def require_open(self, nonce: bytes, now: int) -> None:
        """Raises Refused (W3B-9122) for a nonce that was not given out, was used, or ran out."""
        with self._transaction() as db:
            if not db.execute("SELECT 1 FROM challenge WHERE nonce = ? AND expires_at > ?", (nonce, now)).fetchone():
                raise _unknown()

    def released(self, nonce: bytes, now: int, entry: Entry) -> None:
        """Use up the nonce and write the entry, both or neither. Raises Refused (W3B-9122)."""
        with self._transaction() as db:
            used = db.execute("DELETE FROM challenge WHERE nonce = ? AND expires_at > ?", (nonce, now))
            if used.rowcount != 1:
                raise _unknown()
            _write(db, entry)

    def refused(self, entry: Entry) -> None:
        """Write down a request that was refused."""
        with self._transaction() as db:
            _write(db, entry)

    def entries(self, limit: int = 100) -> list[Entry]:
        """The newest requests, newest first."""
        with self._transaction() as db:
            rows = db.execute(_NEWEST, (limit,)).fetchall()
        return [Entry(*row) for row in rows]


_INSERT = """INSERT INTO request
(at, secret, model, program_id, prover, session_key, anchor, evidence_sha256, code, reason)
VALUES (:at, :secret, :model, :program_id, :prover, :session_key, :anchor, :evidence_sha256, :code, :reason)"""
_NEWEST = """SELECT at, secret, model, program_id, prover, session_key, anchor, evidence_sha256, code, reason
FROM request ORDER BY id DESC LIMIT ?"""


def _write(db: sqlite3.Connection, entry: Entry) -> None:
    db.execute(_INSERT, asdict(entry))


def _unknown() -> Refused:
    return Refused("W3B-9122", "the nonce is no open challenge: never given out, used, or run out", field="nonce")
