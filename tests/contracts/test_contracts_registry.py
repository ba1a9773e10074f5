"""ProjectRegistry: projects belong to their owner alone, and a published version never changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.contracts.chain_client import event, events
from tests.contracts.world import SIGNED, ZKP, World, address
from verifier import bindings as b


@pytest.fixture(scope="module")
def project(world: World) -> int:
    return world.create_project()


def publish_refusal(world: World, project: int, version: b.Version) -> b.Revert:
    return world.chain.refusal(world.coordinator, world.deployment.registry, b.publish_version(project, version))


def test_a_registrar_creates_a_project_for_an_owner(world: World) -> None:
    registry, owner = world.deployment.registry, address(world.stranger)
    receipt = world.chain.send(world.coordinator, registry, b.create_project(2**64 - 1, owner))
    created = event(receipt, "ProjectCreated").args
    state = b.decode_project(world.chain.read(registry, b.call_project(created["projectId"])))
    assert (state.owner, state.paused, state.latest_version) == (owner, False, 0)
    assert world.chain.refusal(world.coordinator, registry, b.create_project(5, bytes(20))).name == "ZeroOwner"


@pytest.mark.parametrize("project_id", [0, 2**64, 2**256 - 1])
def test_a_project_id_out_of_range_is_refused(world: World, project_id: int) -> None:
    data = b.create_project(project_id, address(world.coordinator))
    refusal = world.chain.refusal(world.coordinator, world.deployment.registry, data)
    assert (refusal.name, refusal.args) == ("ProjectIdUnavailable", {"projectId": project_id})


def test_a_taken_project_id_is_refused(world: World, project: int) -> None:
    data = b.create_project(project, address(world.stranger))
    assert world.chain.refusal(world.coordinator, world.deployment.registry, data).name == "ProjectIdUnavailable"


def test_only_a_registrar_creates_and_only_the_owner_names_one(world: World) -> None:
    registry, stranger = world.deployment.registry, address(world.stranger)
    data = b.create_project(10**9, stranger)
    assert world.chain.refusal(world.stranger, registry, data).name == "NotRegistrar"
    name = b.encode_call("ProjectRegistry", "setRegistrar", stranger, True)
    assert world.chain.refusal(world.stranger, registry, name).name == "OwnableUnauthorizedAccount"
    world.chain.send(world.chain.funded, registry, name)
    assert event(world.chain.send(world.stranger, registry, data), "ProjectCreated").args["projectId"] == 10**9
    world.chain.send(world.chain.funded, registry, b.encode_call("ProjectRegistry", "setRegistrar", stranger, False))
    assert world.chain.refusal(world.stranger, registry, b.create_project(10**9 + 1, stranger)).name == "NotRegistrar"


def test_a_version_reads_back_as_published(world: World, project: int) -> None:
    data = b.encode_call("ProjectRegistry", "versionOf", project, 1)
    (read,) = b.decode_result("ProjectRegistry", "versionOf", world.chain.read(world.deployment.registry, data))
    programs = tuple(b.Program(kind, pid, bytes.fromhex(at[2:])) for kind, pid, at in read[8])
    dapp = bytes.fromhex(read[5][2:])
    assert b.Version(*read[:5], dapp, *read[6:8], programs) == world.version()


def test_publishing_announces_the_version_and_each_program(world: World) -> None:
    registry = world.deployment.registry
    project = 10**10
    world.chain.send(world.coordinator, registry, b.create_project(project, address(world.coordinator)))
    published = events(world.chain.send(world.coordinator, registry, b.publish_version(project, world.version())))
    assert [each.name for each in published] == ["VersionPublished", "ProgramPublished", "ProgramPublished"]
    assert [each.args["name"] for each in published[1:]] == [ZKP, SIGNED]


def test_versions_only_go_up_and_never_change(world: World) -> None:
    project = world.create_project()
    for number in (0, 1):
        refusal = publish_refusal(world, project, world.version(version=number, config_uri="other"))
        assert refusal.name == "VersionNotIncreasing"
    world.chain.send(world.coordinator, world.deployment.registry, b.publish_version(project, world.version(version=9)))
    assert publish_refusal(world, project, world.version(version=8)).name == "VersionNotIncreasing"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"programs": ()}, "programs"),
    ({"threshold": 0}, "threshold"),
    ({"threshold": 3}, "threshold"),
    ({"window_capacity": 0}, "windowCapacity"),
    ({"window_capacity": 12}, "windowCapacity"),
    ({"config_hash": bytes(32)}, "configHash"),
    ({"config_uri": "x" * 513}, "configUri"),
    ({"device_set_root": bytes(32)}, "deviceSetRoot"),
    ({"scheme": bytes(32)}, "scheme"),
]


@pytest.mark.parametrize(("changes", "field"), BAD, ids=[f"{field}-{n}" for n, (_, field) in enumerate(BAD)])
def test_a_version_out_of_range_is_refused(world: World, project: int, changes: dict[str, Any], field: str) -> None:
    refusal = publish_refusal(world, project, world.version(version=2, **changes))
    assert (refusal.name, refusal.args["field"]) == ("InvalidVersion", field)


def test_programs_out_of_range_are_refused(world: World, project: int) -> None:
    good, other = world.programs()

    def refusal(*programs: b.Program) -> b.Revert:
        return publish_refusal(world, project, world.version(version=2, programs=programs))

    assert refusal(good, good).name == "DuplicateKind"
    aliased = refusal(good, dataclasses.replace(other, program_id=good.program_id))
    assert (aliased.name, aliased.args) == ("DuplicateProgram", {"programId": good.program_id})
    distinct = [b.Program(f"kind {n}", bytes([n + 1]) * 32, other.verifier) for n in range(16)]
    assert refusal(*distinct[:15], dataclasses.replace(distinct[15], program_id=distinct[0].program_id)).name == (
        "DuplicateProgram"
    )
    assert refusal(dataclasses.replace(good, kind="")).args["field"] == "kind"
    assert refusal(dataclasses.replace(good, kind="k" * 65)).args["field"] == "kind"
    assert refusal(dataclasses.replace(good, program_id=bytes(32))).args["field"] == "programId"
    assert refusal(dataclasses.replace(good, verifier=address(world.stranger))).name == "NotAContract"
    many = [dataclasses.replace(other, kind=f"kind {n}") for n in range(17)]
    assert refusal(*many).args["field"] == "programs"
    no_code = world.version(version=2, dapp=address(world.stranger))
    assert publish_refusal(world, project, no_code).name == "NotAContract"


def test_only_the_owner_publishes_pauses_and_transfers(world: World, project: int) -> None:
    stranger = address(world.stranger)
    for data in (
        b.publish_version(project, world.version(version=2)),
        b.pause_project(project),
        b.resume_project(project),
        b.transfer_project(project, stranger),
        b.accept_project(project),
    ):
        assert world.chain.refusal(world.stranger, world.deployment.registry, data).name == "NotProjectOwner"


def test_a_project_is_paused_and_resumed_once(world: World) -> None:
    project, registry = world.create_project(), world.deployment.registry
    assert world.chain.refusal(world.coordinator, registry, b.resume_project(project)).name == "AlreadySo"
    assert event(world.chain.send(world.coordinator, registry, b.pause_project(project)), "ProjectPaused")
    assert world.chain.refusal(world.coordinator, registry, b.pause_project(project)).name == "AlreadySo"
    assert event(world.chain.send(world.coordinator, registry, b.resume_project(project)), "ProjectResumed")


def test_a_project_changes_hands_in_two_steps(world: World) -> None:
    project, registry = world.create_project(), world.deployment.registry
    world.chain.send(world.coordinator, registry, b.transfer_project(project, address(world.stranger)))
    state = b.decode_project(world.chain.read(registry, b.call_project(project)))
    assert (state.owner, state.pending_owner) == (address(world.coordinator), address(world.stranger))
    assert world.chain.refusal(world.coordinator, registry, b.accept_project(project)).name == "NotProjectOwner"
    accepted = world.chain.send(world.stranger, registry, b.accept_project(project))
    assert event(accepted, "ProjectTransferred").args["to"] == world.stranger.address.lower()
    # An offer is used up: the new owner cannot take the project back after passing it on.
    assert world.chain.refusal(world.stranger, registry, b.accept_project(project)).name == "NotProjectOwner"
    assert world.chain.refusal(world.coordinator, registry, b.pause_project(project)).name == "NotProjectOwner"


def test_an_unknown_project_is_named(world: World) -> None:
    refusal = world.chain.refusal(world.stranger, world.deployment.registry, b.call_project(10**6))
    assert (refusal.name, refusal.args) == ("UnknownProject", {"projectId": 10**6})
