"""What must hold: a proof that is reported while the ledger is away is recorded when it is back, at no cost to its task,
and what breaks one report's recording off drops no other's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from dispatch_world import Service, World
from test_dispatch_fences import late_events, proof_of, proving

from coordinator.dispatch import recording
from coordinator.dispatch.pool import Died, Failed, Proved
from coordinator.dispatch.recording import Recorder
from verifier.errors import Refused, Unavailable


async def test_a_proof_waits_for_a_ledger_that_is_away(
    world: World, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "AWAY_SECONDS", 0.02)
    dispatcher, attempt = await proving(world, service)
    assert attempt.id is not None
    report = Proved(attempt.prover_id, attempt.id, attempt.fence, await proof_of(world, attempt))
    write, refused, away = world.ledger.write, 0, True

    async def refusing(work: Any, **options: Any) -> Any:
        nonlocal refused
        if away:
            refused += 1
            raise Unavailable("W3B-3021", "the ledger does not answer")
        return await write(work, **options)

    async def was_tried() -> bool:
        return refused > 3

    monkeypatch.setattr(world.ledger, "write", refusing)
    handling = asyncio.create_task(dispatcher.handle([report]))
    await world.until(was_tried)
    away = False
    await handling
    assert await world.states(attempt.task_id) == ["PROVED"]
    assert (await world.get_task(attempt.task_id)).attempts_used == 0


async def test_a_report_that_cannot_be_recorded_drops_no_other(
    world: World, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher, attempt = await proving(world, service)
    assert attempt.id is not None
    named = (attempt.id, attempt.fence)
    proof = await proof_of(world, attempt)
    take_in, calls, begun, go_on = Recorder._take_in, 0, asyncio.Event(), asyncio.Event()

    async def breaking(self: Recorder, batch: list[Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            begun.set()
            await go_on.wait()
        if calls == 2:
            raise RuntimeError("a defect")
        await take_in(self, batch)

    monkeypatch.setattr(Recorder, "_take_in", breaking)
    first = asyncio.create_task(dispatcher.handle([Proved(attempt.prover_id, *named, proof)]))
    await begun.wait()
    second = asyncio.create_task(
        dispatcher.handle([Failed(attempt.prover_id, *named, Refused("W3B-4080", "it meets the defect"))])
    )
    third = asyncio.create_task(dispatcher.handle([Died(attempt.prover_id, "gone", *named)]))
    recorder = dispatcher._recorder

    async def both_wait() -> bool:
        return len(recorder._waiting) == 2

    await world.until(both_wait)
    go_on.set()
    done = await asyncio.gather(first, second, third, return_exceptions=True)
    assert [type(each) for each in done] == [type(None), RuntimeError, type(None)]
    assert await world.states(attempt.task_id) == ["PROVED"]
    (late,) = await late_events(world, attempt.task_id)
    assert "Died" in late
