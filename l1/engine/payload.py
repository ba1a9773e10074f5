"""Blocks as the Engine API carries them, and back: no field may differ, because both sides hash the header.

execution-apis `src/engine`: ExecutionPayloadV3 (`cancun.md`) and the parameters of engine_newPayloadV4 (`prague.md`),
which hold what the header commits to and the payload leaves out. Osaka changes neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, Final

import rlp
from eth_hash.auto import keccak

from l1.engine.rpc import EngineError
from l1.nodes.validation import ordered_root

HEADER_FIELDS: Final = 21
"""Fields of a header since Prague (EIP-7685)."""
_EMPTY_OMMERS: Final = bytes(keccak(rlp.encode([])))
_BLOB_TRANSACTION: Final = 3
_BLOB_HASHES: Final = 10
"""Index of `blob_versioned_hashes` in an EIP-4844 transaction."""


class PayloadInvalid(EngineError):
    """Bytes or JSON that are no block of this fork, or not the block whose hash they carry."""


@dataclass(frozen=True)
class Withdrawal:
    """A payment of the consensus to an account (EIP-4895)."""

    index: int
    """Running number."""
    validator_index: int
    """Whose it is."""
    address: bytes
    """Who is paid, 20 bytes."""
    amount: int
    """Gwei."""


@dataclass(frozen=True)
class ExecutionPayload:
    """ExecutionPayloadV3. Hashes and roots have 32 bytes, addresses 20, the bloom 256."""

    parent_hash: bytes
    """Hash of the parent."""
    fee_recipient: bytes
    """Receiver of the tips."""
    state_root: bytes
    """State after the block."""
    receipts_root: bytes
    """Root of the receipts' trie."""
    logs_bloom: bytes
    """Bloom of all logs."""
    prev_randao: bytes
    """PREVRANDAO, the header's `mixHash`."""
    block_number: int
    """Height."""
    gas_limit: int
    """Gas limit of the block."""
    gas_used: int
    """Gas that its transactions used."""
    timestamp: int
    """Unix seconds."""
    extra_data: bytes
    """At most 32 bytes: the root of the delegate set that decides the next block."""
    base_fee_per_gas: int
    """Wei per gas."""
    block_hash: bytes
    """keccak256 of the header's RLP."""
    transactions: tuple[bytes, ...]
    """EIP-2718 bytes, in block order."""
    withdrawals: tuple[Withdrawal, ...]
    """Payments of the consensus."""
    blob_gas_used: int
    """Gas of blobs (EIP-4844)."""
    excess_blob_gas: int
    """What prices the next blobs."""


@dataclass(frozen=True)
class NewPayload:
    """A block in the form of engine_newPayloadV4: a payload, and what the header says besides."""

    payload: ExecutionPayload
    """The block."""
    parent_beacon_block_root: bytes = bytes(32)
    """What EIP-4788 stores."""
    requests: tuple[bytes, ...] = ()
    """Requests of the execution to the consensus (EIP-7685), each its type and its data."""

    @property
    def header(self) -> bytes:
        """RLP of the header that these fields make."""
        return bytes(rlp.encode(_header(self)))

    @property
    def versioned_hashes(self) -> tuple[bytes, ...]:
        """Versioned hashes of all blobs, in the order of the transactions."""
        return tuple(each for raw in self.payload.transactions for each in _blob_hashes(raw))

    def check(self) -> None:
        """Check that the block's hash is its header's. Raises PayloadInvalid."""
        found = bytes(keccak(self.header))
        if found != self.payload.block_hash:
            raise PayloadInvalid(
                f"the payload's hash is 0x{self.payload.block_hash.hex()}, its header's 0x{found.hex()}"
            )

    def with_extra_data(self, extra_data: bytes) -> NewPayload:
        """The same block with other extra data, which no execution depends on, and the hash that it has then."""
        return _sealed(replace(self, payload=replace(self.payload, extra_data=extra_data)))


