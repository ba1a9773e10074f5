"""A small real prover for the tests: it recomputes the window's count and sum, and its proof is a hash over the
Statement.

Its program folder says in the file `behaviour` how the next proof goes wrong: `hang`, `spin`, `raise`, `garbage`,
`alien`, `forged`, `exit`, `slow`, `wrong`, `liar` (a sound proof of a wrong output, which passes where `credulous`
lies); `once:` before it means for one proof only, whichever process takes it.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask
from verifier.errors import Refused
from verifier.statement import Statement, program_id

ARTIFACT = keccak(b"hash prover of the tests")


class HashProver:
    """Kind `test.hash`."""

    kind = "test.hash"

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        on_progress("load", 1.0)
        return Prepared(program, program_id(self.kind, ARTIFACT), b"key", "test only", program.folder)

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        on_progress("witness", 0.5)
        public_output = self._output(task)
        behaviour = next_behaviour(prepared.program.folder)
        if behaviour == "liar":
            public_output = abi_encode(["uint32", "int64"], [len(task.readings), 999])
        proof = self._proof(task, public_output)
        (prepared.program.folder / f"proving-{os.getpid()}").touch()
        on_progress("prove", 0.5)
        return misbehave(behaviour, prepared.program.folder, proof)

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        if public_output != self._output(task) and not (prepared.program.folder / "credulous").exists():
            raise Refused("W3B-4081", "the output is not the window's")
        if proof != keccak(ARTIFACT + statement.digest(task.domain)):
            raise Refused("W3B-4081", "the proof does not hash the statement")

    def _output(self, task: ProvingTask) -> bytes:
        total = sum(int.from_bytes(reading.payload, "big") for reading in task.readings)
        return abi_encode(["uint32", "int64"], [len(task.readings), total])

    def _proof(self, task: ProvingTask, public_output: bytes) -> Proof:
        statement = task.statement(keccak(public_output))
        return Proof(statement, public_output, keccak(ARTIFACT + statement.digest(task.domain)), {"prove": 0.01})


class OtherHashProver(HashProver):
    """Kind `test.other`, for tasks that want two kinds."""

    kind = "test.other"


def next_behaviour(folder: Path) -> str:
    """The behaviour of this proof; a `once:` one is taken by exactly one process."""
    path = folder / "behaviour"
    try:
        behaviour = path.read_text()
    except FileNotFoundError:
        return ""
    if not behaviour.startswith("once:"):
        return behaviour
    try:
        path.rename(folder / f"taken-{os.getpid()}-{time.monotonic_ns()}")
    except FileNotFoundError:
        return ""
    return behaviour.removeprefix("once:")


def misbehave(behaviour: str, folder: Path, good: Proof) -> Proof:
    """The proof, or what goes wrong instead."""
    if behaviour == "hang":
        while not (folder / "go").exists():
            time.sleep(0.02)
    elif behaviour == "spin":
        while True:
            pass
    elif behaviour == "slow":
        time.sleep(1.5)
    elif behaviour == "raise":
        raise ZeroDivisionError("the program divided by zero")
    elif behaviour == "exit":
        os._exit(3)
    elif behaviour == "garbage":
        return replace(good, proof=b"\x00" * 32)
    elif behaviour == "alien":
        return "not a proof"  # type: ignore[return-value]
    elif behaviour == "forged":
        return replace(good, statement=replace(good.statement, prover=b"\x66" * 20))
    elif behaviour == "wrong":
        public_output = abi_encode(["uint32", "int64"], [9, 999])
        return replace(good, public_output=public_output)
    return good
