"""What a block commits to: its header, and a transaction with its receipt at one position (Ethereum, Osaka rules).

Everything here is read from RLP and hashes to what the header names; nothing is taken on anybody's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from verifier.errors import Refused
from verifier.evidence import rlp
from verifier.evidence.trie import position_key, verify_inclusion

HEADER_FIELDS = range(15, 33)
"""Fields of a header: 15 at first (Yellow Paper §4.4), 21 since Prague; later forks append."""
MAX_HEADER = 4096
"""Bytes of a header."""
_TYPED = {1: (4, 6), 2: (5, 7), 3: (5, 7), 4: (5, 7)}
"""Transaction type (EIP-2930, 1559, 4844, 7702) to the positions of `to` and data in its list; chain id comes first."""


@dataclass(frozen=True)
class Header:
    """The header of a block, as far as evidence needs it."""

    encoded: bytes
    """RLP."""
    hash: bytes
    """keccak256 of the RLP, 32 bytes."""
    parent_hash: bytes
    transactions_root: bytes
    receipts_root: bytes
    number: int
    timestamp: int
    """Unix seconds."""

    @classmethod
    def decode(cls, encoded: bytes) -> Header:
        """Read header RLP. Raises Refused (W3B-9003)."""
        if len(encoded) > MAX_HEADER:
            raise Refused("W3B-9003", f"a header of {len(encoded)} bytes; at most {MAX_HEADER}", field="header")
        fields = rlp.to_list(rlp.decode(encoded))
        if len(fields) not in HEADER_FIELDS:
            raise Refused("W3B-9003", f"a header of {len(fields)} fields", field="header")
        return cls(
            encoded,
            keccak(encoded),
            rlp.to_bytes(fields[0], 32),
            rlp.to_bytes(fields[4], 32),
            rlp.to_bytes(fields[5], 32),
            rlp.to_int(fields[8], 64),
            rlp.to_int(fields[11], 64),
        )


@dataclass(frozen=True)
class Transaction:
    """A signed transaction, as far as evidence needs it."""

    hash: bytes
    type: int
    """EIP-2718 type, 0 for a legacy one."""
    chain_id: int | None
    """None for a legacy transaction from before EIP-155."""
    to: bytes
    """20 bytes; empty for a creation."""
    data: bytes

    @classmethod
    def decode(cls, encoded: bytes) -> Transaction:
        """Read EIP-2718 bytes. Raises Refused (W3B-9003)."""
        if encoded[:1] >= b"\xc0":
            return cls._legacy(encoded)
        kind = encoded[0] if encoded else 0
        if kind not in _TYPED:
            raise Refused("W3B-9003", f"transaction type {kind} is unknown", field="transaction")
        fields, (to, data) = rlp.to_list(rlp.decode(encoded[1:])), _TYPED[kind]
        if len(fields) <= data:
            raise Refused("W3B-9003", f"a transaction of {len(fields)} fields", field="transaction")
        return cls(keccak(encoded), kind, rlp.to_int(fields[0]), _address(fields[to]), rlp.to_bytes(fields[data]))

    @classmethod
    def _legacy(cls, encoded: bytes) -> Transaction:
        fields = rlp.to_list(rlp.decode(encoded))
        if len(fields) != 9:
            raise Refused("W3B-9003", f"a legacy transaction of {len(fields)} fields", field="transaction")
        v = rlp.to_int(fields[6])
        return cls(keccak(encoded), 0, (v - 35) // 2 if v >= 35 else None, _address(fields[3]), rlp.to_bytes(fields[5]))


def _address(item: rlp.Item) -> bytes:
    return rlp.to_bytes(item, 20, 0)


@dataclass(frozen=True)
class Log:
    """One event of a receipt."""

    address: bytes
    """Contract, 20 bytes."""
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class Receipt:
    """What a transaction did."""

    type: int
    succeeded: bool
    logs: tuple[Log, ...]

    @classmethod
    def decode(cls, encoded: bytes) -> Receipt:
        """Read EIP-2718 receipt bytes (EIP-658 status). Raises Refused (W3B-9003)."""
        typed = encoded[:1] < b"\xc0"
        fields = rlp.to_list(rlp.decode(encoded[1:] if typed else encoded))
        if len(fields) != 4:
            raise Refused("W3B-9003", f"a receipt of {len(fields)} fields", field="receipt")
        status = rlp.to_bytes(fields[0])
        if status not in (b"", b"\x01"):
            raise Refused("W3B-9003", f"receipt status 0x{status.hex()[:80]} is neither 0 nor 1", field="receipt")
        logs = tuple(_log(item) for item in rlp.to_list(fields[3]))
        return cls(encoded[0] if typed else 0, status == b"\x01", logs)


def _log(item: rlp.Item) -> Log:
    fields = rlp.to_list(item)
    if len(fields) != 3:
        raise Refused("W3B-9003", f"a log of {len(fields)} fields", field="receipt")
    topics = tuple(rlp.to_bytes(topic, 32) for topic in rlp.to_list(fields[1]))
    return Log(rlp.to_bytes(fields[0], 20), topics, rlp.to_bytes(fields[2]))


@dataclass(frozen=True)
class Mined:
    """A transaction and its receipt, shown to be at one position of one block."""

    header: Header
    position: int
    transaction: Transaction
    receipt: Receipt

    @property
    def order(self) -> tuple[int, int]:
        """(block number, position): what came first on the chain."""
        return self.header.number, self.position


def mined_in(header: Header, position: int, transaction: Sequence[bytes], receipt: Sequence[bytes]) -> Mined:
    """The transaction and its receipt at a position, from the nodes of their trie proofs.

    Raises Refused (W3B-9003) for a proof that does not hold, for bytes that are no transaction or receipt, and for a
    pair whose types differ.
    """
    key = position_key(position)
    found = Transaction.decode(verify_inclusion(header.transactions_root, key, transaction))
    outcome = Receipt.decode(verify_inclusion(header.receipts_root, key, receipt))
    if found.type != outcome.type:
        raise Refused(
            "W3B-9003", f"a receipt of type {outcome.type} for a transaction of type {found.type}", field="receipt"
        )
    return Mined(header, position, found, outcome)
