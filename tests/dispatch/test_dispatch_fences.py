"""Fences, hedges, dead letters and re-runs on threads and a real ledger: what an old attempt says never touches the
new one, and of two attempts one wins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from dispatch_provers import HashProver
from dispatch_world import DOMAIN, FAST, Chain, Service, World
from sqlmodel import select

from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.pool import Died, Failed, Proved
from coordinator.dispatch.proving_task import Wanted, load_proving_tasks
from coordinator.dispatch.requeue import dead_tasks, requeue
from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.bulk import AttemptMove, NewAttempt, TaskMove, add_attempts, move_attempts, move_tasks
from coordinator.ledger.history_tables import RerunRow
from coordinator.ledger.store import move_attempt, move_task
from coordinator.ledger.tables import AttemptRow, ProverEventRow
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.scheduling.values import Limits
from provers.protocol import Proof
from verifier.errors import Conflict, InvalidInput, Refused

HEDGING = replace(FAST, hedge_samples=3, hedge_floor_ms=100, hedge_share=1.0)


async def proof_of(world: World, attempt: AttemptRow) -> Proof:
    """A sound proof of the attempt, made outside of every worker."""
    wanted = [Wanted(attempt.task_id, attempt.program_id, attempt.prover_address)]
    (task,) = await world.ledger.read(lambda connection: load_proving_tasks(connection, DOMAIN, VersionBook(), wanted))
    prover = HashProver()
    behaviour = world.programs["test.hash"].folder / "behaviour"
    behaviour.unlink(missing_ok=True)
    assert not isinstance(task, Exception)
    return prover.prove(prover.prepare(world.programs["test.hash"], lambda *_: None), task, lambda *_: None)


async def proving(world: World, service: Service, limits: Limits = FAST) -> tuple[Dispatcher, AttemptRow]:
    """A dispatcher with one attempt that hangs."""
    world.behave("hang")
    dispatcher = await service.start(InlinePool(), limits)
    name = await world.task()

    async def holds() -> bool:
        return await world.states(name) == ["PROVING"]

    await world.until(holds)
    (attempt,) = await world.attempts(name)
    return dispatcher, attempt


async def late_events(world: World, name: str) -> list[str]:
    return [event.reason for event in await world.events(name) if event.code == "W3B-3002"]


async def test_a_report_that_is_delivered_again_counts_once(world: World, service: Service) -> None:
    dispatcher, attempt = await proving(world, service)
    assert attempt.id is not None
    report = Proved(attempt.prover_id, attempt.id, attempt.fence, await proof_of(world, attempt))
    await dispatcher.handle([report, report])
    await dispatcher.handle([report])
    assert await world.states(attempt.task_id) == ["PROVED"]
    assert (await world.get_task(attempt.task_id)).state == "SATISFIED"
    assert len(await late_events(world, attempt.task_id)) == 2
    targets = [event.target for event in await world.events(attempt.task_id) if event.source != event.target]
    assert targets == ["ASSIGNED", "PROVING", "PROVED", "SATISFIED"]


async def test_reports_in_the_wrong_order_leave_the_first_one_in_force(world: World, service: Service) -> None:
    dispatcher, attempt = await proving(world, service)
    assert attempt.id is not None
    proof = await proof_of(world, attempt)
    failed = Failed(attempt.prover_id, attempt.id, attempt.fence, Refused("W3B-4080", "no"))
    died = Died(attempt.prover_id, "gone", attempt.id, attempt.fence)
    await dispatcher.handle([Proved(attempt.prover_id, attempt.id, attempt.fence, proof), failed, died])
    assert await world.states(attempt.task_id) == ["PROVED"]
    task = await world.get_task(attempt.task_id)
    assert (task.state, task.attempts_used) == ("SATISFIED", 0)
    assert len(await late_events(world, attempt.task_id)) == 2


async def test_reports_of_an_old_attempt_never_touch_the_new_one(world: World, service: Service, chain: Chain) -> None:
    dispatcher, old = await proving(world, service)
    assert old.id is not None
    proof = await proof_of(world, old)
    world.behave("hang")
    async with world.ledger.transaction() as session:
        now = world.ledger.clock()
        await move_attempt(session, now, old.id, old.fence, AttemptState.LOST, code="W3B-3008")

    async def is_tried_again() -> bool:
        return await world.states(old.task_id) == ["LOST", "PROVING"]

    await world.until(is_tried_again)
    _, new = await world.attempts(old.task_id)
    assert new.id is not None
    before = await world.get_task(old.task_id)
    stale = [
        Proved(old.prover_id, old.id, old.fence, proof),
        Failed(old.prover_id, old.id, old.fence, Refused("W3B-4080", "stale")),
        Died(old.prover_id, "stale", old.id, old.fence),
        Proved(old.prover_id, new.id, old.fence, proof),
        Failed(new.prover_id, new.id, old.fence, Refused("W3B-4080", "the new one's id, the old one's fence")),
        Died(new.prover_id, "stale", new.id, new.fence + 1),
        Proved(new.prover_id, 10_000, new.fence, proof),
    ]
    for report in stale:
        await dispatcher.handle([report])
    assert await world.states(old.task_id) == ["LOST", "PROVING"]
    assert await world.get_task(old.task_id) == before
    assert len(await late_events(world, old.task_id)) == 6


async def test_a_proof_of_the_old_attempt_is_no_proof_of_the_new_one(world: World, service: Service) -> None:
    dispatcher, attempt = await proving(world, service)
    assert attempt.id is not None
    other = attempt.model_copy(update={"prover_address": "0x" + "77" * 20})
    proof = await proof_of(world, other)
    world.behave("hang")
    await dispatcher.handle([Proved(attempt.prover_id, attempt.id, attempt.fence, proof)])
    first = (await world.attempts(attempt.task_id))[0]
    assert (first.state, first.code, first.proof) == ("REJECTED", "W3B-4081", None)


async def test_a_restart_costs_the_task_no_attempt_and_old_reports_are_refused(world: World, service: Service) -> None:
    dispatcher, old = await proving(world, service)
    assert old.id is not None
    proof = await proof_of(world, old)
    await dispatcher.stop()
    second = await service.start(InlinePool())
    task = await world.reach(old.task_id, "SATISFIED")
    first, again = await world.attempts(old.task_id)
    assert (first.state, first.code, again.state) == ("LOST", "W3B-3081", "PROVED")
    assert task.attempts_used == 0
    await second.handle([Proved(old.prover_id, old.id, old.fence, proof)])
    assert await world.states(old.task_id) == ["LOST", "PROVED"]
    assert len(await late_events(world, old.task_id)) == 1


async def test_a_task_that_brings_the_coordinator_down_every_time_comes_to_an_end(
    world: World, service: Service
) -> None:
    limits = replace(FAST, interruption_cap=2, attempt_cap=2)
    name = await world.task()
    for before in range(4):
        world.behave("hang")
        dispatcher = await service.start(InlinePool(), limits)

        async def is_proving(before: int = before) -> bool:
            return await world.states(name) == ["LOST"] * before + ["PROVING"]

        await world.until(is_proving)
        await dispatcher.stop()
    await service.start(InlinePool(), limits)
    task = await world.reach(name, "FAILED")
    assert (task.code, task.attempts_used) == ("W3B-3005", 2)
    assert await world.states(name) == ["LOST"] * 4


async def test_an_attempt_that_takes_long_is_hedged_and_one_of_the_two_wins(world: World, service: Service) -> None:
    await service.start(InlinePool(), HEDGING)
    for _ in range(4):
        await world.reach(await world.task(), "SATISFIED")
    world.behave("once:hang")
    name = await world.task()
    task = await world.reach(name, "SATISFIED")
    first, second = await world.attempts(name)
    assert (first.state, first.hedge) == ("SUPERSEDED", False)
    assert (second.state, second.hedge) == ("PROVED", True)
    assert first.prover_id != second.prover_id
    assert first.fence < second.fence
    assert task.attempts_used == 0, "who lost a race has not failed"
    (world.programs["test.hash"].folder / "go").touch()
    await world.reach(await world.task(), "SATISFIED")
    assert await world.states(name) == ["SUPERSEDED", "PROVED"]


async def test_the_first_attempt_may_win_against_its_hedge(world: World, service: Service) -> None:
    dispatcher = await service.start(InlinePool(), HEDGING)
    for _ in range(4):
        await world.reach(await world.task(), "SATISFIED")
    world.behave("hang")
    name = await world.task()

    async def both() -> bool:
        return await world.states(name) == ["PROVING", "PROVING"]

    await world.until(both)
    first, second = await world.attempts(name)
    assert first.id is not None
    assert second.id is not None
    proofs = [Proved(each.prover_id, each.id, each.fence, await proof_of(world, each)) for each in (first, second)]
    await dispatcher.handle(proofs)
    assert await world.states(name) == ["PROVED", "SUPERSEDED"], "both reported at once: the first report wins"
    assert (await world.get_task(name)).output == first.output or (await world.attempts(name))[0].output
    assert len(await world.attempts(name)) == 2, "one hedge a task and kind"


async def test_no_hedge_is_made_when_it_is_turned_off_or_p95_is_not_known(world: World, service: Service) -> None:
    await service.start(InlinePool(), replace(HEDGING, hedge_share=0.0))
    for _ in range(4):
        await world.reach(await world.task(), "SATISFIED")
    world.behave("once:hang")
    name = await world.task()

    async def is_proving() -> bool:
        return await world.states(name) == ["PROVING"]

    await world.until(is_proving)
    await asyncio.sleep(0.6)  # six times the floor: nothing must happen in it
    assert await world.states(name) == ["PROVING"]


async def failed_task(world: World, service: Service) -> str:
    world.behave("garbage")
    await service.start(InlinePool(), replace(FAST, attempt_cap=2))
    name = await world.task()
    await world.reach(name, "FAILED")
    return name


async def put_back(world: World, name: str, deadline_at: int = 0) -> None:
    async with world.ledger.transaction() as session:
        await requeue(session, world.ledger.clock(), name, reason="put back by a test", deadline_at=deadline_at)


async def record_mined(world: World, name: str) -> None:
    """The task's record on chain, mined, as the settlement would have left it."""
    async with world.ledger.transaction() as session:
        tx = await Chain(world.ledger)._tx(session, f"record:{name}", "apply_batch")
        task = await session.get_one(type(await world.get_task(name)), name)
        task.record_tx = tx
        session.add(task)


