"""Entries of the write-ahead log: what a delegate must not forget, written and synced before it is signed or sent.

From its own votes a delegate that restarts knows its lock (a LOCK vote is cast in the step that locks) and what it must
not contradict; the blocks are kept with them, because a delegate locked on a block that nobody has any more could
neither propose nor leave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import rlp

from l1.consensus.machine import NIL, NO_ROUND, State, Topic
from l1.consensus.messages import HASH_BYTES, Certificate, MessageError, decode, encode


class Voted(NamedTuple):
    """A vote is about to be cast."""

    height: int
    round: int
    topic: Topic
    block_hash: bytes


class Proposed(NamedTuple):
    """A block is about to be proposed."""

    height: int
    round: int
    block_hash: bytes
    valid_round: int
    block: bytes


class Held(NamedTuple):
    """A block is about to be locked."""

    height: int
    round: int
    block_hash: bytes
    proof: Certificate
    """The quorum that endorsed it."""
    block: bytes


Entry = Voted | Proposed | Held
_KINDS: Final[tuple[type, ...]] = (Voted, Proposed, Held)
MAX_ENTRY_BYTES: Final = 1 << 26


class LogError(ValueError):
    """Bytes that are no entry."""


def encode_entry(entry: Entry) -> bytes:
    """An entry as bytes."""
    match entry:
        case Voted():
            fields: list[object] = [entry.height, entry.round, int(entry.topic), entry.block_hash]
        case Proposed():
            fields = [entry.height, entry.round, entry.block_hash, entry.valid_round + 1, entry.block]
        case Held():
            fields = [entry.height, entry.round, entry.block_hash, encode(entry.proof), entry.block]
    return bytes(rlp.encode([_KINDS.index(type(entry)), fields]))


def decode_entry(raw: bytes) -> Entry:
    """The entry of these bytes. Raises LogError."""
    try:
        match rlp.decode(raw, strict=True):
            case [kind, [height, round_, topic, block_hash]] if _number(kind) == 0:
                return Voted(_number(height), _number(round_), Topic(_number(topic)), _hash(block_hash))
            case [kind, [height, round_, block_hash, valid_round, block]] if _number(kind) == 1:
                of = _number(valid_round) - 1
                return Proposed(_number(height), _number(round_), _hash(block_hash), of, _bytes(block))
            case [kind, [height, round_, block_hash, proof, block]] if _number(kind) == 2:
                shown = decode(proof, max_bytes=MAX_ENTRY_BYTES)
                if isinstance(shown, Certificate):
                    return Held(_number(height), _number(round_), _hash(block_hash), shown, _bytes(block))
    except (rlp.DecodingError, MessageError, ValueError, TypeError) as error:
        raise LogError(f"not an entry of the log: {error}") from error
    raise LogError("not an entry of the log: unknown kind")


def _bytes(raw: object) -> bytes:
    if not isinstance(raw, bytes):
        raise LogError("not an entry of the log: a list where bytes belong")
    return raw


def _number(raw: object) -> int:
    number = _bytes(raw)
    if len(number) > 8 or number[:1] == b"\0":
        raise LogError("not an entry of the log: no canonical number")
    return int.from_bytes(number)


def _hash(raw: object) -> bytes:
    if len(_bytes(raw)) != HASH_BYTES:
        raise LogError(f"not an entry of the log: a hash has {HASH_BYTES} bytes")
    return _bytes(raw)


def state_of(height: int, entries: Iterable[Entry]) -> State:
    """What a delegate knew of a height when it stopped, in PREPARE of the last round that it voted or proposed in.

    Entries of other heights are passed over.
    """
    state = State(height)
    last = NO_ROUND
    for entry in entries:
        if entry.height != height:
            continue
        last = max(last, entry.round) if not isinstance(entry, Held) else last
        if not isinstance(entry, Voted) or entry.block_hash == NIL or entry.topic == Topic.PROPOSAL:
            continue
        if entry.round >= state.locked_round:
            state = state._replace(
                locked_round=entry.round,
                locked_hash=entry.block_hash,
                valid_round=entry.round,
                valid_hash=entry.block_hash,
            )
        if entry.topic == Topic.COMMIT and entry.round > state.committed_round:
            state = state._replace(committed_round=entry.round, committed_hash=entry.block_hash)
    return state._replace(round=max(last - 1, NO_ROUND))
