"""Workers follow a cluster: `look` by look over a real ledger, and once on Ray with nodes that come and die."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_world import FAST, World

from coordinator.dispatch.fleet import Fleet
from coordinator.dispatch.following import Follower, backlog_by_kind
from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.pool import Worker, WorkerSpec
from verifier.errors import Unavailable

HERE = Path(__file__).parent
KIND = "test.hash"


class Cluster(InlinePool):
    """A cluster on paper: `have` workers fit, every worker is ready at once."""

    def __init__(self, have: int) -> None:
        super().__init__()
        self.have = have
        self.asked: list[int] = []
        self.present: dict[str, Worker] = {}

    async def add(self, specs: tuple[WorkerSpec, ...]) -> None:
        self.present.update((spec.id, Worker(spec.id, spec.kind, ready=True, heard_at=1)) for spec in specs)

    def workers(self) -> tuple[Worker, ...]:
        return tuple(self.present.values())

    async def room(self, kinds: Sequence[str]) -> Mapping[str, int]:
        return dict.fromkeys(kinds, self.have)

    async def ask_for(self, counts: Mapping[str, int]) -> None:
        self.asked.append(counts[KIND])

    async def remove(self, worker_ids: Sequence[str]) -> None:
        for name in worker_ids:
            del self.present[name]


class Site:
    """A follower with all that it works on, and a clock that the test moves."""

    def __init__(self, world: World, have: int, **settings: object) -> None:
        self.world, self.cluster, self.now = world, Cluster(have), 0
        self.crew: dict[str, WorkerSpec] = {}
        self.fleet = Fleet(world.ledger, FAST, {})
        values = {"provers_min": 1, "provers_max": 4, "provers_idle_seconds": 10.0, **settings}
        model = WorkerSpec(f"{KIND}-0", KIND, (world.programs[KIND],))
        self.follower = Follower(
            world.ledger,
            self.cluster,
            self.fleet,
            world.settings.model_copy(update=values),
            crew=self.crew,
            models=[model],
            steady=lambda: self.now,
        )

    async def look(self, seconds: float = 0) -> list[str]:
        self.now += round(seconds * 1000)
        await self.follower.look()
        assert self.crew.keys() == self.cluster.present.keys()
        return sorted(self.crew)


def names(count: int) -> list[str]:
    return [f"{KIND}-{number}" for number in range(count)]


async def test_there_are_as_many_workers_as_tasks_wait_and_nodes_hold(world: World) -> None:
    site = Site(world, have=2)
    assert await site.look() == names(1)
    for _ in range(6):
        await world.task()
    assert await world.ledger.read(backlog_by_kind) == {KIND: 6}
    assert await site.look() == names(2)  # the nodes have no room for more
    site.cluster.have = 9
    assert await site.look() == names(4)  # `provers_max`
    assert site.cluster.asked == [1, 4]  # the autoscaler is told once each time
    assert (await world.prover_rows()).keys() == set(names(4))


async def test_idle_workers_go_after_a_while_and_come_back_under_the_same_names(world: World) -> None:
    site = Site(world, have=4)
    tasks = [await world.task() for _ in range(4)]
    assert await site.look() == names(4)
    addresses = {name: row.address for name, row in (await world.prover_rows()).items()}
    for name in tasks:
        async with world.ledger.transaction() as session:
            task = await session.merge(await world.get_task(name))
            task.state = "CANCELLED"
    assert await site.look(5) == names(4)
    assert await site.look(9) == names(4)  # the lull began at the last look only
    assert await site.look(2) == names(4)  # from now on they get nothing new
    assert await site.look(2) == names(1)
    rows = await world.prover_rows()
    assert {name: row.status for name, row in rows.items()} == dict.fromkeys(names(4), "OFFLINE")
    for _ in range(3):
        await world.task()
    assert await site.look() == names(3)
    assert {name: row.address for name, row in (await world.prover_rows()).items()} == addresses


async def test_a_busy_worker_is_drained_before_it_goes(world: World) -> None:
    site = Site(world, have=2, provers_min=2, provers_idle_seconds=0.0)
    assert await site.look() == names(2)
    for name in names(2):
        site.cluster.present[name] = replace(site.cluster.present[name], held=frozenset({7}))
    site.cluster.have = 1
    await site.look()
    assert await site.look(61) == names(2)
    assert site.fleet.leaving == {f"{KIND}-1"}
    site.cluster.present[f"{KIND}-1"] = replace(site.cluster.present[f"{KIND}-1"], held=frozenset())
    assert await site.look() == names(1)


async def test_the_worker_of_a_lost_node_is_waited_for_and_goes_first(world: World) -> None:
    site = Site(world, have=3, provers_min=3)
    assert await site.look() == names(3)
    site.cluster.present[f"{KIND}-0"] = replace(site.cluster.present[f"{KIND}-0"], ready=False)
    site.cluster.have = 2
    assert await site.look(1) == names(3)
    site.cluster.have = 3  # the node is back in time
    assert await site.look(59) == names(3)
    site.cluster.have = 2
    assert await site.look(1) == names(3)
    assert await site.look(60) == names(3)[1:]


async def test_while_the_cluster_does_not_answer_the_workers_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(world, have=2, provers_min=2)
    assert await site.look() == names(2)
    answered = asyncio.Event()

    async def silent(kinds: Sequence[str]) -> Mapping[str, int]:
        answered.set()
        raise Unavailable("W3B-8002", "no answer")

    monkeypatch.setattr(site.cluster, "room", silent)
    running = asyncio.create_task(site.follower.run(0.01))
    async with asyncio.timeout(20):
        await answered.wait()
    await asyncio.sleep(0.05)  # some more looks that fail
    assert not running.done()
    running.cancel()
    assert sorted(site.crew) == names(2)


def test_workers_follow_the_nodes_of_a_ray_cluster(tmp_path: Path) -> None:
    """New nodes get workers, a killed node's worker becomes Offline and is dropped, and no task is lost."""
    done = subprocess.run(
        [sys.executable, str(HERE / "following_process.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-3000:]
    steps = {line["step"]: line for line in lines}
    assert steps["one node"]["crew"] == names(2)
    assert steps["two nodes"]["crew"] == names(3)
    last = steps["one node again"]
    assert len(last["crew"]) == 2
    assert [name for name, status in last["status"].items() if status == "OFFLINE"] == sorted(
        set(names(3)) - set(last["crew"])
    )
    assert steps["proven"]["tasks"] == 4
