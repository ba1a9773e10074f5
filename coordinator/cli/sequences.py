"""Which sequence numbers a device has used, beside its key file: `<name>.json.sequences`.

A sequence number is spent the moment a reading is signed with it, so the numbers of a file are written down before its
first reading is sent, and how far it was sent after each acknowledgement. The same file, also with rows added at its
end, gets the same numbers for the same rows again: it goes on where it stopped, and a resent row is byte for byte the
first one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coordinator.cli.csv_source import Measurement
from provers.installation import write_private
from verifier.errors import Conflict, InvalidInput

SUFFIX = ".sequences"


class RowDigests:
    """SHA-256 over the first n rows of one device, for the n that are asked for."""

    def __init__(self, lengths: set[int]) -> None:
        self._hash = hashlib.sha256()
        self._lengths = lengths
        self.count = 0
        """Rows taken."""
        self.at: dict[int, str] = {}
        """Digest by number of rows."""

    def take(self, row: Measurement) -> None:
        """Add a row."""
        self._hash.update(row.timestamp.to_bytes(8, "big") + len(row.payload).to_bytes(4, "big") + row.payload)
        self.count += 1
        if self.count in self._lengths:
            self.at[self.count] = self._hash.hexdigest()

    @property
    def last(self) -> str:
        """Digest of all rows taken."""
        return self._hash.hexdigest()


@dataclass
class FileRecord:
    """The rows of one file of one device."""

    rows: int
    """Rows that have numbers."""
    digest: str
    """Of those rows."""
    sent: int
    """Rows that the service has acknowledged, from the first on."""
    segments: list[tuple[int, int]] = field(default_factory=list)
    """(first sequence number, rows), in the order of the rows."""

    def sequence(self, row: int) -> int:
        """The sequence number of the row with this index, from 0."""
        for first, rows in self.segments:
            if row < rows:
                return first + row
            row -= rows
        raise IndexError(row)


class SequenceBook:
    """The numbers of one device in one project."""

    def __init__(self, path: Path, project_id: int) -> None:
        self._path = path
        self._project = str(project_id)
        self._data: dict[str, Any] = self._read()
        entry = self._data["projects"].setdefault(self._project, {"next": 1, "files": []})
        self.next: int = entry["next"]
        """First number that was never used."""
        self.files = [
            FileRecord(each["rows"], each["digest"], each["sent"], [(first, rows) for first, rows in each["segments"]])
            for each in entry["files"]
        ]
        """Files sent so far, oldest first."""

    def _read(self) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {"version": 1, "projects": {}}
        except (OSError, ValueError) as error:
            raise InvalidInput("W3B-7016", f"{self._path} cannot be read: {error}") from error
        if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("projects"), dict):
            raise InvalidInput("W3B-7016", f"{self._path} is not a version 1 sequence file")
        return data

    def lengths(self) -> set[int]:
        """Row counts at which a file may turn out to be one that was sent before."""
        return {each.rows for each in self.files}

    def plan(self, digests: RowDigests, *, again: bool) -> FileRecord:
        """The record of a file, found again or made; numbers for its new rows are taken and written down."""
        matches = [each for each in self.files if digests.at.get(each.rows) == each.digest]
        record = max(matches, key=lambda each: each.rows, default=None)
        if record is None or again:
            record = FileRecord(0, "", 0)
            self.files.append(record)
        new = digests.count - record.rows
        if new:
            record.segments.append((self.next, new))
            self.next += new
        record.rows, record.digest = digests.count, digests.last
        self.save()
        return record

    def save(self) -> None:
        """Write the book durably, whole or not at all."""
        files = [vars(each) for each in self.files]
        self._data["projects"][self._project] = {"next": self.next, "files": files}
        write_private(self._path, json.dumps(self._data))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder: two ingests with the same keys would spend the same numbers. Raises Conflict (W3B-7016)."""
    with (folder / ".ingest.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                "W3B-7016", f"another ingest uses the keys in {folder}", next_step="Wait until it ended."
            ) from error
        yield
