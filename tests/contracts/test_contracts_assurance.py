"""The Router against the vectors that the judge is held to as well (tests/scheduling/test_assurance_vectors.py), and
what it asks of verifiers in production."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from tests.contracts.chain_client import events
from tests.contracts.world import SIGNED, Claim, Task, World, address
from verifier import bindings as b
from verifier.assurance import Verdict, parse_assurance, resolve_assurance
from verifier.statement import Statement, program_id

VECTORS = Path(__file__).parents[1] / "vectors" / "assurance"
CASES: list[dict[str, Any]] = [case for path in sorted(VECTORS.glob("*.json")) for case in json.loads(path.read_text())]
NO_STAGE = {"confirmKind": bytes(32), "confirmWithin": 0}
STATUS = {
    Verdict.MISSING: (b.TaskStatus.NONE, b.TaskStatus.PROVEN),
    Verdict.SATISFIED: (b.TaskStatus.SETTLED,),
    Verdict.CONFLICT: (b.TaskStatus.FROZEN,),
}


@dataclass
class Stage:
    """One case's project, task and provers on the chain."""

    world: World
    case: dict[str, Any]
    provers: dict[str, LocalAccount] = field(default_factory=dict)

    def __post_init__(self) -> None:
        policy = resolve_assurance(parse_assurance(self.case["policy"]), self.case["programs"])
        verifier = self.world.signature_verifier
        programs = tuple(b.Program(kind, _program(kind), verifier) for kind in self.case["programs"])
        version = self.world.version(dapp=bytes(20), threshold=policy.threshold, programs=programs)
        coordinator, registry = self.world.coordinator, self.world.deployment.registry
        project = self.world.create_project(dapp=bytes(20))
        version = dataclasses.replace(version, version=2)
        data = b.publish_version(project, version)
        asked = b.Policy(policy.independent)
        if policy.confirm:
            asked = b.Policy(policy.independent, policy.confirm_within, b.kind_hash(policy.confirm))
        if asked != b.Policy():
            data = b.publish_version_with_policy(project, version, asked)
        self.world.chain.send(coordinator, registry, data)
        published = b.decode_policy_of(self.world.chain.read(registry, b.call_policy_of(project, 2)))
        assert published == asked
        self.task = TaskOfTwo(self.world, project, self.world.opening())
        for step in self.case["steps"]:
            self.register(step["proof"])
        self.assign()

    def account(self, name: str) -> LocalAccount:
        return Account.from_key(keccak(f"{self.case['name']} {name}".encode()))

    def register(self, proof: dict[str, str]) -> None:
        """Register the step's prover with its owner and operator, once."""
        if proof["prover"] in self.provers:
            return
        prover = self.provers[proof["prover"]] = self.account(proof["prover"])
        kinds = sorted({step["proof"]["kind"] for step in self.case["steps"]})
        operator = address(self.account(proof["operator"])) if proof["operator"] else bytes(20)
        owner, sender = address(prover), self.world.coordinator
        if proof["owner"]:
            owner, sender = address(self.account(proof["owner"])), prover
            self.world.chain.fund(prover)
        data = b.register_prover(address(prover), kinds, owner=owner, operator=operator)
        self.world.chain.send(sender, self.world.deployment.fleet, data)

    def assign(self) -> None:
        """Record the task, and every prover's assignment of the kinds that it is to prove."""
        deadline = self.world.chain.now() + 100_000
        wanted = {(step["proof"]["prover"], step["proof"]["kind"]) for step in self.case["steps"]}
        assignments = [
            b.Assignment(self.task.task_id, address(self.provers[name]), b.kind_hash(kind), deadline, 1)
            for name, kind in sorted(wanted)
        ]
        idle = [b.StatusUpdate(address(prover), b.ProverStatus.IDLE) for prover in self.provers.values()]
        self.world.coordinate([b.TaskRecord(self.task.project, 2, self.task.opening)], assignments, idle)

    def claim(self, proof: dict[str, str]) -> Claim:
        output = encode(["bytes32"], [proof["output"].encode().ljust(32, b"\0")])
        opening, task = self.task.opening, self.task
        statement = Statement(
            task.project,
            2,
            task.task_id,
            opening.commitment(),
            keccak(output),
            _program(proof["kind"]),
            address(self.provers[proof["prover"]]),
        )
        return dataclasses.replace(task.prove(statement, SIGNED, output), kind=proof["kind"])


class TaskOfTwo(Task):
    """A task of the project's second version: the first one is what `World` publishes."""

    @property
    def task_id(self) -> bytes:
        opening = self.opening
        words = [self.project, 2, opening.window_start, opening.window_end]
        return keccak(encode(["uint256", "uint32", "uint64", "uint64"], words))


def confirmation(world: World, task: Task) -> b.Confirmation:
    answer = world.chain.read(world.deployment.router, b.call_confirmation_of(task.task_id))
    return b.decode_confirmation_of(answer)


