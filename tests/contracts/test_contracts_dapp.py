"""The dApp call: once with success, gas-capped, and no dApp and no caller can spoil a settlement."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode

from tests.contracts.chain_client import event, events
from tests.contracts.world import Task, World
from verifier import bindings as b

ACCEPT, REVERT, BURN, BOMB, REENTER = range(5)
DAPP_GAS = 500_000


class Hostile:
    """A project whose dApp behaves as it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.address = world.deploy_test("TestDapp")
        self.project = world.create_project(dapp=self.address)

    def behave(self, mode: int, call: bytes = b"") -> None:
        self.world.chain.send(self.world.stranger, self.address, self.world.test_call("TestDapp", "set", mode, call))

    def read(self, name: str) -> bytes:
        return self.world.chain.read(self.address, self.world.test_call("TestDapp", name))

    def processed(self) -> int:
        return int.from_bytes(self.read("processed"), "big")

    def retry(self, task: Task) -> bytes:
        return b.retry_dapp(task.task_id, task.claim().public_output)


@pytest.fixture
def hostile(world: World) -> Hostile:
    return Hostile(world)


@pytest.mark.parametrize(("mode", "reason"), [(REVERT, 256), (BURN, 0), (BOMB, 256)], ids=["revert", "burn", "bomb"])
def test_a_failing_dapp_is_recorded_and_anyone_may_retry(
    world: World, hostile: Hostile, mode: int, reason: int
) -> None:
    router = world.deployment.router
    task = world.task(hostile.project)
    hostile.behave(mode)
    receipt = task.settle(task.claim())
    assert len(event(receipt, "DappFailed").args["reason"]) == reason
    assert receipt["gasUsed"] < 1_300_000
    state = world.state(task)
    assert (state.status, state.dapp) == (b.TaskStatus.SETTLED, b.DappStatus.FAILED)
    again = world.chain.send(world.stranger, router, hostile.retry(task))
    assert [each.name for each in events(again)] == ["DappFailed"]
    wrong = world.chain.refusal(world.stranger, router, b.retry_dapp(task.task_id, b"other"))
    assert wrong.name == "OutputMismatch"
    hostile.behave(ACCEPT)
    assert event(world.chain.send(world.stranger, router, hostile.retry(task)), "DappProcessed")
    assert world.chain.refusal(world.stranger, router, hostile.retry(task)).name == "NothingToRetry"
    assert hostile.processed() == 1


def test_a_retry_hands_over_the_settled_statement(world: World, hostile: Hostile) -> None:
    task = world.task(hostile.project)
    hostile.behave(REVERT)
    task.settle(task.claim(prover=1))
    hostile.behave(ACCEPT)
    world.chain.send(world.stranger, world.deployment.router, hostile.retry(task))
    types = ["(uint256,uint32,bytes32,bytes32,bytes32,bytes32,address)"]
    (last,) = decode(types, hostile.read("last"))
    expected = task.claim(prover=1).statement.words()
    assert (*last[:6], bytes.fromhex(last[6][2:])) == expected


def test_a_retry_waits_while_the_project_is_paused_or_the_task_frozen(world: World, hostile: Hostile) -> None:
    task, router = world.task(hostile.project), world.deployment.router
    hostile.behave(REVERT)
    task.settle(task.claim())
    world.chain.send(world.coordinator, world.deployment.registry, b.pause_project(hostile.project))
    assert world.chain.refusal(world.stranger, router, hostile.retry(task)).name == "ProjectInactive"
    world.chain.send(world.coordinator, world.deployment.registry, b.resume_project(hostile.project))
    task.settle(task.claim(words=(1, 1, 1, 1), prover=1))
    assert world.chain.refusal(world.stranger, router, hostile.retry(task)).name == "TaskIsFrozen"


def test_a_dapp_that_calls_back_gets_nothing(world: World, hostile: Hostile) -> None:
    task, other = world.task(hostile.project), world.task(hostile.project)
    for call in (task.claim().data(), other.claim().data(), hostile.retry(task)):
        fresh = world.task(hostile.project)
        hostile.behave(REENTER, call)
        assert event(fresh.settle(fresh.claim()), "DappProcessed")
        (reply,) = decode(["bytes"], hostile.read("reentrantReply"))
        assert b.decode_revert(reply).name == "ReentrancyGuardReentrantCall"
    assert world.state(other).status is b.TaskStatus.NONE


def test_no_caller_can_starve_the_dapp(world: World, hostile: Hostile) -> None:
    """For every gas limit, either nothing happens at all or the dApp gets its whole allowance."""
    router, outcomes = world.deployment.router, set()
    hostile.behave(ACCEPT)
    for gas in [200_000, 350_000, 450_000, 600_000, *range(700_000, 1_100_000, 25_000)]:
        task = world.task(hostile.project)
        receipt = world.chain.submit(world.stranger, router, task.claim().data(), gas)
        outcomes.add(receipt["status"])
        if receipt["status"] == 1:
            assert world.state(task).dapp is b.DappStatus.PROCESSED
            # A little goes to the dispatcher before the dApp reads its gas.
            assert DAPP_GAS - 3_000 < int.from_bytes(hostile.read("gasSeen"), "big") <= DAPP_GAS
        else:
            assert world.state(task).status is b.TaskStatus.NONE
    assert outcomes == {0, 1}


def test_too_little_gas_is_named(world: World, hostile: Hostile) -> None:
    task = world.task(hostile.project)
    refusal = world.chain.refusal(world.stranger, world.deployment.router, task.claim().data(), gas=800_000)
    assert refusal.name == "InsufficientGas"
    assert refusal.args["required"] == DAPP_GAS * 64 // 63 + 60_000


def test_a_version_without_a_dapp_settles(world: World) -> None:
    project = world.create_project(dapp=bytes(20))
    task = world.task(project)
    assert [each.name for each in events(task.settle(task.claim()))] == ["ProofVerified", "TaskSettled"]
    assert world.state(task).dapp is b.DappStatus.ABSENT
    data = b.retry_dapp(task.task_id, task.claim().public_output)
    assert world.chain.refusal(world.stranger, world.deployment.router, data).name == "NothingToRetry"
