"""geth as the executor of a chain: it holds the pool, the blocks and the states; we decide which blocks there are.

What differs from our own executor:
- Time. geth takes no block that is not later than its parent, in whole seconds. A block that is built too soon waits for
  the next second, so such a chain makes at most one block a second. One that is built again waits as well.
- Choice. geth fills a block from its own pool, best tip first. What a block must begin with, the system calls of its
  proposer, never goes there: where there is some, the block holds that and nothing else. In the pool it would have to
  outbid everybody, and one transaction with a higher tip would stop the chain.
- Extra data. geth's is a constant; nothing that is executed depends on it, so we set it and hash the header again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import rlp

from l1.chain.duties import DutyUndone
from l1.engine.client import EngineClient, PayloadAttributes, Status
from l1.engine.payload import NewPayload, PayloadInvalid, Withdrawal, from_block, parse_data, parse_quantity, to_block
from l1.engine.rpc import AnswerError, EngineError, JsonRpc
from l1.nodes.validation import ordered_root
from native import _native

BUILD_SECONDS: Final = 0.2
"""What geth may take to fill a block; a full one of 60 million gas takes less."""
_LONGEST_WAIT: Final = 2.0
"""Seconds to wait for a block's second at most; a clock that was set back by more must not stop the chain."""
_REVERTED: Final = 3


@dataclass(frozen=True)
class GethResult:
    """How a call ended."""

    status: str
    """`success`, `revert` or `halt`."""
    output: bytes
    """What it returned, or reverted with."""


class GethView:
    """The state after one block."""

    def __init__(self, rpc: JsonRpc, number: int, block_hash: bytes) -> None:
        self.number = number
        """Height of the block."""
        self._rpc = rpc
        self._place = {"blockHash": "0x" + block_hash.hex()}

    def balance(self, account: bytes) -> int:
        """Wei of an account."""
        return parse_quantity(self._read("eth_getBalance", account), "balance")

    def nonce(self, account: bytes) -> int:
        """Nonce of an account."""
        return parse_quantity(self._read("eth_getTransactionCount", account), "nonce")

    def code(self, account: bytes) -> bytes:
        """Code of an account; empty where there is none."""
        return parse_data(self._read("eth_getCode", account), "code")

    def storage(self, account: bytes, slot: int) -> int:
        """A storage slot of an account."""
        return int.from_bytes(parse_data(self._read("eth_getStorageAt", account, hex(slot)), "storage", 32))

    def call(
        self,
        *,
        sender: bytes,
        to: bytes | None,
        data: bytes,
        value: int,
        gas: int | None,
        gas_price: int,
        tip: int | None,
        access_list: list[tuple[bytes, list[bytes]]],
        gas_cap: int,
    ) -> GethResult:
        """Execute and throw the writes away. `gas_cap` holds where no `gas` is given."""
        message: dict[str, Any] = {
            "from": "0x" + sender.hex(),
            "input": "0x" + data.hex(),
            "value": hex(value),
            "gas": hex(gas_cap if gas is None else min(gas, gas_cap)),
            "accessList": [
                {"address": "0x" + account.hex(), "storageKeys": ["0x" + key.hex() for key in keys]}
                for account, keys in access_list
            ],
        }
        if to is not None:
            message["to"] = "0x" + to.hex()
        if tip is not None:
            message |= {"maxFeePerGas": hex(gas_price), "maxPriorityFeePerGas": hex(tip)}
        elif gas_price:
            message["gasPrice"] = hex(gas_price)
        try:
            return GethResult("success", parse_data(self._rpc.call("eth_call", message, self._place), "eth_call"))
        except AnswerError as error:
            if error.code == _REVERTED:
                return GethResult("revert", parse_data(error.data or "0x", "eth_call"))
            return GethResult("halt", b"")

    def _read(self, method: str, account: bytes, *more: str) -> Any:
        return self._rpc.call(method, "0x" + account.hex(), *more, self._place)


