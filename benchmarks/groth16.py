"""Groth16 proving time on the sample program (110,173 constraints) against snarkjs with the same key and witness.

    python -m benchmarks.groth16 [--rounds 3] [--threads 2] [--snarkjs PATH] [--circuit R1CS WASM INPUT.json]

snarkjs reads our key through the `.zkey` export, so both sides prove the same constraints over the same 2^17 domain on
the same machine, in turn. Both proofs of each round are verified. Times are the best of the rounds, wall and CPU: on a
busy machine the CPU column is the one to compare. snarkjs' include starting Node, about 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from native._native import Groth16Key, groth16_verify
from provers.programs import PROGRAMS, read_manifest
from provers.protocol import Prepared, Program
from provers.zkp.witness import WitnessCalculator
from tests.groth16.window import window_task
from verifier.field import R

T = TypeVar("T")
ROOT = Path(__file__).parents[1]


class Seconds(NamedTuple):
    """What a step took."""

    wall: float
    cpu: float


@dataclass
class Run:
    """One circuit with its inputs."""

    r1cs: bytes
    wasm: bytes
    inputs: dict[str, Any]


def sample_program() -> Run:
    """The sample program with a full window of sixteen readings."""
    manifest = read_manifest(PROGRAMS / "temperature_window")
    unprepared = Prepared(Program(manifest.name, manifest.kind, manifest.folder), bytes(32), b"", "", None)
    task = window_task(unprepared, list(range(-8, 8)))
    module = manifest.program()
    return Run(manifest.artifact("r1cs"), manifest.artifact("wasm"), dict(module.circuit_inputs(task, bytes(32))))


def cpu_seconds() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(work: Callable[[], T]) -> tuple[Seconds, T]:
    """Seconds and the result."""
    started, used = time.perf_counter(), cpu_seconds()
    result = work()
    return Seconds(time.perf_counter() - started, cpu_seconds() - used), result


def wtns(witness: bytes) -> bytes:
    """A witness as iden3's `.wtns` file."""
    header = struct.pack("<I", 32) + R.to_bytes(32, "little") + struct.pack("<I", len(witness) // 32)
    sections = struct.pack("<IQ", 1, len(header)) + header + struct.pack("<IQ", 2, len(witness)) + witness
    return b"wtns" + struct.pack("<II", 2, 2) + sections


def snarkjs_proof(snarkjs: Path, folder: Path) -> bytes:
    """A proof by snarkjs from `k.zkey` and `w.wtns` in `folder`, as our 256 bytes."""
    names = [folder / name for name in ("k.zkey", "w.wtns", "p.json", "s.json")]
    subprocess.run([snarkjs, "groth16", "prove", *names], check=True, capture_output=True, cwd=folder)
    proof = json.loads((folder / "p.json").read_text())
    g2 = [proof["pi_b"][i][j] for i in (0, 1) for j in (1, 0)]
    return b"".join(int(value).to_bytes(32, "big") for value in [*proof["pi_a"][:2], *g2, *proof["pi_c"][:2]])


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--snarkjs", type=Path, default=ROOT / "node_modules" / ".bin" / "snarkjs")
    parser.add_argument("--circuit", nargs=3, type=Path, metavar=("R1CS", "WASM", "INPUT"))
    options = parser.parse_args()
    if options.circuit:
        r1cs, wasm, inputs = options.circuit
        run = Run(r1cs.read_bytes(), wasm.read_bytes(), json.loads(inputs.read_text()))
    else:
        run = sample_program()

    compile_seconds, calculator = timed(lambda: WitnessCalculator(run.wasm))
    witness_seconds, witness = timed(lambda: calculator.witness(run.inputs))
    setup_seconds, initial = timed(lambda: Groth16Key.setup(run.r1cs, threads=options.threads))
    contribute_seconds, key = timed(lambda: initial.contribute("benchmark", threads=options.threads))
    signals = b"".join(witness[at : at + 32][::-1] for at in range(32, 32 * (key.signals + 1), 32))
    ours: list[Seconds] = []
    theirs: list[Seconds] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key.save(folder / "key")
        load_seconds, _ = timed(lambda: Groth16Key.load(folder / "key", options.threads))
        (folder / "k.zkey").write_bytes(key.zkey())
        (folder / "w.wtns").write_bytes(wtns(witness))
        for _ in range(options.rounds):
            seconds, (proof, stages) = timed(lambda: key.prove(witness, options.threads))
            ours.append(seconds)
            verify_seconds, holds = timed(partial(groth16_verify, key.verifying_key_abi(), signals, proof))
            assert holds
            seconds, proof = timed(lambda: snarkjs_proof(options.snarkjs, folder))
            theirs.append(seconds)
            assert groth16_verify(key.verifying_key_abi(), signals, proof)

    print(f"{key.constraints:,} constraints, {key.wires:,} wires, {options.threads} threads, {os.cpu_count()} cores")
    rows = [
        ("compile wasm", compile_seconds),
        ("witness (wasmtime)", witness_seconds),
        ("set-up, phase 1", setup_seconds),
        ("contribution, phase 2", contribute_seconds),
        ("load key", load_seconds),
        ("prove, ours", min(ours)),
        ("prove, snarkjs", min(theirs)),
        ("verify", verify_seconds),
    ]
    print(f"{'':24} {'wall s':>9} {'CPU s':>9}")
    for label, seconds in rows:
        print(f"{label:24} {seconds.wall:9.3f} {seconds.cpu:9.3f}")
    print(f"{'snarkjs / ours':24} {min(theirs).wall / min(ours).wall:9.2f} {min(theirs).cpu / min(ours).cpu:9.2f}")
    print("stages of our last proof: " + ", ".join(f"{stage} {wall:.2f} s" for stage, wall in stages))


if __name__ == "__main__":
    main()
