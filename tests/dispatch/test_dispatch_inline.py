"""The dispatcher on threads and a real SQLite ledger: what each outcome of an attempt does to the task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from dispatch_world import FAST, Chain, Service, World
from sqlmodel import select

from coordinator.dispatch.identity import load_identity
from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.pool import Failed, PoolEvent, Proved
from coordinator.ledger.store import move_attempt, move_task
from coordinator.ledger.tables import ProverEventRow, ReadingRow
from coordinator.ledger.transitions import AttemptState, TaskState
from verifier.errors import Refused


async def test_an_open_task_is_proven_and_satisfied(world: World, service: Service) -> None:
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "SATISFIED")
    (attempt,) = await world.attempts(name)
    assert attempt.state == "PROVED"
    assert attempt.fence == 1
    assert task.output == attempt.output
    assert task.public_output == attempt.public_output
    assert attempt.public_output is not None
    assert int.from_bytes(attempt.public_output[-32:], "big") == 42
    assert attempt.prover_address == (await world.prover_rows())[attempt.prover_id].address
    assert attempt.seconds == {"prove": 0.01}
    targets = [(event.subject, event.target) for event in await world.events(name)]
    assert targets == [("attempt", "ASSIGNED"), ("attempt", "PROVING"), ("attempt", "PROVED"), ("task", "SATISFIED")]


async def test_nothing_is_proven_before_its_assignment_is_mined(world: World, service: Service, chain: Chain) -> None:
    await service.start(InlinePool())
    await asyncio.sleep(0.3)
    chain.down = True
    name = await world.task()
    await asyncio.sleep(1.0)
    assert await world.states(name) == ["ASSIGNED"]
    assert not list(world.programs["test.hash"].folder.glob("proving-*"))
    chain.down = False
    await world.reach(name, "SATISFIED")


async def test_an_unregistered_prover_gets_nothing(world: World, service: Service, chain: Chain) -> None:
    chain.down = True
    await service.start(InlinePool())
    name = await world.task()
    await asyncio.sleep(0.5)
    assert await world.states(name) == []
    chain.down = False
    await world.reach(name, "SATISFIED")


async def test_an_assignment_that_the_chain_refuses_is_rejected_and_counted(
    world: World, service: Service, chain: Chain
) -> None:
    chain.refuse = True
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "FAILED")
    assert task.code == "W3B-3005"
    assert task.attempts_used == FAST.attempt_cap
    assert {(a.state, a.code) for a in await world.attempts(name)} == {("REJECTED", "W3B-5003")}
    assert not list(world.programs["test.hash"].folder.glob("proving-*"))
    assert world.ended == [(name, "FAILED")]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("raise", "W3B-4080"),
        ("garbage", "W3B-4081"),
        ("alien", "W3B-4081"),
        ("forged", "W3B-4081"),
        ("wrong", "W3B-4081"),
    ],
)
async def test_what_is_no_valid_proof_is_rejected_and_another_attempt_proves_the_task(
    world: World, service: Service, behaviour: str, code: str
) -> None:
    world.behave(f"once:{behaviour}")
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "SATISFIED")
    first, second = await world.attempts(name)
    assert (first.state, first.code, first.proof) == ("REJECTED", code, None)
    assert (second.state, second.fence) == ("PROVED", 2)
    assert second.prover_id != first.prover_id, "the prover that just failed it is avoided"
    assert task.attempts_used == 1


async def test_a_task_that_fails_every_time_ends_at_the_cap(world: World, service: Service) -> None:
    world.behave("garbage")
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "FAILED")
    assert (task.code, task.attempts_used) == ("W3B-3005", FAST.attempt_cap)
    assert await world.states(name) == ["REJECTED"] * FAST.attempt_cap
    assert [a.fence for a in await world.attempts(name)] == list(range(1, FAST.attempt_cap + 1))
    assert world.ended == [(name, "FAILED")]


async def test_a_task_past_its_deadline_expires_and_frees_its_prover(world: World, service: Service) -> None:
    world.behave("hang")
    await service.start(InlinePool())
    name = await world.task(deadline_ms=700)
    task = await world.reach(name, "EXPIRED")
    assert task.code == "W3B-3006"
    assert await world.states(name) in (["SUPERSEDED"], ["LOST"], ["LOST", "SUPERSEDED"])
    world.behave("")
    await world.reach(await world.task(), "SATISFIED")


async def test_a_hung_program_loses_its_lease_though_its_worker_is_heard(world: World, service: Service) -> None:
    world.behave("once:hang")
    await service.start(InlinePool(), replace(FAST, attempt_ms=600))
    name = await world.task()
    await world.reach(name, "SATISFIED")
    first, second = await world.attempts(name)
    assert (first.state, first.code) == ("LOST", "W3B-3008")
    assert second.state == "PROVED"
    (world.programs["test.hash"].folder / "go").touch()
    await asyncio.sleep(0.3)
    assert await world.states(name) == ["LOST", "PROVED"]


async def test_a_long_proof_keeps_its_lease_while_its_worker_is_heard(world: World, service: Service) -> None:
    world.behave("slow")
    await service.start(InlinePool(), replace(FAST, lease_ms=500))
    name = await world.task()
    await world.reach(name, "SATISFIED")
    assert await world.states(name) == ["PROVED"]


async def test_a_cancelled_task_takes_its_attempt_with_it(world: World, service: Service) -> None:
    world.behave("hang")
    await service.start(InlinePool())
    name = await world.task()
    await world.until(lambda: _is(world, name, ["PROVING"]))
    async with world.ledger.transaction() as session:
        await move_task(session, world.ledger.clock(), name, TaskState.CANCELLED)
    await world.until(lambda: _is(world, name, ["SUPERSEDED"]))


async def _is(world: World, name: str, states: list[str]) -> bool:
    return await world.states(name) == states


async def test_a_report_under_an_old_fence_is_recorded_and_has_no_effect(world: World, service: Service) -> None:
    world.behave("hang")
    dispatcher = await service.start(InlinePool())
    name = await world.task()
    await world.until(lambda: _is(world, name, ["PROVING"]))
    (attempt,) = await world.attempts(name)
    assert attempt.id is not None
    for report in (
        Failed(attempt.prover_id, attempt.id, attempt.fence - 1, Refused("W3B-4080", "stale")),
        Proved(attempt.prover_id, attempt.id, attempt.fence + 1, None),  # type: ignore[arg-type]
    ):
        await dispatcher.handle([report])
    assert await world.states(name) == ["PROVING"]
    late = [event for event in await world.events(name) if event.code == "W3B-3002"]
    assert len(late) == 2
    assert (await world.get_task(name)).attempts_used == 0


async def test_a_report_after_the_attempt_was_lost_is_recorded_and_has_no_effect(
    world: World, service: Service
) -> None:
    world.behave("once:hang")
    dispatcher = await service.start(InlinePool(), replace(FAST, attempt_ms=500))
    name = await world.task()
    await world.reach(name, "SATISFIED")
    first, second = await world.attempts(name)
    before = await world.get_task(name)
    assert first.id is not None
    await dispatcher.handle([Failed(first.prover_id, first.id, first.fence, Refused("W3B-4080", "too late"))])
    assert await world.states(name) == ["LOST", "PROVED"]
    assert [e.attempt_id for e in await world.events(name) if e.code == "W3B-3002"] == [first.id]
    assert await world.get_task(name) == before
    assert second.fence > first.fence


async def test_a_draining_prover_finishes_and_gets_nothing_new(world: World, service: Service) -> None:
    world.behave("hang")
    await service.start(InlinePool())
    name = await world.task()
    await world.until(lambda: _is(world, name, ["PROVING"]))
    (attempt,) = await world.attempts(name)
    await world.drain(attempt.prover_id, drain=True)
    (world.programs["test.hash"].folder / "go").touch()
    await world.reach(name, "SATISFIED")
    later = [await world.task() for _ in range(4)]
    for each in later:
        await world.reach(each, "SATISFIED")
        assert {a.prover_id for a in await world.attempts(each)} != {attempt.prover_id}

    async def is_offline() -> bool:
        return (await world.prover_rows())[attempt.prover_id].status == "OFFLINE"

    await world.until(is_offline)


async def test_statuses_go_from_offline_over_idle_to_busy_and_back(world: World, service: Service) -> None:
    await service.start(InlinePool())
    await world.reach(await world.task(), "SATISFIED")

    async def all_idle() -> bool:
        return {row.status for row in (await world.prover_rows()).values()} == {"IDLE"}

    await world.until(all_idle)
    async with world.ledger.reading() as session:
        events = [(e.prover_id, e.status) for e in await session.exec(select(ProverEventRow))]
    assert ("test.hash-0", "IDLE") in events
    assert "BUSY" in {status for _, status in events}
    for prover_id in ("test.hash-0", "test.hash-1"):
        mine = [status for each, status in events if each == prover_id]
        assert all(one != two for one, two in pairwise(mine)), "an event is a change"
    rows = await world.prover_rows()
    assert {row.trust for row in rows.values()} == {"test only"}
    assert all(row.heartbeat_at > 0 for row in rows.values())


async def test_a_proof_that_the_chain_rejects_is_counted_and_made_again(world: World, service: Service) -> None:
    await service.start(InlinePool())
    name = await world.task()
    await world.reach(name, "SATISFIED")
    (attempt,) = await world.attempts(name)
    assert attempt.id is not None
    async with world.ledger.transaction() as session:
        now = world.ledger.clock()
        await move_attempt(session, now, attempt.id, attempt.fence, AttemptState.REJECTED, code="W3B-5003")
        await move_task(session, now, name, TaskState.OPEN)
    await world.until(lambda: _is(world, name, ["REJECTED", "PROVED"]))
    task = await world.reach(name, "SATISFIED")
    assert task.attempts_used == 1


async def test_readings_that_do_not_make_the_inputs_are_never_proven(world: World, service: Service) -> None:
    name = await world.task()
    async with world.ledger.transaction() as session:
        row = (await session.exec(select(ReadingRow).where(ReadingRow.task_id == name))).first()
        await session.delete(row)
    await service.start(InlinePool())
    await world.reach(name, "FAILED")
    assert {a.code for a in await world.attempts(name)} == {"W3B-3009"}
    assert not list(world.programs["test.hash"].folder.glob("proving-*"))


async def test_a_dispatcher_that_starts_again_loses_what_was_proving_and_keeps_what_was_assigned(
    world: World, service: Service, chain: Chain
) -> None:
    world.behave("hang")
    first = await service.start(InlinePool())
    proving = await world.task()
    await world.until(lambda: _is(world, proving, ["PROVING"]))
    chain.down = True
    assigned = await world.task()
    await world.until(lambda: _is(world, assigned, ["ASSIGNED"]))
    await first.stop()
    assert await world.states(proving) == ["PROVING"]
    world.behave("")
    chain.down = False
    await service.start(InlinePool())
    await world.reach(proving, "SATISFIED")
    await world.reach(assigned, "SATISFIED")
    assert await world.states(proving) == ["LOST", "PROVED"]
    assert await world.states(assigned) == ["PROVED"]


async def test_a_small_project_is_served_beside_a_large_one(world: World, service: Service) -> None:
    await world.project(2)
    many = [await world.task(1) for _ in range(30)]
    one = await world.task(2)
    await service.start(InlinePool())
    await world.reach(one, "SATISFIED")
    done = [name for name in many if (await world.get_task(name)).state == "SATISFIED"]
    assert len(done) <= 6
    for name in many:
        await world.reach(name, "SATISFIED", 60)
    assert [await world.states(name) for name in many] == [["PROVED"]] * 30


async def test_a_prover_with_another_key_is_registered_again(world: World, service: Service) -> None:
    first = await service.start(InlinePool())
    await world.reach(await world.task(), "SATISFIED")
    await first.stop()
    before = (await world.prover_rows())["test.hash-0"]
    load_identity(world.home, "test.hash-0").key_file.unlink()
    await service.start(InlinePool())
    await world.reach(await world.task(), "SATISFIED")
    after = (await world.prover_rows())["test.hash-0"]
    assert after.address != before.address
    assert after.address == load_identity(world.home, "test.hash-0").address


async def test_a_worker_that_dies_costs_an_attempt_and_comes_back(world: World, service: Service) -> None:
    world.behave("once:hang")
    pool = InlinePool()
    await service.start(pool)
    name = await world.task()
    await world.until(lambda: _is(world, name, ["PROVING"]))
    (attempt,) = await world.attempts(name)
    await pool.kill(attempt.prover_id)
    await world.reach(name, "SATISFIED")
    first, second = await world.attempts(name)
    assert (first.state, first.code, second.state) == ("LOST", "W3B-4082", "PROVED")


class Forgetful(InlinePool):
    """Loses the first report of a proof."""

    lost = 0

    async def next_events(self) -> Sequence[PoolEvent]:
        events = await super().next_events()
        if not self.lost and any(isinstance(event, Proved) for event in events):
            self.lost += 1
            return [event for event in events if not isinstance(event, Proved)]
        return events


async def test_an_attempt_whose_report_was_lost_runs_out_and_the_task_is_proven_again(
    world: World, service: Service
) -> None:
    await service.start(Forgetful())
    name = await world.task()
    await world.reach(name, "SATISFIED")
    assert [(a.state, a.code) for a in await world.attempts(name)] == [("LOST", "W3B-3008"), ("PROVED", "")]


async def test_a_paused_project_gets_no_leases_until_it_is_resumed(world: World, service: Service) -> None:
    await world.set_project_state(1, "PAUSED")
    await world.project(2)
    name = await world.task()
    await service.start(InlinePool())
    await world.reach(await world.task(2), "SATISFIED")
    assert await world.states(name) == []
    await world.set_project_state(1, "ACTIVE")
    await world.reach(name, "SATISFIED")