def to_block(new: NewPayload) -> bytes:
    """RLP of the block. Raises PayloadInvalid when its hash is not the payload's."""
    new.check()
    transactions = [raw if raw[0] < 0x80 else rlp.decode(raw) for raw in new.payload.transactions]
    return bytes(rlp.encode([_header(new), transactions, [], _withdrawal_items(new.payload.withdrawals)]))


def from_block(raw: bytes, requests: Sequence[bytes] = ()) -> NewPayload:
    """Read a block's RLP.

    Parameters
    ----------
    requests
        The block's requests, of which the block itself holds only the hash.

    Raises
    ------
    PayloadInvalid
        When it is malformed, of another fork, or its header does not commit to exactly these lists.
    """
    try:
        header, transactions, ommers, withdrawals = rlp.decode(raw)
        if len(header) != HEADER_FIELDS or ommers:
            raise PayloadInvalid(f"a header of {len(header)} fields and {len(ommers)} ommers; {HEADER_FIELDS} and none")
        new = _read(header, transactions, withdrawals, tuple(requests))
    except (rlp.exceptions.DecodingError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, PayloadInvalid):
            raise
        raise PayloadInvalid(f"no block: {error}") from error
    if new.header != rlp.encode(header):
        raise PayloadInvalid("the header does not commit to the block's lists, or holds what no Osaka header does")
    return new


def to_json(payload: ExecutionPayload) -> dict[str, Any]:
    """ExecutionPayloadV3 as JSON."""
    document: dict[str, Any] = {}
    for each in fields(payload):
        value = getattr(payload, each.name)
        if each.name == "transactions":
            document[each.name] = [_data(raw) for raw in value]
        elif each.name == "withdrawals":
            document[each.name] = [withdrawal_json(paid) for paid in value]
        else:
            document[_camel(each.name)] = hex(value) if isinstance(value, int) else _data(value)
    return document


def from_json(document: Any) -> ExecutionPayload:
    """Read ExecutionPayloadV3. Raises PayloadInvalid for a missing or malformed field; further fields are ignored."""
    if not isinstance(document, dict):
        raise PayloadInvalid("a payload is an object")
    values: dict[str, Any] = {}
    for each in fields(ExecutionPayload):
        key = _camel(each.name)
        if key not in document:
            raise PayloadInvalid(f"the payload has no {key}")
        value = document[key]
        if key == "transactions":
            values[each.name] = tuple(parse_data(raw, "transactions") for raw in _list(value, key))
        elif key == "withdrawals":
            values[each.name] = tuple(_parse_withdrawal(paid) for paid in _list(value, key))
        elif each.name in _LENGTHS:
            values[each.name] = parse_data(value, key, _LENGTHS[each.name])
        else:
            values[each.name] = parse_quantity(value, key)
    if len(values["extra_data"]) > 32 or not all(values["transactions"]):
        raise PayloadInvalid("extraData has at most 32 bytes, and no transaction is empty")
    return ExecutionPayload(**values)


def withdrawal_json(paid: Withdrawal) -> dict[str, str]:
    """WithdrawalV1 as JSON."""
    return {
        "index": hex(paid.index),
        "validatorIndex": hex(paid.validator_index),
        "address": _data(paid.address),
        "amount": hex(paid.amount),
    }


def parse_data(value: object, where: str, length: int | None = None) -> bytes:
    """Bytes of a 0x string. Raises PayloadInvalid."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise PayloadInvalid(f"{where}: expected a 0x string, not {value!r}")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError as error:
        raise PayloadInvalid(f"{where}: {error}") from error
    if length is not None and len(raw) != length:
        raise PayloadInvalid(f"{where}: {length} bytes, not {len(raw)}")
    return raw


def parse_quantity(value: object, where: str) -> int:
    """The integer of a 0x string without leading zeros. Raises PayloadInvalid."""
    try:
        number = int(value, 16) if isinstance(value, str) and value.startswith("0x") else -1
    except ValueError:
        number = -1
    if number < 0 or hex(number) != str(value).lower():
        raise PayloadInvalid(f"{where}: expected a quantity, not {value!r}")
    return number


def requests_hash(requests: Iterable[bytes]) -> bytes:
    """The header's commitment to requests (EIP-7685): one without data does not count."""
    return sha256(b"".join(sha256(each).digest() for each in requests if len(each) > 1)).digest()


