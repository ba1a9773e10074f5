"""What is asked and answered about snapshots: bodies of the frames from GET_CHECKPOINT to CHUNK (`wire`).

Every answer is RLP with a bound on each part; an empty list says that the node cannot answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import rlp

from l1.consensus.delegates import ADDRESS_BYTES, KEY_BYTES, MAX_DELEGATES, Delegate, DelegateSet, DelegateSetError
from l1.consensus.messages import MAX_HEIGHT
from l1.nodes.wire import (
    CHUNK_BYTES,
    MAX_EPOCHS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    WireError,
    canonical,
    fields_of,
    hash_of,
    number_of,
)

MAX_STATE_BYTES: Final = 1 << 30
"""A state, encoded: what a node asks for at most."""
MAX_FOOTER_BYTES: Final = 1_024
MAX_CHUNKS: Final = MAX_STATE_BYTES // CHUNK_BYTES
_POWER_BYTES: Final = 32


class Named(NamedTuple):
    """A header and the set that it names for the block after it."""

    header: bytes
    """RLP."""
    delegates: DelegateSet


class EpochEnd(NamedTuple):
    """The last header of an epoch, what decided it, and the set that it names for the next epoch."""

    header: bytes
    footer: bytes
    delegates: DelegateSet


class Offer(NamedTuple):
    """A block whose state can be had."""

    block: bytes
    """RLP."""
    receipts: bytes
    """As `native` encodes them."""
    footer: bytes
    """What decided the block."""
    size: int
    """Bytes of the state after it, encoded."""


class GetHeaders(NamedTuple):
    """Headers from `first` on, as many as there are and fit."""

    first: int
    most: int


class GetChunk(NamedTuple):
    """The part of a block's state that begins at `place` times CHUNK_BYTES."""

    number: int
    place: int


class Chunk(NamedTuple):
    """That part."""

    number: int
    place: int
    part: bytes


