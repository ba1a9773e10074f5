"""What must hold with two RPC servers: while one of them is silent or stands still, the other one alone makes nothing
final, has nothing refused for good and nothing signed twice; and what it lied about is mended when the lie ends."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import col, select

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import AttemptRow
from coordinator.settlement.chain import Block, Fees, Receipt, RpcRefused
from coordinator.settlement.deployment import created_address
from coordinator.settlement.endpoints import Endpoint, EndpointLimits
from coordinator.settlement.finality import Finality
from coordinator.settlement.many_chains import ManyChains
from coordinator.settlement.quorum import Quorum
from coordinator.settlement.sending import SenderLimits
from coordinator.settlement.service import Settlement
from tests.settlement.memory_chain import CHAIN_ID, MemoryChain
from tests.settlement.memory_run import DEPLOYMENT, LIMITS, Run
from verifier.errors import Unavailable

PATIENT = EndpointLimits(seconds=1.0, hedge_seconds=0.05, failures=10**6, strikes=10**6)
"""One that fails is asked all the same the next time: the tests say themselves when it is silent."""
SLOW = SenderLimits(resend_seconds=0.0, gap_seconds=1e9, bump_seconds=1e9)


class View:
    """One server's view of the chain in memory."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain = chain
        self.stands_at: int | None = None
        """Its head, where it does not follow any more."""
        self.silent: set[str] = set()
        """Methods that it does not answer; `latest` is a question for the head."""
        self.forged: dict[str, Any] = {}
        """What it says instead, by method or transaction hash."""

    def _hear(self, method: str) -> None:
        if method in self.silent:
            raise Unavailable("W3B-5001", f"no answer to {method}")

    def _as_of(self, which: int | str) -> MemoryChain:
        last = len(self._chain.blocks) - 1 if self.stands_at is None else self.stands_at
        if isinstance(which, int):
            if which > last and "latest" not in self.forged:
                raise RpcRefused("header not found (-32000)", -32000)
            last = min(last, which)
        seen = copy.copy(self._chain)
        seen.blocks, seen.states = self._chain.blocks[: last + 1], self._chain.states[: last + 1]
        return seen

    async def chain_id(self) -> int:
        return CHAIN_ID

    async def block(self, which: int | str) -> Block | None:
        self._hear(str(which))
        if which in self.forged:
            return self.forged[which]  # type: ignore[no-any-return]
        return await self._as_of("latest").block(which)

    async def nonce(self, address: str, which: int | str = "latest") -> int:
        self._hear("nonce")
        return self.forged.get("nonce") or self._as_of(which).state.nonce

    async def code(self, address: str) -> bytes:
        return b"\x01"

    async def call(self, sender: str, to: str, data: bytes, which: int | str = "latest") -> bytes:
        return await self._as_of(which).call(sender, to, data)

    async def estimate_gas(self, sender: str, to: str, data: bytes) -> int:
        return self.forged.get("gas") or await self._as_of("latest").estimate_gas(sender, to, data)

    async def fees(self) -> Fees:
        return await self._chain.fees()

    async def send_raw(self, raw: bytes) -> None:
        await self._chain.send_raw(raw)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        self._hear("receipt")
        if tx_hash in self.forged:
            return self.forged[tx_hash]  # type: ignore[no-any-return]
        return await self._as_of("latest").receipt(tx_hash)

    async def logs(self, *where: Any) -> list[Any]:
        return await self._as_of("latest").logs(*where)

    async def close(self) -> None:
        """Nothing is open."""


class Two(Run):
    """A run that settles through two servers."""

    views: tuple[View, View]

    def restart(self, limits: SenderLimits = LIMITS, finality: Finality | None = None) -> None:
        async def tell(*_: object) -> None:
            """Nobody listens."""

        super().restart(limits)
        self.views = View(self.chain), View(self.chain)
        named = [Endpoint(f"rpc {at}", view, PATIENT) for at, view in enumerate(self.views, 1)]
        made = self.settlement
        self.settlement = Settlement(
            self.ledger,
            ManyChains(Quorum(named)),
            made._sender._sending.signer,
            DEPLOYMENT,
            finality=finality or Finality("rpc-finalized"),
            tell=tell,
            sender_limits=limits,
            collector_limits=made._collector._limits,
        )

    async def row(self, row: OutboxTxRow) -> OutboxTxRow:
        async with self.ledger.reading() as session:
            return await session.get_one(OutboxTxRow, row.id, populate_existing=True)

    async def until_sent(self, *, records: bool = True) -> OutboxTxRow:
        """Step and mine until the batch that records the task, or else the settlement, is SENT."""
        for _ in range(40):
            await self.step()
            for each in await self.outbox("SENT"):
                if each.ref.get("tasks") if records else each.purpose == "settle":
                    return each
            self.chain.mine()
        raise AssertionError(await self.outbox())

    async def rejected(self) -> list[str]:
        async with self.ledger.reading() as session:
            rows = await session.exec(select(AttemptRow.reason).where(col(AttemptRow.state) == "REJECTED"))
            return list(rows)


@pytest.fixture
async def two(ledger_url: str) -> AsyncIterator[Two]:
    made = await Two.begin(ledger_url, SLOW, tasks=1)
    assert isinstance(made, Two)
    yield made
    await made.ledger.close()