async def test_a_failed_task_is_put_back_with_a_fresh_cap(world: World, service: Service) -> None:
    name = await failed_task(world, service)
    await record_mined(world, name)
    world.behave("once:garbage")
    await put_back(world, name)
    task = await world.reach(name, "SATISFIED")
    assert (task.requeues, task.attempts_used, task.code) == (1, 1, "")
    assert await world.states(name) == ["REJECTED", "REJECTED", "REJECTED", "PROVED"]
    assert [a.fence for a in await world.attempts(name)] == [1, 2, 3, 4]
    assert any(event.reason == "put back by a test" for event in await world.events(name))


async def test_a_task_whose_record_is_not_mined_waits_for_it(world: World, service: Service) -> None:
    name = await failed_task(world, service)
    await put_back(world, name)
    task = await world.get_task(name)
    assert (task.state, task.record_tx) == ("RECEIVED", None)


async def test_an_expired_task_gets_as_long_again_or_the_deadline_that_is_given(world: World, service: Service) -> None:
    await service.start(InlinePool())
    world.behave("hang")
    first, second = await world.task(deadline_ms=600), await world.task(deadline_ms=600)
    await world.reach(first, "EXPIRED")
    await world.reach(second, "EXPIRED")
    now = world.ledger.clock()
    with pytest.raises(InvalidInput, match="W3B-3006"):
        await put_back(world, second, now - 1)
    await put_back(world, first)
    assert 0 < (await world.get_task(first)).deadline_at - now <= 1_600
    await put_back(world, second, now + 500_000)
    assert (await world.get_task(second)).deadline_at == now + 500_000


