"""Separate nodes whose delegates are elected: a newcomer takes its seat, and one that contradicts itself is punished."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from elections_chain import STAKING, candidate_keys, elections_genesis, registration
from l1_wallet import RICH, key, send
from nodes_client import Client
from nodes_cluster import Cluster, NodeProcess, cluster_keys, wait_for_head, wait_until
from test_nodes_attacks import vote

from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import GenesisAccount
from l1.consensus.messages import domain_of, encode
from l1.nodes.keys import DEVNET_POWER
from l1.nodes.wire import Kind
from l1.staking.contract import STAKING_ADDRESS, read_state
from l1.staking.evidence import EVIDENCE, EVIDENCE_ADDRESS
from l1.staking.state import StakingState

EPOCH = 10
SHARE = 1_000
"""Ten-thousandths of the self-stake that equivocation costs here."""
NEWCOMER = candidate_keys(9)


@pytest.fixture(scope="module")
def cluster(memory: Path) -> Iterator[Cluster]:
    genesis = elections_genesis(cluster_keys(4), replace(STAKING, equivocation_slash_share=SHARE))
    funded = dict(genesis.alloc) | {NEWCOMER.address: GenesisAccount(balance=RICH)}
    rules = genesis.consensus
    assert rules is not None
    assert rules.staking is not None
    timed = ConsensusRules("iip-51", 150, 150, rules.blocks_per_epoch, rules.staking)
    with Cluster(memory / "elections", options=(), genesis=replace(genesis, alloc=funded, consensus=timed)) as running:
        running.start()
        yield running


def members(node: NodeProcess) -> set[str]:
    return {each["address"] for each in node.ask("w3b_getDelegates", "latest")}


def staking_of(node: NodeProcess) -> StakingState:
    def call(data: bytes) -> bytes:
        asked = {"to": "0x" + STAKING_ADDRESS.hex(), "data": "0x" + data.hex(), "gas": hex(50_000_000)}
        return bytes.fromhex(node.ask("eth_call", asked, "latest")[2:])

    return read_state(call, 1, with_buckets=True)


def test_an_option_that_contradicts_the_genesis_is_refused(cluster: Cluster) -> None:
    other = NodeProcess(cluster.folder / "hasty", cluster.genesis_path, None, ("--interval", "9"))
    with pytest.raises(AssertionError, match="leave out --interval"):
        other.start(cluster.peers_of(other))


def test_a_newcomer_is_elected_and_its_votes_count(cluster: Cluster) -> None:
    """Its node watches; its owner registers it; from the epoch after the poll on its signature is in certificates."""
    node = cluster.observer("newcomer", NEWCOMER)
    mine = "0x" + NEWCOMER.address.hex()
    assert mine not in members(node)
    assert not node.status()["votes"]
    sent = node.web3.eth.send_raw_transaction(registration(NEWCOMER, key(1), 0))
    assert node.web3.eth.wait_for_transaction_receipt(sent, timeout=30)["status"] == 1
    wait_until(lambda: mine in members(node), 60, "the newcomer's seat")
    wait_until(lambda: bool(node.status()["votes"]), 30, "its right to vote")

    def signed() -> bool:
        """Whether the newcomer's vote is in the newest certificate of an epoch that it sits in."""
        head = node.head()
        named = [each["address"] for each in node.ask("w3b_getDelegates", hex(head - 1))]
        certificate = node.ask("w3b_getCertificate", hex(head))
        return mine in named and hex(named.index(mine)) in certificate["signers"]

    wait_until(signed, 40, "the newcomer's signature")
    wait_until(lambda: mine in {node.web3.eth.get_block("latest")["miner"].lower()}, 60, "a block of the newcomer")
    cluster.assert_one_chain()


async def test_who_contradicts_itself_is_punished_on_chain(cluster: Cluster) -> None:
    """Delegate 3's node is stopped, and its key used to vote twice; the others report it, once, without being asked."""
    culprit = cluster.keys[3]
    cluster.nodes[3].kill()
    witness = cluster.nodes[0]
    first = witness.hash_of(0)
    assert first is not None
    domain = domain_of(cluster.genesis.chain_id, bytes.fromhex(first[2:]))
    before = staking_of(witness).candidates[culprit.address].self_stake
    client = await Client.dial(witness.listen, b"\x43" * 32, domain)
    topic = "0x" + EVIDENCE.event_topic("EquivocationProven").hex()
    asked = {"address": "0x" + EVIDENCE_ADDRESS.hex(), "topics": [topic], "fromBlock": "0x0"}

    def events() -> list[dict[str, str]]:
        return list(witness.ask("eth_getLogs", asked))

    def index() -> int:
        named = witness.ask("w3b_getDelegates", "latest")
        return [each["address"] for each in named].index("0x" + culprit.address.hex())

    async with asyncio.timeout(90):
        while not await asyncio.to_thread(events):
            place = await asyncio.to_thread(index)
            for filler in (b"\x71", b"\x72"):
                cast = vote(cluster, domain, filler * 32)._replace(delegate=place)
                client.send(Kind.VOTE, encode(cast))
            await asyncio.sleep(0.1)  # between two tries: the height that is voted on changes meanwhile
    client.close()
    (event,) = await asyncio.to_thread(events)
    assert event["topics"][1].endswith(culprit.address.hex())
    after = (await asyncio.to_thread(staking_of, witness)).candidates[culprit.address].self_stake
    assert before - after >= before * SHARE // 10_000
    assert before <= DEVNET_POWER
    head = witness.head()
    await asyncio.to_thread(wait_for_head, [witness], head + 12)
    assert len(await asyncio.to_thread(events)) == 1, "one offence is punished once, whoever reports it"


def test_the_chain_goes_on(cluster: Cluster) -> None:
    running = [each for each in cluster.nodes if each.running]
    receipt = send(running[0].web3, key(7), to=key(8).address, value=1)
    wait_for_head(running, receipt["blockNumber"] + 2)
    cluster.assert_one_chain(running)
