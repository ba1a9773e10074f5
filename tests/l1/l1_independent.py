"""Roots and hashes computed a second time, with py-trie and rlp and nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rlp
from eth_hash.auto import keccak
from hexbytes import HexBytes
from trie import HexaryTrie

EMPTY_CODE_HASH = keccak(b"")


def state_root(accounts: Mapping[bytes, tuple[int, int, bytes, Mapping[int, int]]]) -> bytes:
    """Root over address → (nonce, balance, code, slots)."""
    trie = HexaryTrie({})
    for address, (nonce, balance, code, slots) in accounts.items():
        storage = HexaryTrie({})
        for slot, value in slots.items():
            if value:
                storage[keccak(slot.to_bytes(32, "big"))] = rlp.encode(value)
        trie[keccak(address)] = rlp.encode([nonce, balance, storage.root_hash, keccak(code)])
    return trie.root_hash


def list_root(items: list[bytes]) -> bytes:
    """Root of a trie from RLP(index) to item: transactions and receipts."""
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(index)] = item
    return trie.root_hash


def bloom(logs: list[Any]) -> bytes:
    """Logs bloom of web3 log objects (Yellow Paper §4.3.1)."""
    bits = 0
    for log in logs:
        for item in [bytes.fromhex(log["address"][2:]), *[bytes(topic) for topic in log["topics"]]]:
            digest = keccak(item)
            for offset in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[offset : offset + 2], "big") % 2048)
    return bits.to_bytes(256, "big")


def receipt_bytes(receipt: Any) -> bytes:
    """EIP-2718 bytes of a web3 receipt, its bloom computed from its logs."""
    logs = [
        [bytes.fromhex(log["address"][2:]), [bytes(topic) for topic in log["topics"]], bytes(log["data"])]
        for log in receipt["logs"]
    ]
    body = rlp.encode([receipt["status"], receipt["cumulativeGasUsed"], bloom(receipt["logs"]), logs])
    return body if receipt["type"] == 0 else bytes([receipt["type"]]) + body


def block_hash(block: Any) -> bytes:
    """keccak256 of the Osaka header's RLP, field by field from a web3 block."""
    header = [
        bytes(block["parentHash"]),
        bytes(block["sha3Uncles"]),
        bytes.fromhex(block["miner"][2:]),
        bytes(block["stateRoot"]),
        bytes(block["transactionsRoot"]),
        bytes(block["receiptsRoot"]),
        bytes(block["logsBloom"]),
        block["difficulty"],
        block["number"],
        block["gasLimit"],
        block["gasUsed"],
        block["timestamp"],
        bytes(HexBytes(block["extraData"])),
        bytes(block["mixHash"]),
        bytes(block["nonce"]),
        block["baseFeePerGas"],
        bytes(block["withdrawalsRoot"]),
        block["blobGasUsed"],
        block["excessBlobGas"],
        bytes(block["parentBeaconBlockRoot"]),
        bytes(block["requestsHash"]),
    ]
    return keccak(rlp.encode(header))


def proven(root: bytes, key: bytes, nodes: list[bytes]) -> bytes:
    """The value that a Merkle proof shows under keccak256(key); empty when it shows absence. Raises for a bad proof."""
    return HexaryTrie.get_from_proof(root, keccak(key), [rlp.decode(node) for node in nodes])
