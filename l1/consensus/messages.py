"""What delegates sign and send: votes, proposals and decisions, with their digests and encodings.

Every digest binds a domain (chain id and genesis), the height and the round, so that nothing signed counts on another
chain or at another place (in iotex-core a vote binds its time only, and a vote for nil replays across chains).
Encodings are RLP lists; decoding refuses what is not canonical, too long, or out of range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import rlp
from eth_hash.auto import keccak

from l1.consensus.machine import NO_ROUND, Topic

HASH_BYTES = 32
SIGNATURE_BYTES = 96
MAX_ROUND: Final = 2**31 - 1
"""A round that no height reaches."""
MAX_HEIGHT: Final = 2**63 - 1
MAX_BITMAP_BYTES: Final = 128
"""1,024 delegates."""

_VOTE: Final = b"w3bstream/l1/vote/1"
_PROPOSAL: Final = b"w3bstream/l1/proposal/1"


class MessageError(ValueError):
    """Bytes that are no message. `args` is (reason, text); the reasons are few and counted: `size`, `encoding`,
    `kind`, `range`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


def domain_of(chain_id: int, genesis_hash: bytes) -> bytes:
    """32 bytes that every digest of a chain starts from."""
    return bytes(keccak(b"w3bstream/l1" + chain_id.to_bytes(32) + genesis_hash))


class Vote(NamedTuple):
    """One delegate's vote."""

    height: int
    round: int
    topic: Topic
    block_hash: bytes
    """32 bytes; NIL for no block."""
    delegate: int
    """Index in the height's delegate set."""
    signature: bytes = b""
    """BLS12-381 over `digest`, 96 bytes."""

    def digest(self, domain: bytes) -> bytes:
        """What is signed, 32 bytes: the same for all delegates that vote alike."""
        return vote_digest(domain, self.height, self.round, self.topic, self.block_hash)


def vote_digest(domain: bytes, height: int, round_: int, topic: Topic, block_hash: bytes) -> bytes:
    """keccak256 of the domain, the height (8 bytes), the round (4), the topic (1) and the block's hash, 32 bytes."""
    place = height.to_bytes(8) + round_.to_bytes(4) + bytes([topic])
    return bytes(keccak(_VOTE + domain + place + block_hash))


class Certificate(NamedTuple):
    """A quorum's votes for one block in one round: their signatures' sum, and who they are of."""

    height: int
    round: int
    topic: Topic
    block_hash: bytes
    signers: bytes
    """Bitmap of ceil(n / 8) bytes; delegate i is bit i % 8, the lowest first, of byte i // 8."""
    signature: bytes
    """96 bytes."""

    def digest(self, domain: bytes) -> bytes:
        """What each of the signers signed."""
        return vote_digest(domain, self.height, self.round, self.topic, self.block_hash)

    def signer_indices(self) -> list[int]:
        """Who voted, ascending."""
        return [8 * at + bit for at, byte in enumerate(self.signers) for bit in range(8) if byte >> bit & 1]


class Proposal(NamedTuple):
    """A block that a round's proposer wants decided."""

    height: int
    round: int
    block_hash: bytes
    delegate: int
    """The proposer's index."""
    valid_round: int = NO_ROUND
    """The round of `proof`; NO_ROUND for a fresh block."""
    proof: Certificate | None = None
    """A quorum of PROPOSAL or LOCK votes for the block in `valid_round`: what lets locked delegates endorse it."""
    block: bytes = b""
    """The block, encoded."""
    signature: bytes = b""
    """The proposer's, over `digest`."""

    def digest(self, domain: bytes) -> bytes:
        """What is signed, 32 bytes. The block is bound by its hash, the proof by its own signatures."""
        place = self.height.to_bytes(8) + self.round.to_bytes(4) + (self.valid_round + 1).to_bytes(4)
        return bytes(keccak(_PROPOSAL + domain + place + self.block_hash))


class Decision(NamedTuple):
    """A final block and what shows it: what a delegate that fell behind is sent."""

    certificate: Certificate
    """A quorum of COMMIT votes."""
    block: bytes
    """The block, encoded."""


Message = Vote | Proposal | Certificate | Decision

_KINDS: Final[tuple[type, ...]] = (Vote, Proposal, Certificate, Decision)


def encode(message: Message) -> bytes:
    """The message as bytes: RLP of [kind, fields]."""
    return bytes(rlp.encode([_number(_KINDS.index(type(message))), _fields(message)]))


