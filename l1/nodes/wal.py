"""The write-ahead log as a file: what a delegate has voted and proposed, on disk before anybody else hears of it.

The file is a head (magic, the chain's domain, the delegate's address, the first height that it may vote at) and
records. Head and records are framed alike: the length (4 bytes) with a checksum of its own, the bytes' checksum, the
bytes (`consensus.log.encode_entry`). Checksums are BLAKE2b (RFC 7693) of 8 bytes.

Bytes that are missing at the end were never synced, so no vote that they tell of has left: they are cut off. Bytes that
are there and differ from what was written may tell of votes that left. Nobody knows which, so such a log is refused.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import rlp

from l1.consensus.log import MAX_ENTRY_BYTES, Entry, LogError, decode_entry, encode_entry

NAME: Final = "votes.log"
"""The log's file name in a delegate's data folder."""
ROTATE_BYTES: Final = 1 << 20
"""A log of decided heights is replaced when it has grown to this; most heights take some hundred bytes."""

_MAGIC: Final = b"w3bstream/l1/votes/1"
_LENGTH_BYTES: Final = 4
_CHECKSUM_BYTES: Final = 8
_FRAME_BYTES: Final = _LENGTH_BYTES + 2 * _CHECKSUM_BYTES

log = logging.getLogger(__name__)


class WalError(RuntimeError):
    """The log cannot be used; the message says why and what to do."""


class Head(NamedTuple):
    """Whose log it is."""

    domain: bytes
    """`messages.domain_of` the chain, 32 bytes."""
    address: bytes
    """The delegate's operator address, 20 bytes."""
    first_height: int
    """The delegate votes at no height below this one: an earlier log may tell of votes there."""


def checksum(raw: bytes) -> bytes:
    """BLAKE2b, 8 bytes."""
    return hashlib.blake2b(raw, digest_size=_CHECKSUM_BYTES).digest()


def frame(body: bytes) -> bytes:
    """A record: length, the length's checksum, the body's checksum, the body."""
    length = len(body).to_bytes(_LENGTH_BYTES)
    return length + checksum(length) + checksum(body) + body


def _unframe(raw: bytes, at: int) -> bytes | None:
    """The record that begins at a place; None when it was torn. Raises LogError when it was changed."""
    begun = raw[at : at + _FRAME_BYTES]
    if len(begun) < _FRAME_BYTES or (not any(begun) and not any(raw[at:])):
        # Some file systems lengthen a file before its data is there: after a power failure the rest is zeros.
        return None
    length = int.from_bytes(begun[:_LENGTH_BYTES])
    if checksum(begun[:_LENGTH_BYTES]) != begun[_LENGTH_BYTES : _LENGTH_BYTES + _CHECKSUM_BYTES]:
        raise LogError("the checksum of a length differs")
    if length > MAX_ENTRY_BYTES:
        raise LogError(f"a record of {length} bytes; at most {MAX_ENTRY_BYTES}")
    body = raw[at + _FRAME_BYTES : at + _FRAME_BYTES + length]
    if len(body) < length:
        return None
    if checksum(body) != begun[_LENGTH_BYTES + _CHECKSUM_BYTES :]:
        raise LogError("the checksum of a record differs")
    return body


def read(raw: bytes) -> tuple[Head, list[Entry], int]:
    """The head, the entries up to where the log was torn, and how many bytes they take.

    Raises LogError when a byte was changed: `args` is (text, offset of the record).
    """
    at, entries = 0, []
    head: Head | None = None
    try:
        while at < len(raw):
            body = _unframe(raw, at)
            if body is None:
                break
            if head is None:
                head = _decode_head(body)
            else:
                entries.append(decode_entry(body))
            at += _FRAME_BYTES + len(body)
    except LogError as error:
        raise LogError(str(error), at) from error
    if head is None:
        # The head is written before the file has its name, so nothing can have torn it.
        raise LogError("the head is missing", 0)
    return head, entries, at


def _encode_head(head: Head) -> bytes:
    return bytes(rlp.encode([_MAGIC, head.domain, head.address, head.first_height]))


