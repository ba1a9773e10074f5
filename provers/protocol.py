"""The Prover protocol: every proof system is one module that implements it and registers by entry point
(group `w3bstream.provers`), ours and other people's alike.

A prover is given everything but the output: it computes the output, completes the Statement and proves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from verifier.errors import NotFound, Refused
from verifier.reading import Device, Reading
from verifier.statement import Domain, Opening, Statement

if TYPE_CHECKING:
    from verifier.attestation.registration import Registration

Progress = Callable[[str, float], None]
"""Called with a stage's name and the fraction done, 0 to 1."""


@dataclass(frozen=True)
class Program:
    """A program as an installation holds it."""

    name: str
    """Name of its folder, such as `temperature_window`."""
    kind: str
    """Proof kind, such as `zkp.groth16`."""
    folder: Path
    """Where its manifest `program.toml` and its artifacts lie."""


@dataclass(frozen=True)
class Prepared:
    """A program made ready to prove: compiled, set up, its keys loaded. Cached by digest."""

    program: Program
    program_id: bytes
    """32 bytes, docs/reference/encodings.md §3."""
    verifying_key: bytes
    """What the on-chain verifier registers for this program; for Groth16 the ABI-encoded key of §4."""
    trust: str
    """The set-up's trust anchor in words, such as `development key`."""
    state: Any = field(repr=False, compare=False)
    """The prover's own handle; nobody else looks inside."""


@dataclass(frozen=True)
class RefusedKey:
    """A TEE prover's session key that the chain will not register."""

    address: bytes
    """What its signatures recover to, 20 bytes."""
    expiry: int
    """Unix seconds at which it would have ended."""
    reason: str
    """Code and message."""


@dataclass(frozen=True)
class ProvingTask:
    """One window to prove, all that is known before proving."""

    domain: Domain
    project_id: int
    project_version: int
    task_id: bytes
    opening: Opening
    program_id: bytes
    prover: bytes
    """Address that is paid, 20 bytes."""
    readings: tuple[Reading, ...]
    """The window's accepted readings in the commitment scheme's order."""
    device_set: tuple[Device, ...]
    """The project version's devices in the project file's order."""
    refused_keys: tuple[RefusedKey, ...] = ()
    """Session keys of this program and prover with which nothing is to be signed, the newest first; of TEE kinds only."""

    def statement(self, output: bytes) -> Statement:
        """The Statement for this task with `output` = keccak256(public output)."""
        return Statement(
            self.project_id,
            self.project_version,
            self.task_id,
            self.opening.commitment(),
            output,
            self.program_id,
            self.prover,
        )

    def require(self, statement: Statement) -> None:
        """Require a Statement of this task, whatever its output.

        Raises Refused: W3B-4011 other inputs, W3B-4012 another task, project, program or prover.
        """
        expected = self.statement(statement.output)
        for name in (each.name for each in fields(Statement)):
            found = getattr(statement, name)
            if found != getattr(expected, name):
                shown = found.hex() if isinstance(found, bytes) else found
                code = "W3B-4011" if name == "inputs" else "W3B-4012"
                raise Refused(code, f"the Statement's {name} {shown} is not the task's", field=name)


@dataclass(frozen=True)
class Proof:
    """What a prover returns."""

    statement: Statement
    public_output: bytes
    """Canonical ABI encoding of the program's output."""
    proof: bytes
    """As the kind's on-chain verifier takes it."""
    seconds: dict[str, float]
    """Time by stage (`witness`, `prove`, …), for the timeline; never for a decision."""
    registration: Registration | None = None
    """What the kind's verifier, on and off chain, must have accepted before this proof holds: the session key that signed
    it, with its evidence. None for kinds that need nothing."""


@runtime_checkable
class Prover(Protocol):
    """One proof system."""

    kind: str
    """Proof kind, such as `zkp.groth16`."""

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        """Compile, set up and load keys; a second call finds the cache. Raises W3bstreamError (W3B-4xxx)."""

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        """Compute the output and prove the Statement. Raises W3bstreamError (W3B-4xxx)."""

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        """Check a proof off chain exactly as the on-chain verifier will. Raises Refused (W3B-4xxx)."""


@runtime_checkable
class Registrar(Protocol):
    """A prover whose proofs rest on registrations (TEE kinds)."""

    def admit(self, prepared: Prepared, domain: Domain, registration: Registration) -> None:
        """Accept what `Proof.registration` brings, as the on-chain verifier will; once more is no error. Raises Refused,
        InvalidInput (W3B-91xx, W3B-4012, W3B-4015, W3B-4016)."""


def installed_provers() -> dict[str, Prover]:
    """Every registered prover by kind."""
    provers: dict[str, Prover] = {}
    for entry in entry_points(group="w3bstream.provers"):
        prover: Prover = entry.load()()
        provers[prover.kind] = prover
    return provers


def prover_for(kind: str) -> Prover:
    """The prover of `kind`. Raises NotFound (W3B-4001)."""
    provers = installed_provers()
    if kind not in provers:
        raise NotFound(
            "W3B-4001",
            f"no prover of kind {kind!r} is installed; installed: {sorted(provers) or 'none'}",
            field="kind",
        )
    return provers[kind]


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note a stage's time, for `Proof.seconds`."""
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started
