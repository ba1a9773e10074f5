"""What must hold of a policy with two stages ("TEE now, ZK within the hour"): the confirming kind is started when the
first stage is through and never before, and whatever becomes of it takes no result back but by another output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from dispatch_world import FAST, Chain, Service, World, background

from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.requeue import requeue
from coordinator.ledger.confirmation import move_confirmation
from coordinator.ledger.store import move_attempt, move_task
from coordinator.ledger.transitions import AttemptState, Confirmation, TaskState

CONFIRMS = "test.other"


@asynccontextmanager
async def _served(
    folder: Path, ledger_url: str, behaviour: dict[str, str], within: int = 3600
) -> AsyncIterator[tuple[World, Chain]]:
    """A project whose tasks `test.hash` settles and `test.other` confirms; `behaviour` is that of the kinds' provers."""
    world = World(folder, ("test.hash", CONFIRMS), workers=1, ledger_url=ledger_url)
    await world.create()
    await world.project(config={"assurance": {"confirm": CONFIRMS, "confirm_within": within}})
    for kind, how in behaviour.items():
        world.behave(how, kind)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.ledger.close)
        chain = Chain(world.ledger)
        await stack.enter_async_context(background(chain.run()))
        await Service(world, stack).start(InlinePool())
        yield world, chain
        for program in world.programs.values():
            (program.folder / "go").touch()


async def _reach(world: World, name: str, confirmation: str) -> None:
    async def holds() -> bool:
        return (await world.get_task(name)).confirmation == confirmation

    await world.until(holds)


async def _until_states(world: World, name: str, *states: str) -> None:
    async def holds() -> bool:
        return await world.states(name) == list(states)

    await world.until(holds)


async def test_the_confirming_kind_is_started_when_the_result_stands_and_never_before(
    tmp_path: Path, ledger_url: str
) -> None:
    async with _served(tmp_path, ledger_url, {"test.hash": "hang"}) as (world, _):
        name = await world.task(confirm=CONFIRMS, confirm_within=3600)
        await _until_states(world, name, "PROVING")
        await asyncio.sleep(0.3)
        assert [each.kind for each in await world.attempts(name)] == ["test.hash"]
        assert (await world.get_task(name)).confirmation == ""
        (world.programs["test.hash"].folder / "go").touch()
        task = await world.reach(name, "SATISFIED")
        assert task.reason == "assurance reached; test.other is to confirm it within 3600 s"
        (satisfied,) = [each for each in await world.events(name) if each.target == "SATISFIED"]
        assert (task.confirmation, task.confirm_by) == ("AWAITED", satisfied.at + 3_600_000)
        await _until_states(world, name, "PROVED", "PROVED")
        _, second = await world.attempts(name)
        assert (second.kind, second.output) == (CONFIRMS, task.output)
        assert second.created_at >= satisfied.at
        task = await world.get_task(name)
        assert (task.state, task.confirmation, task.threshold) == ("SATISFIED", "AWAITED", 1), "the chain confirms it"


async def test_lost_attempts_at_the_confirmation_end_it_and_cost_the_task_nothing(
    tmp_path: Path, ledger_url: str
) -> None:
    async with _served(tmp_path, ledger_url, {CONFIRMS: "garbage"}) as (world, _):
        name = await world.task(confirm=CONFIRMS, confirm_within=3600)
        await _reach(world, name, "MISSED")
        task = await world.get_task(name)
        assert (task.state, task.attempts_used, task.confirm_attempts_used) == ("SATISFIED", 0, FAST.attempt_cap)
        assert task.confirm_code == "W3B-3011"
        assert await world.states(name) == ["PROVED", *["REJECTED"] * FAST.attempt_cap]
        assert world.ended == [(name, "SATISFIED")], "told once, in the transaction that gave it up"


