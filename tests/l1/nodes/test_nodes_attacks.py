"""A peer that lies: whatever it sends is refused for a reason, counted, and held against it; the chain goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import rlp
from l1_wallet import key, send, sign
from nodes_client import Client
from nodes_cluster import Cluster, wait_for_head

from l1.consensus.machine import Topic
from l1.consensus.messages import Proposal, Vote, domain_of, encode
from l1.nodes.handshake import HELLO_BYTES, HandshakeError, Hello, Identity, decode_hello
from l1.nodes.network import parse_endpoint
from l1.nodes.wire import LIMITS, GetBlocks, Kind, Status, encode_blocks, encode_get_blocks, encode_status

pytestmark = pytest.mark.slow
SOMEBODY = b"\x51" * 32


@pytest.fixture(scope="module")
def domain(cluster: Cluster) -> bytes:
    ready = cluster.nodes[0].ready
    return domain_of(ready["chain_id"], bytes.fromhex(ready["genesis_hash"][2:]))


def refused(cluster: Cluster, reason: str) -> int:
    return int(cluster.nodes[0].status()["refusedByNetwork"].get(reason, 0))


async def counted(cluster: Cluster, reason: str, before: int, more: int = 1) -> None:
    """Wait until the node has counted so many more."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(refused, cluster, reason) < before + more:
            await asyncio.sleep(0.05)


async def dial(cluster: Cluster, domain: bytes, who: int) -> Client:
    return await Client.dial(cluster.nodes[0].listen, bytes([who]) * 32, domain)


def vote(cluster: Cluster, domain: bytes, block_hash: bytes, *, round_: int = 0, ahead: int = 0) -> Vote:
    """A vote of delegate 3 that it has not cast, at the height that is open."""
    made = Vote(cluster.nodes[0].head() + 1 + ahead, round_, Topic.PROPOSAL, block_hash, 3)
    return made._replace(signature=cluster.keys[3].voting.sign(made.digest(domain)))


async def test_garbage_instead_of_a_greeting(cluster: Cluster) -> None:
    before = refused(cluster, "handshake-protocol")
    reader, writer = await asyncio.open_connection(*parse_endpoint(cluster.nodes[0].listen))
    writer.write(b"GET / HTTP/1.1\r\n\r\n" + bytes(200))
    assert await Client(reader, writer).is_cut_off()
    await counted(cluster, "handshake-protocol", before)


async def test_another_chain(cluster: Cluster) -> None:
    before = refused(cluster, "handshake-domain")
    with pytest.raises(HandshakeError):
        await Client.dial(cluster.nodes[0].listen, SOMEBODY, b"\x66" * 32)
    await counted(cluster, "handshake-domain", before)


async def test_a_recorded_handshake(cluster: Cluster, domain: bytes) -> None:
    """A delegate's own signature of an earlier connection does not let anybody in."""
    endpoint = parse_endpoint(cluster.nodes[0].listen)
    identity = Identity(cluster.keys[3].operator, domain)
    sent: list[bytes] = []
    reader, writer = await asyncio.open_connection(*endpoint)
    original = writer.write
    writer.write = lambda raw: (sent.append(bytes(raw)), original(raw))[1]  # type: ignore[method-assign]
    await identity.shake(reader, writer, dialed=True)
    writer.close()
    before = refused(cluster, "handshake-signature")
    reader, writer = await asyncio.open_connection(*endpoint)
    writer.write(b"".join(sent))
    decode_hello(await reader.readexactly(HELLO_BYTES))
    assert await Client(reader, writer).is_cut_off()
    await counted(cluster, "handshake-signature", before)


async def test_a_greeting_in_a_delegates_name(cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "handshake-signature")
    reader, writer = await asyncio.open_connection(*parse_endpoint(cluster.nodes[0].listen))
    writer.write(Hello(domain, cluster.keys[1].address, b"\x09" * 32).encode() + bytes(65))
    assert await Client(reader, writer).is_cut_off()
    await counted(cluster, "handshake-signature", before)


async def test_an_oversized_frame_is_not_even_read(cluster: Cluster, domain: bytes) -> None:
    before, bans = refused(cluster, "oversized"), cluster.nodes[0].status()["bans"]
    client = await dial(cluster, domain, 0x21)
    client.writer.write((LIMITS[Kind.BLOCK_MESSAGE] + 2).to_bytes(4) + bytes([Kind.BLOCK_MESSAGE]))
    assert await client.is_cut_off()
    await counted(cluster, "oversized", before)
    assert cluster.nodes[0].status()["bans"] == bans + 1
    again = refused(cluster, "banned")
    client = await dial(cluster, domain, 0x21)
    assert await client.is_cut_off()
    await counted(cluster, "banned", again)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (99, b"x"),
        (Kind.VOTE, b""),
        (Kind.VOTE, b"\xc0\xff"),
        (Kind.VOTE, bytes(rlp.encode([b"\x07", []]))),
        (Kind.BLOCK_MESSAGE, b"\x80"),
        (Kind.STATUS, bytes(rlp.encode([1, b"short"]))),
        (Kind.GET_BLOCKS, bytes(rlp.encode([1, 1_000_000]))),
        (Kind.BLOCKS, bytes(rlp.encode([[b"block"]]))),
        (Kind.GET_BLOCK, b"\xc1\x01"),
    ],
)
async def test_what_cannot_be_read(kind: int, body: bytes, cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "malformed")
    client = await dial(cluster, domain, 0x22 + kind % 8)
    client.writer.write((len(body) + 1).to_bytes(4) + bytes([kind]) + body)
    await counted(cluster, "malformed", before)
    client.close()