def _decode_head(body: bytes) -> Head:
    try:
        magic, domain, address, first_height = rlp.decode(body)
    except (rlp.DecodingError, ValueError) as error:
        raise LogError("the head cannot be read") from error
    if magic != _MAGIC:
        raise LogError("it is no log of votes")
    return Head(domain, address, int.from_bytes(first_height))


class WriteAheadLog:
    """One delegate's log, open for writing. One thread at a time."""

    def __init__(self, path: Path, domain: bytes, address: bytes) -> None:
        """Open the log of this chain and delegate; a torn end is cut off.

        Raises
        ------
        WalError
            When it is absent, another chain's or delegate's, or damaged.
        """
        self._path = path
        _draft(path).unlink(missing_ok=True)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise WalError(f"{path}: {error.strerror}. {_advice(path)}") from error
        try:
            self._head, self._entries, length = read(raw)
        except LogError as error:
            raise WalError(f"{path} is damaged at byte {error.args[1]}: {error.args[0]}. {_advice(path)}") from error
        if (self._head.domain, self._head.address) != (domain, address):
            raise WalError(
                f"{path} is the log of another chain or of another delegate (0x{self._head.address.hex()}): "
                "start with the genesis and the key that belong to this folder"
            )
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._size = length
        if length < len(raw):
            log.warning(
                "%s: %d torn bytes cut off after %d; nothing that they tell of was sent",
                path,
                len(raw) - length,
                length,
            )
            os.ftruncate(self._file, length)
            os.fsync(self._file)

    @staticmethod
    def create(path: Path, head: Head) -> None:
        """Write an empty log. Raises FileExistsError when there is one."""
        if path.exists():
            raise FileExistsError(f"{path} is there already")
        _write_whole(path, frame(_encode_head(head)))

    @property
    def first_height(self) -> int:
        """The delegate votes at no height below this one."""
        return max([self._head.first_height, *(each.height for each in self._entries)])

    def entries(self, height: int) -> list[Entry]:
        """What was written of a height, in order."""
        return [each for each in self._entries if each.height == height]

    def append(self, entry: Entry) -> None:
        """Write an entry; on return it survives a crash of the machine.

        Raises OSError. After one, the delegate must not go on: whether the entry is on disk is not known.
        """
        raw = frame(encode_entry(entry))
        if os.write(self._file, raw) != len(raw):
            raise OSError(f"{self._path}: the disk took only a part of an entry")
        os.fsync(self._file)
        self._size += len(raw)
        self._entries.append(entry)

    def decided(self, height: int, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        """Let go of what was written up to this height; the file is replaced once it has grown large."""
        self._entries = [each for each in self._entries if each.height > height]
        if self._size < rotate_bytes:
            return
        self._head = self._head._replace(first_height=max(self._head.first_height, height + 1))
        kept = frame(_encode_head(self._head)) + b"".join(frame(encode_entry(each)) for each in self._entries)
        _write_whole(self._path, kept)
        os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._size = len(kept)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def abandon(path: Path) -> Path | None:
    """Set a log aside under a name that is free. Returns where it is, None when there was none."""
    if not path.exists():
        return None
    number = next(each for each in range(1, 1 << 30) if not path.with_suffix(f".abandoned-{each}").exists())
    return path.rename(path.with_suffix(f".abandoned-{number}"))


def _advice(path: Path) -> str:
    return (
        "Do not delete or repair it: a delegate that forgets a vote may contradict it, and is slashed for that. Put back "
        f"{path.name} as it was when the node stopped (never an older copy), or start once with --abandon-log: the "
        "delegate then watches until the others have decided every height that it may have voted at, and votes after"
    )


def _draft(path: Path) -> Path:
    return path.with_suffix(".new")


def _write_whole(path: Path, raw: bytes, sync: Callable[[int], None] = os.fsync) -> None:
    """A crash leaves the old file or this one."""
    draft = _draft(path)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        written = os.write(file, raw)
        sync(file)
    finally:
        os.close(file)
    if written != len(raw):
        raise OSError(f"{draft}: the disk took only a part of the log")
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        sync(folder)
    finally:
        os.close(folder)
