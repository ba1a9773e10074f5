"""The pool of prover workers: one small protocol, behind which stands Ray or a few threads.

A pool starts workers and starts them again when they die, runs one proof at a time on each, and tells what happened as
events. What is handed to a busy worker waits its turn there. It decides nothing: leases, retries, how much a worker may
hold, and verification are the dispatcher's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from provers.protocol import Program, Proof
from provers.worker import Work
from verifier.errors import W3bstreamError

Steady = Callable[[], int]
"""Milliseconds that only go forward, whatever is done to the wall clock; they begin anywhere."""


def steady_clock() -> int:
    """The monotonic clock in milliseconds."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True)
class WorkerSpec:
    """A worker to run."""

    id: str
    """Stable name, such as `zkp.groth16-0`."""
    kind: str
    """Proof kind."""
    programs: tuple[Program, ...]
    """Programs that it prepares before it is ready."""
    entry: str = ""
    """`module:Class` of the prover; empty: the one registered for the kind."""
    threads: int = 1
    """Threads that native code may use."""
    table_mib: int = 0
    """Mebibytes that stored multiples of a proving key's points may take; 0 for none."""
    otlp_endpoint: str = ""
    """Collector that it tells its spans to; empty for none."""


@dataclass(frozen=True)
class Worker:
    """A worker as the pool knows it now."""

    id: str
    kind: str
    ready: bool
    """Its programs are prepared."""
    heard_at: int
    """When it last answered, milliseconds since the Unix epoch, for people; 0 for never."""
    heard: int | None = None
    """The same on the steady clock, for decisions; None for never."""
    node: str = ""
    """Where it runs: host and process."""
    held: frozenset[int] = frozenset()
    """Attempts that it was handed and has not reported."""
    proving: int | None = None
    """The one of them that it was proving when it last answered."""
    stage: str = ""
    """What it did then."""
    progress: float = 0.0
    """Fraction of the stage, 0 to 1."""
    program_ids: frozenset[bytes] = frozenset()
    """What it can prove."""
    trust: str = ""
    """Trust anchor in words."""
    error: W3bstreamError | None = field(default=None, compare=False)
    """Why it could not be started the last time."""


@dataclass(frozen=True)
class Proved:
    """The worker returned something; nobody has verified it yet."""

    worker_id: str
    attempt_id: int
    fence: int
    proof: Proof
    seconds: float = 0.0
    """How long it took, as the worker measured it."""


@dataclass(frozen=True)
class Failed:
    """The worker lives, the attempt failed."""

    worker_id: str
    attempt_id: int
    fence: int
    error: W3bstreamError


@dataclass(frozen=True)
class Died:
    """The worker died, and an attempt that it held with it: one event for each."""

    worker_id: str
    reason: str
    attempt_id: int | None = None
    fence: int | None = None
    is_suspect: bool = True
    """No other attempt was with the worker, and nobody killed it on purpose: this one may be why."""


@dataclass(frozen=True)
class Stirred:
    """A worker came up, fell silent or was heard again: look at `workers()`."""

    worker_id: str


PoolEvent = Proved | Failed | Died | Stirred


class ProverPool(Protocol):
    """Where provers run."""

    async def start(self) -> None:
        """Make the pool ready to take workers. Raises Unavailable (W3B-8002)."""

    async def add(self, specs: tuple[WorkerSpec, ...]) -> None:
        """Start workers; returns at once, they become ready by and by."""

    def workers(self) -> tuple[Worker, ...]:
        """Every worker that was added, dead ones too."""

    async def prove(self, worker_id: str, works: Sequence[Work]) -> None:
        """Hand work to a worker; it proves one at a time, in this order. Raises Conflict (W3B-3001) when the worker is
        not ready."""

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Take the attempt from the worker if it still has it, if need be by ending and restarting the worker. No event
        follows for it; what else the worker held is told as `Died`, as no suspect."""

    async def next_events(self) -> Sequence[PoolEvent]:
        """The next events, one at least: all that there are, in the order of each worker's reports."""

    async def stop(self) -> None:
        """End every worker."""


class PoolEvents:
    """The queue behind `next_events`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[PoolEvent] = asyncio.Queue()

    def put(self, event: PoolEvent) -> None:
        """Add an event."""
        self._queue.put_nowait(event)

    async def take(self) -> list[PoolEvent]:
        """Wait for one, and take all."""
        events = [await self._queue.get()]
        while not self._queue.empty():
            events.append(self._queue.get_nowait())
        return events
