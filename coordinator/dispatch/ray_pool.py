"""Workers as Ray actors, one process each, one unit of the custom resource `prover_<kind>` each.

Ray restarts nothing by itself here: this pool sees a death (the pending call fails), tells it, and starts the worker
again with growing pauses, so that state is always that of a freshly prepared worker. A worker that will not stop is
killed. A local cluster whose raylet or GCS died is started again with all its workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import structlog

from coordinator.dispatch.pool import (
    Died,
    Failed,
    PoolEvent,
    PoolEvents,
    Proved,
    Steady,
    Stirred,
    Worker,
    WorkerSpec,
    steady_clock,
)
from coordinator.dispatch.ray_runtime import (
    cluster_whole,
    resource_name,
    start_ray,
    stop_ray,
    take_back_sigterm,
    worker_environment,
)
from coordinator.ledger.store import Clock, system_clock
from provers.worker import Outcome, ProverWorker, Work, WorkerReport, as_prover_error
from verifier.errors import Conflict, Unavailable, W3bstreamError

CALLS_AHEAD = 2
"""Calls under way at a worker: while one is proven the next is there already."""
CALL_TASKS = 64
"""Most tasks in one call."""
CALL_THREADS = CALLS_AHEAD + 2
"""Threads of an actor: one a call, one answers pings, one is spare for the end of a cancelled call."""
FIRST_RESTART_SECONDS = 0.2
MOST_RESTART_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A worker that lived so long starts again without a pause."""
CLUSTER_LOOK_SECONDS = 1.0
"""How often a local cluster is looked at."""
Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


async def _told(ask: Callable[[], Answer]) -> Answer:
    """What the cluster answers, asked in a thread. Raises Unavailable (W3B-8002)."""
    try:
        return await asyncio.to_thread(ask)
    except Exception as error:  # Ray raises many types here, and each means that the cluster did not answer
        raise Unavailable("W3B-8002", f"the Ray cluster does not answer: {error}") from error


