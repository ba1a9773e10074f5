"""A dispatcher on a Ray cluster of several nodes: `python following_process.py HOME` adds and kills nodes, and prints one
line of JSON for each step, as the dispatcher saw it. A process of its own, for a process has one Ray."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from dispatch_world import FAST, Chain, World, background

from coordinator.dispatch import following
from coordinator.dispatch.dispatcher import Dispatcher
from coordinator.dispatch.ray_pool import RayPool
from coordinator.dispatch.ray_runtime import OBJECT_STORE_BYTES, prepare_environment

HERE = Path(__file__).parent
SLACK = 120.0


async def told(world: World, dispatcher: Dispatcher, step: str) -> None:
    rows = await world.prover_rows()
    now = {"step": step, "crew": sorted(spec.id for spec in dispatcher.specs)}
    print(json.dumps({**now, "status": {name: row.status for name, row in rows.items()}}), flush=True)


async def follow(world: World, cluster: Any) -> None:
    pool = RayPool(world.home, {}, address=cluster.address, ping_seconds=0.2)
    dispatcher = world.dispatcher(pool, FAST, cluster=pool)

    async def ready(count: int) -> bool:
        rows = (await world.prover_rows()).values()
        return len(dispatcher.specs) == count == sum(row.status != "OFFLINE" for row in rows)

    async with background(Chain(world.ledger).run()), background(dispatcher.run()):
        # Ray sets a signal handler for each node: in the main thread, while the dispatcher waits.
        cluster.add_node(resources={"prover_test_hash": 2}, num_cpus=1)
        await world.until(lambda: ready(2), SLACK)
        await told(world, dispatcher, "one node")
        second = cluster.add_node(resources={"prover_test_hash": 1}, num_cpus=1)
        await world.until(lambda: ready(3), SLACK)
        await told(world, dispatcher, "two nodes")
        await asyncio.to_thread(cluster.remove_node, second, allow_graceful=False)
        tasks = [await world.task() for _ in range(4)]
        await world.until(lambda: ready(2), SLACK)
        await told(world, dispatcher, "one node again")
        for task in tasks:
            await world.reach(task, "SATISFIED", SLACK)
        print(json.dumps({"step": "proven", "tasks": len(tasks)}), flush=True)
        await dispatcher.stop()


async def main(home: Path) -> None:
    prepare_environment(home, local=True)  # Ray of this test listens on loopback only, and asks for a token
    # What the image and the pod's environment are on a cluster.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    os.environ["W3BSTREAM_HOME"] = str(home)
    from ray.cluster_utils import Cluster

    following.GONE_SECONDS = 3.0
    world = World(home)
    world.settings = world.settings.model_copy(update={"provers_min": 3, "provers_idle_seconds": 1.0})
    await world.create()
    await world.project()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        },
    )
    try:
        await follow(world, cluster)
    finally:
        await asyncio.to_thread(cluster.shutdown)
        await world.ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
