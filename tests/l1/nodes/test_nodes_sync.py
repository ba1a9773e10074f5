"""A node that watches four delegates whose keys the test holds: what it takes from a peer, and what it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import rlp
from l1_wallet import CHAIN_ID, key, sign
from nodes_client import Client
from nodes_cluster import make_genesis

from l1.chain.blockchain import Blockchain
from l1.chain.genesis_delegates import delegate_set
from l1.consensus.certificate import bitmap_of, footer
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Proposal, Vote, encode
from l1.nodes.assembly import SeparateNode, SeparateSettings, parameters_of
from l1.nodes.delegate import Halted
from l1.nodes.keys import derive
from l1.nodes.wire import Decided, Kind, Status, encode_blocks, encode_status, read_frame
from native import _native
from tests.patience import PATIENCE

KEYS = derive(b"delegates that a test plays.....", 4)
GENESIS = make_genesis(KEYS)
SET = delegate_set(GENESIS.delegates)
PROPOSER = 0
"""Who proposes at height 1, round 0."""


class World:
    """A watching node, and a peer of it."""

    def __init__(self, node: SeparateNode, client: Client, chain: Blockchain) -> None:
        self.node = node
        self.client = client
        self.chain = chain

    def block(self, values: Sequence[int] = (1, 2), **changes: Any) -> _native.Block:
        """A block 1."""
        transactions = [
            _native.Transaction.decode(sign(key(1), CHAIN_ID, nonce, to=key(2).address, value=value))
            for nonce, value in enumerate(values)
        ]
        attributes = {
            "beneficiary": KEYS[PROPOSER].address,
            "timestamp": int(time.time()),
            "prev_randao": self.chain.head_hash,
            "extra_data": SET.root(),
        }
        return self.chain.build(transactions, **(attributes | changes)).block

    def certificate(self, block: _native.Block, who: Sequence[int] = (0, 1, 2), **changes: Any) -> Certificate:
        """COMMIT votes of these delegates."""
        vote = Vote(block.number, 0, Topic.COMMIT, block.hash, 0)
        digest = vote.digest(self.node.delegate.domain)
        sum_ = _native.bls_aggregate([KEYS[each].voting.sign(digest) for each in who])
        return Certificate(*vote[:4], bitmap_of(who, 4), sum_)._replace(**changes)

    def propose(self, block: _native.Block, raw: bytes | None = None, delegate: int = PROPOSER) -> None:
        """Send a proposal at height 1, round 0, with a signature that holds."""
        made = Proposal(1, 0, block.hash, delegate, block=raw or block.encoded)
        signature = KEYS[delegate].voting.sign(made.digest(self.node.delegate.domain))
        self.client.send(Kind.BLOCK_MESSAGE, encode(made._replace(signature=signature)))

    async def offer(self, raw: bytes, shown: bytes) -> None:
        """Say that there is a block 1, be asked for it, and answer with this."""
        self.client.send(Kind.STATUS, encode_status(Status(1, b"\x01" * 32)))
        async with asyncio.timeout(20 * PATIENCE):
            while (await read_frame(self.client.reader))[0] is not Kind.GET_BLOCKS:
                pass
        self.client.send(Kind.BLOCKS, encode_blocks([Decided(raw, shown)]))


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    own = Blockchain(folder / "own", GENESIS)
    settings = SeparateSettings(folder / "node", GENESIS, parameters=parameters_of(60, 0))
    async with SeparateNode(settings) as node:
        client = await Client.dial(f"127.0.0.1:{node.network.port}", b"\x61" * 32, node.delegate.domain)
        yield World(node, client, own)
        client.close()
    own.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def mixed(header_of: _native.Block, body_of: _native.Block) -> bytes:
    """A block with the header of one and the transactions of another."""
    return bytes(rlp.encode([rlp.decode(header_of.encoded)[0], *rlp.decode(body_of.encoded)[1:]]))


async def test_a_decided_block_is_taken(world: World) -> None:
    block = world.block()
    await world.offer(block.encoded, footer(world.certificate(block)))
    await until(lambda: world.node.chain.head_number == 1)
    assert world.node.chain.head_hash == block.hash
    assert world.node.network.refused == {}


@pytest.mark.parametrize(
    ("who", "changes"),
    [
        ((0, 1), {}),
        ((0, 1, 2), {"signers": b"\x0f"}),
        ((0, 1, 2), {"signers": b"\xf7"}),
        ((0, 1, 2), {"signers": b"\x07\x00"}),
        ((0, 1, 2), {"signature": bytes(96)}),
        ((0, 1, 2), {"round": 1}),
    ],
)
async def test_a_certificate_that_shows_nothing(who: Sequence[int], changes: dict[str, Any], world: World) -> None:
    """Too few, more than signed, none of the set, another round: the peer is banned, and nothing is taken."""
    block = world.block()
    await world.offer(block.encoded, footer(world.certificate(block, who, **changes)))
    await until(lambda: world.node.network.refused["certificate"] == 1)
    assert await world.client.is_cut_off()
    assert world.node.network.bans == 1
    assert world.node.chain.head_number == 0


async def test_a_certificate_of_another_block(world: World) -> None:
    await world.offer(world.block().encoded, footer(world.certificate(world.block([9]))))
    await until(lambda: world.node.network.refused["certificate"] == 1)
    assert world.node.chain.head_number == 0


async def test_other_transactions_under_a_decided_header(world: World) -> None:
    block = world.block()
    await world.offer(mixed(block, world.block([9])), footer(world.certificate(block)))
    await until(lambda: world.node.network.refused["body"] == 1)
    assert world.node.chain.head_number == 0


async def test_a_block_that_is_none(world: World) -> None:
    await world.offer(b"no block", footer(world.certificate(world.block())))
    await until(lambda: world.node.network.refused["body"] == 1)


async def test_the_node_stops_when_two_thirds_decide_what_it_holds_for_invalid(world: World) -> None:
    """Going on would be another chain than theirs, and saying nothing would hide it."""
    block = world.block(extra_data=b"\x07" * 32)
    await world.offer(block.encoded, footer(world.certificate(block)))
    with pytest.raises(Halted, match=r"extraData.*install the release"):
        async with asyncio.timeout(20):
            await world.node.wait()
    assert world.node.chain.head_number == 0


async def test_a_proposal_whose_block_was_changed_on_the_way(world: World) -> None:
    """The signature is on the block's hash, and still holds. The honest one, coming later, is not held against it."""
    block = world.block()
    world.propose(block, mixed(block, world.block([9])))
    await until(lambda: world.node.network.refused["body"] == 1)
    assert world.node.delegate.candidate(block.hash) is None
    world.propose(block)
    await until(lambda: world.node.delegate.candidate(block.hash) is not None)


