"""A delegate's log in memory: framed entries at the end of a file, of which a crash may lose or tear the last.

Like the file of a real node (`l1.nodes.wal`), it keeps the entries of heights that are over until there are many.
"""

from __future__ import annotations

import zlib

from l1.consensus.log import Entry, decode_entry, encode_entry

ROTATE_ENTRIES = 16
"""A log of decided heights is replaced when it has grown to this: every few heights, so that crashes meet it."""
_LENGTH_BYTES = 4
_CHECKSUM_BYTES = 4
_HEAD_BYTES = _LENGTH_BYTES + _CHECKSUM_BYTES


def frame(entry: Entry) -> bytes:
    """An entry with its length and its CRC-32 before it, 4 bytes each."""
    body = encode_entry(entry)
    return len(body).to_bytes(_LENGTH_BYTES) + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES) + body


def read(raw: bytes) -> tuple[list[Entry], int]:
    """The entries of a log up to the first torn one, and how many bytes they take.

    Raises LogError for one that is whole and yet none: no crash does that.
    """
    entries: list[Entry] = []
    at = 0
    while at + _HEAD_BYTES <= len(raw):
        length = int.from_bytes(raw[at : at + _LENGTH_BYTES])
        body = raw[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        checksum = int.from_bytes(raw[at + _LENGTH_BYTES : at + _HEAD_BYTES])
        if len(body) < length or zlib.crc32(body) != checksum:
            break
        entries.append(decode_entry(body))
        at += _HEAD_BYTES + length
    return entries, at


class Disk:
    """One delegate's write-ahead log."""

    def __init__(self) -> None:
        self._synced = bytearray()
        self._written: list[Entry] = []
        self._count = 0
        self.torn = 0
        """How often a restart found its last entry torn."""

    def append(self, entry: Entry) -> None:
        """Write and sync. Bytes are made when they are read: most logs never are."""
        self._written.append(entry)
        self._count += 1

    def tear(self, entry: Entry, kept: float) -> None:
        """Write only this share, from 0 to 1, of an entry's bytes: the power fails in the middle."""
        self._flush()
        raw = frame(entry)
        self._synced += raw[: int(kept * len(raw))]

    def recover(self) -> list[Entry]:
        """What a restart finds. What is torn is cut off, so that the next entry can be read."""
        self._flush()
        entries, length = read(bytes(self._synced))
        self.torn += length < len(self._synced)
        del self._synced[length:]
        self._count = len(entries)
        return entries

    @property
    def full(self) -> bool:
        """Whether it is to be replaced by an empty one when a height is over."""
        return self._count >= ROTATE_ENTRIES

    def decided(self) -> None:
        """A height is in the chain: its votes, and those before, are not needed any more."""
        if self.full:
            self._synced.clear()
            self._written.clear()
            self._count = 0

    def _flush(self) -> None:
        for entry in self._written:
            self._synced += frame(entry)
        self._written.clear()
