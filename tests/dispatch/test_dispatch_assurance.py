"""Tasks that want two kinds: both must prove one output, and two outputs freeze the task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from dispatch_world import Chain, Service, World, background

from coordinator.dispatch.inline_pool import InlinePool


@pytest.fixture
async def two_kinds(tmp_path: Path, ledger_url: str) -> AsyncIterator[Service]:
    world = World(tmp_path, ("test.hash", "test.other"), workers=1, ledger_url=ledger_url)
    await world.create()
    await world.project(threshold=2)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(Chain(world.ledger).run()))
        yield Service(world, stack)
    await world.ledger.close()


async def test_two_kinds_with_one_output_satisfy(two_kinds: Service) -> None:
    world = two_kinds.world
    await two_kinds.start(InlinePool())
    name = await world.task(threshold=2)
    task = await world.reach(name, "SATISFIED")
    attempts = await world.attempts(name)
    assert {a.kind for a in attempts} == {"test.hash", "test.other"}
    assert {a.state for a in attempts} == {"PROVED"}
    assert {a.output for a in attempts} == {task.output}


async def test_the_task_waits_for_the_second_kind(two_kinds: Service) -> None:
    world = two_kinds.world
    world.behave("hang", "test.other")
    await two_kinds.start(InlinePool())
    name = await world.task(threshold=2)

    async def one_proved() -> bool:
        return sorted(await world.states(name)) == ["PROVED", "PROVING"]

    await world.until(one_proved)
    assert (await world.get_task(name)).state == "OPEN"
    (world.programs["test.other"].folder / "go").touch()
    await world.reach(name, "SATISFIED")


async def test_two_different_outputs_freeze_the_task(two_kinds: Service) -> None:
    world = two_kinds.world
    world.behave("liar", "test.other")
    (world.programs["test.other"].folder / "credulous").touch()
    await two_kinds.start(InlinePool())
    name = await world.task(threshold=2)
    task = await world.reach(name, "FROZEN")
    assert task.code == "W3B-3010"
    assert world.ended == [(name, "FROZEN")]
    attempts = await world.attempts(name)
    assert {a.state for a in attempts} == {"SUPERSEDED"}, "nothing of a frozen task is posted"
    assert len({a.output for a in attempts}) == 2, "both outputs are kept for the person who looks"


async def test_a_task_fails_when_one_kind_cannot_prove_it_though_the_other_can(two_kinds: Service) -> None:
    world = two_kinds.world
    world.behave("garbage", "test.other")
    await two_kinds.start(InlinePool())
    name = await world.task(threshold=2)
    task = await world.reach(name, "FAILED")
    assert task.code == "W3B-3005"
    states = await world.states(name)
    assert "PROVED" not in states
    assert states.count("SUPERSEDED") == 1
