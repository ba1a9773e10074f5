"""A node that begins at a snapshot: peers that lie about it are refused, and the next is asked."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from l1_wallet import CHAIN_ID, key, sign
from nodes_cluster import free_port, make_genesis
from test_nodes_sync import until

from l1.chain.blockchain import Blockchain
from l1.chain.consensus_rules import ConsensusRules
from l1.chain.genesis import Genesis, GenesisAccount
from l1.chain.genesis_delegates import delegate_set
from l1.chain.snapshot import Snapshot
from l1.chain.store import StoreError
from l1.consensus.certificate import bitmap_of, footer
from l1.consensus.delegates import DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Vote, domain_of
from l1.nodes import assembly
from l1.nodes import snapshot_wire as wire
from l1.nodes.assembly import SeparateSettings
from l1.nodes.bootstrap import Bootstrap, CheckpointRefused
from l1.nodes.handshake import Identity
from l1.nodes.keys import derive
from l1.nodes.network import Network, NetworkSettings
from l1.nodes.peers import Peer
from l1.nodes.snapshots import QUESTIONS, SnapshotServer
from l1.nodes.wire import CHUNK_BYTES, Kind, WireError
from native import _native

KEYS = derive(b"delegates whose chain is fetched", 4)
BLOCKS = 14
EPOCH = 4
CHECKPOINT = 5
"""Of epoch 2; the head is of epoch 4."""
RULES = ConsensusRules("iip-51", 150, 150, EPOCH)
DAY = 86_400
FILLERS = 48


def genesis_at(moment: int) -> Genesis:
    plain = replace(make_genesis(KEYS), timestamp=moment, consensus=RULES)
    # More than one part of a state: code that nobody calls.
    filler = {
        bytes([7]) * 19 + bytes([at]): GenesisAccount(code=bytes([at]) * 24_000, nonce=1) for at in range(FILLERS)
    }
    return replace(plain, alloc=dict(plain.alloc) | filler)


def append(chain: Blockchain, who: tuple[int, ...] = (0, 1, 2), moment: int | None = None) -> None:
    """One more block with a transaction, decided by these delegates."""
    number = chain.head_number + 1
    signed = sign(key(1), CHAIN_ID, number - 1, to=key(2).address, value=number)
    executed = chain.build(
        [_native.Transaction.decode(signed)],
        beneficiary=KEYS[number % 4].address,
        timestamp=int(time.time()) if moment is None else moment,
        prev_randao=chain.head_hash,
        extra_data=delegate_set(chain.genesis.delegates).root(),
    )
    chain.commit(executed, certificate(chain, executed.block, who))


def certificate(chain: Blockchain, block: _native.Block, who: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    vote = Vote(block.number, 0, Topic.COMMIT, block.hash, 0)
    digest = vote.digest(domain_of(chain.chain_id, chain.hash_of(0)))
    return Certificate(
        *vote[:4], bitmap_of(who, 4), _native.bls_aggregate([KEYS[each].voting.sign(digest) for each in who])
    )


@pytest.fixture(scope="module")
def source(memory: Path) -> Iterator[Blockchain]:
    """A chain of a few epochs."""
    chain = Blockchain(memory / "source", genesis_at(int(time.time())))
    for _ in range(BLOCKS):
        append(chain)
    yield chain
    chain.close()


Lie = Callable[[Kind, bytes], bytes | None]
"""Takes the honest answer, and gives another, or none."""


class Source:
    """A peer that answers from a chain, or lies."""

    def __init__(self, chain: Blockchain, lie: Lie | None = None) -> None:
        self._server = SnapshotServer(chain, RULES.parameters())
        self._lie = lie
        self.asked: list[Kind] = []

    def joined(self, peer: Peer) -> None:
        pass

    def left(self, peer: Peer) -> None:
        pass

    async def received(self, peer: Peer, kind: Kind, body: bytes) -> None:
        assert kind in QUESTIONS
        self.asked.append(kind)
        answer, told = await self._server.answer(kind, body)
        said = told if self._lie is None else self._lie(answer, told)
        if said is not None:
            peer.send(answer, said)


@asynccontextmanager
async def serving(chain: Blockchain, handler: Source, port: int, number: int) -> AsyncIterator[None]:
    identity = Identity(bytes([number]) * 32, domain_of(chain.chain_id, chain.hash_of(0)))
    network = Network(identity, [], handler, NetworkSettings(port=port))
    await network.start()
    try:
        yield
    finally:
        await network.close()


@asynccontextmanager
async def beginning(chain: Blockchain, folder: Path, *ports: int) -> AsyncIterator[tuple[Bootstrap, Blockchain]]:
    """A new chain, and what fetches a snapshot for it from peers at these ports."""
    own = Blockchain(folder / "own", chain.genesis)
    peers = tuple(("127.0.0.1", port) for port in ports)
    try:
        yield Bootstrap(own, b"\x51" * 32, NetworkSettings(peers=peers), RULES.parameters(), patience=1.0), own
    finally:
        own.close()


def assert_same(own: Blockchain, source: Blockchain) -> None:
    number = own.head_number
    assert own.head_hash == source.hash_of(number)
    address = bytes.fromhex(key(2).address[2:])
    assert own.view(number).balance(address) == source.view(number).balance(address)
    assert own.view(number).state_root == source.view(number).state_root
    mine, theirs = own.block(number), source.block(number)
    assert mine is not None
    assert theirs is not None
    assert [each.gas_used for each in mine.receipts] == [each.gas_used for each in theirs.receipts]
    assert own.footer(number) == source.footer(number)


@pytest.mark.parametrize("checkpoint", [0, 1, CHECKPOINT, EPOCH * 2, BLOCKS - 1, BLOCKS])
async def test_a_chain_begins_at_a_snapshot(checkpoint: int, source: Blockchain, folder: Path) -> None:
    """From a checkpoint in any epoch, also the last block of one, and the head itself; then it goes on, after a restart
    too, and has none of the blocks before."""
    port = free_port()
    async with serving(source, Source(source), port, 1), beginning(source, folder, port) as (bootstrap, own):
        async with asyncio.timeout(60):
            number = await bootstrap.run(source.hash_of(checkpoint))
        assert number == BLOCKS
        assert_same(own, source)
        assert bootstrap.network.refused == {}
        assert own.first_number == BLOCKS
        assert own.block(BLOCKS - 1) is None
        assert own.hash_of(BLOCKS - 1) == source.hash_of(BLOCKS - 1)
    again = Blockchain(folder / "own", None)
    try:
        assert_same(again, source)
        append(again)
        assert again.head_number == BLOCKS + 1
    finally:
        again.close()
    once_more = Blockchain(folder / "own", None)
    assert once_more.head_number == BLOCKS + 1
    once_more.close()


def on(kind: Kind, change: Callable[[bytes], bytes | None]) -> Lie:
    """Lie about answers of one kind."""
    return lambda answer, told: change(told) if answer is kind else told


def other_set(source: Blockchain) -> DelegateSet:
    first, *rest = delegate_set(source.genesis.delegates).members
    return DelegateSet((first._replace(power=first.power * 9), *rest))


def changed_offer(told: bytes, **changes: object) -> bytes:
    offer = wire.decode_offer(told)
    assert offer is not None
    return wire.encode_offer(offer._replace(**changes))


def changed_chunk(told: bytes, change: Callable[[wire.Chunk], wire.Chunk]) -> bytes:
    chunk = wire.decode_chunk(told)
    assert chunk is not None
    return wire.encode_chunk(change(chunk))


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def other_offer(source: Blockchain, number: int) -> wire.Offer:
    """A block of the chain with another's state."""
    stored, receipts, decided = source.block(number), source.encoded_receipts(number), source.footer(number)
    assert stored is not None
    assert receipts is not None
    assert decided is not None
    return wire.Offer(stored.block.encoded, receipts, decided, len(source.view(source.head_number).snapshot()))


