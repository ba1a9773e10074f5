"""The pool of prover workers: one small protocol, behind which stands Ray or a few threads.

A pool starts workers and starts them again when they die, runs one proof at a time on each, and tells what happened as
events. It decides nothing: leases, retries and verification are the dispatcher's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from provers.protocol import Program, Proof, ProvingTask
from verifier.errors import W3bstreamError


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


@dataclass(frozen=True)
class Worker:
    """A worker as the pool knows it now."""

    id: str
    kind: str
    ready: bool
    """Its programs are prepared."""
    heard_at: int
    """When it last answered, milliseconds since the Unix epoch; 0 for never."""
    node: str = ""
    """Where it runs: host and process."""
    attempt_id: int | None = None
    """What it is proving."""
    stage: str = ""
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


@dataclass(frozen=True)
class Failed:
    """The worker lives, the attempt failed."""

    worker_id: str
    attempt_id: int
    fence: int
    error: W3bstreamError


@dataclass(frozen=True)
class Died:
    """The worker died, and what it was proving with it."""

    worker_id: str
    reason: str
    attempt_id: int | None = None
    fence: int | None = None


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

    async def prove(self, worker_id: str, attempt_id: int, fence: int, task: ProvingTask) -> None:
        """Begin to prove. Raises Conflict (W3B-3001) when the worker is not ready or proves already."""

    async def cancel(self, worker_id: str, attempt_id: int) -> None:
        """Stop the attempt if the worker still has it, if need be by ending and restarting the worker. No event
        follows."""

    async def next_event(self) -> PoolEvent:
        """The next event, in the order of each worker's reports."""

    async def stop(self) -> None:
        """End every worker."""
