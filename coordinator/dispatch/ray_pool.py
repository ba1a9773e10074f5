"""Workers as Ray actors, one process each, one unit of the custom resource `prover_<kind>` each.

Ray restarts nothing by itself here: this pool sees a death (the pending call fails), tells it, and starts the worker
again with growing pauses, so that state is always that of a freshly prepared worker. A worker that will not stop is
killed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coordinator.dispatch.pool import Died, Failed, PoolEvent, Proved, Stirred, Worker, WorkerSpec
from coordinator.dispatch.ray_runtime import (
    resource_name,
    start_ray,
    stop_ray,
    take_back_sigterm,
    worker_environment,
)
from coordinator.ledger.store import Clock, system_clock
from provers.protocol import Proof, ProvingTask
from provers.worker import ProverWorker, WorkerReport, as_prover_error
from verifier.errors import Conflict, Unavailable, W3bstreamError

CALL_THREADS = 3
"""Threads of an actor: one proves, one answers pings, one is spare for the end of a cancelled call."""
FIRST_RESTART_SECONDS = 0.2
MOST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A worker that lived so long starts again without a pause."""


@dataclass
class _Actor:
    """A worker's life: the handle changes with each restart."""

    spec: WorkerSpec
    state: Worker
    handle: Any = None
    fence: int | None = None
    quick_deaths: int = 0
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a call failed: ping at once."""


class RayPool:
    """`ProverPool` on Ray.

    Parameters: `home` keeps the token and is the workers' data folder; `capacity` is the number of workers by kind
    that a local cluster has room for; `address` joins a cluster instead; `ping_seconds` is how often workers are
    asked, and one that leaves a ping unanswered for `silence_seconds` is killed; `import_paths` are further folders
    that workers import provers from.
    """

    def __init__(
        self,
        home: Path,
        capacity: Mapping[str, int],
        *,
        address: str = "",
        ping_seconds: float = 1.0,
        silence_seconds: float = 30.0,
        import_paths: tuple[Path, ...] = (),
        clock: Clock = system_clock,
    ) -> None:
        self._home = home
        self._capacity = dict(capacity)
        self._address = address
        self._ping_seconds = ping_seconds
        self._silence_seconds = silence_seconds
        self._import_paths = import_paths
        self._clock = clock
        self._actors: dict[str, _Actor] = {}
        self._events: asyncio.Queue[PoolEvent] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Future[bool] | None = None

    async def start(self) -> None:
        """Start or join Ray in a thread. Raises Unavailable (W3B-8002)."""
        begun = asyncio.to_thread(start_ray, self._home, self._capacity, self._address)
        self._starting = asyncio.ensure_future(begun)
        await asyncio.shield(self._starting)  # a thread cannot be cancelled: `stop` waits for it
        take_back_sigterm()

    async def add(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Start an actor for each; they become ready by and by. Raises Unavailable (W3B-8002) where a local cluster
        has no room: Ray itself would wait for ever."""
        if not self._address:
            import ray

            room = await asyncio.to_thread(ray.cluster_resources)
            for kind in {spec.kind for spec in specs}:
                have = room.get(resource_name(kind), 0)
                want = sum(spec.kind == kind for spec in specs)
                if have < want:
                    raise Unavailable("W3B-8002", f"Ray has room for {have:g} {kind} workers, not {want}")
        for spec in specs:
            actor = _Actor(spec, Worker(spec.id, spec.kind, ready=False, heard_at=0))
            self._actors[spec.id] = actor
            self._spawn(self._live(actor))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, actor: _Actor) -> None:
        """Start the worker, ask it until it dies, and begin again."""
        while True:
            began = time.monotonic()
            try:
                await self._prepare(actor)
                await self._ask(actor)
            except Exception as error:  # Ray's errors for a dead actor share no useful base with those of a lost node
                self._bury(actor, error)
            actor.quick_deaths = 0 if time.monotonic() - began > STEADY_SECONDS else actor.quick_deaths + 1
            pause = FIRST_RESTART_SECONDS * 2 ** min(actor.quick_deaths - 1, 10) if actor.quick_deaths else 0.0
            await asyncio.sleep(min(MOST_RESTART_SECONDS, pause))

    async def _prepare(self, actor: _Actor) -> None:
        import ray

        environment = worker_environment(
            self._home, actor.spec.threads, local=not self._address, import_paths=self._import_paths
        )
        actor.handle = (
            ray.remote(ProverWorker)
            .options(
                num_cpus=0,
                resources={resource_name(actor.spec.kind): 1},
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=CALL_THREADS,
                runtime_env={"env_vars": environment},
            )
            .remote(actor.spec.id, actor.spec.kind, actor.spec.entry)
        )
        found = await actor.handle.prepare.remote(actor.spec.programs)
        if isinstance(found, W3bstreamError):
            raise found
        report: WorkerReport = await actor.handle.ping.remote()
        actor.state = Worker(
            actor.spec.id,
            actor.spec.kind,
            ready=True,
            heard_at=self._clock(),
            node=report.node,
            program_ids=frozenset(program.program_id for program in found),
            trust=", ".join(sorted({program.trust for program in found})),
        )
        self._events.put_nowait(Stirred(actor.spec.id))

    async def _ask(self, actor: _Actor) -> None:
        """Ping until a ping fails or stays out; while one is late the worker is not heard of."""
        while True:
            async with asyncio.timeout(self._silence_seconds):
                report: WorkerReport = await actor.handle.ping.remote()
            mine = report.attempt_id == actor.state.attempt_id
            actor.state = replace(
                actor.state,
                heard_at=self._clock(),
                stage=report.stage if mine else "",
                progress=report.progress if mine else 0.0,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ping_seconds):
                    await actor.stirred.wait()
            actor.stirred.clear()

    def _bury(self, actor: _Actor, error: Exception) -> None:
        """Say that the worker died, and with it what it was proving."""
        import ray

        if actor.handle is not None:
            ray.kill(actor.handle, no_restart=True)
        told = str(error).strip().splitlines() or [f"no answer within {self._silence_seconds:g} s"]
        reason = f"{type(error).__name__}: {told[0][:300]}"
        died = Died(actor.spec.id, reason, actor.state.attempt_id, actor.fence)
        cause = error if isinstance(error, W3bstreamError) else Unavailable("W3B-4083", reason)
        actor.state = Worker(actor.spec.id, actor.spec.kind, ready=False, heard_at=0, error=cause)
        actor.handle = None
        actor.fence = None
        self._events.put_nowait(died)

    def workers(self) -> tuple[Worker, ...]:
        """Every worker as the last ping left it."""
        return tuple(actor.state for actor in self._actors.values())

    async def prove(self, worker_id: str, attempt_id: int, fence: int, task: ProvingTask) -> None:
        """Send the task to the actor. Raises Conflict (W3B-3001)."""
        actor = self._actors.get(worker_id)
        if actor is None or not actor.state.ready or actor.state.attempt_id is not None:
            raise Conflict("W3B-3001", f"worker {worker_id} cannot take attempt {attempt_id} now", field="worker")
        actor.state = replace(actor.state, attempt_id=attempt_id)
        actor.fence = fence
        self._spawn(self._wait(actor, actor.handle, attempt_id, fence, task))

    async def _wait(self, actor: _Actor, handle: Any, attempt_id: int, fence: int, task: ProvingTask) -> None:
        """Wait for the outcome. A death is told by `_live`, whose ping fails at the same time."""
        import ray

        try:
            outcome: Proof | W3bstreamError = await handle.prove.remote(attempt_id, fence, task)
        except ray.exceptions.RayActorError:
            actor.stirred.set()
            return
        except Exception as error:  # such as a result that cannot be pickled
            outcome = as_prover_error(error)
        if actor.handle is not handle or actor.state.attempt_id != attempt_id:
            return  # cancelled or dead meanwhile
        actor.state = replace(actor.state, attempt_id=None, stage="", progress=0.0)
        actor.fence = None
        if isinstance(outcome, W3bstreamError):
            self._events.put_nowait(Failed(actor.spec.id, attempt_id, fence, outcome))
        else:
            self._events.put_nowait(Proved(actor.spec.id, attempt_id, fence, outcome))

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Kill the worker if it still has the attempt: native code hears no gentler word. `_live` starts it again."""
        import ray

        actor = self._actors.get(worker_id)
        if actor is None or actor.state.attempt_id != attempt_id:
            return
        actor.state = replace(actor.state, attempt_id=None, ready=False)
        actor.fence = None
        actor.quick_deaths = -1  # this death is ours: no pause follows it
        ray.kill(actor.handle, no_restart=True)

    async def next_event(self) -> PoolEvent:
        """The next event."""
        return await self._events.get()

    async def stop(self) -> None:
        """Kill the workers, and end Ray if this pool started it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._starting is None:
            return
        try:
            owns_ray = await self._starting
        except Unavailable:
            return
        import ray

        for actor in self._actors.values():
            if actor.handle is not None:
                ray.kill(actor.handle, no_restart=True)
        if owns_ray:
            await asyncio.to_thread(stop_ray)
