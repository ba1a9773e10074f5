"""What must hold of a policy with two stages on the chain: the confirming proof is sent and accepted after the result
stands, a reorg takes it back, and one of another output is shown to the Router however late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookMessageRow
from coordinator.ledger.store import get_task, move_task
from coordinator.ledger.tables import TaskEventRow
from coordinator.ledger.transitions import TaskState
from coordinator.settlement import settled
from tests.settlement.settlement_world import OTHER_WORDS, RICH, SIGNED, ZKP, Anvil, World, transfer
from tests.settlement.test_settlement_path import final_task
from verifier import bindings as b
from verifier.errors import Refused


async def _staged(node: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]) -> World:
    """A project whose tasks a signature settles and a ZK proof confirms within the hour."""
    world = await World.build(tmp_path, ledger_url, node.url, test_abi)
    await world.add_project(confirm_within=3600)
    await world.add_prover("signer", SIGNED)
    await world.add_prover("zk", ZKP)
    return world


@pytest.fixture
async def staged(
    shared_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> AsyncIterator[World]:
    """Such a project on a chain whose blocks are final two blocks later."""
    world = await _staged(shared_anvil, tmp_path, ledger_url, test_abi)
    yield world
    await world.close()


async def _told(world: World) -> list[str]:
    async with world.ledger.reading() as session:
        query = select(WebhookMessageRow.event_type).order_by(col(WebhookMessageRow.created_at))
        return [each.removeprefix("w3bstream.task.") for each in await session.exec(query)]


async def _moves(world: World, task: str) -> list[tuple[str, str]]:
    async with world.ledger.reading() as session:
        rows = await session.exec(
            select(TaskEventRow)
            .where(TaskEventRow.task_id == task, TaskEventRow.subject == "confirmation")
            .order_by(col(TaskEventRow.id))
        )
        return [(row.source, row.target) for row in rows]


async def on_chain(world: World, task: str) -> b.Confirmation:
    call = b.call_confirmation_of(bytes.fromhex(task[2:]))
    return b.decode_confirmation_of(await world.chain.call(world.signer.address, world.deployment.router, call))


async def until_confirmation(world: World, settlement: Any, task: str, confirmation: str) -> None:
    async def reached() -> bool:
        return (await world.task(task)).confirmation == confirmation

    await world.until(settlement, reached)


async def test_a_final_task_is_confirmed_and_a_reorg_takes_only_the_confirmation_back(
    own_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await _staged(own_anvil, tmp_path, ledger_url, test_abi)
    settlement = world.settlement()
    task, first = await world.ready_attempt(settlement, "signer", SIGNED)
    await world.prove(first)
    await world.until_task(settlement, task, "SETTLED")
    await own_anvil.rpc("anvil_mine", hex(100))
    row = await world.until_task(settlement, task, "FINAL")
    assert (row.confirmation, row.output) == ("AWAITED", (await world.attempt(first)).output)
    chain = await on_chain(world, task)
    assert (chain.status, chain.kind) == (b.ConfirmationStatus.AWAITED, b.kind_hash(ZKP))
    assert row.confirm_by is not None
    assert row.confirm_by <= chain.confirm_by * 1000 + 999, "the chain counts from the settlement"
    assert await _told(world) == ["final"]

    second = await world.assigned(settlement, task, "zk", ZKP)
    snapshot = await own_anvil.rpc("evm_snapshot")
    await world.prove(second)
    await until_confirmation(world, settlement, task, "CONFIRMED")
    assert (await on_chain(world, task)).status is b.ConfirmationStatus.CONFIRMED
    assert (await world.attempt(second)).state == "VERIFIED"
    assert await _told(world) == ["final", "confirmed"]

    await own_anvil.rpc("evm_revert", snapshot)
    for _ in range(3):
        await transfer(world.chain, RICH, "0x" + "11" * 20, b"", wei=1)
    await until_confirmation(world, settlement, task, "AWAITED")
    await until_confirmation(world, settlement, task, "CONFIRMED")
    row = await world.task(task)
    assert (row.state, row.confirm_kind) == ("FINAL", ZKP)
    assert await _moves(world, task) == [
        ("AWAITED", "CONFIRMED"),
        ("CONFIRMED", "AWAITED"),
        ("AWAITED", "CONFIRMED"),
    ]
    assert await _told(world) == ["final", "confirmed"], "each is told once"
    await world.close()


@pytest.mark.parametrize("state", ["SETTLED", "FINAL"])
async def test_a_confirming_proof_of_another_output_reaches_the_router(staged: World, state: str) -> None:
    world, settlement = staged, staged.settlement()
    task, first = await world.ready_attempt(settlement, "signer", SIGNED)
    second = await world.assigned(settlement, task, "zk", ZKP)
    await world.prove(first)
    if state == "FINAL":
        await final_task(world, settlement, task)
    else:
        await world.until_task(settlement, task, state)
    await world.prove(second, OTHER_WORDS)
    await until_confirmation(world, settlement, task, "CONTRADICTED")
    row = await world.task(task)
    assert (row.state, row.confirm_code) == ("FINAL" if state == "FINAL" else "FROZEN", "W3B-5007")
    call = b.call_task_state(bytes.fromhex(task[2:]))
    answer = await world.chain.call(world.signer.address, world.deployment.router, call)
    assert b.decode_task_state(answer).status is b.TaskStatus.FROZEN
    assert (await world.attempt(second)).state == "REJECTED"
    assert await _told(world) == (["final", "contradicted"] if state == "FINAL" else ["frozen"])


async def test_a_refused_confirming_proof_leaves_the_result_alone(staged: World) -> None:
    world, settlement = staged, staged.settlement()
    task, first = await world.ready_attempt(settlement, "signer", SIGNED)
    second = await world.assigned(settlement, task, "zk", ZKP)
    await world.prove(first)
    await world.prove(second)
    attempt, now = await world.attempt(second), world.ledger.clock()
    async with world.ledger.transaction() as session:
        row = await settled.rejected(session, now, attempt, Refused("W3B-5002", "refused"))
    assert (row.state, row.confirmation) == ("SATISFIED", "AWAITED")
    assert (await world.attempt(second)).state == "REJECTED"


async def test_a_confirming_proof_that_comes_first_confirms_and_never_settles(staged: World) -> None:
    world, settlement = staged, staged.settlement()
    task, first = await world.ready_attempt(settlement, "signer", SIGNED)
    second = await world.assigned(settlement, task, "zk", ZKP)
    async with world.ledger.transaction() as session:
        now = world.ledger.clock()
        await move_task(session, now, task, TaskState.SATISFIED, confirmation="AWAITED", confirm_by=now + 1)
        await move_task(session, now, task, TaskState.OPEN, reason="its first proof was rejected")
    await world.prove(second, satisfy=False)
    await until_confirmation(world, settlement, task, "CONFIRMED")
    row = await world.task(task)
    assert row.state == "OPEN"
    assert row.confirm_reason.endswith("s late")
    await world.prove(first)
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    async with world.ledger.reading() as session:
        assert (await get_task(session, task)).confirmation == "CONFIRMED"
        settles = await session.exec(select(OutboxTxRow).where(OutboxTxRow.purpose == "settle"))
        assert len(settles.all()) == 2