_LENGTHS: Final[dict[str, int | None]] = {
    "parent_hash": 32,
    "fee_recipient": 20,
    "state_root": 32,
    "receipts_root": 32,
    "logs_bloom": 256,
    "prev_randao": 32,
    "block_hash": 32,
    "extra_data": None,
}


def _header(new: NewPayload) -> list[bytes]:
    """Fields of an Osaka header, in the order of its RLP."""
    payload = new.payload
    withdrawals = [bytes(rlp.encode(each)) for each in _withdrawal_items(payload.withdrawals)]
    return [
        payload.parent_hash,
        _EMPTY_OMMERS,
        payload.fee_recipient,
        payload.state_root,
        ordered_root(payload.transactions),
        payload.receipts_root,
        payload.logs_bloom,
        b"",  # difficulty (EIP-3675)
        _integer(payload.block_number),
        _integer(payload.gas_limit),
        _integer(payload.gas_used),
        _integer(payload.timestamp),
        payload.extra_data,
        payload.prev_randao,
        bytes(8),  # nonce (EIP-3675)
        _integer(payload.base_fee_per_gas),
        ordered_root(withdrawals),
        _integer(payload.blob_gas_used),
        _integer(payload.excess_blob_gas),
        new.parent_beacon_block_root,
        requests_hash(new.requests),
    ]


def _read(header: Any, transactions: Any, withdrawals: Any, requests: tuple[bytes, ...]) -> NewPayload:
    number = int.from_bytes
    payload = ExecutionPayload(
        parent_hash=header[0],
        fee_recipient=header[2],
        state_root=header[3],
        receipts_root=header[5],
        logs_bloom=header[6],
        prev_randao=header[13],
        block_number=number(header[8]),
        gas_limit=number(header[9]),
        gas_used=number(header[10]),
        timestamp=number(header[11]),
        extra_data=header[12],
        base_fee_per_gas=number(header[15]),
        block_hash=b"",
        transactions=tuple(each if isinstance(each, bytes) else bytes(rlp.encode(each)) for each in transactions),
        withdrawals=tuple(
            Withdrawal(number(index), number(validator), address, number(amount))
            for index, validator, address, amount in withdrawals
        ),
        blob_gas_used=number(header[17]),
        excess_blob_gas=number(header[18]),
    )
    return _sealed(NewPayload(payload, header[19], requests))


def _sealed(new: NewPayload) -> NewPayload:
    """The block with the hash that its fields give it."""
    return replace(new, payload=replace(new.payload, block_hash=bytes(keccak(new.header))))


def _blob_hashes(raw: bytes) -> list[bytes]:
    if raw[0] != _BLOB_TRANSACTION:
        return []
    try:
        return [bytes(each) for each in rlp.decode(raw[1:])[_BLOB_HASHES]]
    except (rlp.exceptions.DecodingError, IndexError, TypeError) as error:
        raise PayloadInvalid(f"a blob transaction that cannot be read: {error}") from error


def _withdrawal_items(withdrawals: Iterable[Withdrawal]) -> list[list[bytes]]:
    return [
        [_integer(each.index), _integer(each.validator_index), each.address, _integer(each.amount)]
        for each in withdrawals
    ]


def _parse_withdrawal(document: Any) -> Withdrawal:
    if not isinstance(document, dict) or not {"index", "validatorIndex", "address", "amount"} <= set(document):
        raise PayloadInvalid("withdrawals: expected objects with index, validatorIndex, address and amount")
    return Withdrawal(
        parse_quantity(document["index"], "withdrawals.index"),
        parse_quantity(document["validatorIndex"], "withdrawals.validatorIndex"),
        parse_data(document["address"], "withdrawals.address", 20),
        parse_quantity(document["amount"], "withdrawals.amount"),
    )


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PayloadInvalid(f"{where}: expected a list")
    return value


def _integer(value: int) -> bytes:
    """Big-endian without leading zeros, as RLP takes it."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def _data(raw: bytes) -> str:
    return "0x" + raw.hex()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
