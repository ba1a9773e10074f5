"""Durable blocks: one SQLite file, WAL, `synchronous=FULL`. A block is on disk before anybody hears of it.

One writer connection, used by one thread at a time under a lock, and one reader connection, so that queries do not wait
for a commit.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from l1.chain.snapshot import Snapshot
from native import _native

SCHEMA_VERSION = "1"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL, block BLOB NOT NULL,
    receipts BLOB NOT NULL, logs_bloom BLOB
);
CREATE TABLE IF NOT EXISTS transactions (
    hash BLOB PRIMARY KEY, number INTEGER NOT NULL, position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transactions_by_number ON transactions (number);
CREATE TABLE IF NOT EXISTS footers (number INTEGER PRIMARY KEY, footer BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS delegates (epoch INTEGER PRIMARY KEY, number INTEGER NOT NULL, members BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (number INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS headers (number INTEGER PRIMARY KEY, header BLOB NOT NULL);
"""

_EMPTY_BLOOM = bytes(256)


class StoreError(RuntimeError):
    """The data folder cannot be used; the message says why and what to do."""


class BlockStore:
    """Blocks, receipts and state snapshots of one chain in one folder, owned by one process."""

    def __init__(self, data_dir: Path) -> None:
        """Open or create `data_dir/chain.sqlite`.

        Raises
        ------
        StoreError
            When another process holds the folder, or the file has another schema version.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(data_dir / "chain.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock_file)
            raise StoreError(f"{data_dir} is in use by another node: stop it or choose another --data-dir") from error
        path = data_dir / "chain.sqlite"
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)
        found = self.meta("schema_version")
        if found is None:
            self.set_meta("schema_version", SCHEMA_VERSION)
        elif found != SCHEMA_VERSION:
            raise StoreError(f"{path} has schema version {found}, this program writes {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file and give the folder back."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
        os.close(self._lock_file)

    def meta(self, key: str) -> str | None:
        """A stored setting, or `None`."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a setting."""
        with self._write_lock, self._writer:
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def append(
        self,
        block: _native.Block,
        encoded_receipts: bytes,
        footer: bytes = b"",
        polled: tuple[int, bytes] | None = None,
    ) -> None:
        """Write the next block, with the footer that decided it; on return they survive a crash of the machine.

        Parameters
        ----------
        polled
            Epoch and delegates of the poll that the block put, if it did.

        Raises
        ------
        StoreError
            When the block does not follow the last one.
        """
        head = self.head_number()
        if block.number != (0 if head is None else head + 1):
            raise StoreError(f"block {block.number} does not follow block {head}")
        with self._write_lock, self._writer:
            self._insert(block, encoded_receipts)
            if footer:
                self._writer.execute("INSERT INTO footers VALUES (?, ?)", (block.number, footer))
            if polled is not None:
                epoch, members = polled
                self._writer.execute("INSERT INTO delegates VALUES (?, ?, ?)", (epoch, block.number, members))

    def adopt(self, snapshot: Snapshot, polls: Sequence[tuple[int, int, bytes]]) -> None:
        """Go on from block 0 at a snapshot; all of it is written, or nothing.

        Parameters
        ----------
        polls
            Epoch, number of the block with its poll, and delegates, as `append` has them.

        Raises
        ------
        StoreError
            When there are blocks after block 0.
        """
        if self.head_number() != 0:
            raise StoreError("only a new chain can begin at a snapshot")
        number = snapshot.block.number
        first = number - len(snapshot.headers) + 1
        numbered = [(first + at, header) for at, header in enumerate(snapshot.headers) if 0 < first + at < number]
        with self._write_lock, self._writer:
            self._insert(snapshot.block, snapshot.receipts)
            self._writer.execute("INSERT INTO footers VALUES (?, ?)", (number, snapshot.footer))
            self._writer.executemany("INSERT INTO headers VALUES (?, ?)", numbered)
            self._writer.executemany("INSERT INTO delegates VALUES (?, ?, ?)", polls)
            self._writer.execute("INSERT INTO snapshots VALUES (?, ?)", (number, snapshot.state))

    def first_number(self) -> int:
        """Number of the first block after block 0, or 1: a chain that began at a snapshot has no others before it."""
        row = self._row("SELECT min(number) FROM blocks WHERE number > 0")
        return 1 if row is None or row[0] is None else int(row[0])

    def truncate(self, number: int) -> None:
        """Drop every block above `number`."""
        with self._write_lock, self._writer:
            for table in ("transactions", "snapshots", "footers", "delegates", "blocks"):
                self._writer.execute(f"DELETE FROM {table} WHERE number > ?", (number,))  # noqa: S608

    def head_number(self) -> int | None:
        """Number of the last block, or `None` in a new folder."""
        row = self._row("SELECT max(number) FROM blocks")
        return None if row is None or row[0] is None else int(row[0])

    def block(self, number: int) -> bytes | None:
        """RLP of a block."""
        row = self._row("SELECT block FROM blocks WHERE number = ?", number)
        return None if row is None else bytes(row[0])

    def footer(self, number: int) -> bytes | None:
        """What decided a block (`consensus.certificate.footer`); None for a block that one producer made."""
        row = self._row("SELECT footer FROM footers WHERE number = ?", number)
        return None if row is None else bytes(row[0])

    def delegates(self, epoch: int) -> bytes | None:
        """The delegates of an epoch that was polled, as `append` got them."""
        row = self._row("SELECT members FROM delegates WHERE epoch = ?", epoch)
        return None if row is None else bytes(row[0])

    def receipts(self, number: int) -> bytes | None:
        """A block's receipts as `native` encodes them."""
        row = self._row("SELECT receipts FROM blocks WHERE number = ?", number)
        return None if row is None else bytes(row[0])

    def number_of(self, block_hash: bytes) -> int | None:
        """Number of the block with this hash."""
        row = self._row("SELECT number FROM blocks WHERE hash = ?", block_hash)
        return None if row is None else int(row[0])

    def position_of(self, transaction_hash: bytes) -> tuple[int, int] | None:
        """(block number, index in the block) of a transaction."""
        row = self._row("SELECT number, position FROM transactions WHERE hash = ?", transaction_hash)
        return None if row is None else (int(row[0]), int(row[1]))

    def headers(self, first: int, last: int) -> list[bytes]:
        """RLP of consecutive headers, both ends included; also of those before a snapshot that came with it."""
        query = (
            "SELECT number, header FROM blocks WHERE number BETWEEN ? AND ? UNION ALL "
            "SELECT number, header FROM headers WHERE number BETWEEN ? AND ? ORDER BY number"
        )
        return [bytes(row[1]) for row in self._rows(query, first, last, first, last)]

    def blooms(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """(number, logs bloom) of the blocks that have logs, ascending."""
        query = (
            "SELECT number, logs_bloom FROM blocks WHERE number BETWEEN ? AND ? AND logs_bloom IS NOT NULL "
            "ORDER BY number"
        )
        for number, bloom in self._rows(query, first, last):
            yield int(number), bytes(bloom)

    def save_snapshot(self, number: int, state: bytes, keep_from: int) -> None:
        """Store the state after a block, and drop snapshots that no restart needs: those below `keep_from`, but not
        the newest of them."""
        with self._write_lock, self._writer:
            self._writer.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", (number, state))
            self._writer.execute(
                "DELETE FROM snapshots WHERE number < (SELECT max(number) FROM snapshots WHERE number <= ?)",
                (keep_from,),
            )

    def snapshot(self, at_most: int) -> tuple[int, bytes] | None:
        """The newest snapshot at or below a block."""
        row = self._row("SELECT number, state FROM snapshots WHERE number <= ? ORDER BY number DESC LIMIT 1", at_most)
        return None if row is None else (int(row[0]), bytes(row[1]))

    def _insert(self, block: _native.Block, encoded_receipts: bytes) -> None:
        bloom = block.logs_bloom
        row = (
            block.number,
            block.hash,
            block.header,
            block.encoded,
            encoded_receipts,
            None if bloom == _EMPTY_BLOOM else bloom,
        )
        positions = [(tx.hash, block.number, position) for position, tx in enumerate(block.transactions)]
        self._writer.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", row)
        self._writer.executemany("INSERT INTO transactions VALUES (?, ?, ?)", positions)

    def _row(self, query: str, *arguments: object) -> tuple[Any, ...] | None:
        rows = self._rows(query, *arguments)
        return rows[0] if rows else None

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._read_lock:
            return self._reader.execute(query, arguments).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection
