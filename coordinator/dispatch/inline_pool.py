"""Workers as threads of this process: for unit tests and for an installation that is too small for Ray.

A thread cannot be killed. A cancelled or hung proof keeps its thread until it ends by itself, what it returns is
dropped, and the worker gets a fresh thread; where programs may hang, use Ray.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace

from coordinator.dispatch.pool import Died, Failed, PoolEvent, Proved, Stirred, Worker, WorkerSpec
from coordinator.ledger.store import Clock, system_clock
from provers.protocol import Proof, ProvingTask
from provers.worker import ProverWorker
from verifier.errors import Conflict, W3bstreamError


@dataclass
class _Slot:
    """A worker with what it does now."""

    spec: WorkerSpec
    worker: ProverWorker
    state: Worker
    fence: int | None = None
    threads: list[threading.Thread] = field(default_factory=list)


class InlinePool:
    """`ProverPool` on threads. Parameters: `clock` gives milliseconds."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._slots: dict[str, _Slot] = {}
        self._events: asyncio.Queue[PoolEvent] = asyncio.Queue()
        self._preparing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    async def add(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Prepare the workers in threads, one after the other."""
        for spec in specs:
            worker = ProverWorker(spec.id, spec.kind, spec.entry)
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
            self._events.put_nowait(Stirred(spec.id))

    def workers(self) -> tuple[Worker, ...]:
        """Every worker; one in this process is heard whenever it is asked."""
        return tuple(self._now(slot) for slot in self._slots.values())

    def _now(self, slot: _Slot) -> Worker:
        report = slot.worker.ping()
        heard = self._clock() if slot.state.ready else 0
        return replace(slot.state, heard_at=heard, stage=report.stage, progress=report.progress)

    async def prove(self, worker_id: str, attempt_id: int, fence: int, task: ProvingTask) -> None:
        """Start a thread that proves. Raises Conflict (W3B-3001)."""
        slot = self._slots.get(worker_id)
        if slot is None or not slot.state.ready or slot.state.attempt_id is not None:
            raise Conflict("W3B-3001", f"worker {worker_id} cannot take attempt {attempt_id} now", field="worker")
        slot.state = replace(slot.state, attempt_id=attempt_id)
        slot.fence = fence
        worker = slot.worker

        def run() -> None:
            self._report(worker_id, worker, attempt_id, fence, worker.prove(attempt_id, fence, task))

        thread = threading.Thread(target=run, name=f"prove-{worker_id}", daemon=True)
        slot.threads = [thread, *(old for old in slot.threads if old.is_alive())]
        thread.start()

    def _report(
        self, worker_id: str, worker: ProverWorker, attempt_id: int, fence: int, outcome: Proof | W3bstreamError
    ) -> None:
        """Hand the outcome to the event loop; after `stop` there is nobody to hand it to."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._done, worker_id, worker, attempt_id, fence, outcome)

    def _done(
        self, worker_id: str, worker: ProverWorker, attempt_id: int, fence: int, outcome: Proof | W3bstreamError
    ) -> None:
        slot = self._slots[worker_id]
        if slot.worker is not worker:
            return  # cancelled meanwhile
        slot.state = replace(slot.state, attempt_id=None)
        slot.fence = None
        if isinstance(outcome, W3bstreamError):
            self._events.put_nowait(Failed(worker_id, attempt_id, fence, outcome))
        else:
            self._events.put_nowait(Proved(worker_id, attempt_id, fence, outcome))

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Abandon the thread and give the worker a fresh one."""
        slot = self._slots.get(worker_id)
        if slot is not None and slot.state.attempt_id == attempt_id:
            self._replace(slot)

    def _replace(self, slot: _Slot) -> None:
        slot.worker = ProverWorker(slot.spec.id, slot.spec.kind, slot.spec.entry)
        slot.state = Worker(slot.spec.id, slot.spec.kind, ready=False, heard_at=0)
        slot.fence = None
        task = asyncio.create_task(self._prepare((slot.spec,)))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def kill(self, worker_id: str) -> None:
        """Let the worker die as a process would: its attempt is lost, it starts again. A drill for operators and
        tests."""
        slot = self._slots[worker_id]
        died = Died(worker_id, "killed", slot.state.attempt_id, slot.fence)
        self._replace(slot)
        self._events.put_nowait(died)

    async def next_event(self) -> PoolEvent:
        """The next event."""
        return await self._events.get()

    async def stop(self) -> None:
        """Stop preparing; threads that still prove end by themselves."""
        self._loop = None
        for task in tuple(self._preparing):
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)
