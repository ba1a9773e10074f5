"""What shows that one settlement is final: its receipt, in a block with the delegates' certificate."""

from __future__ import annotations

from coordinator.evidence.blocks import BlockReader, FullBlock, Rpc
from coordinator.evidence.finality import FinalityReader
from verifier.errors import Unavailable
from verifier.finality_proof import FinalityProof


class FinalReceipts:
    """Proofs of one chain's receipts. The last block is kept: rows that were mined together become final together."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._certificates = FinalityReader(rpc)
        self._last: tuple[FullBlock, bytes] | None = None

    async def of(self, number: int, block_hash: str, transaction_hash: str) -> FinalityProof:
        """The proof of a transaction's receipt in a final block.

        Parameters: the block's number and hash (0x hex) as most servers say them, and the transaction's hash (0x hex).
        That the certificate holds is left to who checks the proof. Raises Unavailable (W3B-5001; W3B-9007 where the
        server has another block, another transaction or no certificate) and RpcRefused (W3B-5003).
        """
        block, footer = await self._block(number, bytes.fromhex(block_hash.removeprefix("0x")))
        transaction = bytes.fromhex(transaction_hash.removeprefix("0x"))
        if transaction not in block.hashes:
            raise Unavailable("W3B-9007", f"block {number} holds no transaction {transaction_hash}")
        position = block.hashes.index(transaction)
        return FinalityProof(block.header.encoded, footer, position, block.proofs(position)[1])

    async def _block(self, number: int, wanted: bytes) -> tuple[FullBlock, bytes]:
        if self._last is not None and self._last[0].header.hash == wanted:
            return self._last
        block = await BlockReader(self._rpc).full(number)
        if block.header.hash != wanted:
            found = block.header.hash.hex()
            raise Unavailable("W3B-9007", f"the server's block {number} is 0x{found}, most have 0x{wanted.hex()}")
        header, footer = await self._certificates.certificate(number)
        if header != block.header.encoded:
            raise Unavailable("W3B-9007", f"the certificate of block {number} is about another block")
        self._last = block, footer
        return self._last
