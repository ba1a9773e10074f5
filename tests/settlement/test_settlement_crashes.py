"""What must hold: whatever ends a process, and whatever becomes of the chain, each transaction takes effect once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, func, select

from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.store import Ledger
from coordinator.settlement.chain import JsonRpcChain, Reverted
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import Finality
from coordinator.settlement.signer import KeyFileSigner
from tests.settlement.settlement_world import L1, RICH, ZKP, Anvil, Crash, CrashingChain, World, transfer
from verifier import bindings as b
from verifier.errors import Conflict

POINTS = ["before sign", "before send", "after send", "mined, not recorded"]


async def crash(world: World, point: str, purpose: str) -> None:
    """Run a settlement until it crashes at `point` of the next transaction."""
    chain = CrashingChain(world.chain, point)
    settlement = world.settlement(chain)
    chain.armed = True
    with pytest.raises(Crash, match=point):
        async with asyncio.timeout(30):
            while True:
                await settlement.step()
                await asyncio.sleep(0.02)
    rows = await world.outbox(purpose)
    signed = [row for row in rows if row.raw is not None]
    assert bool(signed) == (point != "before sign"), "signed bytes are committed before the first byte leaves"


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_at_any_step_settles_once(world: World, point: str) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    before = await world.chain.nonce(world.signer.address)
    await crash(world, point, "settle")
    again = world.settlement()
    row = await world.until_task(again, task, "SETTLED", "FINAL")
    assert (await world.attempt(attempt)).state == "VERIFIED"
    settles = await world.outbox("settle")
    assert len(settles) == 1
    assert settles[0].tx_hash == row.transaction_hash
    batches = await world.outbox("apply_batch")
    sent = [each for each in (*settles, *batches) if each.nonce is not None and each.nonce >= before]
    assert await world.chain.nonce(world.signer.address) - before == len(sent), "nothing was sent twice"


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_in_a_batch_records_once(world: World, point: str) -> None:
    settlement = world.settlement()
    await world.until_tx(settlement, "publish_version", "MINED", "SAFE", "FINAL")
    await world.until_tx(settlement, "register_prover", "MINED", "SAFE", "FINAL")
    await world.until_tx(settlement, "apply_batch", "MINED", "SAFE", "FINAL")
    task = await world.add_task()
    chain = CrashingChain(world.chain, point)
    chain.armed = True
    with pytest.raises(Crash, match=point):
        async with asyncio.timeout(30):
            while True:
                await world.settlement(chain).step()
    again = world.settlement()
    await world.until_task(again, task, "OPEN")
    recorded = [row for row in await world.outbox("apply_batch") if task in row.ref["tasks"]]
    assert len(recorded) == 1
    assert recorded[0].state in {"MINED", "SAFE", "FINAL"}


@pytest.mark.parametrize("chain_class", [Anvil, L1])
async def test_a_dead_chain_loses_nothing(
    chain_class: type[Anvil | L1], tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    node: Anvil | L1 = await asyncio.to_thread(chain_class, tmp_path)
    world = await World.build(tmp_path, ledger_url, node.url, test_abi)
    await world.add_project()
    await world.add_prover("one", ZKP)
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    node.stop()
    await world.prove(attempt)
    for _ in range(3):
        await settlement.step()
    assert not settlement.healthy
    assert "W3B-5001" in settlement.last_error
    (row,) = await world.outbox("settle")
    assert row.state == "QUEUED", "collected although the chain is down"
    assert (await world.task(task)).state == "SATISFIED"
    node.start()
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert settlement.healthy
    assert settlement.last_error == ""
    await world.close()
    node.stop()


async def test_the_loop_runs_stops_and_goes_on(world: World) -> None:
    settlement = world.settlement()
    loop = asyncio.create_task(settlement.run())
    async with asyncio.timeout(30):
        while (await world.outbox("publish_version"))[-1].state not in {"MINED", "SAFE", "FINAL"}:
            await asyncio.sleep(0.05)
        task = await world.add_task()
        while (await world.task(task)).state != "OPEN":
            await asyncio.sleep(0.05)
        settlement.stop()
        await loop
    later = await world.add_task()
    second = world.settlement()
    loop = asyncio.create_task(second.run())
    async with asyncio.timeout(30):
        while (await world.task(later)).state != "OPEN":
            await asyncio.sleep(0.05)
        second.stop()
        await loop


@pytest.mark.parametrize("crashes", [1, 2, 4, 6])
async def test_a_deployment_resumes_after_a_crash(
    node: Anvil | L1, tmp_path: Path, ledger_url: str, crashes: int
) -> None:
    ledger = Ledger(ledger_url)
    chain = JsonRpcChain(node.url)
    signer = KeyFileSigner.at(tmp_path / "keys" / "coordinator.json")
    await transfer(chain, RICH, signer.address, b"", wei=10**20)
    for count in range(crashes):
        crashing = CrashingChain(chain, POINTS[1 + count % 3])
        crashing.armed = True
        with pytest.raises(Crash):
            await ensure_deployment(ledger, crashing, signer, finality=Finality("single-producer"))
    deployment = await ensure_deployment(ledger, chain, signer, finality=Finality("single-producer"))
    assert await ensure_deployment(ledger, chain, signer, finality=Finality("single-producer")) == deployment
    assert await chain.nonce(signer.address) == 6, "six transactions, each once"
    answer = await chain.call(signer.address, deployment.fleet, b.encode_call("FleetManagement", "router"))
    assert answer[-20:] == deployment.router_bytes()
    await chain.close()
    await ledger.close()


async def test_a_ledger_of_another_chain_is_refused(
    shared_anvil: Anvil, shared_l1: L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi)
    other = JsonRpcChain(shared_l1.url)
    with pytest.raises(Conflict, match="W3B-5004"):
        await ensure_deployment(world.ledger, other, world.signer, finality=Finality("single-producer"))
    await other.close()
    await world.close()


async def test_a_chain_that_lost_the_contracts_is_refused(
    shared_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi)
    await shared_anvil.rpc("anvil_setCode", world.deployment.router, "0x")
    with pytest.raises(Conflict, match=r"W3B-5004.*Router"):
        await ensure_deployment(world.ledger, world.chain, world.signer, finality=Finality("single-producer"))
    await world.close()


async def test_the_same_fact_is_never_collected_twice(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    rounds = [world.settlement() for _ in range(3)]
    await asyncio.gather(*(each._collector.round() for each in rounds))
    async with world.ledger.reading() as session:
        count = await session.exec(select(func.count()).where(col(OutboxTxRow.purpose) == "settle"))
        assert count.one() == 1
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    with pytest.raises(Reverted):
        row = (await world.outbox("settle"))[0]
        await world.chain.call(world.signer.address, row.to, row.data)
