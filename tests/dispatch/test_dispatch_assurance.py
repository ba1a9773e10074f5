"""Tasks that want two kinds: both must prove one output, and two outputs freeze the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from dispatch_world import FAST, Chain, Service, World, background

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


@asynccontextmanager
async def _served(
    folder: Path,
    ledger_url: str,
    form: dict[str, object],
    *,
    threshold: int = 1,
    operators: dict[str, str] | None = None,
    behaviour: str = "",
) -> AsyncIterator[World]:
    """A project with this assurance, served; `behaviour` is that of the first kind's prover."""
    world = World(folder, ("test.hash", "test.other"), workers=1, ledger_url=ledger_url)
    await world.create()
    await world.project(threshold=threshold, config={"assurance": form, "deadline_seconds": 600})
    if behaviour:
        world.behave(behaviour)
    chain = Chain(world.ledger)
    chain.operators = operators or {}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.ledger.close)
        await stack.enter_async_context(background(chain.run()))
        await Service(world, stack).start(InlinePool())
        yield world
        (world.programs["test.hash"].folder / "go").touch()


X, Y = "0x" + "aa" * 20, "0x" + "bb" * 20


async def test_independent_operators_prove_the_two_kinds(tmp_path: Path, ledger_url: str) -> None:
    named = {"test.hash-0": X, "test.other-0": Y}
    async with _served(tmp_path, ledger_url, {"independent": True}, threshold=2, operators=named) as world:
        for name in [await world.task(threshold=2) for _ in range(2)]:
            await world.reach(name, "SATISFIED")


@pytest.mark.parametrize("second", [X, ""])
async def test_one_operator_or_none_gets_no_second_lease(tmp_path: Path, ledger_url: str, second: str) -> None:
    named = {"test.hash-0": X, "test.other-0": second}
    async with _served(tmp_path, ledger_url, {"independent": True}, threshold=2, operators=named) as world:
        name = await world.task(threshold=2)

        async def one_proved() -> bool:
            return await world.states(name) == ["PROVED"]

        await world.until(one_proved)
        await asyncio.sleep(0.5)
        assert await one_proved(), "its proof would not count"
        assert (await world.get_task(name)).state == "OPEN"


ELSE: dict[str, object] = {"else": "test.other"}


async def test_the_kind_after_else_is_not_started_while_there_is_time(tmp_path: Path, ledger_url: str) -> None:
    async with _served(tmp_path, ledger_url, ELSE, behaviour="hang") as world:
        name = await world.task()

        async def proving() -> bool:
            return await world.states(name) == ["PROVING"]

        await world.until(proving)
        await asyncio.sleep(0.5)
        assert [each.kind for each in await world.attempts(name)] == ["test.hash"]
        (world.programs["test.hash"].folder / "go").touch()
        task = await world.reach(name, "SATISFIED")
        assert task.reason == "assurance reached"


async def test_it_is_started_beside_a_slow_one_at_risk_and_the_result_says_so(tmp_path: Path, ledger_url: str) -> None:
    async with _served(tmp_path, ledger_url, ELSE, behaviour="hang") as world:
        name = await world.task(deadline_ms=151_000)  # a quarter of ten minutes, and one second
        task = await world.reach(name, "SATISFIED")
        assert task.reason == "assurance reached; test.other stood in, for the deadline was at risk"
        attempts = {each.kind: each for each in await world.attempts(name)}
        assert (attempts["test.hash"].state, attempts["test.other"].state) == ("SUPERSEDED", "PROVED")
        assert attempts["test.other"].output == task.output
        assert attempts["test.other"].created_at >= task.deadline_at - 150_000, "not before a quarter was left"
        reasons = [each.reason for each in await world.events(name)]
        assert any(reason.startswith("the deadline is at risk: test.other stands in") for reason in reasons)


async def test_it_is_started_with_the_last_attempt_that_may_be_lost(tmp_path: Path, ledger_url: str) -> None:
    async with _served(tmp_path, ledger_url, ELSE, behaviour="garbage") as world:
        name = await world.task()
        task = await world.reach(name, "SATISFIED")
        assert "test.other stood in" in task.reason
        lost = [each.kind for each in await world.attempts(name) if each.state == "REJECTED"]
        assert len(lost) >= FAST.attempt_cap - 1
        assert set(lost) == {"test.hash"}
