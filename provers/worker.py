"""The worker: one process that holds one kind's prover, prepares its programs and proves one task at a time.

A plain class; Ray turns it into an actor of several threads, so that `ping` answers while `prove` works. Tasks may come
many in a call, for a call costs more than a tiny proof; each has its own fence and its own outcome.
"""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from provers.protocol import Prepared, Program, Proof, Prover, ProvingTask, prover_for
from provers.tracing import ProofSpans, WorkerTracing
from verifier.errors import NotFound, Refused, W3bstreamError


@dataclass(frozen=True)
class Work:
    """A task to prove, under a lease."""

    attempt_id: int
    """The ledger's attempt; negative for a re-run, which is none."""
    fence: int
    """Fencing token, given back with the outcome."""
    task: ProvingTask
    alone: bool = False
    """Share no call with other work: an earlier attempt at it ended badly, and may again."""
    traceparent: str = ""
    """The span that this proof is part of (W3C Trace Context); empty where nobody collects spans."""


@dataclass(frozen=True)
class Outcome:
    """What came of one piece of work."""

    attempt_id: int
    fence: int
    result: Proof | W3bstreamError
    """An error is returned, not raised, so that it arrives as it is."""
    seconds: float
    """How long it took, as this worker measured it, without the wait for its turn."""


Tell = Callable[[Outcome], None]


@dataclass(frozen=True)
class WorkerReport:
    """What a worker says of itself."""

    node: str
    """Host and process id."""
    attempt_id: int | None
    fence: int | None
    stage: str
    progress: float
    """Fraction of the stage, 0 to 1."""


@dataclass(frozen=True)
class PreparedProgram:
    """A program that the worker can prove."""

    program_id: bytes
    trust: str


def load_prover(kind: str, entry: str = "") -> Prover:
    """The prover named by `entry` ("module:Class"), or else the one registered for `kind`.

    Raises NotFound (W3B-4001) when there is none, or when the named one is of another kind.
    """
    if not entry:
        return prover_for(kind)
    module, _, name = entry.partition(":")
    try:
        prover: Prover = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise NotFound("W3B-4001", f"prover {entry!r} cannot be loaded: {error}", field="entry") from error
    if prover.kind != kind:
        raise NotFound("W3B-4001", f"prover {entry!r} is of kind {prover.kind!r}, not {kind!r}", field="kind")
    return prover


def as_prover_error(error: Exception) -> W3bstreamError:
    """The error as one of ours: whatever else a prover raises becomes W3B-4080, with its type and message."""
    if isinstance(error, W3bstreamError):
        return error
    return Refused("W3B-4080", f"the prover raised {type(error).__name__}: {str(error)[:500]}")


class ProverWorker:
    """Holds one prover. Methods may be called from several threads; one task is proven at a time.

    Parameters: `entry` as `load_prover` has it; `otlp_endpoint` is a collector for spans, empty for none.
    """

    def __init__(self, worker_id: str, kind: str, entry: str = "", otlp_endpoint: str = "") -> None:
        self.worker_id = worker_id
        """Stable name."""
        self.kind = kind
        """Proof kind."""
        self._entry = entry
        self._prover: Prover | None = None
        self._prepared: dict[bytes, Prepared] = {}
        self._proving = threading.Lock()
        self._tracing = WorkerTracing(otlp_endpoint, worker_id)
        self._spans: ProofSpans | None = None
        self._report = WorkerReport(f"{socket.gethostname()}/{os.getpid()}", None, None, "", 0.0)

    def prepare(self, programs: tuple[Program, ...]) -> tuple[PreparedProgram, ...] | W3bstreamError:
        """Load the prover and make each program ready; an error is returned, not raised, so that it arrives as it
        is."""
        try:
            self._prover = load_prover(self.kind, self._entry)
            for program in programs:
                prepared = self._prover.prepare(program, self._on_progress)
                self._prepared[prepared.program_id] = prepared
        except Exception as error:  # whatever a prover raises is the caller's to see
            return as_prover_error(error)
        return tuple(PreparedProgram(p.program_id, p.trust) for p in self._prepared.values())

    def prove(self, works: Sequence[Work], tell: Tell | None = None) -> tuple[Outcome, ...]:
        """Prove one after the other, when earlier calls have ended; `tell` hears of each as soon as it is done."""
        outcomes = []
        with self._proving:
            for work in works:
                outcome = self._one(work)
                outcomes.append(outcome)
                if tell is not None:
                    tell(outcome)
        return tuple(outcomes)

    def _one(self, work: Work) -> Outcome:
        began = time.perf_counter()
        self._say(work.attempt_id, work.fence, "start", 0.0)
        about: dict[str, str | int] = {
            "w3bstream.attempt": work.attempt_id,
            "w3bstream.fence": work.fence,
            "w3bstream.kind": self.kind,
        }
        self._spans = self._tracing.begin(work.traceparent, about)
        result: Proof | W3bstreamError
        try:
            result = self._prove(work.task)
        except Exception as error:  # whatever a prover raises is the caller's to see
            result = as_prover_error(error)
        finally:
            self._say(None, None, "", 0.0)
        if self._spans is not None:
            self._spans.end(result if isinstance(result, W3bstreamError) else None)
        return Outcome(work.attempt_id, work.fence, result, time.perf_counter() - began)

    def _prove(self, task: ProvingTask) -> Proof:
        prepared = self._prepared.get(task.program_id)
        if self._prover is None or prepared is None:
            raise NotFound("W3B-2005", f"worker {self.worker_id} has no program 0x{task.program_id.hex()}")
        proof = self._prover.prove(prepared, task, self._on_progress)
        if not isinstance(proof, Proof):
            raise Refused("W3B-4081", f"the prover returned a {type(proof).__name__}, not a Proof")
        return proof

    def ping(self) -> WorkerReport:
        """Alive, and how far."""
        return self._report

    def _on_progress(self, stage: str, progress: float) -> None:
        self._say(self._report.attempt_id, self._report.fence, stage, progress)
        if self._spans is not None:
            self._spans.stage(self._report.stage)

    def _say(self, attempt_id: int | None, fence: int | None, stage: str, progress: float) -> None:
        self._report = WorkerReport(
            self._report.node, attempt_id, fence, str(stage)[:64], min(1.0, max(0.0, float(progress)))
        )
