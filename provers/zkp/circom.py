"""Groth16 over circom circuits: the first prover, kind `zkp.groth16`.

It computes the output, completes the Statement, feeds the circuit (witness.py), proves with the installation's key
(keys.py, native/groth16), and checks its own proof before anyone else sees it.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from eth_hash.auto import keccak

from native._native import Groth16Error, Groth16Key
from provers.installation import TABLE_VARIABLE, installation_home
from provers.programs import CircuitProgram, Manifest, read_manifest
from provers.protocol import Prepared, Program, Progress, Proof, ProvingTask, timed
from provers.zkp.keys import KeyCache, native_error
from provers.zkp.witness import WORD, Limits, WitnessCalculator
from verifier.errors import InvalidInput, Refused
from verifier.groth16 import KIND, Groth16Proof, groth16_program_id, verify_groth16
from verifier.signals import public_signals
from verifier.statement import Statement

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Circuit:
    """What `Prepared.state` holds."""

    program: CircuitProgram
    key: Groth16Key
    calculator: WitnessCalculator


class CircomProver:
    """The `Prover` of circom circuits.

    Parameters: `home` is the data folder, default `installation_home()`; `threads` is what one proof may use, 0 for
    every core; `limits` bounds a circuit's witness computation; `table_mib` are the mebibytes that stored multiples of a
    key's points may take, default `$W3BSTREAM_WORKER_TABLE_MIB` or none.
    """

    kind: str = KIND

    def __init__(
        self,
        home: Path | None = None,
        *,
        threads: int = 0,
        limits: Limits | None = None,
        table_mib: int | None = None,
    ) -> None:
        self._home = home
        self._threads = threads
        self._limits = limits
        self._table_mib = int(os.environ.get(TABLE_VARIABLE) or 0) if table_mib is None else table_mib
        self._prepared: dict[tuple[Path, str, str], Prepared] = {}
        self._lock = threading.Lock()

    def prepare(self, program: Program, on_progress: Progress) -> Prepared:
        """Compile the circuit's wasm and load the proving key; the first time set it up, in half a minute or so.

        Raises InvalidInput W3B-4022 or W3B-4002 for the program's folder, Refused W3B-4006 for a stored key that cannot
        be used, Unavailable W3B-4007 when this machine cannot do it.
        """
        manifest = read_manifest(program.folder)
        if self.kind not in manifest.kinds:
            raise InvalidInput(
                "W3B-4002", f"{program.folder} is of kind {', '.join(manifest.kinds)}, not {self.kind}", field="kind"
            )
        r1cs, wasm = (manifest.artifacts.get(name, ("", ""))[1] for name in ("r1cs", "wasm"))
        digest = (program.folder.resolve(), r1cs, wasm)
        with self._lock:
            if digest not in self._prepared:
                self._prepared[digest] = self._prepare(program, manifest, on_progress)
            on_progress("ready", 1.0)
            return self._prepared[digest]

    def _prepare(self, program: Program, manifest: Manifest, on_progress: Progress) -> Prepared:
        home = installation_home(self._home)
        on_progress("compile", 0.0)
        calculator = WitnessCalculator(manifest.artifact("wasm"), cache=home / "cache" / "circom", limits=self._limits)
        key = KeyCache(home, threads=self._threads).key(manifest.artifact("r1cs"), on_progress)
        if (key.signals, key.wires) != (manifest.public_signals, calculator.witness_size):
            raise InvalidInput(
                "W3B-4002",
                f"{program.folder}: the r1cs has {key.signals} signals and {key.wires} wires, "
                f"the manifest {manifest.public_signals} signals, the wasm {calculator.witness_size} wires",
                field="artifacts",
            )
        verifying_key = key.verifying_key_abi()
        state = _Circuit(manifest.program(), self._with_tables(key, on_progress), calculator)
        return Prepared(program, groth16_program_id(verifying_key), verifying_key, key.label, state)

    def _with_tables(self, key: Groth16Key, on_progress: Progress) -> Groth16Key:
        """The key with stored multiples as far as they may take memory: proofs then take about a fifth of the time."""
        if not self._table_mib:
            return key
        try:
            return key.with_tables(self._table_mib << 20, None, self._threads, on_progress)
        except Groth16Error as error:
            kind, message = error.args
            if kind != "resources":
                raise native_error(error, "tables") from error
            log.warning("Proofs are made without tables, %s MiB do not suffice: %s", self._table_mib, message)
            return key

    def prove(self, prepared: Prepared, task: ProvingTask, on_progress: Progress) -> Proof:
        """Prove one window.

        Raises InvalidInput W3B-4021 or W3B-1007 and Refused W3B-1004 or W3B-1005 (readings that the program cannot
        take), Refused W3B-4004 (the circuit refuses them, such as a bad signature), W3B-4005 (limits), W3B-4008 (our
        own check failed), W3B-4012 (the task is for another program id), Unavailable W3B-4007.
        """
        circuit: _Circuit = prepared.state
        if task.program_id != prepared.program_id:
            raise Refused("W3B-4012", f"the task is for program {task.program_id.hex()}", field="programId")
        seconds: dict[str, float] = {}
        with timed(seconds, "witness"):
            on_progress("witness", 0.0)
            output = circuit.program.output_of(task)
            statement = task.statement(keccak(output))
            digest = statement.digest(task.domain)
            witness = circuit.calculator.witness(circuit.program.circuit_inputs(task, digest))
            expected = public_signals(digest, task.opening, task.project_id, output)
            _check_signals(witness, expected)
            on_progress("witness", 1.0)
        with timed(seconds, "prove"):
            points = self._prove(circuit.key, witness, on_progress)
        with timed(seconds, "check"):
            proof = Groth16Proof(points, task.opening).encode()
            try:
                self.verify(prepared, task, statement, output, proof)
            except Refused as error:
                raise Refused("W3B-4008", f"the new proof does not pass its own check: {error}") from error
        return Proof(statement, output, proof, seconds)

    def _prove(self, key: Groth16Key, witness: bytes, on_progress: Progress) -> bytes:
        def report(_stage: str, fraction: float) -> None:
            on_progress("prove", fraction)

        try:
            points, _ = key.prove(witness, self._threads, report)
        except Groth16Error as error:
            raise native_error(error, "proving") from error
        return points

    def verify(
        self, prepared: Prepared, task: ProvingTask, statement: Statement, public_output: bytes, proof: bytes
    ) -> None:
        """Check a proof as the adapter contract will, and that it is this task's.

        Raises Refused: W3B-4010 malformed, W3B-4011 other inputs, W3B-4012 another task, project, program or prover,
        W3B-4013 another output, W3B-4014 the proof does not hold, W3B-4020 a value out of its signal's range.
        """
        task.require(statement)
        opening = verify_groth16(prepared.verifying_key, task.domain, statement, public_output, proof)
        if opening != task.opening:
            raise Refused("W3B-4011", f"the proof opens {opening}, the task {task.opening}", field="inputs")


def _check_signals(witness: bytes, expected: list[int]) -> None:
    """Require that the circuit computed what the Statement says. Raises Refused W3B-4008 with the signal's index."""
    for index, signal in enumerate(expected):
        found = int.from_bytes(witness[(index + 1) * WORD : (index + 2) * WORD], "little")
        if found != signal:
            raise Refused("W3B-4008", f"the circuit's signal {index} is {found}, not {signal}", field=f"signal {index}")
