"""The no-op job of `durable.py`: as an actor of bare Ray and as a prover that anyone could bring; and one that waits."""

from __future__ import annotations

import os
import time
from pathlib import Path

from eth_hash.auto import keccak

from provers.installation import HOME_VARIABLE
from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask
from verifier.errors import Refused
from verifier.statement import Statement, program_id

KIND = "byop.noop"
ARTIFACT = keccak(b"no-op")
PROGRAM_ID = program_id(KIND, ARTIFACT)
OUTPUT = bytes(31) + b"\x01"
PROOF = b"\x01"
WAIT_FILE = "wait_ms"
"""In the home folder: how many milliseconds `WaitingProver` waits."""


class NoopActor:
    """What bare Ray calls."""

    def prove(self, task: ProvingTask) -> bytes:
        """Take the payload of a job and give back what a job gives back."""
        return OUTPUT


class NoopProver:
    """Kind `byop.noop`: the statement is made, nothing is proven."""

    kind = KIND

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        """Nothing to load."""
        return Prepared(program, PROGRAM_ID, b"key", "none: a benchmark", None)

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        """The statement over a constant output."""
        return Proof(task.statement(keccak(OUTPUT)), OUTPUT, PROOF, {})

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        """Raises Refused (W3B-4081) for anything but the constant."""
        if (public_output, proof) != (OUTPUT, PROOF):
            raise Refused("W3B-4081", "not the no-op's output")


class WaitingProver(NoopProver):
    """The no-op after a wait, in which its worker uses no processor: eight nodes of them fit on one machine."""

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        """As the no-op's, later."""
        time.sleep(int(Path(os.environ[HOME_VARIABLE], WAIT_FILE).read_text()) / 1000)
        return super().prove(prepared, task, on_progress)