@pytest.mark.parametrize(
    ("changes", "delegate", "reason"),
    [
        ({"beneficiary": KEYS[3].address}, PROPOSER, "beneficiary"),
        ({"timestamp": int(time.time()) + 3_600}, PROPOSER, "early"),
        ({"beneficiary": KEYS[2].address}, 2, "proposer"),
    ],
)
async def test_a_proposal_that_the_rules_do_not_take(
    changes: dict[str, Any], delegate: int, reason: str, world: World
) -> None:
    """Its delegate signed it, so the peer that sent it on is not to blame."""
    world.propose(world.block(**changes), delegate=delegate)
    await until(lambda: world.node.delegate.refused[reason] == 1)
    assert world.node.network.refused == {}


async def test_a_fifth_block_of_one_round_is_not_executed(world: World) -> None:
    for value in range(1, 7):
        world.propose(world.block([value]))
    await until(lambda: world.node.delegate.refused["proposals"] == 2)
    assert list(world.node.delegate.convictions.summary()) == ["0x" + KEYS[PROPOSER].address.hex()]


async def test_blocks_and_votes_decide_without_a_word_of_the_node(world: World) -> None:
    """COMMIT votes of three delegates, and the block asked for by its hash."""
    block = world.block()
    vote = Vote(1, 0, Topic.COMMIT, block.hash, 0)
    for each in range(3):
        signature = KEYS[each].voting.sign(vote.digest(world.node.delegate.domain))
        world.client.send(Kind.VOTE, encode(vote._replace(delegate=each, signature=signature)))
    async with asyncio.timeout(20):
        while (await read_frame(world.client.reader))[0] is not Kind.GET_BLOCK:
            pass
    world.client.send(Kind.BLOCK, world.block([9]).encoded)
    await until(lambda: world.node.network.refused["unasked"] == 1)
    world.client.send(Kind.BLOCK, block.encoded)
    await until(lambda: world.node.chain.head_number == 1)


async def test_a_delegate_votes_from_where_it_was_told(folder: Path) -> None:
    """Without a peer nobody knows how far the others are: it waits, unless it is told."""
    for asked, votes in ((None, False), (1, True), (2, False)):
        settings = SeparateSettings(
            folder / str(asked), GENESIS, KEYS[1], parameters=parameters_of(60, 0), vote_from=asked
        )
        path = folder / str(asked) / "votes.log"
        async with SeparateNode(settings) as node:
            if asked is None:
                await asyncio.sleep(0.5)
                assert not path.exists()
            else:
                await until(path.exists)
                await asyncio.sleep(0.1)
            assert node.delegate.votes is votes
