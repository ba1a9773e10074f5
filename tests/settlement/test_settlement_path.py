"""What must hold: a window's way from the ledger to a final settlement, on both chains, each step once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from sqlmodel import select

from coordinator.ledger.outbox_tables import WebhookMessageRow
from coordinator.ledger.store import system_clock
from coordinator.ledger.tables import ProjectRow, ProjectVersionRow, ProverRow, TaskEventRow, TaskRow
from coordinator.settlement.dapp_retry import enqueue_dapp_retry
from coordinator.settlement.service import Settlement
from coordinator.webhooks.task_events import statement_of
from tests.settlement.settlement_world import L1, OTHER_WORDS, RICH, SIGNED, ZKP, Anvil, World, transfer
from verifier import bindings as b
from verifier.errors import Conflict
from verifier.statement import Domain


async def final_task(world: World, settlement: Settlement, task: str) -> TaskRow:
    """Step until the task is final; anvil needs more blocks on top, which a stranger's transactions bring."""

    async def reached() -> bool:
        if (await world.task(task)).state == "SETTLED":
            await transfer(world.chain, RICH, "0x" + "11" * 20, b"", wei=1)
        return (await world.task(task)).state == "FINAL"

    await world.until(settlement, reached)
    return await world.task(task)


async def test_a_window_settles_and_becomes_final(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    row = await final_task(world, settlement, task)
    assert (row.state, row.finality_source, row.dapp_ok) == ("FINAL", "single-producer", True)
    assert (await world.attempt(attempt)).state == "VERIFIED"
    receipt = await world.chain.receipt(row.transaction_hash)
    assert receipt is not None
    assert (receipt.block_number, receipt.block_hash) == (row.block_number, row.block_hash)
    assert row.output == (await world.attempt(attempt)).output
    state = b.decode_task_state(
        await world.chain.call(
            world.signer.address, world.deployment.router, b.call_task_state(bytes.fromhex(task[2:]))
        )
    )
    assert state.status is b.TaskStatus.SETTLED
    assert {each.state for each in await world.outbox()} <= {"MINED", "SAFE", "FINAL"}
    sent = await world.chain.nonce(world.signer.address)
    assert sent == len(await world.outbox()), "every outbox row is one transaction, and there is no other"


async def test_the_ledger_mirrors_what_was_mined(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    async with world.ledger.reading() as session:
        project = await session.get_one(ProjectRow, world.project_id)
        version = await session.get_one(ProjectVersionRow, (world.project_id, 1))
        prover = await session.get_one(ProverRow, "one")
    assert (project.version, version.state, prover.mirrored_status) == (1, "PUBLISHED", "BUSY")
    address = bytes.fromhex(prover.address[2:])
    status = b.decode_status_of(
        await world.chain.call(world.signer.address, world.deployment.fleet, b.call_status_of(address))
    )
    assert status is b.ProverStatus.BUSY
    call = b.call_assignment_of(bytes.fromhex(task[2:]), address, ZKP)
    state = b.decode_assignment_of(await world.chain.call(world.signer.address, world.deployment.fleet, call))
    row = await world.attempt(attempt)
    assert (state.fence, state.deadline) == (row.fence, row.deadline_at // 1000)


async def test_final_tells_the_webhooks_once_with_the_whole_result(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    row = await final_task(world, settlement, task)
    await settlement.step()
    async with world.ledger.reading() as session:
        (message,) = (await session.exec(select(WebhookMessageRow))).all()
    event = json.loads(message.body)
    assert (event["type"], event["subject"], event["id"]) == ("w3bstream.task.final", task, message.id)
    data = event["data"]
    completeness = {"missing": "2", "duplicates": 1, "late": 0, "reordered": 1}
    own = {"count": 3, "sum": "-250", "minimum": -2000, "maximum": 2150}
    assert data["completeness"] == completeness
    assert data["output"]["fields"] == own | completeness
    assert data["settlement"]["transaction_hash"] == row.transaction_hash
    assert data["settlement"]["finality_source"] == "single-producer"
    domain = Domain(world.deployment.chain_id, world.deployment.router_bytes())
    digest = statement_of(row, await world.attempt(attempt)).digest(domain)
    assert data["proofs"][0]["statement_digest"] == "0x" + digest.hex()
    call = b.encode_call("Router", "digest", statement_of(row, await world.attempt(attempt)).words())
    assert await world.chain.call(world.signer.address, world.deployment.router, call) == digest


async def test_a_threshold_of_two_settles_with_the_second_kind(
    node: Anvil | L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, node.url, test_abi)
    await world.add_project(threshold=2)
    await world.add_prover("one", ZKP)
    await world.add_prover("two", SIGNED)
    settlement = world.settlement()
    task, first = await world.ready_attempt(settlement, "one")
    second = await world.assigned(settlement, task, "two", SIGNED)
    await world.prove(first, satisfy=False)
    await world.until_tx(settlement, "settle", "MINED", "SAFE", "FINAL")
    assert (await world.task(task)).state == "OPEN"
    assert (await world.attempt(first)).state == "VERIFIED"
    await world.prove(second)
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert (await world.attempt(second)).state == "VERIFIED"
    await world.close()


async def test_two_different_outputs_freeze_the_task(
    node: Anvil | L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, node.url, test_abi)
    await world.add_project(threshold=2)
    await world.add_prover("one", ZKP)
    await world.add_prover("two", SIGNED)
    settlement = world.settlement()
    task, first = await world.ready_attempt(settlement, "one")
    second = await world.assigned(settlement, task, "two", SIGNED)
    await world.prove(first, satisfy=False)
    await world.until_tx(settlement, "settle", "MINED", "SAFE", "FINAL")
    await world.prove(second, OTHER_WORDS)
    row = await world.until_task(settlement, task, "FROZEN")
    assert row.code == "W3B-5007"
    outputs = [(await world.attempt(each)).output for each in (first, second)]
    assert row.reason == f"two different outputs proven on chain: {outputs[0]}, then {outputs[1]}"
    assert outputs[0] != outputs[1]
    assert (await world.attempt(second)).state == "REJECTED"
    async with world.ledger.reading() as session:
        (message,) = (await session.exec(select(WebhookMessageRow))).all()
    assert message.event_type == "w3bstream.task.frozen"
    await world.close()


async def test_only_one_of_two_proofs_of_a_kind_is_sent(world: World) -> None:
    await world.add_prover("rival", ZKP)
    settlement = world.settlement()
    task, first = await world.ready_attempt(settlement, "one")
    second = await world.assigned(settlement, task, "rival", ZKP)
    await world.prove(first)
    await world.prove(second)
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert len(await world.outbox("settle")) == 1
    assert (await world.attempt(first)).state == "VERIFIED"
    assert (await world.attempt(second)).state == "SUPERSEDED"


async def test_windows_are_recorded_in_order_in_few_batches(world: World) -> None:
    settlement = world.settlement()
    await world.until_tx(settlement, "publish_version", "MINED", "SAFE", "FINAL")
    tasks = [await world.add_task() for _ in range(30)]
    for task in tasks:
        await world.until_task(settlement, task, "OPEN")
    assert len([row for row in await world.outbox("apply_batch") if row.ref["tasks"]]) <= 3
    call = b.call_last_window_end(world.project_id, 1)
    end = b.decode_last_window_end(await world.chain.call(world.signer.address, world.deployment.fleet, call))
    assert end == (await world.task(tasks[-1])).window_end


async def test_every_change_of_state_is_in_the_timeline(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    await final_task(world, settlement, task)
    async with world.ledger.reading() as session:
        events = (await session.exec(select(TaskEventRow).where(TaskEventRow.task_id == task))).all()
    steps = [event.target for event in events if event.subject == "task"]
    assert steps == ["OPEN", "SATISFIED", "SETTLED", "FINAL"]
    steps = [event.target for event in events if event.subject == "attempt"]
    assert steps == ["PROVING", "PROVED", "POSTED", "VERIFIED"]


async def test_a_dapp_that_refused_can_be_called_again(
    node: Anvil | L1, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    """The refusal does not undo the settlement; a retry delivers once and is refused after that."""
    world = await World.build(tmp_path, ledger_url, node.url, test_abi)
    code = bytes.fromhex(test_abi["TestDapp"]["evm"]["bytecode"]["object"])
    dapp = (await transfer(world.chain, RICH, "", code)).contract_address
    behave = keccak(b"set(uint8,bytes)")[:4]
    refusing, accepting = (behave + encode(["uint8", "bytes"], [mode, b""]) for mode in (1, 0))
    await transfer(world.chain, RICH, dapp, refusing)
    await world.add_project(dapp=dapp)
    await world.add_prover("one", ZKP)
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    row = await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert row.dapp_ok is False
    await transfer(world.chain, RICH, dapp, accepting)
    async with world.ledger.transaction() as session:
        first = await enqueue_dapp_retry(session, world.ledger.clock(), world.deployment, task)
        assert await enqueue_dapp_retry(session, world.ledger.clock(), world.deployment, task) == first
    await world.until_tx(settlement, "retry_dapp", "MINED", "SAFE", "FINAL")
    assert (await world.task(task)).dapp_ok is True
    async with world.ledger.transaction() as session:
        with pytest.raises(Conflict, match="W3B-3001"):
            await enqueue_dapp_retry(session, world.ledger.clock(), world.deployment, task)
    await world.close()


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_hours_off_the_chain_s_holds_nothing_up(world: World, hours: int) -> None:
    """The chain would refuse a deadline that has passed by its own clock."""
    settlement = world.settlement()
    before = await world.add_task()
    await world.until_task(settlement, before, "OPEN")
    world.ledger.clock = lambda: system_clock() + hours * 3_600_000
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    assert (await final_task(world, settlement, task)).state == "FINAL"
    row = await world.attempt(attempt)
    assert row.state == "VERIFIED"
    assert row.deadline_at > system_clock(), "as it was written on chain"