def forged(row: OutboxTxRow, block: Block, number: int | None = None) -> Receipt:
    """A receipt of a transaction that no block holds."""
    return Receipt(row.tx_hash, number or block.number, block.hash, True, 50_000, "", ())


async def test_a_server_that_stands_still_has_nothing_refused(two: Two) -> None:
    row = await two.until_sent()
    two.chain.mine(skip=lambda sent: sent.hash == row.tx_hash)
    two.views[1].stands_at = len(two.chain.blocks) - 1
    for _ in range(25):
        two.chain.mine()
        await two.step()
    refused = [each.reason for each in await two.outbox("REFUSED")] + await two.rejected()
    assert refused == [], "at its block the task is not recorded yet: that says nothing of the assignment"
    assert [task.state for task in await two.tasks()] == ["OPEN"]
    two.views[1].stands_at = None
    await two.until("FINAL", rounds=200)
    assert await two.rejected() == []


async def test_a_receipt_of_one_server_alone_makes_nothing_final(two: Two) -> None:
    row = await two.until_sent()
    head = two.chain.blocks[-1].block
    two.views[0].forged[row.tx_hash] = forged(row, head)
    two.views[1].silent = {"receipt"}
    await two.step()
    assert (await two.row(row)).state == "MINED", "believed while nobody contradicts it: it can be taken back"
    two.views[1].silent = set()
    for _ in range(12):
        two.chain.mine(skip=lambda sent: sent.hash == row.tx_hash)
        await two.step()
    assert (await two.row(row)).state == "MINED", "the other one has no such receipt"
    del two.views[0].forged[row.tx_hash]
    await two.until("FINAL", rounds=200)
    ladder = await two.ladder(row)
    assert "REORGED" in ladder
    assert ladder.index("REORGED") < ladder.index("FINAL")
    assert two.chain.state.receipts[row.tx_hash].succeeded


async def test_a_receipt_in_a_block_that_never_comes_holds_nothing_for_ever(two: Two) -> None:
    row = await two.until_sent(records=False)
    two.views[0].forged[row.tx_hash] = forged(row, two.chain.blocks[-1].block, 10**9)
    await two.step()
    assert (await two.row(row)).block_number == 10**9
    two.views[0].forged.clear()
    await two.until("FINAL", rounds=200)
    assert (await two.row(row)).block_number == two.chain.state.receipts[row.tx_hash].block_number


@pytest.mark.parametrize("alone", [True, False])
async def test_depth_is_counted_from_a_head_that_both_have(ledger_url: str, alone: bool) -> None:
    """One server names a head far ahead: while the other one is silent, or under the hash that the other one names."""
    two = await Two.begin(ledger_url, SLOW, tasks=1)
    assert isinstance(two, Two)
    two.restart(SLOW, Finality("rpc-depth", 6, knows_safe=False))
    await two.until("SETTLED")
    head = two.chain.blocks[-1].block
    two.views[0].forged["latest"] = replace(head, number=10**6, hash="0xfa" if alone else head.hash)
    two.views[1].silent = {"latest"} if alone else set()
    for _ in range(3):
        await two.step()
    assert not await two.outbox("SAFE", "FINAL")
    two.views[0].forged.clear()
    two.views[1].silent = set()
    await two.until("FINAL")
    await two.ledger.close()


async def test_a_nonce_far_ahead_is_not_signed_for(two: Two) -> None:
    row = await two.until_sent(records=False)
    await two.close_window()
    two.views[0].forged["nonce"] = 1000
    two.views[1].silent = {"nonce"}
    for _ in range(3):
        await two.step()
    given = [each.nonce for each in await two.outbox() if each.nonce is not None]
    assert max(given) == row.nonce
    two.views[0].forged.clear()
    two.views[1].silent = set()
    await two.until("FINAL", rounds=200)


async def test_a_receipt_that_one_server_hides_signs_nothing_anew(two: Two) -> None:
    row = await two.until_sent(records=False)
    two.views[0].forged[row.tx_hash] = None
    two.views[1].silent = {"receipt"}
    for _ in range(12):
        two.chain.mine()
        await two.step()
    kept = await two.row(row)
    assert (kept.state, kept.nonce, kept.tries) == ("SENT", row.nonce, row.tries)
    two.views[0].forged.clear()
    two.views[1].silent = set()
    await two.until("FINAL", rounds=200)
    assert (await two.row(row)).tries == row.tries


async def test_gas_that_no_block_has_is_not_signed_for(two: Two) -> None:
    two.views[0].forged["gas"] = 1 << 60
    row = await two.until_sent()
    assert row.ref["gas"] < 100_000
    two.views[1].forged["gas"] = 1 << 50
    assert await two.settlement._sender._sending.chain.estimate_gas("0x", DEPLOYMENT.fleet, b"") == 1 << 60


def test_a_contract_s_address_follows_from_the_account_and_its_nonce() -> None:
    """The vectors of go-ethereum's crypto_test.go (TestNewContractAddress)."""
    account = "0x970e8128ab834e8eac17ab8e3812f010678cf791"
    assert [created_address(account, nonce).lower() for nonce in (0, 1, 2)] == [
        "0x333c3310824b7c685133f2bedb2ca4b8b4df633d",
        "0x8bda78331c916a08481428e4b07c96d3e916d165",
        "0xc9ddedf451bc62ce88bf9292afb13df35b670699",
    ]
