"""The second stage of a task at the Router: awaited, confirmed in time or late, called out when it is missing; and which
second stages ProjectRegistry publishes. What it does to the first stage stands in tests/vectors/assurance/staged.json."""

from __future__ import annotations

import dataclasses

from eth_abi.abi import encode

from tests.contracts.chain_client import event, events
from tests.contracts.world import OUTPUT_TYPES, SIGNED, ZKP, Claim, Task, World
from verifier import bindings as b

BOTH = (SIGNED, ZKP)
CONFIRMING = b.kind_hash(ZKP)
OTHER = (9, 9, 1, 1)
"""Another output than that of `claim`."""


def staged(world: World, within: int) -> Task:
    """A task that a signature settles and a Groth16 proof confirms."""
    return world.task(world.create_project(policy=b.Policy(False, within, CONFIRMING)), kinds=BOTH)


def confirmation(task: Task) -> b.Confirmation:
    answer = task.world.chain.read(task.world.deployment.router, b.call_confirmation_of(task.task_id))
    return b.decode_confirmation_of(answer)


def report_refused(task: Task) -> str:
    world = task.world
    return world.chain.refusal(world.stranger, world.deployment.router, b.report_unconfirmed(task.task_id)).name


def test_a_proof_in_time_confirms_and_leaves_the_result_as_it_is(world: World) -> None:
    task = staged(world, 3600)
    assert confirmation(task) == b.Confirmation(b.ConfirmationStatus.NONE, bytes(32), bytes(20), 0, 0, False)
    assert report_refused(task) == "NothingAwaited"
    receipt = task.settle(task.claim(SIGNED))
    assert {each.name for each in events(receipt)} >= {"TaskSettled", "DappProcessed"}
    block = world.chain.web3.eth.get_block(receipt["blockNumber"])
    due = block["timestamp"] + 3600
    awaited = b.Confirmation(b.ConfirmationStatus.AWAITED, CONFIRMING, bytes(20), due, 0, False)
    assert confirmation(task) == awaited
    assert report_refused(task) == "ConfirmationNotOverdue"

    claim, before = task.claim(prover=1), world.state(task)
    receipt = task.settle(claim)
    assert [each.name for each in events(receipt)] == ["ProofVerified", "TaskConfirmed"], "the dApp has its result"
    prover = claim.statement.prover
    assert event(receipt, "TaskConfirmed").args == {
        "taskId": task.task_id,
        "kind": CONFIRMING,
        "prover": "0x" + prover.hex(),
        "output": claim.statement.output,
        "late": False,
    }
    at = world.chain.web3.eth.get_block(receipt["blockNumber"])["timestamp"]
    assert confirmation(task) == dataclasses.replace(
        awaited, status=b.ConfirmationStatus.CONFIRMED, prover=prover, confirmed_at=at
    )
    after = world.state(task)
    assert dataclasses.replace(after, verifications=before.verifications) == before
    assert [each.kind for each in after.verifications] == [CONFIRMING, b.kind_hash(SIGNED)], "the programs' order"
    assert b.decode_verified_by(world.chain.read(world.deployment.router, b.call_verified_by(task.task_id, ZKP))) == (
        prover
    )
    assert report_refused(task) == "NothingAwaited"


def test_what_is_missing_is_called_out_once_and_may_come_late(world: World) -> None:
    task, router = staged(world, 1), world.deployment.router
    task.settle(task.claim(SIGNED))
    due = confirmation(task).confirm_by
    world.chain.pass_time(due)
    assert (confirmation(task).status, confirmation(task).reported) == (b.ConfirmationStatus.MISSED, False)
    receipt = world.chain.send(world.stranger, router, b.report_unconfirmed(task.task_id))
    said = {"taskId": task.task_id, "kind": CONFIRMING, "confirmBy": due}
    assert events(receipt) == [b.Event("Router", "TaskUnconfirmed", said)]
    assert report_refused(task) == "AlreadyReported"
    assert (confirmation(task).status, confirmation(task).reported) == (b.ConfirmationStatus.MISSED, True)
    assert event(task.settle(task.claim()), "TaskConfirmed").args["late"] is True
    found = confirmation(task)
    assert (found.status, found.confirm_by, found.reported) == (b.ConfirmationStatus.LATE, due, True)
    assert found.confirmed_at > due
    assert report_refused(task) == "NothingAwaited"


