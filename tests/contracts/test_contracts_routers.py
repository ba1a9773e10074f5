"""Anyone may deploy a second Router over the same registry and fleet; no proof ever counts there."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi.abi import encode

from tests.contracts.chain_client import events
from tests.contracts.world import SIGNED, ZKP, World
from verifier import bindings as b
from verifier.statement import Domain


@pytest.fixture(scope="module")
def second(world: World) -> World:
    """The same world, seen through a Router that a stranger deployed."""
    deployed = world.deployment
    creation = b.bytecode_of("Router") + encode(
        ["address", "address", "bool"], [deployed.registry, deployed.fleet, False]
    )
    router = world.chain.send(world.stranger, None, creation)["contractAddress"]
    return dataclasses.replace(world, deployment=dataclasses.replace(deployed, router=router))


@pytest.mark.parametrize("kind", [ZKP, SIGNED])
def test_a_settled_proof_cannot_be_replayed_at_another_router(world: World, second: World, kind: str) -> None:
    task = world.task(world.create_project(dapp=bytes(20)), kinds=(kind,))
    claim = task.claim(kind)
    elsewhere = dataclasses.replace(task, world=second)
    before = elsewhere.refusal(claim)
    assert (before.name, before.args) == ("NotRouter", {"caller": second.deployment.router.lower()})

    assert [each.name for each in events(task.settle(claim))] == ["ProofVerified", "TaskSettled"]
    assert elsewhere.refusal(claim).name == "NotRouter"
    replayed = world.chain.submit(world.stranger, second.deployment.router, claim.data())
    assert replayed["status"] == 0
    assert second.state(task).status is b.TaskStatus.NONE
    assert world.state(task).status is b.TaskStatus.SETTLED


@pytest.mark.parametrize("kind", [ZKP, SIGNED])
def test_a_proof_made_for_another_router_counts_at_neither(world: World, second: World, kind: str) -> None:
    task = world.task(world.create_project(dapp=bytes(20)), kinds=(kind,))
    claim = task.claim(kind)
    domain = Domain(world.deployment.chain_id, second.deployment.router_bytes())
    made = task.prove(claim.statement, kind, claim.public_output, domain)
    assert dataclasses.replace(task, world=second).refusal(made).name == "NotRouter"
    assert task.refusal(made).name == "ProofRefused"
