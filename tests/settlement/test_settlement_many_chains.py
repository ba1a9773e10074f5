"""What must hold: of several RPC servers one that hangs, lags, lies, flaps or is of another chain changes no result; what
cannot be taken back follows from the word of a majority only, and whoever contradicts it is named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from coordinator.settlement.chain import Block, Chain, Disagreement, Fees, Receipt, Reverted, RpcRefused
from coordinator.settlement.endpoints import Endpoint, EndpointLimits, shown_name
from coordinator.settlement.many_chains import ManyChains, agreed, chain_at, problems
from coordinator.settlement.quorum import Quorum
from verifier.errors import Conflict, Unavailable

HEAD = 100
FINAL = 90
TX = "0x" + "ab" * 32
LIMITS = EndpointLimits(seconds=0.2, hedge_seconds=0.1, failures=2, strikes=2)


def block(number: int, fork: str = "") -> Block:
    return Block(number, f"0x{number:x}{fork}", number, 7)


RECEIPT = Receipt(TX, 95, block(95).hash, True, 21_000, "", ())


class Scripted:
    """A server that answers as it is told."""

    def __init__(self) -> None:
        self.id = 7
        self.genesis = block(0)
        self.head = HEAD
        self.final = FINAL
        self.fork = ""
        self.forked_from = 10**9
        self.found: Receipt | None = RECEIPT
        self.answer: bytes | Exception = b"\x01"
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after_send: Callable[[], Awaitable[None]] | None = None
        self.sent: list[bytes] = []
        self.asked = 0

    async def _ask(self) -> None:
        self.asked += 1
        if self.before is not None:
            await self.before()

    async def chain_id(self) -> int:
        await self._ask()
        return self.id

    async def block(self, which: int | str) -> Block | None:
        await self._ask()
        if which == 0:
            return self.genesis
        number = {"latest": self.head, "finalized": self.final, "safe": self.final}.get(str(which), which)
        assert isinstance(number, int)
        return block(number, self.fork if number >= self.forked_from else "") if number <= self.head else None

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        await self._ask()
        return 5

    async def code(self, address: str) -> bytes:
        await self._ask()
        return b"\x01"

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        await self._ask()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        await self._ask()
        return 21_000 + self.id

    async def fees(self) -> Fees:
        await self._ask()
        return Fees(self.head, 1)

    async def send_raw(self, raw: bytes) -> None:
        self.sent.append(raw)
        if self.after_send is not None:
            await self.after_send()

    async def receipt(self, tx_hash: str) -> Receipt | None:
        await self._ask()
        return self.found if self.found is not None and self.found.block_number <= self.head else None

    async def logs(
        self, address: str, topics: Sequence[bytes | None], first: int, last: int | None = None
    ) -> list[Any]:
        await self._ask()
        return []

    async def close(self) -> None:
        """Nothing is open."""


async def hang() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise Unavailable("W3B-5001", "connection refused")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def many(count: int, clock: Clock | None = None) -> tuple[ManyChains, list[Scripted]]:
    servers = [Scripted() for _ in range(count)]
    at = clock or Clock()
    return ManyChains(
        Quorum([Endpoint(f"rpc {number}", server, LIMITS, at) for number, server in enumerate(servers, 1)])
    ), servers


# --- all of one chain ---


@pytest.mark.parametrize("count", [2, 3])
async def test_servers_of_different_chains_are_refused_by_name(count: int) -> None:
    chain, servers = many(count)
    servers[1].id = 8
    with pytest.raises(Conflict, match=r"W3B-5014.*rpc 1: chain 7.*rpc 2: chain 8"):
        await chain.chain_id()
    chain, servers = many(count)
    servers[-1].genesis = block(0, "other")
    with pytest.raises(Conflict, match="W3B-5014"):
        await chain.chain_id()


async def test_a_server_of_another_chain_that_answers_late_is_expelled() -> None:
    clock = Clock()
    chain, servers = many(3, clock)
    servers[2].before, servers[2].id = fail, 8
    assert await chain.chain_id() == 7
    servers[2].before = None
    clock.now += 100.0
    servers[2].found = replace(RECEIPT, block_hash="0xbad")
    for _ in range(3):
        assert await chain.receipt(TX) == RECEIPT
    assert problems(chain) == ["rpc 3 is of another chain: id 8, genesis 0x0"]


# --- hanging, failing, flapping ---


@pytest.mark.parametrize("behaviour", [hang, fail])
@pytest.mark.parametrize("count", [2, 3])
async def test_one_silent_server_stops_nothing_that_can_be_taken_back(
    behaviour: Callable[[], Awaitable[None]], count: int
) -> None:
    chain, servers = many(count)
    await chain.chain_id()
    servers[0].before = behaviour
    head = await chain.block("latest")
    assert head == block(HEAD)
    assert await chain.receipt(TX) == RECEIPT
    assert await chain.block(95) == block(95)
    assert await chain.nonce("0xme") == 5
    assert await chain.call("0xme", "0xto", b"data") == b"\x01"
    await chain.close()


async def test_a_hanging_server_is_asked_nothing_more_while_it_hangs() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[0].before = hang
    asked = servers[0].asked
    for _ in range(5):
        await chain.receipt(TX)
    assert servers[0].asked <= asked + 2
    await chain.close()


async def test_a_failing_server_is_left_alone_and_tried_again() -> None:
    clock = Clock()
    chain, servers = many(2, clock)
    await chain.chain_id()
    servers[0].before = fail
    for _ in range(3):
        await chain.receipt(TX)
    asked = servers[0].asked
    await chain.receipt(TX)
    assert servers[0].asked == asked, "left alone"
    assert problems(chain) == ["rpc 1 does not answer: connection refused"]
    servers[0].before = None
    clock.now += 61.0
    assert await agreed(chain).block("finalized") == block(FINAL)
    assert problems(chain) == []


async def test_a_flapping_server_costs_nothing() -> None:
    chain, servers = many(3)
    await chain.chain_id()
    turns = iter(range(1000))

    async def flap() -> None:
        if next(turns) % 2:
            raise Unavailable("W3B-5001", "connection reset")

    servers[1].before = flap
    for _ in range(10):
        assert await chain.receipt(TX) == RECEIPT
        assert await agreed(chain).block("finalized") == block(FINAL)


async def test_with_two_nothing_is_final_while_one_is_silent() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[1].before = fail
    for question in (lambda c: c.block("finalized"), lambda c: c.block(95), lambda c: c.receipt(TX)):
        with pytest.raises(Disagreement, match="W3B-5013"):
            await question(agreed(chain))


async def test_nobody_answering_is_no_answer() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    for server in servers:
        server.before = fail
    with pytest.raises(Unavailable, match="W3B-5001"):
        await chain.receipt(TX)


# --- sending ---


async def test_a_transaction_goes_to_all_and_one_that_takes_it_is_enough() -> None:
    chain, servers = many(3)
    await chain.chain_id()
    servers[0].after_send = hang  # it accepts the bytes, then never answers

    async def known() -> None:
        raise RpcRefused("eth_sendRawTransaction: already known (-32000)", -32000)

    servers[1].after_send = known
    await chain.send_raw(b"raw")
    assert [server.sent for server in servers] == [[b"raw"]] * 3
    await chain.close()


async def test_a_transaction_that_nobody_confirms_is_unknown_and_never_failed() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    for server in servers:
        server.after_send = hang
    with pytest.raises(Unavailable, match="W3B-5001"):
        await chain.send_raw(b"raw")
    assert [server.sent for server in servers] == [[b"raw"], [b"raw"]]


# --- lies ---


LIES: dict[str, Callable[[Scripted], None]] = {
    "forged receipt": lambda server: setattr(server, "found", replace(RECEIPT, succeeded=False)),
    "receipt in another block": lambda server: setattr(server, "found", replace(RECEIPT, block_hash="0xbad")),
    "no receipt": lambda server: setattr(server, "found", None),
}


@pytest.mark.parametrize("lie", LIES)
async def test_with_two_a_contradicted_receipt_is_believed_by_nobody(lie: str) -> None:
    chain, servers = many(2)
    await chain.chain_id()
    LIES[lie](servers[0])
    with pytest.raises(Disagreement, match=r"W3B-5012.*rpc 1.*rpc 2"):
        await chain.receipt(TX)


@pytest.mark.parametrize("lie", LIES)
async def test_with_three_the_majority_decides_and_the_liar_is_named(lie: str) -> None:
    clock = Clock()
    chain, servers = many(3, clock)
    await chain.chain_id()
    LIES[lie](servers[1])
    for _ in range(2):
        assert await chain.receipt(TX) == RECEIPT
    assert problems(chain) == [f"rpc 2 in quarantine: it contradicts the majority about the receipt of {TX}"]
    asked = servers[1].asked
    assert await chain.receipt(TX) == RECEIPT
    assert servers[1].asked == asked, "it is believed nothing, so it is asked nothing"
    clock.now += LIMITS.quarantine_seconds + 1
    servers[1].found = RECEIPT
    assert await chain.receipt(TX) == RECEIPT
    assert servers[1].asked > asked


async def test_a_wrong_block_hash_is_believed_by_nobody_or_outvoted() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[0].fork, servers[0].forked_from = "bad", 95
    with pytest.raises(Disagreement, match="W3B-5012"):
        await chain.block(95)
    assert await chain.block(94) == block(94)
    chain, servers = many(3)
    await chain.chain_id()
    servers[0].fork, servers[0].forked_from = "bad", 95
    assert await chain.block(95) == block(95)


@pytest.mark.parametrize("count", [2, 3])
async def test_one_server_far_ahead_makes_nothing_final(count: int) -> None:
    chain, servers = many(count)
    await chain.chain_id()
    servers[0].final = servers[0].head = 10_000
    assert await chain.block("finalized") == block(FINAL)


async def test_two_branches_at_the_tip_leave_their_common_block_as_the_head() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[0].fork, servers[0].forked_from = "other", HEAD
    assert await chain.block("latest") == block(HEAD - 1)


async def test_a_refusal_that_others_do_not_see_is_not_believed() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[0].answer = Reverted("reverted", b"forged")
    with pytest.raises(Disagreement, match="W3B-5012"):
        await chain.call("0xme", "0xto", b"data")
    for server in servers:
        server.answer = Reverted(f"reverted, as {server} puts it", b"same")
    with pytest.raises(Reverted) as refused:
        await chain.call("0xme", "0xto", b"data")
    assert refused.value.data == b"same"


async def test_malformed_answers_count_as_silence(serve: Callable[..., Any]) -> None:
    from tests.settlement.rpc_server import replying

    broken: Chain = await serve(replying({"result": {"number": "forty", "hash": 7}}))
    with pytest.raises(Unavailable, match=r"W3B-5001.*malformed"):
        await broken.block(3)
    wrong: Chain = await serve(replying({"result": {"number": "0x4", "hash": "0x07", "timestamp": "0x1"}}))
    with pytest.raises(Unavailable, match=r"W3B-5001.*block 4 for block 3"):
        await wrong.block(3)


# --- lagging ---


async def test_a_server_that_lags_takes_no_side() -> None:
    chain, servers = many(3)
    await chain.chain_id()
    servers[0].head, servers[0].final = HEAD - 20, HEAD - 30
    assert await chain.receipt(TX) == RECEIPT
    assert await chain.block("latest") == block(HEAD)
    assert await chain.block("finalized") == block(FINAL)
    assert problems(chain) == [], "to lag is no lie"


async def test_of_two_the_slower_one_sets_the_head_and_the_final_block() -> None:
    chain, servers = many(2)
    await chain.chain_id()
    servers[0].head, servers[0].final = HEAD - 20, HEAD - 30
    assert await chain.receipt(TX) == RECEIPT, "the one that is far enough is not contradicted"
    assert await chain.block("latest") == block(HEAD - 20)
    assert await chain.block("finalized") == block(HEAD - 30)
    with pytest.raises(Disagreement, match="W3B-5013"):
        await agreed(chain).receipt(TX)


# --- hints, names ---


async def test_fees_and_gas_are_medians() -> None:
    chain, servers = many(3)
    servers[0].head = 10**12
    assert await chain.fees() == Fees(HEAD, 1)
    assert await chain.estimate_gas("0xme", "0xto", b"") == 21_007


def test_names_hold_no_credential() -> None:
    assert shown_name(2, "https://user:secret@node.example/v3/token?key=1") == "rpc 2 (node.example)"
    assert isinstance(chain_at("http://127.0.0.1:1, http://127.0.0.1:2"), ManyChains)
    assert not isinstance(chain_at("http://127.0.0.1:1,http://127.0.0.1:1,"), ManyChains)