def test_nothing_but_a_good_proof_of_its_own_kind_confirms(world: World) -> None:
    task = staged(world, 3600)
    first, good = task.claim(SIGNED), task.claim()
    task.settle(first)
    forged = task.prove(good.statement, ZKP, good.public_output, dataclasses.replace(world.domain, chain_id=1))
    replayed = dataclasses.replace(first, kind=ZKP)
    elsewhere = staged(world, 3600).claim()
    stolen = Claim(dataclasses.replace(good.statement, prover=bytes([7] * 20)), ZKP, good.public_output, good.proof)
    swapped = dataclasses.replace(good, public_output=encode(OUTPUT_TYPES, (*OTHER, 0, 0, 0, 0)))
    moved = dataclasses.replace(good, proof=elsewhere.proof)
    for claim, name in (
        (forged, "ProofRefused"),
        (replayed, "ProgramNotPublished"),
        (stolen, "NotAssigned"),
        (swapped, "OutputMismatch"),
        (moved, "ProofRefused"),
        (first, "AlreadyVerified"),
    ):
        assert task.refusal(claim).name == name
    assert confirmation(task).status is b.ConfirmationStatus.AWAITED
    assert [each.name for each in events(task.settle(good))] == ["ProofVerified", "TaskConfirmed"]


def test_a_contradiction_freezes_and_nothing_is_missing_any_more(world: World) -> None:
    task = staged(world, 1)
    task.settle(task.claim(SIGNED))
    frozen = event(task.settle(task.claim(words=OTHER)), "TaskFrozen")
    assert frozen.args["kind"] == CONFIRMING
    assert world.state(task).status is b.TaskStatus.FROZEN
    assert confirmation(task).status is b.ConfirmationStatus.NONE
    assert report_refused(task) == "TaskIsFrozen"
    single = world.task(world.create_project(), kinds=(SIGNED,))
    single.settle(single.claim(SIGNED))
    assert confirmation(single) == b.Confirmation(b.ConfirmationStatus.NONE, bytes(32), bytes(20), 0, 0, False)
    assert report_refused(single) == "NothingAwaited"


MONTH = 30 * 86_400


REFUSED = (
    (b.Policy(False, 3600, b.kind_hash("zkp.halo2")), 1, "confirmKind"),
    (b.Policy(False, 3600, CONFIRMING), 2, "threshold"),
    (b.Policy(False, MONTH + 1, CONFIRMING), 1, "confirmWithin"),
    (b.Policy(False, 0, CONFIRMING), 1, "confirmWithin"),
    (b.Policy(False, 3600), 1, "confirmWithin"),
)
"""Policies with a threshold, and what is wrong: an unknown kind, every kind in the first stage, a time that is too long,
none, and a time for nothing."""


def test_a_second_stage_is_published_only_where_it_is_one(world: World) -> None:
    project, registry = world.create_project(), world.deployment.registry
    for policy, threshold, field in REFUSED:
        data = b.publish_version_with_policy(project, world.version(version=2, threshold=threshold), policy)
        refused = world.chain.refusal(world.coordinator, registry, data)
        assert (refused.name, refused.args) == ("InvalidVersion", {"field": field})
    policy = b.Policy(True, MONTH, CONFIRMING)
    data = b.publish_version_with_policy(project, world.version(version=2, threshold=1), policy)
    published = events(world.chain.send(world.coordinator, registry, data))[-1]
    stage = {"independent": True, "confirmKind": CONFIRMING, "confirmWithin": MONTH}
    assert published == b.Event("ProjectRegistry", "PolicyPublished", {"projectId": project, "version": 2, **stage})
    assert b.decode_policy_of(world.chain.read(registry, b.call_policy_of(project, 2))) == policy
