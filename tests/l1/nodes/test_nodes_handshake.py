"""The challenge that both sides sign: nobody comes in under another's address, from another chain, or by a recording."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from l1.nodes.handshake import (
    HELLO_BYTES,
    SIGNATURE_BYTES,
    HandshakeError,
    Hello,
    Identity,
    address_of,
    check,
    decode_hello,
    sign,
)

DOMAIN = b"\x01" * 32
ALICE, BOB, MALLORY = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
secrets = st.integers(1, 2**200).map(lambda number: PrivateKey(number.to_bytes(32)))
nonces = st.binary(min_size=32, max_size=32)


@contextlib.asynccontextmanager
async def wire() -> AsyncIterator[tuple[Streams, Streams]]:
    """Both ends of a TCP connection: the dialer's and the listener's."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    dialer = await asyncio.open_connection(*server.sockets[0].getsockname())
    listener = await accepted.get()
    yield dialer, listener
    for _, writer in (dialer, listener):
        writer.close()
    server.close()


@given(dialer=secrets, listener=secrets, first=nonces, second=nonces)
def test_each_side_proves_its_address(dialer: PrivateKey, listener: PrivateKey, first: bytes, second: bytes) -> None:
    hellos = Hello(DOMAIN, address_of(dialer), first), Hello(DOMAIN, address_of(listener), second)
    check(sign(dialer, *hellos, by_dialer=True), *hellos, by_dialer=True)
    check(sign(listener, *hellos, by_dialer=False), *hellos, by_dialer=False)


HELLOS = Hello(DOMAIN, address_of(ALICE), b"\x05" * 32), Hello(DOMAIN, address_of(BOB), b"\x06" * 32)


@given(at=st.integers(0, 2), field=st.sampled_from(["domain", "address", "nonce"]), other=nonces)
def test_a_signature_holds_for_nothing_else(at: int, field: str, other: bytes) -> None:
    """Another nonce is a recording, another domain another chain, another address another peer."""
    signature = sign(ALICE, *HELLOS, by_dialer=True)
    changed = list(HELLOS)
    value = other[:20] if field == "address" else other
    which = at % 2
    changed[which] = changed[which]._replace(**{field: value})
    with pytest.raises(HandshakeError) as refused:
        check(signature, changed[0], changed[1], by_dialer=True)
    assert refused.value.reason == "signature"


def test_what_was_said_is_not_an_answer() -> None:
    """Sent back to its author, a signature is one of the wrong side."""
    signature = sign(ALICE, *HELLOS, by_dialer=True)
    twisted = HELLOS[0], HELLOS[1]._replace(address=address_of(ALICE))
    with pytest.raises(HandshakeError):
        check(signature, *twisted, by_dialer=False)


@given(raw=st.binary(max_size=120))
def test_bytes_that_are_no_greeting_or_signature(raw: bytes) -> None:
    with pytest.raises(HandshakeError) as refused:
        decode_hello(raw)
    assert refused.value.reason == "protocol"
    with pytest.raises(HandshakeError):
        check(raw[:SIGNATURE_BYTES], *HELLOS, by_dialer=True)


async def test_both_learn_who_the_other_is() -> None:
    alice, bob = Identity(ALICE.secret, DOMAIN), Identity(BOB.secret, DOMAIN)
    async with wire() as (dialer, listener):
        found = await asyncio.gather(alice.shake(*dialer, dialed=True), bob.shake(*listener, dialed=False))
    assert found == [bob.address, alice.address]


async def _refusals(one: Identity, other: Identity) -> list[str]:
    async with wire() as (dialer, listener):
        ended = await asyncio.gather(
            one.shake(*dialer, dialed=True), other.shake(*listener, dialed=False), return_exceptions=True
        )
    assert all(isinstance(each, HandshakeError) for each in ended)
    return [each.reason for each in ended if isinstance(each, HandshakeError)]


async def test_another_chain_is_refused() -> None:
    assert await _refusals(Identity(ALICE.secret, DOMAIN), Identity(BOB.secret, b"\x02" * 32)) == ["domain"] * 2


async def test_a_node_that_dials_itself_sees_it() -> None:
    alice = Identity(ALICE.secret, DOMAIN)
    assert await _refusals(alice, alice) == ["self"] * 2


async def test_two_nodes_with_one_key_see_it() -> None:
    """A delegate that runs twice will contradict itself."""
    assert await _refusals(Identity(ALICE.secret, DOMAIN), Identity(ALICE.secret, DOMAIN)) == ["twin"] * 2


async def test_a_recorded_handshake_opens_nothing() -> None:
    bob = Identity(BOB.secret, DOMAIN)
    async with wire() as (dialer, listener):
        recorder = asyncio.create_task(bob.shake(*listener, dialed=False))
        theirs = Hello(DOMAIN, address_of(ALICE), b"\x07" * 32)
        dialer[1].write(theirs.encode())
        mine = decode_hello(await dialer[0].readexactly(HELLO_BYTES))
        recorded = theirs.encode(), sign(ALICE, theirs, mine, by_dialer=True)
        dialer[1].write(recorded[1])
        assert await recorder == address_of(ALICE)
    async with wire() as (dialer, listener):
        again = asyncio.create_task(bob.shake(*listener, dialed=False))
        dialer[1].write(recorded[0] + recorded[1])
        with pytest.raises(HandshakeError) as refused:
            await again
    assert refused.value.reason == "signature"


async def test_somebody_elses_address_is_refused() -> None:
    bob = Identity(BOB.secret, DOMAIN)
    async with wire() as (dialer, listener):
        shaking = asyncio.create_task(bob.shake(*listener, dialed=False))
        claimed = Hello(DOMAIN, address_of(ALICE), b"\x07" * 32)
        dialer[1].write(claimed.encode())
        mine = decode_hello(await dialer[0].readexactly(HELLO_BYTES))
        dialer[1].write(sign(MALLORY, claimed, mine, by_dialer=True))
        with pytest.raises(HandshakeError) as refused:
            await shaking
    assert refused.value.reason == "signature"


async def test_who_hangs_up_is_refused() -> None:
    async with wire() as (dialer, listener):
        dialer[1].write(b"W3B")
        dialer[1].close()
        with pytest.raises(HandshakeError) as refused:
            await Identity(BOB.secret, DOMAIN).shake(*listener, dialed=False)
    assert refused.value.reason == "closed"
