"""What must hold: a refusal reaches the ledger with its reason, harms nothing beside it, and is told from "done"."""

from __future__ import annotations

import dataclasses

from eth_account import Account
from sqlmodel import col, update

from coordinator.ledger.tables import AttemptRow, ProjectVersionRow, ProverRow, TaskRow
from tests.settlement.settlement_world import RICH, ZKP, World, transfer
from verifier import bindings as b


async def test_a_wrong_proof_is_refused_before_it_costs_gas(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt, good=False)
    before = await world.chain.nonce(world.signer.address)
    row = await world.until_tx(settlement, "settle", "REFUSED")
    assert row.code == "W3B-5002"
    assert "ProofRefused" in row.reason
    assert row.raw is None
    tried = await world.attempt(attempt)
    assert (tried.state, tried.code) == ("REJECTED", "W3B-5002")
    assert (await world.task(task)).state == "OPEN", "another attempt may be made"
    sent = [each for each in await world.outbox() if each.nonce is not None and each.nonce >= before]
    assert await world.chain.nonce(world.signer.address) - before == len(sent)
    second = await world.assigned(settlement, task, "one", ZKP)
    await world.prove(second)
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert (await world.attempt(second)).state == "VERIFIED"


async def test_a_bad_task_does_not_hold_up_the_others(world: World) -> None:
    settlement = world.settlement()
    await world.until_tx(settlement, "publish_version", "MINED", "SAFE", "FINAL")
    good = [await world.add_task(start=start, end=start + 10) for start in (1, 11, 21, 41, 51)]
    bad = await world.add_task(start=25, end=35)
    for task in good:
        await world.until_task(settlement, task, "OPEN")
    row = await world.until_task(settlement, bad, "FAILED")
    assert row.code == "W3B-5002"
    assert "WindowOverlap" in row.reason
    refused = [each for each in await world.outbox("apply_batch") if each.state == "REFUSED"]
    assert len(refused) == 1


async def test_a_bad_assignment_does_not_hold_up_the_others(world: World) -> None:
    await world.add_prover("incapable", "other.kind")
    settlement = world.settlement()
    task, first = await world.ready_attempt(settlement, "one")
    good = await world.add_attempt(await world.add_task(), "one", ZKP)
    await world.until_task(settlement, (await world.attempt(good)).task_id, "OPEN")
    bad = await world.add_attempt(task, "incapable", ZKP)

    async def judged() -> bool:
        return (await world.attempt(bad)).state == "REJECTED"

    await world.until(settlement, judged)
    row = await world.attempt(bad)
    assert row.code == "W3B-5002"
    assert "NotCapable" in row.reason
    assert (await world.attempt(first)).state == "ASSIGNED"

    async def recorded() -> bool:
        tx = (await world.attempt(good)).assign_tx
        return any(each.id == tx and each.state in {"MINED", "SAFE", "FINAL"} for each in await world.outbox())

    await world.until(settlement, recorded)


async def test_an_assignment_waits_for_a_prover_that_is_away(world: World) -> None:
    """After a restart it is away for seconds: a refusal would use up one of the task's attempts."""
    settlement = world.settlement()
    task = await world.add_task()
    await world.until_task(settlement, task, "OPEN")
    attempt = await world.add_attempt(task, "one", ZKP)

    async def set_status(status: str) -> None:
        async with world.ledger.transaction() as session:
            await session.exec(update(ProverRow).values(status=status))

    async def assigned() -> bool:
        assert (await world.attempt(attempt)).state == "ASSIGNED"
        return (await world.attempt(attempt)).assign_tx is not None

    await set_status("OFFLINE")
    for _ in range(5):
        await settlement.step()
        assert not await assigned()
    await set_status("IDLE")
    await world.until(settlement, assigned)


async def test_tasks_of_a_paused_project_wait(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.switch("pause")
    await world.until_tx(settlement, "pause", "MINED", "SAFE", "FINAL")
    waiting = await world.add_task()
    await world.prove(attempt)
    row = await world.until_tx(settlement, "settle", "QUEUED")

    async def looked_at() -> bool:
        return "ProjectInactive" in (await world.outbox("settle"))[-1].reason

    await world.until(settlement, looked_at)
    assert (await world.attempt(attempt)).state == "PROVED"
    assert (await world.task(waiting)).state == "RECEIVED"
    await world.switch("resume")
    await world.until_task(settlement, waiting, "OPEN")
    await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert (await world.outbox("settle"))[-1].id == row.id


async def test_a_pause_that_only_the_chain_knows_fails_no_task(world: World) -> None:
    settlement = world.settlement()
    await world.until_tx(settlement, "publish_version", "MINED", "SAFE", "FINAL")
    registry, key = world.deployment.registry, world.signer_key
    await transfer(world.chain, key, registry, b.pause_project(world.project_id))
    task = await world.add_task()

    async def held() -> bool:
        return any("ProjectInactive" in row.reason for row in await world.outbox("apply_batch"))

    await world.until(settlement, held)
    for _ in range(3):
        await settlement.step()
    row = await world.task(task)
    assert (row.state, row.record_tx) == ("RECEIVED", None)
    await transfer(world.chain, key, registry, b.resume_project(world.project_id))
    await world.until_task(world.settlement(), task, "OPEN")


async def test_a_proof_that_a_stranger_sent_first_counts(world: World) -> None:
    """Anyone may call settle: a copied proof pays our prover, and its transaction is the one the ledger shows."""
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt)
    await settlement._collector.round()
    (row,) = await world.outbox("settle")
    receipt = await transfer(world.chain, RICH, world.deployment.router, row.data)
    assert receipt.succeeded
    settled = await world.until_task(settlement, task, "SETTLED", "FINAL")
    assert settled.transaction_hash == receipt.tx_hash
    assert (await world.attempt(attempt)).state == "VERIFIED"
    (row,) = await world.outbox("settle")
    assert (row.tx_hash, row.raw, row.nonce) == (receipt.tx_hash, None, None)