async def test_only_dead_tasks_that_the_chain_has_not_accepted_are_put_back(world: World, service: Service) -> None:
    name = await failed_task(world, service)
    with pytest.raises(Conflict, match="W3B-3001"):
        await put_back(world, await world.task())
    async with world.ledger.transaction() as session:
        row = await session.get_one(AttemptRow, (await world.attempts(name))[0].id)
        row.state = "VERIFIED"
        session.add(row)
    with pytest.raises(Conflict, match="W3B-3083"):
        await put_back(world, name)


async def test_the_dead_tasks_of_a_project_are_found_by_code(world: World, service: Service) -> None:
    name = await failed_task(world, service)
    async with world.ledger.reading() as session:
        assert await dead_tasks(session, 1) == [name]
        assert await dead_tasks(session, 1, "W3B-3005") == [name]
        assert await dead_tasks(session, 1, "W3B-3006") == []
        assert await dead_tasks(session, 2) == []


async def ask_again(world: World, name: str, prover_id: str = "") -> int:
    async with world.ledger.transaction() as session:
        now = world.ledger.clock()
        row = RerunRow(task_id=name, kind="test.hash", prover_id=prover_id, created_at=now, updated_at=now)
        session.add(row)
        await session.flush()
        assert row.id is not None
        return row.id