async def test_wrong_signatures_end_in_a_ban(cluster: Cluster, domain: bytes) -> None:
    before, bans = refused(cluster, "signature"), cluster.nodes[0].status()["bans"]
    client = await dial(cluster, domain, 0x31)
    for number in range(40):
        forged = vote(cluster, domain, bytes([number]) * 32)._replace(signature=bytes([number]) * 96)
        client.send(Kind.VOTE, encode(forged))
        await asyncio.sleep(0.02)
    assert await client.is_cut_off()
    await counted(cluster, "signature", before, 4)
    assert cluster.nodes[0].status()["bans"] == bans + 1


async def test_a_vote_of_another_chain(cluster: Cluster, domain: bytes) -> None:
    """A real delegate's real signature, over another genesis."""
    before = refused(cluster, "signature")
    client = await dial(cluster, domain, 0x32)
    other = domain_of(cluster.nodes[0].ready["chain_id"] + 1, bytes(32))
    for _ in range(20):
        client.send(Kind.VOTE, encode(vote(cluster, other, b"\x44" * 32)))
        await asyncio.sleep(0.03)
    await counted(cluster, "signature", before)
    client.close()


async def test_a_proposal_that_its_proposer_did_not_sign(cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "signature")
    client = await dial(cluster, domain, 0x33)
    for _ in range(20):
        height = await asyncio.to_thread(cluster.nodes[0].head) + 1
        client.send(Kind.BLOCK_MESSAGE, encode(Proposal(height, 0, b"\x55" * 32, 1, signature=bytes(96))))
        await asyncio.sleep(0.03)
    await counted(cluster, "signature", before)
    client.close()


async def test_votes_of_other_heights_are_of_no_use_and_cost_nothing(cluster: Cluster, domain: bytes) -> None:
    bans = cluster.nodes[0].status()["bans"]
    client = await dial(cluster, domain, 0x34)
    old = vote(cluster, domain, b"\x66" * 32, ahead=-2)
    far = vote(cluster, domain, b"\x66" * 32, ahead=100_000)
    for each in (old, far):
        client.send(Kind.VOTE, encode(each))
    client.send(Kind.GET_BLOCKS, encode_get_blocks(GetBlocks(1, 2)))
    assert not await client.is_cut_off(1)
    assert cluster.nodes[0].status()["bans"] == bans
    client.close()


async def test_blocks_that_nobody_asked_for(cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "unasked")
    client = await dial(cluster, domain, 0x35)
    client.send(Kind.BLOCKS, encode_blocks([]))
    await counted(cluster, "unasked", before)
    client.close()


async def test_who_says_it_is_ahead_and_is_not(cluster: Cluster, domain: bytes) -> None:
    """It is asked, has nothing to show, and keeps nobody from deciding."""
    before = refused(cluster, "unanswered")
    client = await dial(cluster, domain, 0x36)
    client.send(Kind.STATUS, encode_status(Status(1_000_000, bytes(32))))
    await asyncio.sleep(0.5)
    client.send(Kind.BLOCKS, encode_blocks([]))
    await counted(cluster, "unanswered", before)
    head = cluster.nodes[0].head()
    await asyncio.to_thread(wait_for_head, cluster.nodes[:1], head + 2)
    client.close()


async def test_a_transaction_that_nobody_signed(cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "transaction")
    client = await dial(cluster, domain, 0x37)
    good = sign(key(7), cluster.nodes[0].ready["chain_id"], 0, to=key(8).address)
    client.send(Kind.TRANSACTION, good[:-1])
    await counted(cluster, "transaction", before)
    client.close()


async def test_a_flood(cluster: Cluster, domain: bytes) -> None:
    before = refused(cluster, "flood")
    client = await dial(cluster, domain, 0x38)
    status = encode_status(Status(0, bytes(32)))
    for _ in range(60):
        for _ in range(200):
            client.send(Kind.STATUS, status)
        try:
            await asyncio.wait_for(client.writer.drain(), 20)
        except ConnectionError:
            break
    assert await client.is_cut_off()
    await counted(cluster, "flood", before, 20)


async def test_a_delegate_that_votes_twice_is_convicted(cluster: Cluster, domain: bytes) -> None:
    """Its node is stopped, and its key used by somebody who contradicts himself; everybody can check the evidence."""
    cluster.nodes[3].kill()
    client = await dial(cluster, domain, 0x41)
    address = "0x" + cluster.keys[3].address.hex()

    def convicted() -> dict[str, Any]:
        return dict(cluster.nodes[0].status()["convicted"])

    async with asyncio.timeout(30):
        while address not in await asyncio.to_thread(convicted):
            for filler in (b"\x71", b"\x72"):
                client.send(Kind.VOTE, encode(vote(cluster, domain, filler * 32)))
            await asyncio.sleep(0.05)
    line = json.loads((cluster.nodes[0].data_dir / "evidence.jsonl").read_text().splitlines()[0])
    assert line["delegate"] == address
    assert len(set(line["messages"])) == 2
    client.close()


def test_nothing_was_lost(cluster: Cluster) -> None:
    """After all that the three that are left decide blocks, and take transactions."""
    running = cluster.nodes[:3]
    receipt = send(running[0].web3, key(9), to=key(10).address, value=1)
    wait_for_head(running, receipt["blockNumber"] + 1)
    cluster.assert_one_chain(running)
    assert running[0].status()["peers"]
