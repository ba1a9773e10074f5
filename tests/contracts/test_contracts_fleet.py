"""FleetManagement: who may do what; windows never overlap, fences only rise, silence reads as Offline."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.chain_client import event, events
from tests.contracts.world import DEVICE_SET, SIGNED, ZKP, Task, World, address
from verifier import bindings as b
from verifier.completeness import MOST_MISSING, Completeness
from verifier.statement import Opening

_names = itertools.count()
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def project(world: World) -> int:
    return world.create_project()


def new_prover(world: World, *, kinds: tuple[str, ...] = (ZKP,), idle: bool = True) -> bytes:
    prover = address(Account.from_key(keccak(b"fleet prover %d" % next(_names))))
    world.chain.send(world.coordinator, world.deployment.fleet, b.register_prover(prover, kinds))
    if idle:
        world.coordinate(statuses=[b.StatusUpdate(prover, b.ProverStatus.IDLE)])
    return prover


def status(world: World, prover: bytes) -> b.ProverStatus:
    return b.decode_status_of(world.chain.read(world.deployment.fleet, b.call_status_of(prover)))


def assignment(world: World, task: Task, prover: bytes, fence: int = 1, seconds: int = 1000) -> b.Assignment:
    return b.Assignment(task.task_id, prover, b.kind_hash(ZKP), world.chain.now() + seconds, fence)


@pytest.mark.parametrize(
    "data",
    [
        b.apply_batch(),
        b.mirror([]),
        b.encode_call("FleetManagement", "recordTasks", []),
        b.encode_call("FleetManagement", "assign", []),
    ],
    ids=["applyBatch", "mirror", "recordTasks", "assign"],
)
def test_only_a_coordinator_sends_batches(world: World, data: bytes) -> None:
    refusal = world.chain.refusal(world.stranger, world.deployment.fleet, data)
    assert refusal.name == "NotCoordinator"
    world.chain.send(world.coordinator, world.deployment.fleet, data)


def test_the_owner_names_coordinators_and_nobody_else_does(world: World) -> None:
    fleet, newcomer = world.deployment.fleet, address(world.stranger)
    for outsider in (world.stranger, world.coordinator):
        data = b.set_coordinator(newcomer, True)
        assert world.chain.refusal(outsider, fleet, data).name == "OwnableUnauthorizedAccount"
    granted = world.chain.send(world.chain.funded, fleet, b.set_coordinator(newcomer, True))
    assert event(granted, "CoordinatorSet").args["allowed"] is True
    world.chain.send(world.stranger, fleet, b.apply_batch())
    world.chain.send(world.chain.funded, fleet, b.set_coordinator(newcomer, False))
    assert world.chain.refusal(world.stranger, fleet, b.apply_batch()).name == "NotCoordinator"


def test_the_router_is_named_once(world: World) -> None:
    data = b.encode_call("FleetManagement", "setRouter", address(world.stranger))
    assert world.chain.refusal(world.chain.funded, world.deployment.fleet, data).name == "RouterAlreadySet"


def test_nobody_registers_another_address_as_theirs(world: World) -> None:
    victim, fleet = keccak(b"victim")[12:], world.deployment.fleet
    mine = b.register_prover(victim, [ZKP], owner=address(world.stranger))
    assert world.chain.refusal(world.stranger, fleet, mine).name == "NotProverOwner"
    assert world.chain.refusal(world.stranger, fleet, b.register_prover(victim, [ZKP])).name == "NotProverOwner"
    sponsor = b.register_prover(victim, [ZKP], owner=address(world.coordinator))
    assert world.chain.refusal(world.coordinator, fleet, sponsor).name == "NotProverOwner"


def test_a_prover_registers_itself_and_its_owner_rules(world: World) -> None:
    prover = world.chain.fund(Account.from_key(keccak(b"self-registered %d" % next(_names))))
    fleet, owner = world.deployment.fleet, world.stranger
    data = b.register_prover(address(prover), [ZKP], owner=address(owner), io_id=42)
    receipt = world.chain.send(prover, fleet, data)
    assert event(receipt, "ProverRegistered").args["ioId"] == 42
    assert world.chain.refusal(prover, fleet, data).name == "ProverExists"
    change = b.set_capabilities(address(prover), [SIGNED])
    assert world.chain.refusal(prover, fleet, change).name == "NotProverOwner"
    world.chain.send(owner, fleet, change)
    capable = [
        world.chain.read(fleet, b.encode_call("FleetManagement", "hasCapability", address(prover), b.kind_hash(kind)))
        for kind in (ZKP, SIGNED)
    ]
    assert capable == [encode(["bool"], [False]), encode(["bool"], [True])]


def test_a_prover_changes_hands_in_two_steps(world: World) -> None:
    prover = world.provers[0]
    fleet, to = world.deployment.fleet, address(world.stranger)
    data = b.encode_call("FleetManagement", "transferProver", address(prover), to)
    accept = b.encode_call("FleetManagement", "acceptProver", address(prover))
    assert world.chain.refusal(world.stranger, fleet, data).name == "NotProverOwner"
    world.chain.send(prover, fleet, data)
    assert world.chain.refusal(prover, fleet, accept).name == "NotProverOwner"
    world.chain.send(world.stranger, fleet, accept)
    assert world.chain.refusal(world.stranger, fleet, accept).name == "NotProverOwner"
    back = b.encode_call("FleetManagement", "transferProver", address(prover), address(prover))
    assert world.chain.refusal(prover, fleet, back).name == "NotProverOwner"
    world.chain.send(world.stranger, fleet, back)
    world.chain.send(prover, fleet, accept)


@pytest.mark.parametrize("kinds", [[bytes(32)], [b"\1" * 32] * 2, [bytes([n + 1]) * 32 for n in range(17)]])
def test_impossible_kinds_are_refused(world: World, kinds: list[bytes]) -> None:
    prover = keccak(b"kinds")[12:]
    data = b.encode_call("FleetManagement", "registerProver", prover, prover, bytes(20), 0, kinds)
    assert world.chain.refusal(world.coordinator, world.deployment.fleet, data).name == "InvalidKinds"


def test_heartbeats_come_from_the_prover_its_operator_or_a_coordinator(world: World) -> None:
    prover, fleet = new_prover(world, idle=False), world.deployment.fleet
    assert status(world, prover) is b.ProverStatus.OFFLINE
    assert world.chain.refusal(world.stranger, fleet, b.heartbeat([prover])).name == "NotOperator"
    receipt = world.chain.send(world.coordinator, fleet, b.heartbeat([prover]))
    assert [each.name for each in events(receipt)] == ["Heartbeat", "StatusChanged"]
    assert status(world, prover) is b.ProverStatus.IDLE
    unknown = world.chain.refusal(world.coordinator, fleet, b.heartbeat([b"\1" * 20]))
    assert unknown.name == "UnknownProver"
    operated = world.provers[0]
    name_operator = b.encode_call("FleetManagement", "setOperator", address(operated), address(world.stranger))
    world.chain.send(operated, fleet, name_operator)
    world.chain.send(world.stranger, fleet, b.heartbeat([address(operated)]))
    world.chain.send(operated, fleet, b.heartbeat([address(operated)]))


def test_a_silent_prover_reads_as_offline_and_can_be_called_out(world: World, project: int) -> None:
    fleet, owner = world.deployment.fleet, world.chain.funded
    prover, task = new_prover(world), world.task(project)
    too_early = world.chain.refusal(world.stranger, fleet, b.call_out(prover))
    assert too_early.name == "HeartbeatNotMissed"
    world.chain.send(owner, fleet, b.encode_call("FleetManagement", "setHeartbeatTimeout", 10))
    world.chain.pass_time(world.chain.now() + 11)
    assert status(world, prover) is b.ProverStatus.OFFLINE
    assert world.fleet_refusal(assignments=[assignment(world, task, prover)]).name == "ProverOffline"
    receipt = world.chain.send(world.stranger, fleet, b.call_out(prover))
    assert event(receipt, "HeartbeatMissed").args["prover"] == "0x" + prover.hex()
    assert world.chain.refusal(world.stranger, fleet, b.call_out(prover)).name == "HeartbeatNotMissed"
    world.chain.send(owner, fleet, b.encode_call("FleetManagement", "setHeartbeatTimeout", 7 * 86_400))
    assert status(world, prover) is b.ProverStatus.OFFLINE
    # Online again and assigned in one transaction: statuses apply first.
    idle = b.StatusUpdate(prover, b.ProverStatus.IDLE)
    world.coordinate(assignments=[assignment(world, task, prover)], statuses=[idle])


@pytest.mark.parametrize("seconds", [0, 9, 7 * 86_400 + 1])
def test_an_impossible_heartbeat_timeout_is_refused(world: World, seconds: int) -> None:
    data = b.encode_call("FleetManagement", "setHeartbeatTimeout", seconds)
    assert world.chain.refusal(world.chain.funded, world.deployment.fleet, data).name == "InvalidTimeout"


def test_statuses_are_mirrored(world: World) -> None:
    prover = new_prover(world)
    for wanted in (b.ProverStatus.BUSY, b.ProverStatus.OFFLINE, b.ProverStatus.IDLE):
        receipt = world.coordinate(statuses=[b.StatusUpdate(prover, wanted)])
        assert event(receipt, "StatusChanged").args["status"] == wanted
        assert status(world, prover) is wanted


def test_a_recorded_task_is_what_python_computes(world: World, project: int) -> None:
    task = Task(world, project, world.opening())
    record = b.TaskRecord(project, 1, task.opening)
    receipt = world.coordinate([record])
    recorded = event(receipt, "TaskRecorded").args
    assert recorded["taskId"] == task.task_id
    assert recorded["inputs"] == task.opening.commitment()
    assert recorded["readingsRoot"] == task.opening.readings_root
    assert events(world.coordinate([record])) == []
    conflicting = dataclasses.replace(task.opening, readings_root=b"\1" * 32)
    refusal = world.fleet_refusal([b.TaskRecord(project, 1, conflicting)])
    assert (refusal.name, refusal.args["taskId"]) == ("TaskConflict", task.task_id)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"device_set_root": b"\1" * 32}, "DeviceSetMismatch"),
        ({"window_start": 0}, "InvalidWindow"),
        ({"window_end": 1}, "InvalidWindow"),
        ({"count": 0}, "InvalidCount"),
        ({"count": 17}, "InvalidCount"),
    ],
)
def test_an_impossible_opening_is_not_recorded(world: World, project: int, changes: dict[str, int], error: str) -> None:
    opening = dataclasses.replace(world.opening(), **changes)
    assert world.fleet_refusal([b.TaskRecord(project, 1, opening)]).name == error


def test_a_count_beyond_the_window_is_not_recorded(world: World, project: int) -> None:
    opening = world.opening()
    narrow = dataclasses.replace(opening, window_end=opening.window_start + 2, count=3)
    refusal = world.fleet_refusal([b.TaskRecord(project, 1, narrow)])
    assert (refusal.name, refusal.args["most"]) == ("InvalidCount", 2)


@pytest.mark.parametrize(
    "completeness",
    [
        Completeness(missing=MOST_MISSING + 1),
        Completeness(duplicates=18),
        Completeness(late=1),
        Completeness(late=2, reordered=1),
        Completeness(reordered=4),
    ],
    ids=str,
)
def test_completeness_that_no_window_has_is_not_recorded(
    world: World, project: int, completeness: Completeness
) -> None:
    refusal = world.fleet_refusal([b.TaskRecord(project, 1, world.opening(completeness=completeness))])
    assert (refusal.name, refusal.args["given"]) == ("InvalidCompleteness", completeness.words())


def test_a_recorded_completeness_is_told_and_never_changes(world: World, project: int) -> None:
    opening = world.opening()
    receipt = world.coordinate([b.TaskRecord(project, 1, opening)])
    assert event(receipt, "TaskRecorded").args["completeness"] == opening.completeness.words()
    for changes in ({"missing": 6}, {"duplicates": 3}, {"late": 0}, {"reordered": 3}):
        better = dataclasses.replace(opening, completeness=dataclasses.replace(opening.completeness, **changes))
        assert world.fleet_refusal([b.TaskRecord(project, 1, better)]).name == "TaskConflict"


def test_a_task_of_an_unknown_version_is_not_recorded(world: World, project: int) -> None:
    for record in (b.TaskRecord(project, 2, world.opening()), b.TaskRecord(2**64 + project, 1, world.opening())):
        assert world.fleet_refusal([record]).name == "UnknownVersion"


def window(start: int, end: int) -> Opening:
    return Opening(bytes(31) + b"\5", DEVICE_SET, start, end, 1, Completeness())


@FEW
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20)), min_size=1, max_size=8))
def test_recorded_windows_never_overlap(world: World, lengths: list[tuple[int, int]]) -> None:
    """Whatever is tried, the chain records exactly what a list of disjoint, advancing windows allows."""
    project = world.create_project()
    taken: list[tuple[int, int]] = []
    for start, length in lengths:
        end = start + length
        record = b.TaskRecord(project, 1, window(start, end))
        if (start, end) in taken or not taken or start >= taken[-1][1]:
            world.coordinate([record])
            if (start, end) not in taken:
                taken.append((start, end))
        else:
            assert world.fleet_refusal([record]).name == "WindowOverlap"
    read = world.chain.read(world.deployment.fleet, b.call_last_window_end(project, 1))
    assert b.decode_last_window_end(read) == taken[-1][1]


def test_a_batch_is_all_or_nothing(world: World) -> None:
    project = world.create_project()
    records = [b.TaskRecord(project, 1, window(1, 5)), b.TaskRecord(project, 1, window(4, 9))]
    data = b.apply_batch(records)
    assert world.chain.submit(world.coordinator, world.deployment.fleet, data)["status"] == 0
    read = world.chain.read(world.deployment.fleet, b.call_last_window_end(project, 1))
    assert b.decode_last_window_end(read) == 0


def test_assignments_need_a_task_a_capable_prover_and_a_future_deadline(world: World, project: int) -> None:
    task, prover = world.task(project), new_prover(world)
    good = assignment(world, task, prover)
    cases = [
        (dataclasses.replace(good, task_id=b"\1" * 32), "UnknownTask"),
        (dataclasses.replace(good, prover=b"\1" * 20), "NotCapable"),
        (dataclasses.replace(good, kind=b.kind_hash(SIGNED)), "NotCapable"),
        (dataclasses.replace(good, deadline=world.chain.now()), "DeadlinePassed"),
        (dataclasses.replace(good, fence=0), "StaleFence"),
    ]
    assert [world.fleet_refusal(assignments=[bad]).name for bad, _ in cases] == [error for _, error in cases]
    receipt = world.coordinate(assignments=[good])
    assert event(receipt, "TaskAssigned").args["fence"] == 1


def test_the_same_attempt_needs_a_higher_fence_and_others_may_hedge(world: World, project: int) -> None:
    task, prover, hedge = world.task(project), new_prover(world), new_prover(world)
    first = assignment(world, task, prover, fence=5)
    world.coordinate(assignments=[first, assignment(world, task, hedge, fence=1)])
    assert events(world.coordinate(assignments=[first])) == []
    later = dataclasses.replace(first, deadline=first.deadline + 1)
    for fence in (4, 5):
        refusal = world.fleet_refusal(assignments=[dataclasses.replace(later, fence=fence)])
        assert (refusal.name, refusal.args["recorded"], refusal.args["given"]) == ("StaleFence", 5, fence)
    world.coordinate(assignments=[dataclasses.replace(later, fence=6)])
    read = world.chain.read(world.deployment.fleet, b.call_assignment_of(task.task_id, prover, ZKP))
    assert b.decode_assignment_of(read) == b.AssignmentState(later.deadline, 6, False)


def test_a_retired_prover_gets_no_assignment(world: World, project: int) -> None:
    task, prover = world.task(project), world.chain.fund(Account.from_key(keccak(b"retiring %d" % next(_names))))
    fleet = world.deployment.fleet
    world.chain.send(prover, fleet, b.register_prover(address(prover), [ZKP]))
    world.chain.send(prover, fleet, b.heartbeat([address(prover)]))
    world.chain.send(prover, fleet, b.set_capabilities(address(prover), []))
    bad = assignment(world, task, address(prover))
    assert world.fleet_refusal(assignments=[bad]).name == "NotCapable"


def test_an_assignment_that_never_was_cannot_be_recalled(world: World) -> None:
    data = b.recall(b"\1" * 32, b"\1" * 20, ZKP)
    assert world.chain.refusal(world.stranger, world.deployment.fleet, data).name == "UnknownAssignment"
