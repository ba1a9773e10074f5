"""Four delegates, each a process: they agree, go on without one, take it back, and let others follow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from l1_wallet import key, send
from nodes_cluster import Cluster, NodeProcess, wait_for_head, wait_until

from l1.chain.genesis_delegates import delegate_set
from l1.consensus.certificate import check, from_footer
from l1.consensus.messages import domain_of
from l1.nodes.wal import NAME

pytestmark = pytest.mark.slow


def signs(node: NodeProcess, index: int, since: int) -> bool:
    """Whether a delegate's vote is in the certificate of a block from this one on."""
    numbers = range(since, node.head() + 1)
    return any(hex(index) in node.ask("w3b_getCertificate", hex(number))["signers"] for number in numbers)


def assert_nobody_is_convicted(cluster: Cluster) -> None:
    for node in cluster.nodes:
        assert not node.running or node.status()["convicted"] == {}


def test_four_serve_one_chain(cluster: Cluster) -> None:
    wait_for_head(cluster.nodes, 3)
    assert cluster.assert_one_chain() >= 3
    assert {node.ask("w3b_finality")["source"] for node in cluster.nodes} == {"bls"}
    assert all(int(node.ask("net_peerCount"), 16) == 3 for node in cluster.nodes)


def test_every_block_has_a_certificate_that_holds(cluster: Cluster) -> None:
    wait_for_head(cluster.nodes, 3)
    node = cluster.nodes[1]
    genesis_hash = bytes.fromhex(node.ready["genesis_hash"][2:])
    domain = domain_of(node.ready["chain_id"], genesis_hash)
    for number in range(1, 4):
        found = node.ask("w3b_getCertificate", hex(number))
        footer, block_hash = (bytes.fromhex(found[name][2:]) for name in ("footer", "hash"))
        check(from_footer(footer, number, block_hash), delegate_set(cluster.genesis.delegates), domain)


def test_a_transaction_sent_to_one_is_mined_by_all(cluster: Cluster) -> None:
    receipt = send(cluster.nodes[2].web3, key(1), to=key(2).address, value=5)
    wait_for_head(cluster.nodes, receipt["blockNumber"])
    for node in cluster.nodes:
        assert node.ask("eth_getTransactionReceipt", receipt["transactionHash"].to_0x_hex())["status"] == "0x1"


def test_three_go_on_and_the_fourth_comes_back(cluster: Cluster) -> None:
    """SIGKILL: what the killed one had voted it does not contradict, and it votes again."""
    killed, others = cluster.nodes[3], cluster.nodes[:3]
    killed.kill()
    wait_for_head(others, max(node.head() for node in others) + 4)
    receipt = send(others[0].web3, key(3), to=key(4).address, value=5)
    cluster.start_one(3)
    wait_for_head([killed], receipt["blockNumber"])
    since = killed.head() + 1
    wait_until(lambda: signs(others[0], 3, since), what="a vote of the delegate that came back")
    cluster.assert_one_chain()
    assert_nobody_is_convicted(cluster)


def test_a_delegate_with_an_empty_folder_syncs_and_votes_later(cluster: Cluster) -> None:
    """It does not know where it has voted: it stays silent at the height that is open when it arrives."""
    node = cluster.nodes[2]
    node.kill()
    shutil.rmtree(node.data_dir)
    others = [each for each in cluster.nodes if each is not node]
    at_least = others[0].head()
    cluster.start_one(2)
    wait_for_head([node], at_least)
    wait_until(lambda: node.status()["votes"], what="the right to vote")
    assert "a new log of votes: this delegate votes from height" in node.stderr()
    since = node.head() + 1
    wait_until(lambda: signs(others[0], 2, since), what="a vote")
    cluster.assert_one_chain()
    assert_nobody_is_convicted(cluster)


def test_a_node_without_keys_follows_from_genesis(cluster: Cluster) -> None:
    head = cluster.nodes[0].head()
    watcher = cluster.observer("watcher")
    wait_for_head([watcher], head)
    cluster.assert_one_chain()
    assert watcher.status()["votes"] is False
    receipt = send(watcher.web3, key(5), to=key(6).address, value=1)
    assert receipt["status"] == 1
    watcher.stop()
    cluster.nodes.remove(watcher)


def test_a_changed_log_stops_the_start_and_is_set_aside_when_asked(cluster: Cluster) -> None:
    node, path = cluster.nodes[1], cluster.nodes[1].data_dir / NAME
    assert node.stop() == 0
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(AssertionError, match=r"the node ended with 2: [\s\S]*Do not delete[\s\S]*--abandon-log"):
        cluster.start_one(1)
    node.kill()
    cluster.start_one(1, ["--abandon-log"])
    wait_until(lambda: node.status()["votes"], what="the right to vote")
    since = node.head() + 1
    wait_until(lambda: signs(cluster.nodes[0], 1, since), what="a vote")
    assert [each.read_bytes() for each in Path(node.data_dir).glob("*.abandoned-*")] == [bytes(raw)]
    assert_nobody_is_convicted(cluster)


def test_a_stopped_node_starts_where_it_was(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    head, block_hash = node.head(), node.hash_of(1)
    assert node.stop() == 0
    assert not (node.data_dir / "node.json").exists()
    cluster.start_one(0)
    assert node.ready["head"] >= head
    assert node.hash_of(1) == block_hash
    wait_for_head([node], head + 3)
