"""Blocks as their hashes see them: header RLP, transactions and receipts, rebuilt from Ethereum JSON-RPC objects.

A server's objects are believed only where what is rebuilt from them hashes to the block's own hash and roots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_hash.auto import keccak

from coordinator.settlement.chain import RpcRefused
from verifier.errors import Unavailable, W3bstreamError
from verifier.evidence import rlp
from verifier.evidence.blocks import Header
from verifier.evidence.rlp import Item
from verifier.evidence.trie import Trie, position_key

_BYTES, _NUMBER = True, False
_HEADER: tuple[tuple[str, bool], ...] = (
    ("parentHash", _BYTES),
    ("sha3Uncles", _BYTES),
    ("miner", _BYTES),
    ("stateRoot", _BYTES),
    ("transactionsRoot", _BYTES),
    ("receiptsRoot", _BYTES),
    ("logsBloom", _BYTES),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _BYTES),
    ("mixHash", _BYTES),
    ("nonce", _BYTES),
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", _BYTES),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", _BYTES),
    ("requestsHash", _BYTES),
)
"""Fields in RLP's order: Yellow Paper §4.4, then EIP-1559, 4895, 4844 (two), 4788, 7685; the last ones may be absent."""
_FEES = {0: ("gasPrice",), 1: ("gasPrice",)}
_TYPES = range(5)
_AT_ONCE = 8
"""Requests under way at once."""


class Rpc(Protocol):
    """An Ethereum JSON-RPC server; `coordinator.settlement.chain.JsonRpcChain` is one."""

    async def request(self, method: str, *params: Any) -> Any:
        """One call. Raises Unavailable (W3B-5001), RpcRefused (W3B-5003), Reverted (W3B-5002)."""


def _unusable(why: str) -> Unavailable:
    return Unavailable("W3B-9007", why)


def _scalar(value: Any) -> bytes:
    return rlp.encode_int(int(str(value), 16))


def _data(value: Any) -> bytes:
    return bytes.fromhex(str(value or "0x").removeprefix("0x"))


def header_of(block: Mapping[str, Any]) -> Header:
    """The header of a block object. Raises Unavailable (W3B-9007) where it does not hash to the block's hash."""
    present = [(name, kind) for name, kind in _HEADER if block.get(name) is not None]
    fields: list[Item] = [_data(block[name]) if kind is _BYTES else _scalar(block[name]) for name, kind in present]
    try:
        header = Header.decode(rlp.encode(fields))
    except W3bstreamError as error:
        raise _unusable(f"block {block.get('number')} is no Ethereum block: {error.message}") from error
    if header.hash != _data(block["hash"]):
        raise _unusable(f"block {header.number} hashes to 0x{header.hash.hex()}, the chain calls it {block['hash']}")
    return header


def transaction_bytes(tx: Mapping[str, Any]) -> bytes:
    """EIP-2718 bytes of a transaction object. Raises Unavailable (W3B-9007) for a type that is not known."""
    kind = int(str(tx.get("type") or "0x0"), 16)
    if kind not in _TYPES:
        raise _unusable(f"transaction {tx['hash']} is of type {kind}")
    fees = _FEES.get(kind, ("maxPriorityFeePerGas", "maxFeePerGas"))
    body: list[Item] = [_scalar(tx["nonce"]), *(_scalar(tx[name]) for name in fees), _scalar(tx["gas"])]
    body += [_data(tx["to"]), _scalar(tx["value"]), _data(tx["input"])]
    signature: list[Item] = [_scalar(tx["r"]), _scalar(tx["s"])]
    if kind == 0:
        return rlp.encode([*body, _scalar(tx["v"]), *signature])
    body = [_scalar(tx["chainId"]), *body, [_access(each) for each in tx.get("accessList") or []]]
    if kind == 3:
        body += [_scalar(tx["maxFeePerBlobGas"]), [_data(each) for each in tx["blobVersionedHashes"]]]
    if kind == 4:
        body.append([_authorization(each) for each in tx["authorizationList"]])
    parity = tx.get("yParity") if tx.get("yParity") is not None else tx["v"]
    return bytes((kind,)) + rlp.encode([*body, _scalar(parity), *signature])


def _access(entry: Mapping[str, Any]) -> Item:
    return [_data(entry["address"]), [_data(key) for key in entry["storageKeys"]]]


