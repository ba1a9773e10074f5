"""Frames between nodes that know each other: length (4 bytes), kind (1 byte), body. Every kind has a largest size.

Lists are RLP; what is not canonical, too long or too many is refused before anything is made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import rlp

from l1.consensus.messages import HASH_BYTES, MAX_HEIGHT

MAX_BLOCK_BYTES: Final = 10 << 20
"""An encoded block (EIP-7934)."""
MAX_RANGE: Final = 64
"""Blocks that one answer holds at most."""
RANGE_BYTES: Final = 2 << 20
"""An answer ends with the block that makes it this long."""
MAX_HEADER_BYTES: Final = 1_024
"""An encoded header; one of ours has some 600."""
MAX_SET_BYTES: Final = 128 << 10
"""An encoded delegate set of the most members that one may have (`consensus.delegates.MAX_DELEGATES`)."""
MAX_EPOCHS: Final = 8
"""Epochs that one answer tells of at most."""
MAX_HEADERS: Final = 512
"""Headers that one answer holds at most."""
CHUNK_BYTES: Final = 1 << 20
"""A part of a state, but the last, which is shorter or as long."""
MAX_RECEIPT_BYTES: Final = 16 << 20
"""Encoded receipts of a block: its gas limit bounds their logs, at 8 gas a byte."""
_SMALL: Final = 1_024
_LENGTH_BYTES: Final = 4
_ROOM: Final = 4_096
"""What a message holds besides its block."""


class Kind(IntEnum):
    """What a frame's body is."""

    VOTE = 1
    """`consensus.messages.encode` of a vote or a certificate."""
    BLOCK_MESSAGE = 2
    """`consensus.messages.encode` of a proposal."""
    TRANSACTION = 3
    """A signed transaction (EIP-2718)."""
    STATUS = 4
    """How far the sender's chain goes."""
    GET_BLOCKS = 5
    """Ask for decided blocks."""
    BLOCKS = 6
    """The answer."""
    GET_BLOCK = 7
    """Ask for a block of the height that is being decided."""
    BLOCK = 8
    """The answer."""
    GET_CHECKPOINT = 9
    """Ask for the header with a hash, and the delegates that it names (`snapshot_wire`, as all that follow)."""
    CHECKPOINT = 10
    """The answer."""
    GET_EPOCHS = 11
    """Ask for the last headers of epochs, what decided them, and the delegates that they name."""
    EPOCHS = 12
    """The answer."""
    GET_SNAPSHOT = 13
    """Ask for a block whose state can be had."""
    SNAPSHOT = 14
    """The answer."""
    GET_HEADERS = 15
    """Ask for headers."""
    HEADERS = 16
    """The answer."""
    GET_CHUNK = 17
    """Ask for a part of the state."""
    CHUNK = 18
    """The answer."""


LIMITS: Final = {
    Kind.VOTE: _SMALL,
    Kind.BLOCK_MESSAGE: MAX_BLOCK_BYTES + _ROOM,
    Kind.TRANSACTION: 1 << 17,
    Kind.STATUS: _SMALL,
    Kind.GET_BLOCKS: _SMALL,
    Kind.BLOCKS: MAX_BLOCK_BYTES + RANGE_BYTES + _ROOM * MAX_RANGE,
    Kind.GET_BLOCK: _SMALL,
    Kind.BLOCK: MAX_BLOCK_BYTES + _ROOM,
    Kind.GET_CHECKPOINT: _SMALL,
    Kind.CHECKPOINT: MAX_SET_BYTES + MAX_HEADER_BYTES + _SMALL,
    Kind.GET_EPOCHS: _SMALL,
    Kind.EPOCHS: MAX_EPOCHS * (MAX_SET_BYTES + MAX_HEADER_BYTES + _ROOM),
    Kind.GET_SNAPSHOT: _SMALL,
    Kind.SNAPSHOT: MAX_BLOCK_BYTES + MAX_RECEIPT_BYTES + _ROOM,
    Kind.GET_HEADERS: _SMALL,
    Kind.HEADERS: MAX_HEADERS * MAX_HEADER_BYTES,
    Kind.GET_CHUNK: _SMALL,
    Kind.CHUNK: CHUNK_BYTES + _SMALL,
}
"""The largest body of each kind, bytes."""


class WireError(ValueError):
    """Bytes that no honest node sends. `args` is (reason, text); the reasons are counted: `oversized`, `malformed`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


class Status(NamedTuple):
    """How far a node's chain goes."""

    head: int
    """Number of its newest block."""
    hash: bytes
    """That block's hash."""
    first: int = 1
    """The first block that it can be asked for: a chain that began at a snapshot has none before it."""


