"""The figures of `benchmarks/spine`: what is lost or doubled is seen, and a target that is missed is not called met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from benchmarks.spine.durable import Jobs, prepare_project, submit
from benchmarks.spine.figures import TARGETS
from benchmarks.spine.recovery import Watch
from coordinator.ledger.bulk import TASKS, Event, add_events
from coordinator.ledger.store import Ledger


async def test_verdict_sees_what_is_lost_and_what_is_doubled(tmp_path: Path) -> None:
    ledger = Ledger.at(tmp_path / "ledger.db")
    await ledger.migrate()
    await prepare_project(ledger, Jobs())
    names = await submit(ledger, Jobs(), 4)
    watch = Watch(ledger)

    def end(*ended: str) -> Any:
        def work(connection: Connection) -> None:
            connection.execute(update(TASKS).where(TASKS.c.id.in_(ended)).values(state="SATISFIED"))
            add_events(connection, 1, [Event(name, 1, "task", "OPEN", "SATISFIED", "proven") for name in ended])

        return work

    assert await watch.verdict(4) == {"lost": 4, "doubled": 0}
    await ledger.write(end(*names[:3]))
    assert await watch.verdict(4) == {"lost": 1, "doubled": 0}
    await ledger.write(end(names[0]))
    assert await watch.verdict(4) == {"lost": 1, "doubled": 1}
    await ledger.close()


@pytest.mark.parametrize(
    ("name", "met", "missed"), [("job_vs_ray", 0.30, 0.29), ("latency_p99_ms", 25, 25.1), ("lost", 0, 1)]
)
def test_targets(name: str, met: float, missed: float) -> None:
    assert TARGETS[name].is_met(met)
    assert not TARGETS[name].is_met(missed)