def _authorization(entry: Mapping[str, Any]) -> Item:
    parity = entry.get("yParity") if entry.get("yParity") is not None else entry["v"]
    head = [_scalar(entry["chainId"]), _data(entry["address"]), _scalar(entry["nonce"])]
    return [*head, _scalar(parity), _scalar(entry["r"]), _scalar(entry["s"])]


def receipt_bytes(receipt: Mapping[str, Any]) -> bytes:
    """EIP-2718 bytes of a receipt object (EIP-658: with a status)."""
    logs: list[Item] = [
        [_data(log["address"]), [_data(topic) for topic in log["topics"]], _data(log["data"])]
        for log in receipt["logs"]
    ]
    fields: list[Item] = [
        _scalar(receipt["status"]),
        _scalar(receipt["cumulativeGasUsed"]),
        _data(receipt["logsBloom"]),
        logs,
    ]
    kind = int(str(receipt.get("type") or "0x0"), 16)
    return (bytes((kind,)) if kind else b"") + rlp.encode(fields)


@dataclass(frozen=True)
class FullBlock:
    """A block with all that its header commits to."""

    header: Header
    inputs: tuple[tuple[bytes, bytes], ...]
    """(recipient, call data) of each transaction; the recipient of a creation is empty."""
    hashes: tuple[bytes, ...]
    """Of each transaction, 32 bytes."""
    transactions: Trie
    receipts: Trie

    def proofs(self, position: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """The trie proofs of the transaction at a position, and of its receipt."""
        key = position_key(position)
        return tuple(self.transactions.prove(key)), tuple(self.receipts.prove(key))


def _full(block: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> FullBlock:
    """Raises Unavailable (W3B-9007) where transactions or receipts are not those of the header."""
    header, rows = header_of(block), block["transactions"]
    written = [transaction_bytes(tx) for tx in rows]
    found = FullBlock(
        header,
        tuple((_data(tx["to"]), _data(tx["input"])) for tx in rows),
        tuple(keccak(each) for each in written),
        Trie({position_key(at): each for at, each in enumerate(written)}),
        Trie({position_key(at): receipt_bytes(each) for at, each in enumerate(receipts)}),
    )
    roots = (("transactions", found.transactions, header.transactions_root),)
    for name, trie, root in (*roots, ("receipts", found.receipts, header.receipts_root)):
        if trie.root != root:
            raise _unusable(f"the {name} of block {header.number} make the root 0x{trie.root.hex()}, not its own")
    return found


class BlockReader:
    """Blocks of one chain; each is asked for once, so make one reader a file."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._full: dict[int, FullBlock] = {}
        self._headers: dict[int, Header] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def full(self, number: int) -> FullBlock:
        """A block with its transactions and receipts. Raises Unavailable (W3B-5001, W3B-9007)."""
        if number not in self._full:
            block = await self._block(number, full=True)
            receipts = await self._receipts(number, block["transactions"])
            try:
                found = await asyncio.to_thread(_full, block, receipts)
            except (KeyError, TypeError, ValueError) as error:
                raise _unusable(f"block {number} lacks something or has it in another form: {error!r}") from error
            self._full[number], self._headers[number] = found, found.header
        return self._full[number]

    async def header(self, number: int) -> Header:
        """A block's header. Raises Unavailable (W3B-5001, W3B-9007)."""
        if number not in self._headers:
            async with self._places:
                block = await self._block(number, full=False)
            try:
                self._headers[number] = header_of(block)
            except (KeyError, TypeError, ValueError) as error:
                raise _unusable(f"the header of block {number} has another form: {error!r}") from error
        return self._headers[number]

    async def _block(self, number: int, *, full: bool) -> dict[str, Any]:
        found = await self._rpc.request("eth_getBlockByNumber", hex(number), full)
        if not isinstance(found, dict):
            raise _unusable(f"the chain has no block {number}")
        return found

    async def _receipts(self, number: int, transactions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All receipts of a block; one by one where the server has no method for all."""
        try:
            found = await self._rpc.request("eth_getBlockReceipts", hex(number))
        except RpcRefused:
            found = [await self._rpc.request("eth_getTransactionReceipt", tx["hash"]) for tx in transactions]
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise _unusable(f"the chain has no receipts of block {number}")
        return found