async def test_time_that_is_over_is_told_and_a_proof_under_way_goes_on(tmp_path: Path, ledger_url: str) -> None:
    async with _served(tmp_path, ledger_url, {CONFIRMS: "hang"}, within=1) as (world, _):
        name = await world.task(confirm=CONFIRMS, confirm_within=1)
        await _reach(world, name, "MISSED")
        task = await world.get_task(name)
        (told,) = [each for each in await world.events(name) if each.subject == "confirmation"]
        assert (told.source, told.target, told.code) == ("AWAITED", "MISSED", "W3B-3011")
        assert task.confirm_by is not None
        assert told.at >= task.confirm_by
        await asyncio.sleep(0.3)
        assert await world.states(name) == ["PROVED", "PROVING"]
        (world.programs[CONFIRMS].folder / "go").touch()
        await _until_states(world, name, "PROVED", "PROVED")


async def test_another_output_freezes_the_task_and_nothing_of_it_is_posted(tmp_path: Path, ledger_url: str) -> None:
    (tmp_path / "programs" / CONFIRMS).mkdir(parents=True)
    (tmp_path / "programs" / CONFIRMS / "credulous").touch()
    async with _served(tmp_path, ledger_url, {CONFIRMS: "liar"}) as (world, _):
        name = await world.task(confirm=CONFIRMS, confirm_within=3600)
        task = await world.reach(name, "FROZEN")
        assert (task.confirmation, task.code, task.confirm_code) == ("CONTRADICTED", "W3B-3010", "W3B-3010")
        assert set(await world.states(name)) == {"SUPERSEDED"}
        assert world.ended == [(name, "FROZEN")]


async def test_another_output_of_a_final_task_is_kept_for_the_chain(tmp_path: Path, ledger_url: str) -> None:
    (tmp_path / "programs" / CONFIRMS).mkdir(parents=True)
    (tmp_path / "programs" / CONFIRMS / "credulous").touch()
    async with _served(tmp_path, ledger_url, {"test.hash": "hang", CONFIRMS: "liar"}) as (world, chain):
        name = await world.task(confirm=CONFIRMS, confirm_within=3600)
        await _until_states(world, name, "PROVING")
        chain.down = True
        (world.programs["test.hash"].folder / "go").touch()
        await _until_states(world, name, "PROVED", "ASSIGNED")
        (first, _), now = await world.attempts(name), world.ledger.clock()
        async with world.ledger.transaction() as session:  # as the settlement does
            assert first.id is not None
            for rung in (AttemptState.POSTED, AttemptState.VERIFIED):
                await move_attempt(session, now, first.id, first.fence, rung)
            for state in (TaskState.SETTLED, TaskState.FINAL):
                await move_task(session, now, name, state)
        await asyncio.sleep(0.3)
        assert await world.states(name) == ["VERIFIED", "ASSIGNED"], "its lease goes on though the task is FINAL"
        chain.down = False
        await _reach(world, name, "CONTRADICTED")
        await asyncio.sleep(0.3)
        assert (await world.get_task(name)).state == "FINAL"
        assert await world.states(name) == ["VERIFIED", "PROVED"], "the Router must see it"
        assert world.ended == [(name, "FINAL")]


async def test_a_task_that_is_put_back_begins_both_stages_anew(tmp_path: Path, ledger_url: str) -> None:
    world = World(tmp_path, ("test.hash", CONFIRMS), ledger_url=ledger_url)
    await world.create()
    await world.project(config={"assurance": {"confirm": CONFIRMS, "confirm_within": 60}})
    name, now = await world.task(confirm=CONFIRMS, confirm_within=60), world.ledger.clock()
    async with world.ledger.transaction() as session:
        await move_task(session, now, name, TaskState.SATISFIED, confirmation="AWAITED", confirm_by=now + 60_000)
        await move_confirmation(session, now, name, Confirmation.MISSED)
        await move_task(session, now, name, TaskState.OPEN)
        await move_task(session, now, name, TaskState.FAILED)
        task = await requeue(session, now, name, reason="again")
    assert (task.confirmation, task.confirm_by, task.confirm_attempts_used) == ("", None, 0)
    await world.ledger.close()
