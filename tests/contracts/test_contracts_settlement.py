"""Settlement: one good proof settles once, and nothing but a recorded, live, published, true claim is accepted."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.chain_client import event, events
from tests.contracts.world import SIGNED, WORDS, ZKP, Task, World, address
from verifier import bindings as b
from verifier.statement import Domain, Statement

FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def project(world: World) -> int:
    return world.create_project()


@pytest.fixture(scope="module")
def pair_project(world: World) -> int:
    """A project that asks for both kinds."""
    return world.create_project(threshold=2)


def test_a_proof_settles_and_reaches_the_dapp(world: World, project: int) -> None:
    task = world.task(project)
    claim = task.claim()
    receipt = task.settle(claim)
    assert [each.name for each in events(receipt)] == [
        "ProofVerified",
        "TaskSettled",
        "TemperatureWindow",
        "DappProcessed",
    ]
    settled = event(receipt, "TaskSettled").args
    assert settled["taskId"] == task.task_id
    assert settled["publicOutput"] == claim.public_output
    window = event(receipt, "TemperatureWindow").args
    assert tuple(window[name] for name in ("count", "sum", "minimum", "maximum")) == WORDS
    assert window["completeness"] == task.opening.completeness.words()
    state = world.state(task)
    assert state.status is b.TaskStatus.SETTLED
    assert state.dapp is b.DappStatus.PROCESSED
    assert state.output == claim.statement.output
    assert state.settled_block == receipt["blockNumber"]
    (verification,) = state.verifications
    assert verification.kind == b.kind_hash(ZKP)
    assert verification.prover == address(world.provers[0])


def test_a_second_settlement_is_told_that_it_is_done(world: World, project: int) -> None:
    task = world.task(project)
    task.settle(task.claim())
    assert task.refusal(task.claim()).name == "AlreadyVerified"
    assert task.refusal(task.claim(prover=1)).name == "AlreadyVerified"
    retried = world.chain.refusal(
        world.stranger, world.deployment.router, b.retry_dapp(task.task_id, task.claim().public_output)
    )
    assert retried.name == "NothingToRetry"


def test_a_refused_transaction_leaves_no_trace_when_mined(world: World, project: int) -> None:
    task = world.task(project)
    forged = dataclasses.replace(task.claim(), proof=task.claim().proof[:-1] + b"\xff")
    assert world.chain.submit(world.stranger, world.deployment.router, forged.data())["status"] == 0
    assert world.state(task) == b.TaskState(b.TaskStatus.NONE, b.DappStatus.NONE, bytes(32), 0, ())


STATEMENT_CHANGES = {
    "project_id": (lambda s: s.project_id + 1, "ProjectMismatch"),
    "project_version": (lambda s: s.project_version + 1, "ProjectMismatch"),
    "task_id": (lambda s: keccak(s.task_id), "TaskNotRecorded"),
    "inputs": (lambda s: keccak(s.inputs), "InputsMismatch"),
    "output": (lambda s: keccak(s.output), "OutputMismatch"),
    "program_id": (lambda s: keccak(s.program_id), "ProgramNotPublished"),
    "prover": (lambda s: keccak(s.prover)[:20], "NotAssigned"),
}


@pytest.mark.parametrize("field", STATEMENT_CHANGES)
def test_every_field_of_the_statement_is_checked_even_if_the_proof_is_made_for_it(
    world: World, project: int, field: str
) -> None:
    task = world.task(project)
    good = task.claim()
    change, error = STATEMENT_CHANGES[field]
    changed = dataclasses.replace(good.statement, **{field: change(good.statement)})
    assert task.refusal(task.prove(changed, ZKP, good.public_output)).name == error


@pytest.mark.parametrize("kind", [ZKP, SIGNED])
def test_a_proof_for_another_prover_of_the_same_task_is_refused(world: World, project: int, kind: str) -> None:
    task = world.task(project, kinds=(ZKP, SIGNED))
    mine, theirs = task.claim(kind, prover=0), task.claim(kind, prover=1)
    assert task.refusal(dataclasses.replace(mine, statement=theirs.statement)).name == "ProofRefused"


def test_a_proof_of_another_task_is_refused(world: World, project: int) -> None:
    first, second = world.task(project), world.task(project)
    replayed = dataclasses.replace(second.claim(), proof=first.claim().proof)
    assert second.refusal(replayed).name == "ProofRefused"
    grafted = dataclasses.replace(replayed, proof=first.claim().proof[:256] + second.claim().proof[256:])
    assert second.refusal(grafted).name == "ProofRefused"


@pytest.mark.parametrize(
    "domain",
    [lambda d: Domain(d.chain_id + 1, d.router), lambda d: Domain(d.chain_id, keccak(d.router)[:20])],
    ids=["chain", "router"],
)
@pytest.mark.parametrize("kind", [ZKP, SIGNED])
def test_a_proof_for_another_chain_or_router_is_refused(world: World, project: int, kind: str, domain) -> None:  # type: ignore[no-untyped-def]
    task = world.task(project, kinds=(ZKP, SIGNED))
    good = task.claim(kind)
    foreign = task.prove(good.statement, kind, good.public_output, domain(world.domain))
    assert task.refusal(foreign).name == "ProofRefused"


def test_a_proof_of_another_output_is_refused(world: World, project: int) -> None:
    task = world.task(project)
    honest, lie = task.claim(), task.claim(words=(3, -250, -2000, 2151))
    assert task.refusal(dataclasses.replace(lie, proof=honest.proof)).name == "ProofRefused"
    assert task.refusal(dataclasses.replace(honest, public_output=lie.public_output)).name == "OutputMismatch"


def test_a_kind_and_verifier_that_the_version_does_not_publish_are_refused(world: World, project: int) -> None:
    task = world.task(project, kinds=(ZKP, SIGNED))
    claim = task.claim()
    unknown = dataclasses.replace(claim, kind="zkp.other")
    assert task.refusal(unknown).name == "KindNotPublished"
    swapped = dataclasses.replace(claim, kind=SIGNED)
    assert task.refusal(swapped).name == "ProgramNotPublished"


def test_a_kind_needs_an_assignment_of_its_own(world: World, project: int) -> None:
    task = world.task(project, kinds=(ZKP,))
    refusal = task.refusal(task.claim(SIGNED))
    assert refusal.name == "NotAssigned"
    assert refusal.args["kind"] == b.kind_hash(SIGNED)


def test_a_late_proof_is_refused_and_the_missed_deadline_can_be_called_out_once(world: World, project: int) -> None:
    task = world.task(project, lifetime=5)
    prover = address(world.provers[0])
    early = world.chain.refusal(world.stranger, world.deployment.fleet, b.recall(task.task_id, prover, ZKP))
    assert early.name == "DeadlineNotPassed"
    world.chain.pass_time(task.deadline + 1)
    assert task.refusal(task.claim()).name == "DeadlinePassed"
    receipt = world.chain.send(world.stranger, world.deployment.fleet, b.recall(task.task_id, prover, ZKP))
    recalled = event(receipt, "AssignmentRecalled").args
    assert (recalled["taskId"], recalled["fence"]) == (task.task_id, 1)
    assert task.refusal(task.claim()).name == "AssignmentRecalled"
    again = world.chain.refusal(world.stranger, world.deployment.fleet, b.recall(task.task_id, prover, ZKP))
    assert again.name == "AlreadyRecalled"
    renewed = b.Assignment(task.task_id, prover, b.kind_hash(ZKP), world.chain.now() + 1000, 2)
    world.coordinate(assignments=[renewed])
    task.settle(task.claim())


def test_nobody_is_called_out_for_a_kind_that_is_verified(world: World, project: int) -> None:
    task = world.task(project, lifetime=15)
    task.settle(task.claim(prover=0))
    world.chain.pass_time(task.deadline + 1)
    for prover in world.provers:
        data = b.recall(task.task_id, address(prover), ZKP)
        assert world.chain.refusal(world.stranger, world.deployment.fleet, data).name == "KindVerified"


def test_a_paused_project_settles_nothing(world: World) -> None:
    project = world.create_project()
    task = world.task(project)
    world.chain.send(world.coordinator, world.deployment.registry, b.pause_project(project))
    assert task.refusal(task.claim()).name == "ProjectInactive"
    record = b.TaskRecord(project, 1, world.opening())
    assert world.fleet_refusal([record]).name == "ProjectInactive"
    world.chain.send(world.coordinator, world.deployment.registry, b.resume_project(project))
    task.settle(task.claim())


def test_two_kinds_settle_at_the_threshold(world: World, pair_project: int) -> None:
    task = world.task(pair_project, kinds=(ZKP, SIGNED))
    first = task.settle(task.claim(SIGNED, prover=1))
    assert [each.name for each in events(first)] == ["ProofVerified"]
    assert world.state(task).status is b.TaskStatus.PROVEN
    assert task.refusal(task.claim(SIGNED, prover=0)).name == "AlreadyVerified"
    second = task.settle(task.claim(ZKP, prover=0))
    assert event(second, "TaskSettled").args["prover"] == world.provers[0].address.lower()
    kinds = {each.kind: each.prover for each in world.state(task).verifications}
    assert kinds == {
        b.kind_hash(ZKP): address(world.provers[0]),
        b.kind_hash(SIGNED): address(world.provers[1]),
    }


OTHER = (3, -251, -2000, 2150)


def _frozen(world: World, task: Task) -> bool:
    return world.state(task).status is b.TaskStatus.FROZEN


@pytest.mark.parametrize("second_kind", [ZKP, SIGNED])
def test_two_outputs_freeze_the_task(world: World, pair_project: int, second_kind: str) -> None:
    task = world.task(pair_project, kinds=(ZKP, SIGNED))
    task.settle(task.claim(ZKP))
    receipt = task.settle(task.claim(second_kind, OTHER, prover=1))
    (frozen,) = events(receipt)
    assert frozen.name == "TaskFrozen"
    assert frozen.args["first"] == task.claim().statement.output
    assert frozen.args["second"] == task.claim(words=OTHER).statement.output
    assert _frozen(world, task)
    assert world.state(task).dapp is b.DappStatus.NONE
    assert task.refusal(task.claim(SIGNED)).name == "TaskIsFrozen"


def test_a_forged_second_output_does_not_freeze(world: World, pair_project: int) -> None:
    task = world.task(pair_project, kinds=(ZKP, SIGNED))
    task.settle(task.claim(ZKP))
    forged = dataclasses.replace(task.claim(SIGNED, OTHER), proof=task.claim(SIGNED).proof)
    assert task.refusal(forged).name == "ProofRefused"
    assert not _frozen(world, task)


def test_a_later_kind_strengthens_or_freezes_a_settled_task(world: World, project: int) -> None:
    strengthened, contradicted = (world.task(project, kinds=(ZKP, SIGNED)) for _ in range(2))
    for task in (strengthened, contradicted):
        task.settle(task.claim(ZKP))
    (verified,) = events(strengthened.settle(strengthened.claim(SIGNED)))
    assert (verified.name, verified.args["verified"], verified.args["threshold"]) == ("ProofVerified", 2, 1)
    assert world.state(strengthened).status is b.TaskStatus.SETTLED
    contradicted.settle(contradicted.claim(SIGNED, OTHER))
    state = world.state(contradicted)
    assert (state.status, state.dapp) == (b.TaskStatus.FROZEN, b.DappStatus.PROCESSED)


@FEW
@given(
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.binary(min_size=32, max_size=32)] * 4),
    st.binary(min_size=20, max_size=20),
)
def test_the_router_digests_as_the_python_reference(
    world: World, project_id: int, version: int, words: tuple[bytes, ...], prover: bytes
) -> None:
    statement = Statement(project_id, version, *words, prover)
    data = b.encode_call("Router", "digest", statement.words())
    assert world.chain.read(world.deployment.router, data) == statement.digest(world.domain)


def test_the_sample_dapp_refuses_impossible_and_non_canonical_windows(world: World, project: int) -> None:
    for words in [(0, 0, 0, 0), (1, 5, 6, 5)]:
        task = world.task(project)
        receipt = task.settle(task.claim(words=words))
        assert event(receipt, "DappFailed").args["reason"][:4] == keccak(b"ImpossibleWindow(uint32,int32,int32)")[:4]
        assert world.state(task).status is b.TaskStatus.SETTLED
    task = world.task(project)
    wide = encode(["uint64", "int64", "int32", "int32"], [2**32, 0, 0, 0]) + task.opening.completeness.encode()
    claim = task.prove(task.statement(ZKP, wide), ZKP, wide)
    assert event(task.settle(claim), "DappFailed").args["reason"] == b""


def test_the_sample_dapp_keeps_and_adds_up_what_windows_lack(world: World) -> None:
    own = world.create_project()
    first, second = world.task(own), world.task(own)
    for task in (first, second):
        task.settle(task.claim())

    def read(function: str, argument: object) -> tuple[object, ...]:
        data = world.chain.read(world.deployment.temperature_dapp, b.encode_call("TemperatureDapp", function, argument))
        (found,) = b.decode_result("TemperatureDapp", function, data)
        return tuple(found)

    lacking = first.opening.completeness.words()
    assert read("resultOf", second.task_id) == (*WORDS, lacking)
    count, total, minimum, maximum = WORDS
    assert read("totalsOf", own) == (2, 2 * count, 2 * total, minimum, maximum, *(2 * number for number in lacking))


def test_the_sample_dapp_takes_calls_of_the_router_only(world: World, project: int) -> None:
    task = world.task(project)
    output = task.claim().public_output
    data = b.encode_call("TemperatureDapp", "process", task.statement(ZKP, output).words(), output)
    refusal = world.chain.refusal(world.stranger, world.deployment.temperature_dapp, data)
    assert refusal.name == "NotRouter"
