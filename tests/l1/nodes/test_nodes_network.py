"""Nodes in one process over real sockets: a line of them decides, connections come back, slow peers are let go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from l1_wallet import CHAIN_ID, key, sign
from nodes_client import Client
from nodes_cluster import free_port, make_genesis

from l1.nodes.assembly import SeparateNode, SeparateSettings, parameters_of
from l1.nodes.handshake import Identity
from l1.nodes.keys import derive
from l1.nodes.network import Network, NetworkSettings, endpoints, parse_endpoint
from l1.nodes.peers import Allowance, Peer, PeerLimits, SeenCache
from l1.nodes.wire import Kind
from native import _native
from tests.patience import PATIENCE

DOMAIN = b"\x01" * 32


class Keeper:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[tuple[Peer, Kind, bytes]] = []

    def joined(self, peer: Peer) -> None:
        pass

    def left(self, peer: Peer) -> None:
        pass

    async def received(self, peer: Peer, kind: Kind, body: bytes) -> None:
        self.frames.append((peer, kind, body))


def network(who: int, *ports: int, port: int = 0, limits: PeerLimits | None = None, strangers: int = 8) -> Network:
    settings = NetworkSettings(
        port=port,
        peers=tuple(("127.0.0.1", each) for each in ports),
        strangers=strangers,
        backoff_first=0.05,
        limits=limits or PeerLimits(),
    )
    return Network(Identity(bytes([who]) * 32, DOMAIN), (), Keeper(), settings)


@contextlib.asynccontextmanager
async def running(*networks: Network) -> AsyncIterator[None]:
    for each in networks:
        await each.start()
    try:
        yield
    finally:
        for each in networks:
            await each.close()


async def until(true: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds * PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_line_of_four_decides(folder: Path) -> None:
    """Each is connected to its neighbours only: votes, proposals and transactions reach the others through them."""
    keys = derive(b"a line of nodes in one process..", 4)
    genesis = make_genesis(keys)
    ports = [free_port() for _ in keys]
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for index, each in enumerate(keys):
            peers = endpoints([f"127.0.0.1:{ports[index - 1]}"] if index else [])
            settings = SeparateSettings(
                data_dir=folder / str(index),
                genesis=genesis,
                keys=each,
                network=NetworkSettings(port=ports[index], peers=peers, backoff_first=0.05),
                parameters=parameters_of(0.1, 0.1),
            )
            nodes.append(await stack.enter_async_context(SeparateNode(settings)))
        await until(lambda: all(node.chain.head_number >= 3 for node in nodes), 60)
        assert [len(node.network.peers) for node in nodes] == [1, 2, 2, 1]
        sent = _native.Transaction.decode(sign(key(1), CHAIN_ID, 0, to=key(2).address, value=7))
        nodes[0].mempool.add(sent, nodes[0].chain.view(nodes[0].chain.head_number))
        nodes[0].delegate.wake()
        await until(lambda: all(node.chain.position_of(sent.hash) is not None for node in nodes), 60)
        number = min(node.chain.head_number for node in nodes)
        blocks = [node.chain.block(number) for node in nodes]
        assert len({each.block.hash for each in blocks if each is not None}) == 1
        assert all(node.network.refused == {} and node.network.bans == 0 for node in nodes)


async def test_a_connection_comes_back() -> None:
    port = free_port()
    first, again, dialer = network(1, port=port), network(1, port=port), network(2, port)
    async with running(dialer):
        async with running(first):
            await until(lambda: len(dialer.peers) == 1)
        await until(lambda: not dialer.peers)
        async with running(again):
            await until(lambda: len(dialer.peers) == 1)


async def test_two_that_dial_each_other_keep_one_connection() -> None:
    ports = free_port(), free_port()
    one, other = network(1, ports[1], port=ports[0]), network(2, ports[0], port=ports[1])
    async with running(one, other):
        await until(lambda: len(one.peers) == len(other.peers) == 1)
        await asyncio.sleep(0.5)
        kept = one.peers[0], other.peers[0]
        await asyncio.sleep(0.5)
        assert (one.peers[0], other.peers[0]) == kept
        assert {each.dialed for each in kept} == {True, False}
        lower = one if min(kept[0].address, kept[1].address) == kept[1].address else other
        assert lower.peers[0].dialed


async def test_a_node_in_its_own_list_gives_up_on_itself() -> None:
    port = free_port()
    lonely = network(1, port, port=port)
    async with running(lonely):
        await until(lambda: lonely.refused["handshake-self"] == 2)
        await asyncio.sleep(0.3)
        assert lonely.refused["handshake-self"] == 2
        assert lonely.peers == []


async def test_who_does_not_read_is_let_go() -> None:
    """What is queued for a peer is bounded; the peer goes, and the node's memory does not."""
    node = network(1, limits=PeerLimits(queued_bytes=4 << 20))
    async with running(node):
        client = await Client.dial(f"127.0.0.1:{node.port}", b"\x02" * 32, DOMAIN)
        await until(lambda: len(node.peers) == 1)
        peer = node.peers[0]
        for _ in range(256):
            node.broadcast(Kind.TRANSACTION, bytes(1 << 17))
            await asyncio.sleep(0)
        await until(lambda: not node.peers)
        assert peer.why_closed == "slow"
        client.close()


