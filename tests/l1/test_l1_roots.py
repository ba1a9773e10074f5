"""Every root, the bloom and the block hash equal an independent computation with py-trie and rlp."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak
from l1_assembly import counter_runtime, init_code, storer_runtime
from l1_independent import block_hash, bloom, list_root, proven, receipt_bytes, state_root
from l1_wallet import send, sign
from trie.exceptions import BadTrieProof
from web3 import Web3

from native import _native

CHAIN_ID = 4690
# EIP-2935 and EIP-4788 as published in the EIPs.
HISTORY = bytes.fromhex("0000F90827F1C53a10cb7A02335B175320002935")
HISTORY_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257"
    "611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
BEACON = bytes.fromhex("000F3df6D732807Ef1319fB7B8bB8522d0Beac02")
BEACON_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414"
    "603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)


def test_state_root_after_storage_activity() -> None:
    """Slots set, overwritten and cleared over several blocks; fees, tips and system contracts included."""
    dice = random.Random(11)
    storer, tips = b"\x55" * 20, b"\xbe" * 20
    senders = [Account.from_key(number.to_bytes(32, "big")) for number in range(1, 30)]
    address = {account: bytes.fromhex(account.address[2:]) for account in senders}
    alloc: dict[bytes, Any] = {address[account]: (10**20, 0, b"", []) for account in senders}
    alloc[storer] = (0, 1, storer_runtime(), [(9, 9)])
    chain, genesis = _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=60_000_000, base_fee_per_gas=10**9, timestamp=1, extra_data=b"", alloc=alloc
    )
    slots: dict[int, int] = {9: 9}
    history: dict[int, int] = {}
    beacon: dict[int, int] = {}
    balances = dict.fromkeys(address.values(), 10**20)
    nonces = dict.fromkeys(address.values(), 0)
    tipped, parent = 0, genesis
    for number in range(1, 6):
        batch = []
        for account in senders:
            slot, value = (
                dice.choice([dice.randrange(40), dice.getrandbits(256)]),
                dice.choice([0, dice.getrandbits(200)]),
            )
            data = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
            raw = sign(account, CHAIN_ID, number - 1, to="0x" + storer.hex(), data=data)
            batch.append(_native.Transaction.decode(raw))
            slots[slot] = value
        root = dice.randbytes(32)
        executed = chain.build(
            batch,
            beneficiary=tips,
            timestamp=1 + number,
            prev_randao=bytes(32),
            parent_beacon_block_root=root,
            extra_data=b"w3b",
        )
        chain.append(executed)
        history[(number - 1) % 8191] = int.from_bytes(parent.hash, "big")
        beacon[(1 + number) % 8191] = 1 + number
        beacon[(1 + number) % 8191 + 8191] = int.from_bytes(root, "big")
        parent = executed.block
        before = 0
        for tx, receipt in zip(executed.block.transactions, executed.receipts, strict=True):
            gas, before = receipt.cumulative_gas_used - before, receipt.cumulative_gas_used
            balances[tx.sender] -= gas * (parent.base_fee_per_gas + 10**9)
            nonces[tx.sender] += 1
            tipped += gas * 10**9
        accounts: dict[bytes, Any] = {a: (nonces[a], balances[a], b"", {}) for a in balances}
        accounts[storer] = (1, 0, storer_runtime(), slots)
        accounts[tips] = (0, tipped, b"", {})
        accounts[HISTORY] = (1, 0, HISTORY_CODE, history)
        accounts[BEACON] = (1, 0, BEACON_CODE, beacon)
        assert len(executed.block.transactions) == len(senders)
        assert executed.block.state_root == state_root(accounts), f"block {number}"
    view = chain.view(5)
    for slot, value in slots.items():
        assert view.storage(storer, slot) == value


def test_transaction_and_receipt_roots_bloom_and_block_hash(web3: Web3) -> None:
    """Blocks fetched over RPC hash to their own hash, and their lists to their roots."""
    rich = Account.from_key((1).to_bytes(32, "big"))
    counter = send(web3, rich, data=init_code(counter_runtime()))["contractAddress"]
    nonce = web3.eth.get_transaction_count(rich.address)
    for offset in range(20):
        kind = {"gasPrice": 10**11} if offset % 3 == 0 else {}
        kind = {**kind, "accessList": []} if offset % 3 == 0 and offset % 2 else kind
        last = web3.eth.send_raw_transaction(sign(rich, CHAIN_ID, nonce + offset, to=counter, **kind))
    web3.eth.wait_for_transaction_receipt(last, poll_latency=0.05)
    seen = set()
    for number in range(web3.eth.block_number + 1):
        block = web3.eth.get_block(number, full_transactions=True)
        receipts = [web3.eth.get_transaction_receipt(tx["hash"]) for tx in block["transactions"]]
        seen |= {receipt["type"] for receipt in receipts}
        assert block_hash(block) == block["hash"]
        assert list_root([receipt_bytes(receipt) for receipt in receipts]) == block["receiptsRoot"]
        raw = [_raw(tx) for tx in block["transactions"]]
        assert [keccak(item) for item in raw] == [tx["hash"] for tx in block["transactions"]]
        assert list_root(raw) == block["transactionsRoot"]
        assert bloom([log for receipt in receipts for log in receipt["logs"]]) == block["logsBloom"]
        if number:
            assert block["parentHash"] == web3.eth.get_block(number - 1)["hash"]
    assert seen == {0, 1, 2}


def test_get_proof_verifies_and_a_forged_one_does_not(web3: Web3) -> None:
    """EIP-1186 proofs of accounts and slots, present and absent, checked by py-trie against the header's root."""
    rich = Account.from_key((2).to_bytes(32, "big"))
    storer = send(web3, rich, data=init_code(storer_runtime()))["contractAddress"]
    for slot, value in [(0, 7), (1, 2**255), (3, 99)]:
        send(web3, rich, to=storer, data=slot.to_bytes(32, "big") + value.to_bytes(32, "big"))
    block = web3.eth.get_block("latest")
    raw_address = bytes.fromhex(storer[2:])
    proof = web3.eth.get_proof(storer, [0, 1, 2, 3], block["number"])
    nodes = [bytes(node) for node in proof["accountProof"]]
    account = proven(bytes(block["stateRoot"]), raw_address, nodes)
    expected = [proof["nonce"], proof["balance"], bytes(proof["storageHash"]), bytes(proof["codeHash"])]
    assert account == rlp.encode(expected)
    assert bytes(proof["codeHash"]) == keccak(storer_runtime())
    values = []
    for slot, item in enumerate(proof["storageProof"]):
        shown = proven(bytes(proof["storageHash"]), slot.to_bytes(32, "big"), [bytes(n) for n in item["proof"]])
        values.append(rlp.decode(shown, rlp.sedes.big_endian_int) if shown else 0)
    assert values == [7, 2**255, 0, 99]
    absent = web3.eth.get_proof("0x" + "77" * 20, [], block["number"])
    assert proven(bytes(block["stateRoot"]), b"\x77" * 20, [bytes(n) for n in absent["accountProof"]]) == b""
    assert (absent["balance"], absent["nonce"], absent["codeHash"]) == (0, 0, keccak(b""))
    forged = [*nodes[:-1], nodes[-1][:-1] + bytes([nodes[-1][-1] ^ 1])]
    with pytest.raises(BadTrieProof):
        proven(bytes(block["stateRoot"]), raw_address, forged)
    with pytest.raises(BadTrieProof):
        proven(bytes(web3.eth.get_block(0)["stateRoot"]), raw_address, nodes)


def _raw(tx: Any) -> bytes:
    """EIP-2718 bytes from the fields of an RPC transaction."""
    to = bytes.fromhex(tx["to"][2:]) if tx["to"] else b""
    r, s = (int.from_bytes(bytes(tx[name]), "big") for name in ("r", "s"))
    tail = [tx["gas"], to, tx["value"], bytes(tx["input"])]
    if tx["type"] == 0:
        return rlp.encode([tx["nonce"], tx["gasPrice"], *tail, tx["v"], r, s])
    if tx["type"] == 1:
        return b"\x01" + rlp.encode([tx["chainId"], tx["nonce"], tx["gasPrice"], *tail, [], tx["v"], r, s])
    fees = [tx["maxPriorityFeePerGas"], tx["maxFeePerGas"]]
    return b"\x02" + rlp.encode([tx["chainId"], tx["nonce"], *fees, *tail, [], tx["v"], r, s])