def decode(raw: bytes, *, max_bytes: int) -> Message:
    """The message that `encode` made these bytes of.

    Raises MessageError, reason `size` for more than `max_bytes`, `encoding` for what is no canonical RLP or has the
    wrong fields, `kind` for an unknown kind, `range` for a number or a length outside its bounds.
    """
    if len(raw) > max_bytes:
        raise MessageError("size", f"{len(raw)} bytes; at most {max_bytes}")
    try:
        parts = rlp.decode(raw, strict=True)
    except (rlp.DecodingError, RecursionError) as error:
        raise MessageError("encoding", f"no canonical RLP: {error}") from error
    match parts:
        case [bytes() as kind, list() as fields] if len(kind) <= 1:
            number = int.from_bytes(kind)
        case _:
            raise MessageError("encoding", "not a list of a kind and fields")
    readers: tuple[Callable[[list[object]], Message], ...] = (_vote, _proposal, _certificate, _decision)
    if number >= len(readers) or kind != _number(number):
        raise MessageError("kind", f"kind {number} is not known")
    return readers[number](fields)


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _fields(message: Message) -> list[object]:
    match message:
        case Vote():
            place = [_number(message.height), _number(message.round), _number(message.topic)]
            return [*place, message.block_hash, _number(message.delegate), message.signature]
        case Certificate():
            place = [_number(message.height), _number(message.round), _number(message.topic)]
            return [*place, message.block_hash, message.signers, message.signature]
        case Proposal():
            proof = [] if message.proof is None else _fields(message.proof)
            place = [_number(message.height), _number(message.round), message.block_hash, _number(message.delegate)]
            return [*place, _number(message.valid_round + 1), proof, message.block, message.signature]
        case Decision():
            return [_fields(message.certificate), message.block]


def _int(value: object, most: int) -> int:
    if not isinstance(value, bytes) or value[:1] == b"\0":
        raise MessageError("encoding", "not a canonical number")
    if len(value) > 8:
        raise MessageError("range", f"a number of {len(value)} bytes is more than {most}")
    number = int.from_bytes(value)
    if number > most:
        raise MessageError("range", f"{number} is more than {most}")
    return number


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise MessageError("range", f"a field of {length} bytes has another length")
    return value


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise MessageError("encoding", "a list where bytes belong")
    return value


def _exactly(fields: object, count: int) -> list[object]:
    if not isinstance(fields, list) or len(fields) != count:
        raise MessageError("encoding", f"not a list of {count} fields")
    return fields


def _vote(fields: list[object]) -> Vote:
    height, round_, topic, block_hash, delegate, signature = _exactly(fields, 6)
    return Vote(
        _int(height, MAX_HEIGHT),
        _int(round_, MAX_ROUND),
        Topic(_int(topic, max(Topic))),
        _bytes(block_hash, HASH_BYTES),
        _int(delegate, 8 * MAX_BITMAP_BYTES - 1),
        _bytes(signature, SIGNATURE_BYTES),
    )


def _certificate(fields: object) -> Certificate:
    height, round_, topic, block_hash, signers, signature = _exactly(fields, 6)
    bitmap = _blob(signers)
    if not 1 <= len(bitmap) <= MAX_BITMAP_BYTES:
        raise MessageError("range", f"a bitmap of {len(bitmap)} bytes; 1 to {MAX_BITMAP_BYTES}")
    return Certificate(
        _int(height, MAX_HEIGHT),
        _int(round_, MAX_ROUND),
        Topic(_int(topic, max(Topic))),
        _bytes(block_hash, HASH_BYTES),
        bitmap,
        _bytes(signature, SIGNATURE_BYTES),
    )


def _proposal(fields: list[object]) -> Proposal:
    height, round_, block_hash, delegate, valid_round, proof, block, signature = _exactly(fields, 8)
    return Proposal(
        _int(height, MAX_HEIGHT),
        _int(round_, MAX_ROUND),
        _bytes(block_hash, HASH_BYTES),
        _int(delegate, 8 * MAX_BITMAP_BYTES - 1),
        _int(valid_round, MAX_ROUND) - 1,
        None if proof == [] else _certificate(proof),
        _blob(block),
        _bytes(signature, SIGNATURE_BYTES),
    )


def _decision(fields: list[object]) -> Decision:
    certificate, block = _exactly(fields, 2)
    return Decision(_certificate(certificate), _blob(block))
