"""Workers as threads of this process: for unit tests and for an installation that is too small for Ray.

A thread cannot be killed. A cancelled or hung proof keeps its thread until it ends by itself, what it returns is
dropped, and the worker gets a fresh thread; where programs may hang, use Ray.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from coordinator.ledger.store import Clock, system_clock
from provers.worker import Outcome, ProverWorker, Work
from verifier.errors import Conflict, W3bstreamError


@dataclass
class _Slot:
    """A worker with what it does now."""

    spec: WorkerSpec
    worker: ProverWorker
    state: Worker
    fences: dict[int, int] = field(default_factory=dict)
    """Fencing token of each attempt that it holds."""
    threads: list[threading.Thread] = field(default_factory=list)


class InlinePool:
    """`ProverPool` on threads. Parameters: `clock` gives the time for people, `steady` for decisions."""

    def __init__(self, clock: Clock = system_clock, steady: Steady = steady_clock) -> None:
        self._clock = clock
        self._steady = steady
        self._slots: dict[str, _Slot] = {}
        self._events = PoolEvents()
        self._preparing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    async def add(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Prepare the workers in threads, one after the other."""
        for spec in specs:
            worker = ProverWorker(spec.id, spec.kind, spec.entry, spec.otlp_endpoint)
            self._slots[spec.id] = _Slot(spec, worker, Worker(spec.id, spec.kind, ready=False, heard_at=0))
        task = asyncio.create_task(self._prepare(specs))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _prepare(self, specs: tuple[WorkerSpec, ...]) -> None:
        for spec in specs:
            slot = self._slots[spec.id]
            found = await asyncio.to_thread(slot.worker.prepare, spec.programs)
            if isinstance(found, W3bstreamError):
                slot.state = replace(slot.state, error=found)
            else:
                slot.state = replace(
                    slot.state,
                    ready=True,
                    node=slot.worker.ping().node,
                    program_ids=frozenset(program.program_id for program in found),
                    trust=", ".join(sorted({program.trust for program in found})),
                )
            self._events.put(Stirred(spec.id))

    def workers(self) -> tuple[Worker, ...]:
        """Every worker; one in this process is heard whenever it is asked."""
        return tuple(self._now(slot) for slot in self._slots.values())

    def _now(self, slot: _Slot) -> Worker:
        state = replace(slot.state, held=frozenset(slot.fences))
        if not state.ready:
            return state
        report = slot.worker.ping()
        return replace(
            state,
            heard_at=self._clock(),
            heard=self._steady(),
            proving=report.attempt_id,
            stage=report.stage,
            progress=report.progress,
        )

    async def prove(self, worker_id: str, works: Sequence[Work]) -> None:
        """Start a thread that proves when earlier ones have ended. Raises Conflict (W3B-3001)."""
        slot = self._slots.get(worker_id)
        if slot is None or not slot.state.ready:
            raise Conflict("W3B-3001", f"worker {worker_id} takes no work now", field="worker")
        slot.fences.update((work.attempt_id, work.fence) for work in works)
        worker = slot.worker

        def run() -> None:
            worker.prove(works, lambda outcome: self._report(worker_id, worker, outcome))

        thread = threading.Thread(target=run, name=f"prove-{worker_id}", daemon=True)
        slot.threads = [thread, *(old for old in slot.threads if old.is_alive())]
        thread.start()

    def _report(self, worker_id: str, worker: ProverWorker, outcome: Outcome) -> None:
        """Hand the outcome to the event loop; after `stop` there is nobody to hand it to."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._done, worker_id, worker, outcome)

    def _done(self, worker_id: str, worker: ProverWorker, outcome: Outcome) -> None:
        slot = self._slots[worker_id]
        if slot.worker is not worker or slot.fences.pop(outcome.attempt_id, None) != outcome.fence:
            return  # cancelled meanwhile
        given = (worker_id, outcome.attempt_id, outcome.fence)
        if isinstance(outcome.result, W3bstreamError):
            self._events.put(Failed(*given, outcome.result))
        else:
            self._events.put(Proved(*given, outcome.result, outcome.seconds))

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Abandon the thread and give the worker a fresh one."""
        slot = self._slots.get(worker_id)
        if slot is not None and slot.fences.pop(attempt_id, None) is not None:
            self._replace(slot, f"restarted to stop attempt {attempt_id}", is_suspect=False)

    def _replace(self, slot: _Slot, reason: str, *, is_suspect: bool) -> None:
        """A fresh worker in place of this one; what it held is told to be dead."""
        held, slot.fences = slot.fences, {}
        slot.worker = ProverWorker(slot.spec.id, slot.spec.kind, slot.spec.entry, slot.spec.otlp_endpoint)
        slot.state = Worker(slot.spec.id, slot.spec.kind, ready=False, heard_at=0)
        for attempt_id, fence in held.items():
            self._events.put(Died(slot.spec.id, reason, attempt_id, fence, is_suspect and len(held) == 1))
        task = asyncio.create_task(self._prepare((slot.spec,)))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def kill(self, worker_id: str) -> None:
        """Let the worker die as a process would: its attempts are lost, it starts again. A drill for operators and
        tests."""
        self._replace(self._slots[worker_id], "killed", is_suspect=True)

    async def next_events(self) -> Sequence[PoolEvent]:
        """The next events."""
        return await self._events.take()

    async def stop(self) -> None:
        """Stop preparing; threads that still prove end by themselves."""
        self._loop = None
        for task in tuple(self._preparing):
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)