async def rerun_ends(world: World, rerun_id: int) -> RerunRow:
    async def get() -> RerunRow:
        async with world.ledger.reading() as session:
            return await session.get_one(RerunRow, rerun_id)

    async def has_ended() -> bool:
        return (await get()).state in ("DONE", "FAILED")

    await world.until(has_ended)
    return await get()


async def test_a_task_computed_again_by_a_prover_of_choice_has_the_same_output(world: World, service: Service) -> None:
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "SATISFIED")
    before = await world.attempts(name)
    row = await rerun_ends(world, await ask_again(world, name, "test.hash-1"))
    assert (row.state, row.same, row.prover_id, row.output, row.fence) == ("DONE", True, "test.hash-1", task.output, 1)
    assert await world.attempts(name) == before, "it is no attempt, and settles nothing"
    assert await world.get_task(name) == task
    told = [(event.target, event.code) for event in await world.events(name) if event.subject == "rerun"]
    assert told == [("RUNNING", ""), ("DONE", "")]
    async with world.ledger.reading() as session:
        reasons = [event.reason for event in await session.exec(select(ProverEventRow))]
    assert any(name in reason for reason in reasons), "why a prover was Busy"


@pytest.mark.parametrize(("is_credulous", "state"), [(True, "DONE"), (False, "FAILED")])
async def test_another_output_is_told_with_its_code(
    world: World, service: Service, is_credulous: bool, state: str
) -> None:
    await service.start(InlinePool())
    name = await world.task()
    task = await world.reach(name, "SATISFIED")
    if is_credulous:
        (world.programs["test.hash"].folder / "credulous").touch()
    world.behave("liar")
    row = await rerun_ends(world, await ask_again(world, name))
    assert (row.state, row.same, row.code) == (state, False, "W3B-3082")
    assert row.output != task.output
    assert row.public_output is not None
    assert [event.code for event in await world.events(name) if event.target == state] == ["W3B-3082"]
    assert (await world.get_task(name)).state == "SATISFIED"


