"""Methods about blocks, transactions, receipts and fees."""

from __future__ import annotations

from typing import Any

from l1.chain.blockchain import StoredBlock
from l1.rpc.backend import PENDING, Backend
from l1.rpc.encoding import Params, data, quantity, read_boolean, read_data, read_hash, read_quantity
from l1.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from l1.rpc.objects import Json, block_object, receipt_object, receipt_objects, transaction_object

MAX_FEE_HISTORY = 1_024
SUGGESTED_TIP = 1_000_000_000
"""Wei per gas, when no recent block has a transaction."""
_TIP_BLOCKS = 20
_TIP_PERCENTILE = 60


class BlockMethods:
    """Reads of the chain's history, and submission."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._tip: tuple[bytes, int] | None = None

    def block_number(self, values: list[Any]) -> str:
        """eth_blockNumber"""
        Params(values, 0)
        return quantity(self._backend.chain.head_number)

    def get_block(self, values: list[Any]) -> Json | None:
        """eth_getBlockByNumber and eth_getBlockByHash"""
        params = Params(values, 2)
        block, full = params.required(0), read_boolean(params.optional(1, False), "1")
        stored = self._backend.stored(block)
        if stored is None:
            return None
        return block_object(stored, full=full, pending=block == "pending")

    def get_transaction_count(self, values: list[Any]) -> str | None:
        """eth_getBlockTransactionCountByNumber and …ByHash"""
        stored = self._backend.stored(Params(values, 1).required(0))
        return None if stored is None else quantity(stored.block.transaction_count)

    def get_block_receipts(self, values: list[Any]) -> list[Json] | None:
        """eth_getBlockReceipts"""
        stored = self._backend.stored(Params(values, 1).required(0))
        return None if stored is None else receipt_objects(stored)

    def get_uncle_count(self, values: list[Any]) -> str | None:
        """eth_getUncleCountByBlockNumber and …ByHash: always zero."""
        return None if self._backend.stored(Params(values, 1).required(0)) is None else "0x0"

    def get_transaction(self, values: list[Any]) -> Json | None:
        """eth_getTransactionByHash, mined or waiting"""
        wanted = read_hash(Params(values, 1).required(0))
        if found := self._mined(wanted):
            stored, position = found
            return transaction_object(stored.block.transaction(position), stored.block, position)
        waiting = self._backend.mempool.get(wanted)
        return None if waiting is None else transaction_object(waiting)

    def get_transaction_in_block(self, values: list[Any]) -> Json | None:
        """eth_getTransactionByBlockNumberAndIndex and …ByBlockHashAndIndex"""
        params = Params(values, 2)
        block, position = params.required(0), read_quantity(params.required(1), "index", 64)
        stored = self._backend.stored(block)
        if stored is None or position >= stored.block.transaction_count:
            return None
        pending = block == "pending"
        return transaction_object(stored.block.transaction(position), stored.block, position, pending=pending)

    def get_receipt(self, values: list[Any]) -> Json | None:
        """eth_getTransactionReceipt"""
        found = self._mined(read_hash(Params(values, 1).required(0)))
        return None if found is None else receipt_object(*found)

    def send_raw_transaction(self, values: list[Any]) -> str:
        """eth_sendRawTransaction"""
        return data(self._backend.submit(read_data(Params(values, 1).required(0), "0")))

    def gas_price(self, values: list[Any]) -> str:
        """eth_gasPrice: base fee of the next block plus the suggested tip"""
        Params(values, 0)
        return quantity(self._backend.chain.next_base_fee + self._suggested_tip())

    def max_priority_fee(self, values: list[Any]) -> str:
        """eth_maxPriorityFeePerGas"""
        Params(values, 0)
        return quantity(self._suggested_tip())

    def fee_history(self, values: list[Any]) -> Json:
        """eth_feeHistory"""
        params = Params(values, 3)
        count = params.required(0)
        # web3.js sends a JSON number, the schema says QUANTITY: both are taken, as geth does.
        if isinstance(count, bool) or not isinstance(count, int):
            count = read_quantity(count, "blockCount", 64)
        percentiles = _percentiles(params.optional(2, []))
        newest = self._backend.resolve(params.required(1))
        if newest is None:
            raise RpcError(SERVER_ERROR, "request beyond head block")
        last = self._backend.chain.head_number if newest == PENDING else newest
        first = max(0, last - min(count, MAX_FEE_HISTORY) + 1)
        blocks = [block for number in range(first, last + 1) if (block := self._backend.chain.block(number))]
        if not blocks:
            return {"oldestBlock": "0x0", "gasUsedRatio": []}
        following = self._backend.chain.block(last + 1)
        next_fee = self._backend.chain.next_base_fee if following is None else following.block.base_fee_per_gas
        history: Json = {
            "oldestBlock": quantity(blocks[0].block.number),
            "baseFeePerGas": [quantity(b.block.base_fee_per_gas) for b in blocks] + [quantity(next_fee)],
            "gasUsedRatio": [b.block.gas_used / b.block.gas_limit for b in blocks],
            "baseFeePerBlobGas": ["0x1"] * (len(blocks) + 1),
            "blobGasUsedRatio": [0.0] * len(blocks),
        }
        if percentiles:
            history["reward"] = [[quantity(tip) for tip in _rewards(block, percentiles)] for block in blocks]
        return history

    def _mined(self, transaction_hash: bytes) -> tuple[StoredBlock, int] | None:
        position = self._backend.chain.position_of(transaction_hash)
        # A block is on disk a moment before it is the head: until then nobody is told.
        if position is None or position[0] > self._backend.chain.head_number:
            return None
        stored = self._backend.chain.block(position[0])
        return None if stored is None else (stored, position[1])

    def _suggested_tip(self) -> int:
        head = self._backend.chain.head_hash
        if self._tip is None or self._tip[0] != head:
            tips: list[int] = []
            newest = self._backend.chain.head_number
            for number in range(max(0, newest - _TIP_BLOCKS + 1), newest + 1):
                stored = self._backend.chain.block(number)
                if stored is not None:
                    fee = stored.block.base_fee_per_gas
                    tips += [tx.effective_tip(fee) or 0 for tx in stored.block.transactions[:_TIP_BLOCKS]]
            tips.sort()
            suggested = tips[(len(tips) - 1) * _TIP_PERCENTILE // 100] if tips else SUGGESTED_TIP
            self._tip = (head, max(1, suggested))
        return self._tip[1]


def _percentiles(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) > 100:
        raise invalid_params("invalid argument 2: expected a list of at most 100 percentiles")
    numbers = [item for item in value if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) != len(value) or any(not 0 <= item <= 100 for item in numbers) or sorted(numbers) != numbers:
        raise RpcError(SERVER_ERROR, "invalid reward percentile: they ascend from 0 to 100")
    return [float(item) for item in numbers]


def _rewards(stored: StoredBlock, percentiles: list[float]) -> list[int]:
    """Tips at percentiles of the block's gas, each transaction weighing its gas used."""
    before = 0
    weighed: list[tuple[int, int]] = []
    for tx, receipt in zip(stored.block.transactions, stored.receipts, strict=True):
        tip = tx.effective_tip(stored.block.base_fee_per_gas) or 0
        weighed.append((tip, receipt.cumulative_gas_used - before))
        before = receipt.cumulative_gas_used
    weighed.sort()
    if not weighed:
        return [0] * len(percentiles)
    rewards, index, reached = [], 0, weighed[0][1]
    for percentile in percentiles:
        while reached < stored.block.gas_used * percentile / 100 and index < len(weighed) - 1:
            index += 1
            reached += weighed[index][1]
        rewards.append(weighed[index][0])
    return rewards
