"""No announced block is lost: not by a clean stop, not by SIGKILL at any moment, not over a snapshot."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import pytest
from l1_assembly import counter_runtime, init_code
from l1_wallet import CHAIN_ID, key, send, sign
from web3 import Web3

from l1.chain.blockchain import SNAPSHOT_INTERVAL, Blockchain
from l1.chain.genesis import load_genesis
from l1.chain.producer import build_block
from l1.chain.store import StoreError
from l1.process import ChainProcess, ChainProcessError
from native import _native

OPTIONS = ["--min-interval", "0.01"]


def client(node: ChainProcess) -> Web3:
    return Web3(Web3.HTTPProvider(node.rpc_url))


def test_clean_restart_keeps_blocks_state_and_logs(tmp_path: Path, genesis_path: Path) -> None:
    with ChainProcess(tmp_path, genesis_path, options=OPTIONS) as node:
        web3 = client(node)
        counter = send(web3, key(1), data=init_code(counter_runtime()))["contractAddress"]
        receipt = send(web3, key(1), to=counter)
        head = web3.eth.get_block("latest")
        assert node.stop() == 0
    assert not (tmp_path / "node.json").exists()
    with ChainProcess(tmp_path, options=OPTIONS) as node:
        web3 = client(node)
        assert dict(web3.eth.get_block(head["number"])) == dict(head)
        assert dict(web3.eth.get_transaction_receipt(receipt["transactionHash"])) == dict(receipt)
        assert web3.eth.get_storage_at(counter, 0) == (1).to_bytes(32, "big")
        assert len(web3.eth.get_logs({"fromBlock": 0, "address": counter})) == 1
        assert send(web3, key(1), to=counter)["status"] == 1


def test_sigkill_at_any_moment_loses_no_announced_block(tmp_path: Path, genesis_path: Path) -> None:
    """Kill while transactions stream in; whatever a receipt was seen for is there after the restart."""
    dice = random.Random(5)
    seen: dict[bytes, tuple[int, bytes]] = {}
    nonce = 0
    for _ in range(6):
        node = ChainProcess(tmp_path, genesis_path, options=OPTIONS)
        web3 = client(node)
        for transaction, (number, block_hash) in seen.items():
            receipt = web3.eth.get_transaction_receipt(transaction)
            assert (receipt["blockNumber"], bytes(receipt["blockHash"])) == (number, block_hash)
        nonce = web3.eth.get_transaction_count(key(2).address)
        assert nonce >= len(seen)
        sent = []
        until = time.monotonic() + dice.uniform(0.1, 0.6)
        while time.monotonic() < until:
            raw = sign(key(2), CHAIN_ID, nonce, to=key(3).address, value=1)
            sent.append(web3.eth.send_raw_transaction(raw))
            nonce += 1
            position = web3.eth.get_transaction_count(key(2).address) - 1 - (nonce - len(sent))
            if position >= 0:
                receipt = web3.eth.get_transaction_receipt(sent[position])
                seen[bytes(sent[position])] = (receipt["blockNumber"], bytes(receipt["blockHash"]))
        node.kill()
    assert len(seen) > 6
    with ChainProcess(tmp_path, options=OPTIONS) as node:
        web3 = client(node)
        assert web3.eth.get_balance(key(3).address) - 10**24 == web3.eth.get_transaction_count(key(2).address)


def test_restart_over_a_snapshot_replays_and_keeps_history(tmp_path: Path, genesis_path: Path) -> None:
    chain = Blockchain(tmp_path, load_genesis(genesis_path))
    last = SNAPSHOT_INTERVAL + _native.STATE_HISTORY + 3
    for number in range(1, last + 1):
        raw = sign(key(1), CHAIN_ID, number - 1, to=key(2).address, value=1)
        chain.commit(build_block(chain, [_native.Transaction.decode(raw)], bytes(20), number))
    root, head = chain.view(last).state_root, chain.head_hash
    old = chain.view(last - 200).balance(bytes.fromhex(key(2).address[2:]))
    chain.close()
    again = Blockchain(tmp_path, None)
    assert (again.head_hash, again.view(last).state_root) == (head, root)
    assert again.view(last - 200).balance(bytes.fromhex(key(2).address[2:])) == old
    with pytest.raises(_native.StateNotAvailable):
        again.view(1)
    again.rollback(last - 2)
    assert again.head_number == last - 2
    assert again.position_of(_native.Transaction.decode(raw).hash) is None
    again.close()


def test_a_damaged_block_is_refused_at_start(tmp_path: Path, genesis_path: Path) -> None:
    chain = Blockchain(tmp_path, load_genesis(genesis_path))
    raw = sign(key(1), CHAIN_ID, 0, to=key(2).address, value=1)
    chain.commit(build_block(chain, [_native.Transaction.decode(raw)], bytes(20), 5))
    chain.close()
    with sqlite3.connect(tmp_path / "chain.sqlite") as database:
        (block,) = database.execute("SELECT block FROM blocks WHERE number = 1").fetchone()
        flipped = bytearray(block)
        flipped[100] ^= 1
        database.execute("UPDATE blocks SET block = ? WHERE number = 1", (bytes(flipped),))
    with pytest.raises(StoreError, match="stored block 1 is damaged"):
        Blockchain(tmp_path, None)


def test_one_node_a_folder_and_one_genesis_a_folder(tmp_path: Path, genesis_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"chainId": 4690, "alloc": {}}')
    running = ChainProcess(tmp_path / "chain", genesis_path)
    with running, pytest.raises(ChainProcessError, match="in use by another node"):
        ChainProcess(tmp_path / "chain", genesis_path)
    with pytest.raises(ChainProcessError, match="another genesis"):
        ChainProcess(tmp_path / "chain", other)
    with pytest.raises(ChainProcessError, match="name a genesis file"):
        ChainProcess(tmp_path / "new")