async def test_a_rerun_whose_worker_dies_goes_to_another_and_old_reports_of_it_are_refused(
    world: World, service: Service
) -> None:
    pool = InlinePool()
    dispatcher = await service.start(pool)
    name = await world.task()
    await world.reach(name, "SATISFIED")
    world.behave("once:hang")
    rerun_id = await ask_again(world, name)

    async def is_running() -> bool:
        return any(-rerun_id in worker.held for worker in pool.workers())

    await world.until(is_running)
    (holder,) = [worker.id for worker in pool.workers() if -rerun_id in worker.held]
    await pool.kill(holder)
    row = await rerun_ends(world, rerun_id)
    assert (row.state, row.same, row.fence) == ("DONE", True, 2)
    await dispatcher.handle([Failed(holder, -rerun_id, 1, Refused("W3B-4080", "stale"))])
    assert (await rerun_ends(world, rerun_id)).state == "DONE"


async def test_many_moves_at_once_keep_every_guard(world: World) -> None:
    names = [await world.task() for _ in range(3)]
    now = world.ledger.clock()

    def attempt(name: str) -> NewAttempt:
        return NewAttempt(name, 1, "test.hash", "0x01", "test.hash-0", "0x" + "11" * 20, now + 9_000, now + 9_000)

    async with world.ledger.transaction() as session:
        await move_task(session, now, names[2], TaskState.CANCELLED)
    made, refused = await world.ledger.write(
        lambda c: add_attempts(c, now, [attempt(names[0]), attempt(names[0]), attempt(names[2]), attempt("0x99")])
    )
    assert [(each.task_id, fence) for each, _, fence in made] == [(names[0], 1), (names[0], 2)]
    assert [refusal.error.code for refusal in refused] == ["W3B-3001", "W3B-3001"]
    first, second = [attempt_id for _, attempt_id, _ in made]
    moves = [
        AttemptMove(first, 1, AttemptState.PROVING),
        AttemptMove(first, 1, AttemptState.PROVED, values={"output": "0xaa"}),
        AttemptMove(first, 1, AttemptState.PROVING),
        AttemptMove(second, 1, AttemptState.PROVING),
        AttemptMove(second, 2, AttemptState.VERIFIED),
        AttemptMove(777, 1, AttemptState.PROVING),
    ]
    moved, refusals = await world.ledger.write(lambda c: move_attempts(c, now, moves))
    assert [(each.id, each.source, each.target) for each in moved] == [
        (first, "ASSIGNED", "PROVING"),
        (first, "PROVING", "PROVED"),
    ]
    assert [(each.id, each.error.code) for each in refusals] == [
        (first, "W3B-3001"),
        (second, "W3B-3002"),
        (second, "W3B-3001"),
        (777, "W3B-3004"),
    ]
    assert [a.state for a in await world.attempts(names[0])] == ["PROVED", "ASSIGNED"]
    done, undone = await world.ledger.write(
        lambda c: move_tasks(c, now, [TaskMove(names[1], TaskState.SATISFIED), TaskMove(names[2], TaskState.OPEN)])
    )
    assert (done, [each.id for each in undone]) == ([names[1]], [names[2]])


async def test_what_raises_in_one_hop_leaves_nothing_behind(world: World) -> None:
    name = await world.task()

    def work(connection: object) -> None:
        move_tasks(connection, 1, [TaskMove(name, TaskState.SATISFIED)])  # type: ignore[arg-type]
        raise Conflict("W3B-3001", "no")

    with pytest.raises(Conflict):
        await world.ledger.write(work)
    assert (await world.get_task(name)).state == "OPEN"
    assert await world.ledger.read(lambda connection: connection.in_transaction() is not None)
    await world.ledger.write(lambda connection: move_tasks(connection, 1, [TaskMove(name, TaskState.SATISFIED)]))
    assert (await world.get_task(name)).state == "SATISFIED"
