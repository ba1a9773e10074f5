"""What is timed: the same work in WASM, under a TEE prover, and as a Groth16 proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.zkml.circuit import LAYERS, circuit_inputs, compile_classifier, constants
from native._native import Groth16Key, groth16_verify
from provers.programs import PROGRAMS, read_manifest
from provers.protocol import Program, ProvingTask
from provers.tee.prover import TeeProver
from provers.tee.runtime.abi import encode_input
from provers.tee.runtime.limits import WasmLimits
from provers.tee.runtime.wasm import WasmProgram
from provers.zkp.circom import CircomProver
from provers.zkp.circuits.build import r1cs_header
from provers.zkp.witness import WitnessCalculator
from tests.groth16.window import KEYS, PROJECT, window_task
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import kind_of
from verifier.commitment import device_indices, readings_root
from verifier.completeness import Completeness
from verifier.field import R
from verifier.outputs import WORD

CAPACITY = 16
PLATFORM = Platform.SGX
SAMPLES = [128 + ((37 * i * i + 11 * i) % 97 - 48) for i in range(64)]
"""A window of 64 samples of 8 bits; what they are does not change what a proof takes."""


@dataclass(frozen=True)
class Work:
    """One thing to time. `run` returns what it computed, as comparable numbers."""

    name: str
    run: Callable[[], Sequence[int]]


def words(output: bytes, count: int) -> list[int]:
    """The first `count` words of a public output, as signed integers."""
    return [int.from_bytes(output[WORD * i : WORD * (i + 1)], "big", signed=True) for i in range(count)]


def signals(witness: bytes, count: int) -> list[int]:
    """The first `count` output signals of a witness, as signed integers."""
    values = [int.from_bytes(witness[WORD * i : WORD * (i + 1)], "little") for i in range(1, count + 1)]
    return [value - R if value > R // 2 else value for value in values]


def vibration_task(task: ProvingTask) -> ProvingTask:
    """The task over 16 readings of one device that hold `SAMPLES`."""
    readings = tuple(
        KEYS[0].sign(
            project=PROJECT, sequence=i + 1, timestamp=1_700_000_000_000 + i, payload=bytes(SAMPLES[4 * i : 4 * i + 4])
        )
        for i in range(CAPACITY)
    )
    opening = replace(
        task.opening, readings_root=readings_root(readings, CAPACITY), count=CAPACITY, completeness=Completeness()
    )
    return replace(task, readings=readings, opening=opening)


def wasm_work(name: str, task: ProvingTask, outputs: int, home: Path) -> Work:
    """A program alone: a fresh instance that runs over the task's window."""
    program = WasmProgram(read_manifest(PROGRAMS / name).artifact("wasm"), WasmLimits(), cache=home / "wasm")
    data = encode_input(task.readings, device_indices(task.device_set))
    return Work("WASM run", lambda: words(program.run(data), outputs))


def tee_work(
    name: str, outputs: int, home: Path, make: Callable[[ProvingTask], ProvingTask]
) -> tuple[Work, ProvingTask]:
    """A program under the TEE prover: readings checked, run, Statement signed and checked. The session stands already."""
    prover = TeeProver(PLATFORM, home)
    prepared = prover.prepare(Program(name, kind_of(PLATFORM), PROGRAMS / name), lambda _stage, _done: None)
    task = make(window_task(prepared, list(range(-8, 8))))
    prover.prove(prepared, task, lambda _stage, _done: None)

    def run() -> list[int]:
        return words(prover.prove(prepared, task, lambda _stage, _done: None).public_output, outputs)

    return Work("TEE proof (Statement)", run), task


def bare_work() -> Work:
    """The inference alone, in NumPy's integers: no isolation, no proof, the model at hand."""
    known = constants()
    layers = [
        (np.array(known[f"weights{i}"]), np.array(known[f"bias{i}"]), known.get(f"shift{i}")) for i in range(LAYERS)
    ]

    def run() -> list[int]:
        value = np.array(SAMPLES)
        for weights, bias, shift in layers:
            value = value @ weights + bias
            if isinstance(shift, int):
                value = np.clip(value >> shift, 0, 255)
        return [int(value.argmax()), *value.tolist()]

    return Work("bare inference (NumPy)", run)


def circuit_work(threads: int) -> tuple[Work, int]:
    """The model's circuit, witness and proof, and its constraints. The proof is verified in the first run."""
    compiled = compile_classifier()
    calculator = WitnessCalculator(compiled.wasm)
    key = Groth16Key.setup(compiled.r1cs, threads=threads).contribute("benchmark", threads=threads)
    verifying_key, inputs, checked = key.verifying_key_abi(), circuit_inputs(SAMPLES), False

    def run() -> list[int]:
        nonlocal checked
        witness = calculator.witness(inputs)
        proof, _ = key.prove(witness, threads)
        if not checked:
            public = b"".join(witness[at : at + WORD][::-1] for at in range(WORD, WORD * (key.signals + 1), WORD))
            if not groth16_verify(verifying_key, public, proof):
                raise RuntimeError("the model's proof does not hold")
            checked = True
        return signals(witness, 5)

    return Work("Groth16 proof (model alone)", run), compiled.constraints


def statement_constraints() -> int:
    """Constraints of the circuit that proves a whole Statement."""
    return r1cs_header(read_manifest(PROGRAMS / "temperature_window").artifact("r1cs"))[3]


def statement_work(threads: int, home: Path) -> Work:
    """The circuit `temperature_window`: the whole Statement, signatures and Merkle paths included."""
    prover = CircomProver(home, threads=threads)
    prepared = prover.prepare(
        Program("temperature_window", prover.kind, PROGRAMS / "temperature_window"), lambda _stage, _done: None
    )
    task = window_task(prepared, list(range(-8, 8)))
    return Work(
        "Groth16 proof (Statement)",
        lambda: words(prover.prove(prepared, task, lambda _stage, _done: None).public_output, 4),
    )