@dataclass
class _Actor:
    """A worker's life: the handle changes with each restart."""

    spec: WorkerSpec
    state: Worker
    handle: Any = None
    waiting: deque[Work] = field(default_factory=deque)
    """Handed to the worker, not sent yet."""
    sent: dict[int, Work] = field(default_factory=dict)
    """Sent and not reported, by attempt."""
    calls: int = 0
    quick_deaths: int = 0
    ended_here: bool = False
    """This process ends it: nothing that it holds is why it dies."""
    living: asyncio.Task[None] | None = None
    """Starts, asks and restarts it."""
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
        steady: Steady = steady_clock,
    ) -> None:
        self._home = home
        self._capacity = dict(capacity)
        self._address = address
        self._ping_seconds = ping_seconds
        self._silence_seconds = silence_seconds
        self._import_paths = import_paths
        self._clock = clock
        self._steady = steady
        self._actors: dict[str, _Actor] = {}
        self._events = PoolEvents()
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Future[bool] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start or join Ray in a thread. Raises Unavailable (W3B-8002)."""
        begun = asyncio.to_thread(start_ray, self._home, self._capacity, self._address)
        self._starting = asyncio.ensure_future(begun)
        await asyncio.shield(self._starting)  # a thread cannot be cancelled: `stop` waits for it
        take_back_sigterm()
        if self._keeping is None and not self._address:
            self._keeping = self._spawn(self._keep_cluster())

    async def _keep_cluster(self) -> None:
        """Start a local cluster that died again, and its workers with it."""
        while True:
            await asyncio.sleep(CLUSTER_LOOK_SECONDS)
            if await asyncio.to_thread(cluster_whole):
                continue
            log.error("ray_died", code="W3B-4083")
            actors = list(self._actors.values())
            for actor in actors:
                if actor.living is not None:
                    actor.living.cancel()
                    await asyncio.gather(actor.living, return_exceptions=True)
                actor.handle = None  # nobody is left to be told that it is to end
                actor.ended_here = True
                self._bury(actor, Unavailable("W3B-4083", "Ray ended under its workers"))
            await asyncio.to_thread(stop_ray)
            await self._started_again()
            for actor in actors:
                actor.living = self._spawn(self._live(actor))
            log.info("ray_restarted", workers=len(actors))

    async def _started_again(self) -> None:
        while True:
            try:
                return await self.start()
            except Unavailable as error:
                log.warning("ray_restart_failed", code=error.code, reason=error.message)
                await asyncio.sleep(FIRST_RESTART_SECONDS)

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
            actor.living = self._spawn(self._live(actor))

    async def remove(self, worker_ids: Sequence[str]) -> None:
        """End workers for good; what they held is told as `Died`."""
        for actor in [self._actors.pop(name) for name in worker_ids]:
            if actor.living is not None:
                actor.living.cancel()
                await asyncio.gather(actor.living, return_exceptions=True)
            actor.ended_here = True
            self._bury(actor, Unavailable("W3B-4083", "the worker was dismissed"))

    async def room(self, kinds: Sequence[str]) -> Mapping[str, int]:
        """Workers of each kind that the living nodes have resources for, used or not. Raises Unavailable (W3B-8002)."""
        import ray

        found = await _told(ray.cluster_resources)
        return {kind: int(found.get(resource_name(kind), 0)) for kind in kinds}

    async def ask_for(self, counts: Mapping[str, int]) -> None:
        """Tell the autoscaler, if there is one, to have room for so many workers of each kind; holds until the next
        call. Raises Unavailable (W3B-8002)."""
        from ray.autoscaler.sdk import request_resources

        bundles = [{resource_name(kind): 1} for kind, count in counts.items() for _ in range(count)]
        await _told(partial(request_resources, bundles=bundles))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _live(self, actor: _Actor) -> None:
        """Start the worker, ask it until it dies, and begin again."""
        while True:
            began = time.monotonic()
            try:
                await self._prepare(actor)
                await self._ask(actor)
            except Exception as error:  # Ray's errors for a dead actor share no useful base with those of a lost node
                of_itself = not actor.ended_here
                self._bury(actor, error)
            is_quick = of_itself and time.monotonic() - began <= STEADY_SECONDS
            actor.quick_deaths = actor.quick_deaths + 1 if is_quick else 0
            pause = FIRST_RESTART_SECONDS * 2 ** min(actor.quick_deaths - 1, 10) if actor.quick_deaths else 0.0
            await asyncio.sleep(min(MOST_RESTART_SECONDS, pause))

    async def _prepare(self, actor: _Actor) -> None:
        import ray

        environment = worker_environment(
            self._home, actor.spec, local=not self._address, import_paths=self._import_paths
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
            .remote(actor.spec.id, actor.spec.kind, actor.spec.entry, actor.spec.otlp_endpoint)
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
            heard=self._steady(),
            node=report.node,
            program_ids=frozenset(program.program_id for program in found),
            trust=", ".join(sorted({program.trust for program in found})),
        )
        self._events.put(Stirred(actor.spec.id))

    async def _ask(self, actor: _Actor) -> NoReturn:
        """Ping until a ping fails or stays out; while one is late the worker is not heard of."""
        while True:
            async with asyncio.timeout(self._silence_seconds):
                report: WorkerReport = await actor.handle.ping.remote()
            actor.state = replace(
                actor.state,
                heard_at=self._clock(),
                heard=self._steady(),
                proving=report.attempt_id,
                stage=report.stage,
                progress=report.progress,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ping_seconds):
                    await actor.stirred.wait()
            actor.stirred.clear()

    def _bury(self, actor: _Actor, error: Exception) -> None:
        """Say that the worker died, and with it what it held."""
        import ray

        if actor.handle is not None:
            ray.kill(actor.handle, no_restart=True)
        told = str(error).strip().splitlines() or [f"no answer within {self._silence_seconds:g} s"]
        reason = f"{type(error).__name__}: {told[0][:300]}"
        lost = [*actor.sent.values(), *actor.waiting]
        is_suspect = len(actor.sent) == 1 and not actor.ended_here
        cause = error if isinstance(error, W3bstreamError) else Unavailable("W3B-4083", reason)
        actor.state = Worker(actor.spec.id, actor.spec.kind, ready=False, heard_at=0, error=cause)
        actor.handle, actor.sent, actor.calls, actor.ended_here = None, {}, 0, False
        actor.waiting.clear()
        self._events.put(Stirred(actor.spec.id))
        for work in lost:
            self._events.put(Died(actor.spec.id, reason, work.attempt_id, work.fence, is_suspect and work is lost[0]))

    def workers(self) -> tuple[Worker, ...]:
        """Every worker as the last ping left it."""
        return tuple(
            replace(actor.state, held=frozenset(actor.sent) | {work.attempt_id for work in actor.waiting})
            for actor in self._actors.values()
        )

    async def prove(self, worker_id: str, works: Sequence[Work]) -> None:
        """Send work to the actor, what it cannot take yet later. Raises Conflict (W3B-3001)."""
        actor = self._actors.get(worker_id)
        if actor is None or not actor.state.ready:
            raise Conflict("W3B-3001", f"worker {worker_id} takes no work now", field="worker")
        actor.waiting.extend(works)
        self._send(actor)

    def _send(self, actor: _Actor) -> None:
        """Fill the calls that the actor may have under way; work that wants to be alone is."""
        while actor.waiting and actor.calls < CALLS_AHEAD:
            if actor.sent and (actor.waiting[0].alone or any(work.alone for work in actor.sent.values())):
                return
            batch = [actor.waiting.popleft()]
            while actor.waiting and len(batch) < CALL_TASKS and not (batch[0].alone or actor.waiting[0].alone):
                batch.append(actor.waiting.popleft())
            actor.sent.update((work.attempt_id, work) for work in batch)
            actor.calls += 1
            self._spawn(self._wait(actor, actor.handle, tuple(batch)))

    async def _wait(self, actor: _Actor, handle: Any, batch: tuple[Work, ...]) -> None:
        """Wait for a call's outcomes. A death is told by `_live`, whose ping fails at the same time."""
        import ray

        try:
            outcomes: Sequence[Outcome] = await handle.prove.remote(batch)
        except ray.exceptions.RayActorError:
            actor.stirred.set()
            return
        except Exception as error:  # such as a result that cannot be pickled
            self._broken_off(actor, handle, batch, error)
            return
        if actor.handle is not handle:
            return  # dead meanwhile
        actor.calls -= 1
        for outcome in outcomes:
            if actor.sent.pop(outcome.attempt_id, None) is not None:
                self._tell(actor.spec.id, outcome)
        self._send(actor)

    def _broken_off(self, actor: _Actor, handle: Any, batch: tuple[Work, ...], error: Exception) -> None:
        """A call without outcomes: the one task in it is why, or any of several."""
        if actor.handle is not handle:
            return
        actor.calls -= 1
        for work in batch:
            if actor.sent.pop(work.attempt_id, None) is None:
                continue
            if len(batch) == 1:
                self._tell(actor.spec.id, Outcome(work.attempt_id, work.fence, as_prover_error(error), 0.0))
            else:
                reason = f"its call broke off: {type(error).__name__}"
                self._events.put(Died(actor.spec.id, reason, work.attempt_id, work.fence, is_suspect=False))
        self._send(actor)

    def _tell(self, worker_id: str, outcome: Outcome) -> None:
        given = (worker_id, outcome.attempt_id, outcome.fence)
        if isinstance(outcome.result, W3bstreamError):
            self._events.put(Failed(*given, outcome.result))
        else:
            self._events.put(Proved(*given, outcome.result, outcome.seconds))

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Take the attempt back if it was not sent yet; else kill the worker: native code hears no gentler word.
        `_live` starts it again."""
        import ray

        actor = self._actors.get(worker_id)
        if actor is None:
            return
        for work in actor.waiting:
            if work.attempt_id == attempt_id:
                actor.waiting.remove(work)
                return
        if actor.sent.pop(attempt_id, None) is None:
            return
        actor.state = replace(actor.state, ready=False)
        actor.ended_here = True
        ray.kill(actor.handle, no_restart=True)
        actor.stirred.set()

    async def next_events(self) -> Sequence[PoolEvent]:
        """The next events."""
        return await self._events.take()

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
