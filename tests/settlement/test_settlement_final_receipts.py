"""What must hold: where delegates sign the blocks, a settlement's event carries what shows that it is final; and whatever
the chain does at that moment, the task is told once, with its proof."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from sqlmodel import col, select

from coordinator.evidence.final_receipts import FinalReceipts
from coordinator.evidence.many_servers import rpc_of
from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.settlement.chain import Chain, RpcRefused
from coordinator.settlement.finality import Finality
from coordinator.settlement.service import Settlement
from coordinator.webhooks.event import MAX_BODY, Site
from coordinator.webhooks.task_events import TaskEvents, statement_of
from l1.chain.genesis import load_genesis
from l1.nodes.devnet_genesis import with_devnet
from tests.settlement.settlement_world import (
    L1,
    OTHER_WORDS,
    OUTPUT_TYPES,
    OUTPUTS,
    RICH,
    SIGNED,
    WORDS,
    ZKP,
    Crash,
    World,
    transfer,
)
from tests.webhooks.how_to_receiver import finality_receiver
from verifier import bindings as b
from verifier.errors import Refused, Unavailable

BLS = Finality("bls")
EPOCH = 8
"""Blocks of an epoch of `Elected`."""


class Disturbed:
    """Passes everything on; what `answers` has for a method is done instead, once for each entry."""

    def __init__(self, inner: Chain) -> None:
        self._inner = inner
        self.answers: dict[str, list[Callable[[Any], Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def request(self, method: str, *params: Any) -> Any:
        found = await self._inner.request(method, *params)  # type: ignore[attr-defined]
        waiting = self.answers.get(method)
        return waiting.pop(0)(found) if waiting else found


@pytest.fixture(scope="module")
def signed_l1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[L1]:
    """Our own chain, decided by four delegates."""
    node = L1(tmp_path_factory.mktemp("signed"), "--delegates", "4")
    yield node
    node.stop()


async def world_on(node: L1, folder: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]) -> World:
    world = await World.build(folder, ledger_url, node.url, test_abi)
    await world.add_project()
    await world.add_prover("one", ZKP)
    return world


@pytest.fixture
async def signed_world(
    signed_l1: L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> AsyncIterator[World]:
    world = await world_on(signed_l1, tmp_path, ledger_url, test_abi)
    yield world
    await world.close()


async def messages(world: World) -> list[dict[str, Any]]:
    """Every event in the outbox, the oldest first."""
    async with world.ledger.reading() as session:
        rows = await session.exec(select(WebhookMessageRow).order_by(col(WebhookMessageRow.created_at)))
        bodies = [row.body for row in rows.all()]
    assert all(len(body) <= MAX_BODY for body in bodies)
    return [json.loads(body) for body in bodies]


async def until_final(world: World, settlement: Settlement) -> str:
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    await world.until_task(settlement, task, "FINAL")
    return task


async def receiver_of(world: World) -> dict[str, Any]:
    block = await world.chain.block(0)
    assert block is not None
    return await asyncio.to_thread(finality_receiver, world.chain.url, block.hash, world.deployment.router)


async def test_the_event_shows_that_the_settlement_is_final(signed_world: World) -> None:
    world = signed_world
    task = await until_final(world, world.settlement(finality=BLS))
    (event,) = await messages(world)
    row, settlement = await world.task(task), event["data"]["settlement"]
    assert (event["type"], settlement["finality_source"]) == ("w3bstream.task.final", "bls")
    assert settlement["finality_proof"].keys() == {"header", "footer", "position", "receipt"}
    shown = (await receiver_of(world))["settled"](event)
    assert ("0x" + shown.task_id.hex(), shown.project_id, shown.version) == (task, world.project_id, 1)
    assert ("0x" + shown.output.hex(), shown.public_output) == (row.output, row.public_output)
    assert (shown.block_number, "0x" + shown.block_hash.hex()) == (row.block_number, row.block_hash)
    assert "0x" + shown.prover.hex() == row_prover(event)


def row_prover(event: dict[str, Any]) -> str:
    (proof,) = event["data"]["proofs"]
    return str(proof["prover"]).lower()


async def test_nothing_is_asked_of_anybody_once_the_delegates_are_known(
    tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    node = await asyncio.to_thread(L1, tmp_path, "--delegates", "4")
    world = await world_on(node, tmp_path, ledger_url, test_abi)
    task = await until_final(world, world.settlement(finality=BLS))
    reader = await receiver_of(world)
    (event,) = await messages(world)
    await world.close()
    node.stop()
    assert "0x" + reader["settled"](event).task_id.hex() == task


class Elected(L1):
    """Our own chain, whose delegates are elected anew every eight blocks."""

    def start(self) -> None:
        genesis = load_genesis(self._genesis)
        if not genesis.delegates:
            self._genesis.write_text(with_devnet(genesis, self._folder / "chain", 4, EPOCH).to_json())
        super().start()


async def test_events_of_any_epoch_are_shown_whichever_comes_first(
    tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    """A receiver who begins at the genesis follows the elections, and keeps the sets for events that come late."""
    node = await asyncio.to_thread(Elected, tmp_path)
    world = await world_on(node, tmp_path, ledger_url, test_abi)
    settlement = world.settlement(finality=BLS)
    tasks = [await until_final(world, settlement) for _ in range(3)]
    reader, events = await receiver_of(world), await messages(world)
    for event in events[::-1]:
        shown = await asyncio.to_thread(reader["settled"], event)
        assert "0x" + shown.task_id.hex() == event["subject"]
    epochs = {(event["data"]["settlement"]["block_number"] - 1) // EPOCH + 1 for event in events}
    assert [event["subject"] for event in events] == tasks
    assert len(epochs) > 1
    assert len(reader["clients"]) == max(epochs) > 2
    stale = await receiver_of(world)
    stale["client_of"] = lambda _: stale["clients"][0]
    with pytest.raises(Refused, match="W3B-9012"):
        stale["settled"](events[0])
    await world.close()
    node.stop()


async def test_a_chain_that_nobody_signs_gives_no_proof(
    shared_l1: L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await world_on(shared_l1, tmp_path, ledger_url, test_abi)
    await until_final(world, world.settlement())
    (event,) = await messages(world)
    assert event["data"]["settlement"]["finality_source"] == "single-producer"
    assert "finality_proof" not in event["data"]["settlement"]
    await world.close()


def silent(_: Any) -> Any:
    raise Unavailable("W3B-5001", "no answer")


def refusing(_: Any) -> Any:
    raise RpcRefused("the method does not exist (-32601)", -32601)


def absent(_: Any) -> Any:
    return None


def of_another_block(found: Any) -> Any:
    return {**found, "header": found["header"][:-2] + "00"}


def unreadable(found: Any) -> Any:
    return {**found, "footer": "0xzz"}


def with_another_time(found: Any) -> Any:
    return {**found, "timestamp": hex(int(found["timestamp"], 16) + 1)}


def without_receipts(_: Any) -> Any:
    return []


TROUBLES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("w3b_getCertificate", silent, "W3B-5001"),
    ("w3b_getCertificate", refusing, "W3B-5003"),
    ("w3b_getCertificate", absent, "W3B-9007"),
    ("w3b_getCertificate", of_another_block, "W3B-9007"),
    ("w3b_getCertificate", unreadable, "W3B-9007"),
    ("eth_getBlockReceipts", silent, "W3B-5001"),
    ("eth_getBlockReceipts", without_receipts, "W3B-9007"),
    ("eth_getBlockByNumber", with_another_time, "W3B-9007"),
]


async def test_a_chain_that_gives_no_proof_now_delays_and_loses_nothing(signed_world: World) -> None:
    world, chain = signed_world, Disturbed(signed_world.chain)
    settlement = world.settlement(chain=chain, finality=BLS)
    reader = await receiver_of(world)
    for number, (method, trouble, code) in enumerate(TROUBLES):
        name = f"{method} {trouble.__name__}"
        task, attempt = await world.ready_attempt(settlement, "one")
        chain.answers = {method: [trouble] * 3}
        await world.prove(attempt)
        seen = []
        while chain.answers[method]:
            await settlement.step()
            if not settlement.healthy:
                seen.append(settlement.last_error[:8])
                assert ((await world.task(task)).state, (await world.outbox("settle"))[-1].state) == (
                    "SETTLED",
                    "MINED",
                )
                assert len(await messages(world)) == number, name
        assert seen == [code] * 3, name
        await world.until_task(settlement, task, "FINAL")
        event = (await messages(world))[-1]
        assert "0x" + reader["settled"](event).task_id.hex() == task, name
        assert settlement.healthy
    assert len(await messages(world)) == len(TROUBLES)


async def test_no_proof_is_made_of_another_block_or_transaction(signed_world: World) -> None:
    world, chain = signed_world, Disturbed(signed_world.chain)
    row = await world.task(await until_final(world, world.settlement(finality=BLS)))
    number, receipts = row.block_number or 0, FinalReceipts(rpc_of(chain))
    for block_hash, transaction in ((row.inputs, row.transaction_hash), (row.block_hash, row.inputs)):
        with pytest.raises(Unavailable, match="W3B-9007"):
            await receipts.of(number, block_hash, transaction)
    chain.answers = {"w3b_getCertificate": [silent], "eth_getBlockByNumber": [silent]}
    proof = await receipts.of(number, row.block_hash, row.transaction_hash)
    assert (keccak(proof.header).hex(), proof.position) == (row.block_hash[2:], 0)
    assert all(chain.answers.values()), "the block was asked for once"


async def test_one_settlement_without_a_proof_holds_no_other_up(signed_world: World) -> None:
    """The certificate of one block is not to be had; what lies in other blocks becomes final."""
    world, chain = signed_world, Disturbed(signed_world.chain)
    settlement = world.settlement(chain=chain, finality=BLS)
    task, attempt = await world.ready_attempt(settlement, "one")
    numbers: list[str] = []

    def first_only(found: Any) -> Any:
        numbers.append(found["number"])
        return None if found["number"] == numbers[0] else found

    chain.answers = {"w3b_getCertificate": [first_only] * 1000}
    await world.prove(attempt)
    await world.until_task(settlement, task, "SETTLED")
    await world.add_prover("two", ZKP)
    later, rival = await world.ready_attempt(settlement, "two")
    await world.prove(rival)
    await world.until_task(settlement, later, "FINAL")
    assert (await world.task(task)).state == "SETTLED"
    chain.answers = {}
    await world.until_task(settlement, task, "FINAL")
    assert [event["subject"] for event in await messages(world)] == [later, task]


async def test_a_task_that_was_frozen_meanwhile_is_told_with_the_proof_of_its_settlement(signed_world: World) -> None:
    world, chain = signed_world, Disturbed(signed_world.chain)
    await world.add_prover("two", SIGNED)
    settlement = world.settlement(chain=chain, finality=BLS)
    task, attempt = await world.ready_attempt(settlement, "one")
    rival = await world.attempt(await world.assigned(settlement, task, "two", SIGNED))
    chain.answers = {"w3b_getCertificate": [absent] * 1000}
    await world.prove(attempt)
    row = await world.until_task(settlement, task, "SETTLED")
    output = encode(OUTPUT_TYPES, OTHER_WORDS)
    rival.output = "0x" + keccak(output).hex()
    call = b.settle(statement_of(row, rival), SIGNED, output, world._proof(row, rival, OTHER_WORDS))
    assert (await transfer(world.chain, RICH, world.deployment.router, call)).succeeded
    chain.answers = {}
    frozen = await world.until_task(settlement, task, "FROZEN", "FINAL")
    assert frozen.state == "FROZEN"
    (event,) = await messages(world)
    assert event["type"] == "w3bstream.task.frozen"
    assert (await receiver_of(world))["settled"](event).public_output == encode(OUTPUT_TYPES, WORDS)


@pytest.mark.parametrize("point", ["fetched", "told"])
async def test_a_crash_on_the_way_to_final_tells_once(signed_world: World, point: str) -> None:
    world, chain = signed_world, Disturbed(signed_world.chain)
    events = TaskEvents(Site(world.deployment.chain_id, world.deployment.router), lambda _: OUTPUTS)

    def crash(_: Any = None) -> Any:
        raise Crash(point)

    async def tell_and_crash(session: Any, now: int, task: Any, proof: Any = None) -> None:
        await events(session, now, task, proof)
        crash()

    settlement = world.settlement(chain=chain, finality=BLS)
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    if point == "fetched":
        chain.answers = {"w3b_getCertificate": [crash]}
    else:
        settlement = world.settlement(finality=BLS, tell=tell_and_crash)
    with pytest.raises(Crash, match=point):
        await world.until_task(settlement, task, "FINAL")
    assert (await world.task(task)).state == "SETTLED"
    assert await messages(world) == []
    again = world.settlement(finality=BLS)
    await world.until_task(again, task, "FINAL")
    await again.step()
    (event,) = await messages(world)
    assert (await receiver_of(world))["settled"](event)