async def test_a_ledger_restored_from_a_backup_finds_its_work_done(world: World) -> None:
    """The project, version and prover are on chain; the outbox has forgotten that it sent them."""
    settlement = world.settlement()
    await world.until_tx(settlement, "publish_version", "MINED", "SAFE", "FINAL")
    await world.until_tx(settlement, "register_prover", "MINED", "SAFE", "FINAL")
    before = await world.chain.nonce(world.signer.address)
    async with world.ledger.transaction() as session:
        for row in await world.outbox():
            if row.purpose in {"create_project", "publish_version", "register_prover"}:
                row.state, row.nonce, row.raw, row.tx_hash = "QUEUED", None, None, ""
                await session.merge(row)
    fresh = world.settlement()
    await world.until_tx(fresh, "publish_version", "MINED", "SAFE", "FINAL")
    await world.until_tx(fresh, "register_prover", "MINED", "SAFE", "FINAL")
    again = [row for row in await world.outbox() if row.nonce is not None and row.nonce >= before]
    assert {row.purpose for row in again} <= {"apply_batch"}


async def test_a_version_that_is_not_ours_is_refused(world: World) -> None:
    """VersionNotIncreasing means done only when the published version is the same."""
    registry, key = world.deployment.registry, world.signer_key
    (create,) = await world.outbox("create_project")
    await transfer(world.chain, key, registry, create.data)
    other = dataclasses.replace(world._version(1), config_hash=b"\x01" * 32)
    await transfer(world.chain, key, registry, b.publish_version(world.project_id, other))
    settlement = world.settlement()
    refused = await world.until_tx(settlement, "publish_version", "REFUSED")
    assert "VersionNotIncreasing" in refused.reason
    (create,) = await world.outbox("create_project")
    assert create.state in {"MINED", "SAFE", "FINAL"}, "the project itself is ours"
    async with world.ledger.reading() as session:
        version = await session.get_one(ProjectVersionRow, (world.project_id, 1))
    assert version.state == "FAILED"


async def test_what_depends_on_a_refused_transaction_is_refused(world: World) -> None:
    settlement = world.settlement()
    rows = await world.outbox("create_project")
    async with world.ledger.transaction() as session:
        rows[0].data = b.pause_project(999)
        await session.merge(rows[0])
    row = await world.until_tx(settlement, "publish_version", "REFUSED")
    assert row.code == "W3B-5005"
    assert "UnknownProject" in row.reason


async def test_a_late_proof_is_refused_with_its_deadline(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    async with world.ledger.transaction() as session:
        await session.exec(
            update(AttemptRow).where(col(AttemptRow.id) == attempt).values(prover_address="0x" + "77" * 20)
        )
    await world.prove(attempt)
    row = await world.until_tx(settlement, "settle", "REFUSED")
    assert "NotAssigned" in row.reason
    assert (await world.task(task)).state == "OPEN"


async def test_a_proof_of_a_cancelled_task_is_not_sent(world: World) -> None:
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "one")
    await world.prove(attempt, satisfy=False)
    await settlement._collector.round()
    async with world.ledger.transaction() as session:
        await session.exec(update(AttemptRow).where(col(AttemptRow.id) == attempt).values(state="SUPERSEDED"))
        await session.exec(update(TaskRow).where(col(TaskRow.id) == task).values(state="CANCELLED"))
    row = await world.until_tx(settlement, "settle", "REFUSED")
    assert "SUPERSEDED" in row.reason
    assert row.nonce is None
    assert (await world.task(task)).state == "CANCELLED"


async def test_two_workers_may_share_an_address(world: World) -> None:
    address = Account.from_key(RICH).address.lower()
    await world.add_prover("left", ZKP, address)
    await world.add_prover("right", ZKP, address)
    settlement = world.settlement()
    task, attempt = await world.ready_attempt(settlement, "left")
    assert len(await world.outbox("register_prover")) <= 2
    call = b.call_status_of(bytes.fromhex(address[2:]))
    answer = await world.chain.call(world.signer.address, world.deployment.fleet, call)
    assert b.decode_status_of(answer) is b.ProverStatus.IDLE, "one worker is busy, the other is free"
    await world.prove(attempt)
    await world.until_task(settlement, task, "SETTLED", "FINAL")