class GetBlocks(NamedTuple):
    """Decided blocks from `first` on, as many as there are and fit."""

    first: int
    """Number of the first."""
    most: int
    """How many at most."""


class GetBlock(NamedTuple):
    """The block with this hash, of a height that is not decided yet."""

    height: int
    hash: bytes


class Decided(NamedTuple):
    """A decided block and its footer (`consensus.certificate.footer`)."""

    block: bytes
    footer: bytes


def frame(kind: Kind, body: bytes) -> bytes:
    """A frame."""
    return (len(body) + 1).to_bytes(_LENGTH_BYTES) + bytes([kind]) + body


async def read_frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """The next frame. Nothing is read of one that is too long.

    Raises
    ------
    WireError
        `malformed` for an unknown kind or an empty frame, `oversized` for one longer than its kind may be.
    asyncio.IncompleteReadError, OSError
        When the connection ends.
    """
    begun = await reader.readexactly(_LENGTH_BYTES + 1)
    length = int.from_bytes(begun[:_LENGTH_BYTES]) - 1
    try:
        kind = Kind(begun[_LENGTH_BYTES])
    except ValueError as error:
        raise WireError("malformed", f"a frame of kind {begun[_LENGTH_BYTES]}") from error
    if length > LIMITS[kind]:
        raise WireError("oversized", f"{kind.name} of {length} bytes; at most {LIMITS[kind]}")
    if length < 1:
        raise WireError("malformed", "an empty frame")
    return kind, await reader.readexactly(length)


def encode_status(status: Status) -> bytes:
    """The body of STATUS."""
    return bytes(rlp.encode(list(status)))


def decode_status(raw: bytes) -> Status:
    """Read a STATUS. Raises WireError."""
    head, block_hash, first = fields_of(raw, 3)
    return Status(number_of(head, MAX_HEIGHT), hash_of(block_hash), number_of(first, MAX_HEIGHT))


def encode_get_blocks(asked: GetBlocks) -> bytes:
    """The body of GET_BLOCKS."""
    return bytes(rlp.encode(list(asked)))


def decode_get_blocks(raw: bytes) -> GetBlocks:
    """Read a GET_BLOCKS. Raises WireError."""
    first, most = fields_of(raw, 2)
    return GetBlocks(number_of(first, MAX_HEIGHT), number_of(most, MAX_RANGE))


def encode_get_block(asked: GetBlock) -> bytes:
    """The body of GET_BLOCK."""
    return bytes(rlp.encode(list(asked)))


def decode_get_block(raw: bytes) -> GetBlock:
    """Read a GET_BLOCK. Raises WireError."""
    height, block_hash = fields_of(raw, 2)
    return GetBlock(number_of(height, MAX_HEIGHT), hash_of(block_hash))


def encode_blocks(blocks: Sequence[Decided]) -> bytes:
    """The body of BLOCKS."""
    return bytes(rlp.encode([list(each) for each in blocks]))


def decode_blocks(raw: bytes) -> list[Decided]:
    """Read a BLOCKS. Raises WireError."""
    parts = canonical(raw)
    if not isinstance(parts, list) or len(parts) > MAX_RANGE:
        raise WireError("malformed", f"not a list of at most {MAX_RANGE} blocks")
    found = []
    for each in parts:
        match each:
            case [bytes() as block, bytes() as footer] if block and footer:
                found.append(Decided(block, footer))
            case _:
                raise WireError("malformed", "not a block and its footer")
    return found


def canonical(raw: bytes) -> object:
    """What RLP in its one encoding says. Raises WireError."""
    try:
        return rlp.decode(raw, strict=True)
    except (rlp.DecodingError, RecursionError) as error:
        raise WireError("malformed", f"no canonical RLP: {error}") from error


def fields_of(raw: bytes, count: int) -> list[object]:
    """A list of so many fields. Raises WireError."""
    parts = canonical(raw)
    if not isinstance(parts, list) or len(parts) != count:
        raise WireError("malformed", f"not a list of {count} fields")
    return parts


def number_of(value: object, most: int) -> int:
    """A number of 0 to `most`. Raises WireError."""
    if not isinstance(value, bytes) or len(value) > 8 or value[:1] == b"\0" or int.from_bytes(value) > most:
        raise WireError("malformed", "not a canonical number in its range")
    return int.from_bytes(value)


def hash_of(value: object) -> bytes:
    """A hash, 32 bytes. Raises WireError."""
    if not isinstance(value, bytes) or len(value) != HASH_BYTES:
        raise WireError("malformed", f"not a hash of {HASH_BYTES} bytes")
    return value