@dataclass(frozen=True)
class GethExecuted:
    """A block that geth executed and keeps."""

    block: _native.Block
    """The block."""
    encoded_receipts: bytes
    """The receipts as the store keeps them."""
    outcomes: list[str | None]
    """For each transaction offered: None, since a block without it is not made."""

    @property
    def receipts(self) -> list[_native.Receipt]:
        """One for each transaction."""
        return _native.decode_receipts(self.encoded_receipts)


class GethExecutor:
    """An executor (`execution.Executor`) over a geth that nobody else drives. Every block that it appends is final."""

    def __init__(self, engine: EngineClient, *, build_seconds: float = BUILD_SECONDS) -> None:
        """Begin at geth's head. Raises EngineError.

        Parameters
        ----------
        build_seconds
            How long geth may fill a block from its pool.
        """
        self._engine = engine
        self._rpc = engine.rpc
        self._build_seconds = build_seconds
        self.chain_id = parse_quantity(self._rpc.call("eth_chainId"), "eth_chainId")
        """EIP-155 chain id."""
        latest = self._rpc.call("eth_getBlockByNumber", "latest", False)
        self.head_number = parse_quantity(latest["number"], "number")
        """Number of the newest block."""
        self.head_hash = parse_data(latest["hash"], "hash", 32)
        """Hash of the newest block."""
        self._head_time = parse_quantity(latest["timestamp"], "timestamp")
        self._base_fee: tuple[bytes, int] | None = None
        self._resolved: set[str] = set()

    @property
    def next_base_fee(self) -> int:
        """Base fee of the next block, wei per gas (EIP-1559)."""
        if self._base_fee is None or self._base_fee[0] != self.head_hash:
            history = self._rpc.call("eth_feeHistory", "0x1", hex(self.head_number), [])
            self._base_fee = self.head_hash, parse_quantity(history["baseFeePerGas"][1], "baseFeePerGas")
        return self._base_fee[1]

    def build(
        self,
        transactions: list[_native.Transaction],
        *,
        beneficiary: bytes,
        timestamp: int,
        prev_randao: bytes,
        parent_beacon_block_root: bytes = bytes(32),
        extra_data: bytes = b"",
        withdrawals: Sequence[tuple[int, int, bytes, int]] = (),
    ) -> GethExecuted:
        """A block on the head: of exactly what is offered, or, where nothing is, of what geth's pool holds.

        Parameters
        ----------
        timestamp
            Unix seconds; if the parent is not earlier, the block waits for the second after its parent's.

        Raises
        ------
        DutyUndone
            When what is offered cannot be executed.
        EngineError
            When geth cannot build.
        """
        attributes = PayloadAttributes(
            timestamp=max(timestamp, self._head_time + 1),
            prev_randao=prev_randao,
            fee_recipient=beneficiary,
            withdrawals=tuple(Withdrawal(*each) for each in withdrawals),
            parent_beacon_block_root=parent_beacon_block_root,
        )
        _wait_until(attributes.timestamp)
        if not transactions:
            return self._execute(self._from_pool(attributes).with_extra_data(extra_data), 0)
        raws = [each.encoded for each in transactions]
        try:
            new = self._engine.build_exactly(self.head_hash, attributes, raws, extra_data)
        except AnswerError as error:
            raise DutyUndone(f"transactions: geth cannot build a block of them: {error}") from error
        return self._execute(new, len(raws))

    def import_block(self, raw: bytes) -> GethExecuted:
        """Have a block executed on the head.

        Raises
        ------
        native._native.ExecutionRefused
            When it is malformed, not on the head, or geth calls it invalid.
        EngineError
            When geth does not say.
        """
        try:
            new = from_block(raw)
        except PayloadInvalid as error:
            raise _native.ExecutionRefused(str(error)) from error
        if new.payload.parent_hash != self.head_hash:
            raise _native.ExecutionRefused(
                f"block {new.payload.block_number} is on 0x{new.payload.parent_hash.hex()}, "
                f"the head is 0x{self.head_hash.hex()}"
            )
        return self._execute(new, len(new.payload.transactions))

    def append(self, executed: GethExecuted) -> None:
        """Make a block the head, and final.

        Raises
        ------
        native._native.ExecutionRefused
            When it is not on the head.
        EngineError
            When geth does not follow.
        """
        block = executed.block
        if block.parent_hash != self.head_hash:
            raise _native.ExecutionRefused(f"block {block.number} is not on the head, 0x{self.head_hash.hex()}")
        found, _ = self._engine.forkchoice_updated(block.hash, block.hash)
        if found.status is not Status.VALID:
            raise EngineError(f"geth does not make block {block.number} its head: {found.status.value} {found.error}")
        self.head_number, self.head_hash, self._head_time = block.number, block.hash, block.timestamp
        self._resolved.clear()

    def view(self, number: int) -> GethView:
        """The state after a block; geth keeps all. Raises StateNotAvailable above the head."""
        if number == self.head_number:
            return GethView(self._rpc, number, self.head_hash)
        found = self._rpc.call("eth_getBlockByNumber", hex(number), False)
        if found is None:
            raise _native.StateNotAvailable(f"geth has no block {number}")
        return GethView(self._rpc, number, parse_data(found["hash"], "hash", 32))

    def view_of(self, executed: GethExecuted) -> GethView:
        """The state after a block that was not appended."""
        return GethView(self._rpc, executed.block.number, executed.block.hash)

    def _from_pool(self, attributes: PayloadAttributes) -> NewPayload:
        identity = self._begin(attributes)
        while identity in self._resolved:
            # The same attributes are the same payload, which geth stopped filling when it was read.
            attributes = replace(attributes, timestamp=attributes.timestamp + 1)
            _wait_until(attributes.timestamp)
            identity = self._begin(attributes)
        self._resolved.add(identity)
        # geth answers an empty block until it has filled one, and does not say when it has.
        time.sleep(self._build_seconds)
        return self._engine.get_payload(identity, attributes.parent_beacon_block_root)

    def _begin(self, attributes: PayloadAttributes) -> str:
        found, identity = self._engine.forkchoice_updated(self.head_hash, self.head_hash, attributes)
        if found.status is not Status.VALID or identity is None:
            raise EngineError(f"geth does not build on its head: {found.status.value} {found.error}")
        return identity

    def _execute(self, new: NewPayload, offered: int) -> GethExecuted:
        found = self._engine.new_payload(new)
        if found.status is Status.INVALID:
            raise _native.ExecutionRefused(f"geth calls block {new.payload.block_number} invalid: {found.error}")
        if found.status is not Status.VALID:
            raise EngineError(f"geth does not execute block {new.payload.block_number}: {found.status.value}")
        receipts = _receipts(self._rpc, new)
        return GethExecuted(_native.Block.decode(to_block(new)), receipts, [None] * offered)


