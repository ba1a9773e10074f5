"""One circuit with its inputs, the key and the files that provers want."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.groth16.clock import Seconds, timed
from native._native import Groth16Key
from provers.programs import PROGRAMS, read_manifest
from provers.protocol import Prepared, Program
from provers.zkp.witness import WitnessCalculator
from tests.groth16.window import window_task
from verifier.field import R


@dataclass
class Circuit:
    """One circuit with its inputs."""

    r1cs: bytes
    wasm: bytes
    inputs: dict[str, Any]


def sample_program() -> Circuit:
    """The sample program with a full window of sixteen readings."""
    manifest = read_manifest(PROGRAMS / "temperature_window")
    unprepared = Prepared(Program(manifest.name, manifest.kind, manifest.folder), bytes(32), b"", "", None)
    task = window_task(unprepared, list(range(-8, 8)))
    module = manifest.program()
    return Circuit(manifest.artifact("r1cs"), manifest.artifact("wasm"), dict(module.circuit_inputs(task, bytes(32))))


@dataclass(frozen=True)
class Statement:
    """A key with a witness, and the same as files for others."""

    key: Groth16Key
    """Without tables."""
    with_tables: dict[str, Groth16Key]
    """The same key with stored multiples, by the memory that they may take."""
    witness: bytes
    signals: bytes
    folder: Path
    took: dict[str, Seconds]
    """What making it took, step by step."""

    @property
    def zkey(self) -> Path:
        """The key as snarkjs' file."""
        return self.folder / "k.zkey"

    @property
    def wtns(self) -> Path:
        """The witness as snarkjs' file."""
        return self.folder / "w.wtns"

    @property
    def r1cs(self) -> Path:
        """The constraints."""
        return self.folder / "c.r1cs"


def wtns(witness: bytes) -> bytes:
    """A witness as iden3's `.wtns` file."""
    header = struct.pack("<I", 32) + R.to_bytes(32, "little") + struct.pack("<I", len(witness) // 32)
    sections = struct.pack("<IQ", 1, len(header)) + header + struct.pack("<IQ", 2, len(witness)) + witness
    return b"wtns" + struct.pack("<II", 2, 2) + sections


TABLE_MIB = {"96 MiB": 96, "1 GiB": 1024}
"""Memory for stored multiples: what costs a worker little, and what a machine that does nothing else has."""


def statement(circuit: Circuit, folder: Path, threads: int) -> Statement:
    """Witness, set-up and one contribution, and the files."""
    took: dict[str, Seconds] = {}
    took["compile wasm"], calculator = timed(lambda: WitnessCalculator(circuit.wasm))
    took["witness (wasmtime)"], witness = timed(lambda: calculator.witness(circuit.inputs))
    took["set-up, phase 1"], initial = timed(lambda: Groth16Key.setup(circuit.r1cs, threads=threads))
    took["contribution, phase 2"], key = timed(lambda: initial.contribute("benchmark", threads=threads))
    key.save(folder / "key")
    took["load key"], _ = timed(lambda: Groth16Key.load(folder / "key", threads))
    tables = {}
    for name, mebibytes in TABLE_MIB.items():
        took[f"tables, {name}"], tables[name] = timed(partial(key.with_tables, mebibytes << 20, threads=threads))
    signals = b"".join(witness[at : at + 32][::-1] for at in range(32, 32 * (key.signals + 1), 32))
    found = Statement(key, tables, witness, signals, folder, took)
    found.zkey.write_bytes(key.zkey())
    found.wtns.write_bytes(wtns(witness))
    found.r1cs.write_bytes(circuit.r1cs)
    return found
