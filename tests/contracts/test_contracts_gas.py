"""The gas table of docs/reference/contracts.md is what the contracts use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_account import Account
from eth_hash.auto import keccak

from tests.contracts.groth16_simulator import TrapdoorKey
from tests.contracts.world import SIGNED, ZKP, Task, World, address
from verifier import bindings as b

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "contracts.md"
TOLERANCE = 0.03
"""Calldata bytes that happen to be zero, and slots that happen to be written before, move a figure this much."""


def batch(world: World, project: int, size: int) -> int:
    """Gas of a batch of `size` tasks, each assigned to one prover."""
    openings = [world.opening() for _ in range(size)]
    deadline = world.chain.now() + 1000
    prover = address(world.provers[0])
    tasks = [Task(world, project, opening) for opening in openings]
    assignments = [b.Assignment(task.task_id, prover, b.kind_hash(ZKP), deadline, 1) for task in tasks]
    used: int = world.coordinate([b.TaskRecord(project, 1, opening) for opening in openings], assignments)["gasUsed"]
    return used


@pytest.fixture(scope="module")
def measured(world: World) -> dict[str, int]:
    """Gas used by each row of the table."""
    chain, addresses = world.chain, world.deployment
    rows: dict[str, int] = {}
    project = 10**12
    created = chain.send(world.coordinator, addresses.registry, b.create_project(project, address(world.coordinator)))
    rows["createProject"] = created["gasUsed"]
    published = chain.send(world.coordinator, addresses.registry, b.publish_version(project, world.version()))
    rows["publishVersion, 2 programs"] = published["gasUsed"]
    prover = address(Account.from_key(keccak(b"gas prover")))
    registered = chain.send(world.coordinator, addresses.fleet, b.register_prover(prover, [ZKP, SIGNED]))
    rows["registerProver, 2 kinds"] = registered["gasUsed"]
    idle = b.StatusUpdate(prover, b.ProverStatus.IDLE)
    rows["mirror, 1 prover comes online"] = world.coordinate(statuses=[idle])["gasUsed"]
    rows["heartbeat, 1 prover"] = chain.send(world.coordinator, addresses.fleet, b.heartbeat([prover]))["gasUsed"]
    key = b.register_verifying_key(TrapdoorKey.generate(seed=99).encoded())
    rows["Groth16Verifier.register, 16 signals"] = chain.send(world.stranger, addresses.groth16, key)["gasUsed"]
    batch(world, project, 1)
    rows["applyBatch, 1 task and 1 assignment"] = batch(world, project, 1)
    rows["applyBatch, 16 tasks and 16 assignments"] = batch(world, project, 16)
    warm = world.task(project)
    warm.settle(warm.claim())
    task = world.task(project, kinds=(ZKP, SIGNED))
    rows["settle, Groth16, with the sample dApp"] = task.settle(task.claim())["gasUsed"]
    bare = world.create_project(dapp=bytes(20))
    task = world.task(bare)
    rows["settle, Groth16, without a dApp"] = task.settle(task.claim())["gasUsed"]
    staged = world.create_project(dapp=bytes(20), policy=b.Policy(confirm_within=3600, confirm_kind=b.kind_hash(ZKP)))
    task = world.task(staged, kinds=(ZKP, SIGNED))
    task.settle(task.claim(SIGNED))
    rows["settle, Groth16, confirming a settled task"] = task.settle(task.claim())["gasUsed"]
    return rows


def test_the_documented_figures_are_the_measured_ones(measured: dict[str, int]) -> None:
    rows = re.findall(r"^\| `?([^|`]+)`? \| ([\d,]+) \|", DOCS.read_text(), re.MULTILINE)
    documented = {name.strip(): int(figure.replace(",", "")) for name, figure in rows}
    wrong = {
        name: (gas, documented.get(name))
        for name, gas in measured.items()
        if abs(gas - documented.get(name, 0)) > TOLERANCE * gas
    }
    assert wrong == {}, f"measured and documented differ: {wrong}"