def lies(source: Blockchain) -> dict[str, tuple[Lie, str]]:
    """What peers may say, and what that is refused for."""
    header = source.headers(CHECKPOINT + 1, CHECKPOINT + 1)[0]
    honest = delegate_set(source.genesis.delegates)
    foreign = wire.encode_checkpoint(wire.Named(header, honest))
    forged = wire.encode_checkpoint(wire.Named(source.headers(CHECKPOINT, CHECKPOINT)[0], other_set(source)))
    mixed = [rlp.decode(source.block(at).block.encoded) for at in (BLOCKS, BLOCKS - 1)]  # type: ignore[union-attr]
    body = bytes(rlp.encode([mixed[0][0], *mixed[1][1:]]))
    head = source.block(BLOCKS)
    assert head is not None
    few = footer(certificate(source, head.block, (0, 1)))

    def ends(change: Callable[[wire.EpochEnd], wire.EpochEnd]) -> Lie:
        return on(Kind.EPOCHS, lambda told: wire.encode_epochs([change(each) for each in wire.decode_epochs(told)]))

    def chunk(change: Callable[[wire.Chunk], wire.Chunk]) -> Lie:
        return on(Kind.CHUNK, lambda told: changed_chunk(told, change))

    return {
        "another header": (on(Kind.CHECKPOINT, lambda _: foreign), "snapshot"),
        "another set": (on(Kind.CHECKPOINT, lambda _: forged), "snapshot"),
        "no message": (on(Kind.CHECKPOINT, lambda _: b"\xc1"), "malformed"),
        "an epoch's other set": (ends(lambda each: each._replace(delegates=other_set(source))), "snapshot"),
        "an epoch's other footer": (ends(lambda each: each._replace(footer=few)), "snapshot"),
        "epochs again": (ends(lambda each: each._replace(header=header)), "snapshot"),
        "too few votes": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, footer=few)), "snapshot"),
        "a block before the checkpoint": (
            on(Kind.SNAPSHOT, lambda _: wire.encode_offer(other_offer(source, CHECKPOINT - 1))),
            "snapshot",
        ),
        "another block's state": (
            on(Kind.SNAPSHOT, lambda _: wire.encode_offer(other_offer(source, BLOCKS - 1))),
            "",  # it holds no state of that block: it is asked again later
        ),
        "no block": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, block=b"no block")), "snapshot"),
        "other transactions": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, block=body)), "snapshot"),
        "other receipts": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, receipts=b"\xc0")), "snapshot"),
        "no receipts": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, receipts=b"\x01")), "snapshot"),
        "a size beyond all bounds": (
            on(Kind.SNAPSHOT, lambda told: changed_offer(told, size=wire.MAX_STATE_BYTES + 1)),
            "oversized",
        ),
        "a shorter state": (on(Kind.SNAPSHOT, lambda told: changed_offer(told, size=CHUNK_BYTES)), "snapshot"),
        "headers of another chain": (
            on(
                Kind.HEADERS,
                lambda told: wire.encode_headers([flipped(wire.decode_headers(told)[0], 40)] * (BLOCKS + 1)),
            ),
            "snapshot",
        ),
        "a part cut short": (chunk(lambda each: each._replace(part=each.part[:-1])), "snapshot"),
        "another part": (chunk(lambda each: each._replace(place=each.place + 1)), "snapshot"),
        "another block's part": (chunk(lambda each: each._replace(number=each.number - 1)), "snapshot"),
        "a part that is too long": (on(Kind.CHUNK, lambda told: told + bytes(4_096)), "oversized"),
        "a changed part": (chunk(lambda each: each._replace(part=flipped(each.part, len(each.part) // 2))), "snapshot"),
        "nothing": (on(Kind.CHUNK, lambda _: None), "unanswered"),
        "nothing held": (on(Kind.CHUNK, lambda _: wire.encode_chunk(None)), ""),
        "no epochs": (on(Kind.EPOCHS, lambda _: wire.encode_epochs([])), ""),
        "no snapshot": (on(Kind.SNAPSHOT, lambda _: wire.encode_offer(None)), ""),
        "no such block": (on(Kind.CHECKPOINT, lambda _: wire.encode_checkpoint(None)), ""),
    }


LIES = [
    "another header",
    "another set",
    "no message",
    "an epoch's other set",
    "an epoch's other footer",
    "epochs again",
    "too few votes",
    "a block before the checkpoint",
    "another block's state",
    "no block",
    "other transactions",
    "other receipts",
    "no receipts",
    "a size beyond all bounds",
    "a shorter state",
    "headers of another chain",
    "a part cut short",
    "another part",
    "another block's part",
    "a part that is too long",
    "a changed part",
    "nothing",
    "nothing held",
    "no epochs",
    "no snapshot",
    "no such block",
]


@pytest.mark.parametrize("name", LIES)
async def test_a_peer_that_gives_no_snapshot_that_holds(name: str, source: Blockchain, folder: Path) -> None:
    """It is counted, the next peer is asked, and the chain is the honest one."""
    assert set(lies(source)) == set(LIES)
    lie, reason = lies(source)[name]
    liar, ports = Source(source, lie), (free_port(), free_port())
    async with serving(source, liar, ports[0], 1), beginning(source, folder, *ports) as (bootstrap, own):
        fetching = asyncio.create_task(bootstrap.run(source.hash_of(CHECKPOINT)))
        try:
            if reason:
                await until(lambda: bootstrap.network.refused[reason] > 0)
            else:
                await until(lambda: len(liar.asked) > 0)
            assert own.head_number == 0
            async with serving(source, Source(source), ports[1], 2), asyncio.timeout(60):
                assert await fetching == BLOCKS
        finally:
            fetching.cancel()
        assert_same(own, source)
        # "banned" is what its next connections are refused for.
        assert set(bootstrap.network.refused) - {"banned"} == ({reason} if reason else set())
        assert bootstrap.network.bans == (1 if reason in ("snapshot", "oversized") else 0)


async def test_answers_that_nobody_asked_for(source: Blockchain, folder: Path) -> None:
    """A part of a state that is thrown at a node, before one was asked for, is not taken."""

    class Pushing(Source):
        def joined(self, peer: Peer) -> None:
            peer.send(Kind.CHUNK, wire.encode_chunk(wire.Chunk(1, 0, b"x")))

    port = free_port()
    async with serving(source, Pushing(source), port, 1), beginning(source, folder, port) as (bootstrap, own):
        async with asyncio.timeout(60):
            await bootstrap.run(source.hash_of(CHECKPOINT))
        assert bootstrap.network.refused == {"unasked": 1}
        assert_same(own, source)


async def test_a_checkpoint_that_is_too_old(folder: Path) -> None:
    """Its delegates may have taken their stake and left: whatever they signed since shows nothing."""
    old = Blockchain(folder / "old", genesis_at(int(time.time()) - 5 * DAY))
    append(old, moment=int(time.time()) - 4 * DAY)
    append(old)
    port = free_port()
    async with serving(old, Source(old), port, 1), beginning(old, folder, port) as (bootstrap, own):
        with pytest.raises(CheckpointRefused, match="newer block from a source"):
            async with asyncio.timeout(60):
                await bootstrap.run(old.hash_of(1))
        assert own.head_number == 0
        assert bootstrap.network.refused == {}
    old.close()


async def test_a_chain_that_has_begun_is_left_alone(source: Blockchain, folder: Path) -> None:
    own = Blockchain(folder / "own", source.genesis)
    append(own)
    before = own.head_hash
    state = source.view(BLOCKS).snapshot()
    own.close()
    asked = SeparateSettings(folder / "own", source.genesis, checkpoint=source.hash_of(CHECKPOINT))
    async with asyncio.timeout(20):
        await assembly._begin(asked, source.hash_of(CHECKPOINT))
    again = Blockchain(folder / "own", None)
    try:
        assert again.head_hash == before
        stored, receipts, decided = source.block(BLOCKS), source.encoded_receipts(BLOCKS), source.footer(BLOCKS)
        assert stored is not None
        assert receipts is not None
        assert decided is not None
        snapshot = Snapshot(stored.block, receipts, decided, tuple(source.headers(0, BLOCKS)), state)
        with pytest.raises(StoreError, match="only a new chain"):
            again.adopt(snapshot)
        assert again.head_hash == before
    finally:
        again.close()


async def test_a_damaged_state_where_the_chain_begins(source: Blockchain, folder: Path) -> None:
    """The blocks before it are not here, so nothing can be made of it: the node says so, and what to do."""
    port = free_port()
    async with serving(source, Source(source), port, 1), beginning(source, folder, port) as (bootstrap, _):
        async with asyncio.timeout(60):
            await bootstrap.run(source.hash_of(CHECKPOINT))
    with closing(sqlite3.connect(folder / "own" / "chain.sqlite")) as store, store:
        (state,) = store.execute("SELECT state FROM snapshots").fetchone()
        store.execute("UPDATE snapshots SET state = ?", (flipped(state, len(state) // 2),))
    with pytest.raises(StoreError, match="begin at a snapshot again"):
        Blockchain(folder / "own", None)


async def test_states_are_not_encoded_as_often_as_anybody_asks(folder: Path) -> None:
    """A state that is younger than the last encoded one can be had later; the last one stays for who has begun."""
    chain = Blockchain(folder / "busy", genesis_at(int(time.time())))
    server = SnapshotServer(chain, RULES.parameters())

    async def offered(least: int) -> wire.Offer | None:
        return wire.decode_offer((await server.answer(Kind.GET_SNAPSHOT, wire.encode_number(least)))[1])

    try:
        assert await offered(1) is None, "nobody needs the state after block 0"
        append(chain)
        first = await offered(1)
        assert first is not None
        append(chain)
        assert await offered(2) is None
        assert await offered(1) == first
        asked = wire.encode_get_chunk(wire.GetChunk(1, 0))
        assert wire.decode_chunk((await server.answer(Kind.GET_CHUNK, asked))[1]) is not None
        beyond = wire.encode_get_chunk(wire.GetChunk(1, wire.chunks_of(first.size)))
        assert wire.decode_chunk((await server.answer(Kind.GET_CHUNK, beyond))[1]) is None
        with pytest.raises(ValueError, match="no question"):
            await server.answer(Kind.VOTE, b"")
    finally:
        chain.close()


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_bytes_from_anybody_are_read_or_refused(raw: bytes) -> None:
    for read in (
        wire.decode_hash,
        wire.decode_number,
        wire.decode_get_headers,
        wire.decode_get_chunk,
        wire.decode_checkpoint,
        wire.decode_epochs,
        wire.decode_offer,
        wire.decode_headers,
        wire.decode_chunk,
    ):
        refused = ""
        try:
            read(raw)
        except WireError as error:
            refused = error.reason
        assert refused in ("", "malformed", "oversized")


@given(st.integers(0, 1 << 40), st.integers(0, wire.MAX_CHUNKS), st.binary(min_size=1, max_size=64))
def test_what_is_said_is_what_is_read(number: int, place: int, raw: bytes) -> None:
    assert wire.decode_get_chunk(wire.encode_get_chunk(wire.GetChunk(number, place))) == (number, place)
    assert wire.decode_chunk(wire.encode_chunk(wire.Chunk(number, place, raw))) == (number, place, raw)
    assert wire.decode_number(wire.encode_number(number)) == number
    assert wire.decode_hash(wire.encode_hash(keccak(raw))) == keccak(raw)
    assert wire.decode_headers(wire.encode_headers([raw])) == [raw]
    offer = wire.Offer(raw, raw, raw, place + 1)
    assert wire.decode_offer(wire.encode_offer(offer)) == offer
