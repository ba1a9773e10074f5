"""What every method needs: the chain, the mempool, block tags, and the pending block."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from l1.chain.blockchain import Blockchain, StoredBlock
from l1.chain.duties import duties_of_nobody
from l1.chain.mempool import Mempool, MempoolRefused
from l1.chain.producer import MAX_OFFERED, build_block
from l1.rpc.encoding import read_hash, read_quantity
from l1.rpc.errors import SERVER_ERROR, RpcError, invalid_params
from native import _native

PENDING = -1
"""What `Backend.resolve` answers for the tag `pending`."""


class Backend:
    """One node's chain and mempool as the methods see them."""

    def __init__(
        self, chain: Blockchain, mempool: Mempool, *, beneficiary: bytes, on_transaction: Callable[[], None]
    ) -> None:
        self.chain = chain
        """Blocks and states."""
        self.mempool = mempool
        """Waiting transactions."""
        self._beneficiary = beneficiary
        self._on_transaction = on_transaction
        self._pending: tuple[tuple[bytes, int], _native.ExecutedBlock] | None = None

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction; its hash. Raises `RpcError` -32000 with geth's words."""
        try:
            transaction = _native.Transaction.decode(raw)
            self.mempool.add(transaction, self.chain.view(self.chain.head_number))
        except (_native.TransactionRefused, MempoolRefused) as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        self._on_transaction()
        return transaction.hash

    def resolve(self, block: Any) -> int | None:
        """Number of a block named by tag, number or EIP-1898 object; `PENDING`; `None` when there is no such block.

        Raises
        ------
        RpcError
            -32602 when the parameter is malformed.
        """
        tags: dict[str, Callable[[], int]] = {
            "earliest": lambda: 0,
            "latest": lambda: self.chain.head_number,
            "safe": lambda: self.chain.finality.safe,
            "finalized": lambda: self.chain.finality.finalized,
            "pending": lambda: PENDING,
        }
        if isinstance(block, dict):
            if "blockHash" in block:
                return self.chain.number_of(read_hash(block["blockHash"], "blockHash"))
            if "blockNumber" not in block:
                raise invalid_params("invalid argument: a block object has blockNumber or blockHash")
            block = block["blockNumber"]
        if isinstance(block, str) and block in tags:
            return tags[block]()
        if isinstance(block, str) and len(block) == 66:
            return self.chain.number_of(read_hash(block))
        number = read_quantity(block, "block number", 64)
        return number if number <= self.chain.head_number else None

    def view(self, block: Any) -> _native.StateView:
        """The state after a block. Raises `RpcError` -32000 when the block or its state is not there."""
        number = self.resolve(block)
        if number is None:
            raise RpcError(SERVER_ERROR, "header not found")
        if number == PENDING:
            return self.chain.view_of(self.pending())
        try:
            return self.chain.view(number)
        except _native.StateNotAvailable as error:
            raise RpcError(SERVER_ERROR, str(error)) from error

    def stored(self, block: Any) -> StoredBlock | None:
        """A block with receipts, the pending one included; `None` when there is no such block."""
        number = self.resolve(block)
        if number is None:
            return None
        if number == PENDING:
            executed = self.pending()
            return StoredBlock(executed.block, executed.receipts)
        return self.chain.block(number)

    def pending(self) -> _native.ExecutedBlock:
        """The block that would be made now; built anew only after the head or the mempool changed."""
        key = (self.chain.head_hash, self.mempool.version)
        if self._pending is None or self._pending[0] != key:
            offered = self.mempool.executable(self.chain.next_base_fee, MAX_OFFERED)
            due = duties_of_nobody(self.chain)
            executed = build_block(self.chain, offered, self._beneficiary, int(time.time()), due)
            self._pending = (key, executed)
        return self._pending[1]