async def test_who_says_nothing_is_let_go() -> None:
    node = network(1, limits=PeerLimits(silence_seconds=0.2))
    async with running(node):
        client = await Client.dial(f"127.0.0.1:{node.port}", b"\x02" * 32, DOMAIN)
        assert await client.is_cut_off(10)
        client.close()


async def test_strangers_do_not_crowd_out_delegates() -> None:
    delegate = Identity(b"\x09" * 32, DOMAIN).address
    node = network(1, strangers=2)
    node.delegates = frozenset({delegate})
    async with running(node):
        clients = [await Client.dial(f"127.0.0.1:{node.port}", bytes([who]) * 32, DOMAIN) for who in (2, 3, 4)]
        assert await clients[2].is_cut_off(10)
        assert node.refused["crowded"] == 1
        clients.append(await Client.dial(f"127.0.0.1:{node.port}", b"\x09" * 32, DOMAIN))
        await until(lambda: delegate in {each.address for each in node.peers})
        for each in clients:
            each.close()


async def test_a_ban_ends() -> None:
    node = network(1, limits=PeerLimits(ban_seconds=0.3))
    async with running(node):
        client = await Client.dial(f"127.0.0.1:{node.port}", b"\x02" * 32, DOMAIN)
        await until(lambda: len(node.peers) == 1)
        node.refuse(node.peers[0], "oversized", "a frame")
        assert await client.is_cut_off(10)
        address = Identity(b"\x02" * 32, DOMAIN).address
        assert node.is_banned(address)
        await until(lambda: not node.is_banned(address))
        client = await Client.dial(f"127.0.0.1:{node.port}", b"\x02" * 32, DOMAIN)
        await until(lambda: len(node.peers) == 1)
        client.close()


async def test_what_was_seen_goes_round_again_after_a_while() -> None:
    cache = SeenCache(0.1, size=2)
    cache.mark(b"vote")
    assert cache.recent(b"vote")
    assert not cache.recent(b"another")
    await asyncio.sleep(0.15)
    assert not cache.recent(b"vote")
    for each in (b"1", b"2", b"3"):
        cache.mark(each)
    assert not cache.recent(b"1")


@pytest.mark.parametrize("interval", [0.01, 0.15, 2.5])
def test_messages_go_round_once_a_second_at_most(interval: float) -> None:
    """However fast the blocks: what is remembered for less than a message takes to go round would never end."""
    assert parameters_of(interval, 0).timing.resend == 1_000


async def test_an_allowance_fills_up_again() -> None:
    allowance = Allowance(2, 20)
    assert [allowance.take(1) for _ in range(3)] == [True, True, False]
    await asyncio.sleep(0.1)
    assert allowance.take(1)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:x", "host:70000", "host:-1"])
def test_an_endpoint_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_endpoint(text)


def test_endpoints() -> None:
    assert endpoints(["[::1]:30400", "a.example:1"]) == (("::1", 30400), ("a.example", 1))