def _program(kind: str) -> bytes:
    return program_id(kind, keccak(kind.encode()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_the_router_says_what_the_vectors_say(world: World, case: dict[str, Any]) -> None:
    stage = Stage(world, case)
    task, froze = stage.task, None
    for step in case["steps"]:
        claim, before = stage.claim(step["proof"]), world.state(task)
        if step["refused"]:
            assert task.refusal(claim).name == step["refused"], step
            assert world.state(task) == before
        else:
            was = confirmation(world, task)
            found = events(task.settle(claim))
            settles = step["verdict"] == "SATISFIED" and before.status is not b.TaskStatus.SETTLED
            confirms = step.get("confirmed", False) and was.confirmed_at == 0
            expected = ["ProofVerified"] + ["TaskConfirmed"] * confirms + ["TaskSettled"] * settles
            expected = ["TaskFrozen"] if step["verdict"] == "CONFLICT" else expected
            assert [each.name for each in found] == expected, step
            if expected[0] == "ProofVerified":
                assert found[0].args["verified"] == step["verified"]
            froze = claim if step["verdict"] == "CONFLICT" else froze
        state = world.state(task)
        assert state.status in STATUS[Verdict(step["verdict"])], step
        stands = confirmation(world, task)
        assert (stands.status is b.ConfirmationStatus.CONFIRMED) is step.get("confirmed", False), step
        assert len(state.verifications) == step["verified"] + (stands.confirmed_at > 0), step
    conflict = b.decode_conflict_of(world.chain.read(world.deployment.router, b.call_conflict_of(task.task_id)))
    if froze is None:
        assert conflict == b.TaskConflict(bytes(32), bytes(32), bytes(32), bytes(20), 0)
        return
    assert (conflict.first, conflict.second) == (world.state(task).output, froze.statement.output)
    assert (conflict.kind, conflict.prover) == (b.kind_hash(froze.kind), froze.statement.prover)
    assert conflict.first != conflict.second
    assert conflict.block_number > 0


def test_independence_needs_two_kinds_and_the_owners_word(world: World) -> None:
    project, registry = world.create_project(), world.deployment.registry
    alone = b.publish_version_with_policy(project, world.version(version=2, threshold=1), b.Policy(True))
    refused = world.chain.refusal(world.coordinator, registry, alone)
    assert (refused.name, refused.args) == ("InvalidVersion", {"field": "independent"})
    pair = b.publish_version_with_policy(project, world.version(version=2, threshold=2), b.Policy(True))
    assert world.chain.refusal(world.stranger, registry, pair).name == "NotProjectOwner"
    receipt = world.chain.send(world.coordinator, registry, pair)
    assert events(receipt)[-1] == b.Event(
        "ProjectRegistry", "PolicyPublished", {"projectId": project, "version": 2, "independent": True, **NO_STAGE}
    )
    assert world.chain.refusal(world.coordinator, registry, pair).name == "VersionNotIncreasing"
    assert world.chain.refusal(world.stranger, registry, b.call_policy_of(project, 3)).name == "UnknownVersion"
    assert not b.decode_policy_of(world.chain.read(registry, b.call_policy_of(project, 1))).independent


@pytest.fixture(scope="module")
def production(world: World) -> World:
    """The same world, seen through a Router that is for production."""
    deployed = world.deployment
    arguments = encode(["address", "address", "bool"], [deployed.registry, deployed.fleet, True])
    router = world.chain.send(world.stranger, None, b.bytecode_of("Router") + arguments)["contractAddress"]
    return dataclasses.replace(world, deployment=dataclasses.replace(deployed, router=router))


ANSWERS = ("vendor", "simulated", "too long", "reverts")
"""What AnchoredVerifier of solidity/TestContracts.sol answers, by number."""


@pytest.mark.parametrize("answer", [*ANSWERS, "has no such function"])
def test_a_production_router_refuses_what_is_or_may_be_simulated(world: World, production: World, answer: str) -> None:
    for seen, is_production in ((world, False), (production, True)):
        router = seen.deployment.router
        assert b.decode_is_production(world.chain.read(router, b.call_is_production())) is is_production
        if answer in ANSWERS:
            arguments = [router, seen.signer.address, ANSWERS.index(answer)]
            verifier = seen.deploy_test("AnchoredVerifier", ["address", "address", "uint8"], arguments)
        else:
            verifier = seen.deploy_test("SignatureVerifier", ["address", "address"], [router, seen.signer.address])
        programs = (b.Program(SIGNED, program_id(SIGNED, bytes(32)), verifier),)
        task = seen.task(seen.create_project(dapp=bytes(20), programs=programs), kinds=(SIGNED,))
        if answer == "vendor" or not is_production:
            assert [each.name for each in events(task.settle(task.claim(SIGNED)))] == ["ProofVerified", "TaskSettled"]
        else:
            refused = task.refusal(task.claim(SIGNED))
            assert (refused.name, refused.args) == ("SimulatedVerifier", {"verifier": "0x" + verifier.hex()})
