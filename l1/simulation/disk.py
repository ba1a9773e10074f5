"""A delegate's disk in memory: an append-only log of framed entries, of which a crash may lose or tear the last."""

from __future__ import annotations

import zlib

from l1.consensus.log import Entry, decode_entry, encode_entry

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

    def append(self, entry: Entry) -> None:
        """Write and sync. Bytes are made when they are read: most logs never are."""
        self._written.append(entry)

    def tear(self, entry: Entry, kept: float) -> None:
        """Write only this share, from 0 to 1, of an entry's bytes: the power fails in the middle."""
        self._flush()
        raw = frame(entry)
        self._synced += raw[: int(kept * len(raw))]

    def recover(self) -> list[Entry]:
        """What a restart finds. What is torn is cut off, so that the next entry can be read."""
        self._flush()
        entries, length = read(bytes(self._synced))
        del self._synced[length:]
        return entries

    def forget(self) -> None:
        """Start afresh: a height is committed, and its votes are not needed any more."""
        self._synced.clear()
        self._written.clear()

    def _flush(self) -> None:
        for entry in self._written:
            self._synced += frame(entry)
        self._written.clear()