def _wait_until(second: int) -> None:
    # geth wants each block in a later second than its parent; the clock alone brings it.
    until = time.monotonic() + min(max(0.0, second - time.time()), _LONGEST_WAIT)
    while time.monotonic() < until:
        time.sleep(until - time.monotonic())


def _receipts(rpc: JsonRpc, new: NewPayload) -> bytes:
    """The receipts of a block that geth executed, as the store keeps them. Raises EngineError.

    They are checked against the block's root: a receipt read wrongly would be found only much later.
    """
    block_hash = "0x" + new.payload.block_hash.hex()
    encoded = [_receipt(each) for each in rpc.call("eth_getBlockReceipts", block_hash) or ()]
    if ordered_root(encoded) != new.payload.receipts_root:
        raise EngineError(f"geth's receipts of block {new.payload.block_number} are not those of its root")
    return bytes(rlp.encode([rlp.decode(each) if each[0] > 0x7F else each for each in encoded]))


def _receipt(document: Any) -> bytes:
    """EIP-2718 bytes of a receipt."""
    logs = [
        [
            parse_data(each["address"], "address", 20),
            [parse_data(topic, "topics", 32) for topic in each["topics"]],
            parse_data(each["data"], "data"),
        ]
        for each in document["logs"]
    ]
    status, gas = (parse_quantity(document[key], key) for key in ("status", "cumulativeGasUsed"))
    body = bytes(rlp.encode([status, gas, parse_data(document["logsBloom"], "logsBloom", 256), logs]))
    kind = parse_quantity(document["type"], "type")
    return bytes([kind]) + body if kind else body
