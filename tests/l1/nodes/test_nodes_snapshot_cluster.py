"""A node joins a running chain of separate processes, whose delegates are elected, from a snapshot."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from elections_chain import STAKING, elections_genesis
from l1_wallet import key, send
from nodes_cluster import ROOT, Cluster, NodeProcess, cluster_keys, free_port, wait_for_head, wait_until

from l1.chain.consensus_rules import ConsensusRules
from l1.nodes.wal import NAME
from l1.staking.contract import STAKING_ADDRESS, encode_call

EPOCH = 8


@pytest.fixture(scope="module")
def cluster(memory: Path) -> Iterator[Cluster]:
    """Four delegates, some epochs after the first."""
    genesis = elections_genesis(cluster_keys(4), STAKING)
    rules = genesis.consensus
    assert rules is not None
    assert rules.blocks_per_epoch == EPOCH
    timed = replace(genesis, consensus=ConsensusRules("iip-51", 150, 150, rules.blocks_per_epoch, rules.staking))
    with Cluster(memory / "snapshots", options=(), genesis=timed) as running:
        running.start()
        send(running.nodes[0].web3, key(1), to=key(2).address, value=12345)
        wait_for_head(running.nodes, 3 * EPOCH + 2, 120)
        yield running


def newcomer(cluster: Cluster, name: str, checkpoint: str, peers: list[str], more: tuple[str, ...] = ()) -> NodeProcess:
    node = NodeProcess(cluster.folder / name, cluster.genesis_path, None, ("--checkpoint", checkpoint, *more))
    node.start(peers)
    return node


def test_a_node_joins_from_a_snapshot(cluster: Cluster) -> None:
    """It has the state, none of the blocks before, settles the epoch that it came into, and begins there again."""
    full = cluster.nodes[0]
    trusted = full.hash_of(EPOCH + 2)
    assert trusted is not None
    node = newcomer(cluster, "newcomer", trusted, [each.listen for each in cluster.nodes[:4]])
    try:
        begun = int(node.ready["head"])
        assert begun >= 3 * EPOCH
        assert node.hash_of(begun) == full.hash_of(begun)
        assert node.hash_of(begun - 1) is None
        assert node.hash_of(0) == full.hash_of(0)
        wait_for_head([full, node], begun + 2 * EPOCH, 120)
        number = hex(min(full.head(), node.head()) - 1)
        asked = {"to": "0x" + STAKING_ADDRESS.hex(), "data": "0x" + encode_call("overview").hex()}
        for method, parameters in (
            ("eth_getBlockByNumber", (number, False)),
            ("eth_call", (asked, number)),
            ("eth_getBalance", (key(2).address, number)),
            ("w3b_getDelegates", (number,)),
        ):
            assert node.ask(method, *parameters) == full.ask(method, *parameters), method
        receipt = send(node.web3, key(3), to=key(4).address, value=7)
        assert full.web3.eth.get_transaction_receipt(receipt["transactionHash"])["blockHash"] == receipt["blockHash"]
        node.kill()
        node.start([each.listen for each in cluster.nodes[:4]])
        assert int(node.ready["head"]) >= receipt["blockNumber"]
        wait_for_head([node], int(node.ready["head"]) + 2)
        assert node.status()["refusedByNetwork"] == {}
    finally:
        node.kill()


def test_who_follows_from_the_first_block_does_not_ask_who_began_later(cluster: Cluster) -> None:
    """The node without old blocks says so, and is not held for one that hides them; who has them is asked."""
    full = cluster.nodes[0]
    trusted = full.hash_of(full.head() - 1)
    assert trusted is not None
    young = newcomer(cluster, "young", trusted, [full.listen])
    old = NodeProcess(cluster.folder / "old", cluster.genesis_path, None, ())
    try:
        old.start([young.listen, full.listen])
        wait_until(lambda: old.head() >= int(young.ready["head"]), 60, "the whole chain")
        assert old.hash_of(1) == full.hash_of(1)
        refused = old.status()["refusedByNetwork"]
        assert "unanswered" not in refused
        assert "certificate" not in refused
    finally:
        young.kill()
        old.kill()


def test_a_delegate_comes_back_from_a_snapshot(cluster: Cluster) -> None:
    """With an empty folder and its key: it watches until voting is safe, and then votes."""
    index = 3
    cluster.nodes[index].kill()
    trusted = cluster.nodes[0].hash_of(cluster.nodes[0].head() - 2)
    assert trusted is not None
    key_file = cluster.folder / f"{index}.key"
    node = NodeProcess(cluster.folder / "emptied", cluster.genesis_path, key_file, ("--checkpoint", trusted))
    try:
        node.start([each.listen for each in cluster.nodes[:index]])
        assert int(node.ready["head"]) > 1
        wait_until(lambda: bool(node.status()["votes"]), 60, "its right to vote")
        assert (node.data_dir / NAME).exists()
        place = [each["address"] for each in node.ask("w3b_getDelegates", "latest")].index(node.ready["address"])

        def signed() -> bool:
            found = node.ask("w3b_getCertificate", hex(node.head()))
            return found is not None and hex(place) in found["signers"]

        wait_until(signed, 60, "its signature")
    finally:
        node.kill()


def test_a_folder_with_a_chain_goes_on_where_it_is(cluster: Cluster) -> None:
    """The option may stay in the unit file: it is for a new folder, and passed over in another."""
    node = NodeProcess(cluster.folder / "whole", cluster.genesis_path, None, ())
    node.start([cluster.nodes[0].listen])
    try:
        wait_for_head([node], 3, 60)
        node.kill()
        trusted = cluster.nodes[0].hash_of(EPOCH)
        assert trusted is not None
        node.start([cluster.nodes[0].listen], ("--checkpoint", trusted))
        assert node.hash_of(1) == cluster.nodes[0].hash_of(1)
        assert "--checkpoint is for a new folder" in node.stderr()
    finally:
        node.kill()


def test_a_signal_ends_the_search_for_a_snapshot(cluster: Cluster, folder: Path) -> None:
    """Nobody answers at that port; the node ends in order, and the folder can be used."""
    asked = ["--data-dir", str(folder / "n"), "--genesis", str(cluster.genesis_path), "--checkpoint", "0x" + "11" * 32]
    port = free_port()
    command = [sys.executable, "-m", "l1", "node", *asked, "--peer", f"127.0.0.1:{free_port()}"]
    command += ["--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    wait_until(lambda: is_listening(port), 60, "the node's port, which it opens when signals are handled")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b""), err
    assert not (folder / "n" / "node.json").exists()


def test_a_checkpoint_that_nobody_has(cluster: Cluster, folder: Path) -> None:
    """The node says so and goes on asking: a peer may know it later."""
    asked = ["--data-dir", str(folder / "n"), "--genesis", str(cluster.genesis_path), "--checkpoint", "11" * 32]
    command = [sys.executable, "-m", "l1", "node", *asked, "--peer", cluster.nodes[0].listen]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, cwd=ROOT)
    try:
        wait_until(lambda: "does not have the checkpoint" in log.read_text(), 60, "the warning")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(10)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