def chunks_of(size: int) -> int:
    """How many parts a state of this many bytes has."""
    return -(-size // CHUNK_BYTES)


# --- questions ---


def encode_hash(asked: bytes) -> bytes:
    """The body of GET_CHECKPOINT: a block's hash."""
    return bytes(rlp.encode([asked]))


def decode_hash(raw: bytes) -> bytes:
    """Read it. Raises WireError."""
    (asked,) = fields_of(raw, 1)
    return hash_of(asked)


def encode_number(asked: int) -> bytes:
    """The body of GET_EPOCHS (an epoch) and GET_SNAPSHOT (the least number of a block)."""
    return bytes(rlp.encode([asked]))


def decode_number(raw: bytes) -> int:
    """Read it. Raises WireError."""
    (asked,) = fields_of(raw, 1)
    return number_of(asked, MAX_HEIGHT)


def encode_get_headers(asked: GetHeaders) -> bytes:
    """The body of GET_HEADERS."""
    return bytes(rlp.encode(list(asked)))


def decode_get_headers(raw: bytes) -> GetHeaders:
    """Read it. Raises WireError."""
    first, most = fields_of(raw, 2)
    return GetHeaders(number_of(first, MAX_HEIGHT), number_of(most, MAX_HEADERS))


def encode_get_chunk(asked: GetChunk) -> bytes:
    """The body of GET_CHUNK."""
    return bytes(rlp.encode(list(asked)))


def decode_get_chunk(raw: bytes) -> GetChunk:
    """Read it. Raises WireError."""
    number, place = fields_of(raw, 2)
    return GetChunk(number_of(number, MAX_HEIGHT), number_of(place, MAX_CHUNKS))


# --- answers ---


def encode_checkpoint(found: Named | None) -> bytes:
    """The body of CHECKPOINT; None for a block that this node does not have."""
    return bytes(rlp.encode([] if found is None else [found.header, _members(found.delegates)]))


def decode_checkpoint(raw: bytes) -> Named | None:
    """Read it. Raises WireError."""
    match canonical(raw):
        case []:
            return None
        case [header, members]:
            return Named(_bytes(header, MAX_HEADER_BYTES), _set(members))
    raise WireError("malformed", "not a header and its delegates")


def encode_epochs(found: Sequence[EpochEnd]) -> bytes:
    """The body of EPOCHS."""
    return bytes(rlp.encode([[each.header, each.footer, _members(each.delegates)] for each in found]))


def decode_epochs(raw: bytes) -> list[EpochEnd]:
    """Read it. Raises WireError."""
    parts = canonical(raw)
    if not isinstance(parts, list) or len(parts) > MAX_EPOCHS:
        raise WireError("malformed", f"not a list of at most {MAX_EPOCHS} epochs")
    found = []
    for each in parts:
        if not isinstance(each, list) or len(each) != 3:
            raise WireError("malformed", "not a header, its footer and its delegates")
        header, footer, members = each
        found.append(EpochEnd(_bytes(header, MAX_HEADER_BYTES), _bytes(footer, MAX_FOOTER_BYTES), _set(members)))
    return found


def encode_offer(found: Offer | None) -> bytes:
    """The body of SNAPSHOT; None where none can be had now."""
    return bytes(rlp.encode([] if found is None else list(found)))


def decode_offer(raw: bytes) -> Offer | None:
    """Read it. Raises WireError, `oversized` for a state that is larger than any that is asked for."""
    match canonical(raw):
        case []:
            return None
        case [bytes() as block, bytes() as receipts, footer, bytes() as size] if block and receipts and size:
            if len(size) > 8 or int.from_bytes(size) > MAX_STATE_BYTES:
                raise WireError("oversized", f"a state of more than {MAX_STATE_BYTES} bytes")
            return Offer(block, receipts, _bytes(footer, MAX_FOOTER_BYTES), number_of(size, MAX_STATE_BYTES))
    raise WireError("malformed", "not a block, its receipts, its footer and a size")


def encode_headers(found: Sequence[bytes]) -> bytes:
    """The body of HEADERS."""
    return bytes(rlp.encode(list(found)))


def decode_headers(raw: bytes) -> list[bytes]:
    """Read it. Raises WireError."""
    parts = canonical(raw)
    if not isinstance(parts, list) or len(parts) > MAX_HEADERS:
        raise WireError("malformed", f"not a list of at most {MAX_HEADERS} headers")
    return [_bytes(each, MAX_HEADER_BYTES) for each in parts]


def encode_chunk(found: Chunk | None) -> bytes:
    """The body of CHUNK; None where the state is not held any more."""
    return bytes(rlp.encode([] if found is None else list(found)))


def decode_chunk(raw: bytes) -> Chunk | None:
    """Read it. Raises WireError."""
    match canonical(raw):
        case []:
            return None
        case [number, place, part]:
            return Chunk(number_of(number, MAX_HEIGHT), number_of(place, MAX_CHUNKS), _bytes(part, CHUNK_BYTES))
    raise WireError("malformed", "not a part of a state")


def _bytes(value: object, most: int) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= most:
        raise WireError("malformed", f"not 1 to {most} bytes")
    return value


def _members(delegates: DelegateSet) -> list[Any]:
    return [[each.address, each.power, each.key] for each in delegates.members]


def _set(parts: object) -> DelegateSet:
    if not isinstance(parts, list) or len(parts) > MAX_DELEGATES:
        raise WireError("malformed", f"not a list of at most {MAX_DELEGATES} delegates")
    members = []
    for each in parts:
        match each:
            case [bytes() as address, bytes() as power, bytes() as key] if (
                len(address) == ADDRESS_BYTES and len(key) == KEY_BYTES and 1 <= len(power) <= _POWER_BYTES
            ):
                members.append(Delegate(address, int.from_bytes(power), key))
            case _:
                raise WireError("malformed", "not a delegate")
    try:
        return DelegateSet(tuple(members))
    except DelegateSetError as error:
        raise WireError("malformed", str(error)) from error
