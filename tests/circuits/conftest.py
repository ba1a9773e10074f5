"""Fixtures: the committed program, and circom2 from npm for gadgets and for the program without its checks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from provers.programs import PROGRAMS, CircuitInputs, Manifest, read_manifest
from provers.zkp.circuits.build import ROOT, run_compiler, sources
from provers.zkp.witness import WitnessCalculator
from tests.circuits.r1cs import R1cs, read_r1cs, witness_values
from verifier.field import R

NAME = "temperature_window"
NODE_MODULES = ROOT / "node_modules"


@dataclass(frozen=True)
class Compiled:
    """A circuit compiled for a test."""

    folder: Path
    name: str

    @cached_property
    def r1cs(self) -> R1cs:
        return read_r1cs((self.folder / f"{self.name}.r1cs").read_bytes())

    @cached_property
    def wires(self) -> dict[str, int]:
        """Signal name to wire, for the signals that the compiler kept."""
        rows = (line.split(",") for line in (self.folder / f"{self.name}.sym").read_text().splitlines())
        return {row[3].removeprefix("main."): int(row[1]) for row in rows if row[1] != "-1"}

    @cached_property
    def calculator(self) -> WitnessCalculator:
        return WitnessCalculator((self.folder / f"{self.name}_js" / f"{self.name}.wasm").read_bytes())

    def solve(self, inputs: CircuitInputs) -> list[int]:
        return witness_values(self.calculator.witness(inputs))

    def loose(self, witness: Sequence[int]) -> set[str]:
        """Signals that can move alone, apart from the inputs of `main` (an input may be unused or meet a zero)."""
        names = {wire: name for name, wire in self.wires.items()}
        inputs = range(1 + self.r1cs.outputs, 1 + self.r1cs.outputs + self.r1cs.inputs)
        return {names[w] for shift in (1, R - 1) for w in self.r1cs.free_wires(witness, shift) if w not in inputs}

    def signals(self, witness: Sequence[int], name: str, count: int) -> list[int]:
        return [witness[self.wires[f"{name}[{i}]"]] for i in range(count)]


Gadget = Callable[[str, str], Compiled]


@pytest.fixture(scope="session")
def gadget(tmp_path_factory: pytest.TempPathFactory) -> Gadget:
    """Compile one template as `main`: gadget("bits", "Bits(4)"). Nothing is optimised away."""
    done: dict[str, Compiled] = {}

    def build(file: str, call: str) -> Compiled:
        if call not in done:
            folder = tmp_path_factory.mktemp("gadget")
            for source in sources(NAME):
                shutil.copy(source, folder)
            text = f'pragma circom 2.1.6;\ninclude "{file}.circom";\ncomponent main = {call};\n'
            (folder / "gadget.circom").write_text(text)
            run_compiler(folder, "gadget", ["--O0", "--r1cs", "--wasm", "--sym"], NODE_MODULES)
            done[call] = Compiled(folder, "gadget")
        return done[call]

    return build


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return read_manifest(PROGRAMS / NAME)


@pytest.fixture(scope="session")
def circuit(manifest: Manifest) -> R1cs:
    """The committed constraints."""
    return read_r1cs(manifest.artifact("r1cs"))


@pytest.fixture(scope="session")
def calculator(manifest: Manifest) -> WitnessCalculator:
    """The committed witness calculator."""
    return WitnessCalculator(manifest.artifact("wasm"))


@pytest.fixture(scope="session")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The program compiled again, with the names of its wires."""
    folder = tmp_path_factory.mktemp("rebuilt")
    for source in sources(NAME):
        shutil.copy(source, folder)
    run_compiler(folder, NAME, ["--O2", "--r1cs", "--wasm", "--sym"], NODE_MODULES)
    return Compiled(folder, NAME)


CHECKS = {
    "bits.circom": ["    sum === in;\n}\n\n// The 254 bits"],
    "edwards.circom": ["    168696 * xx * yy === 168700 * xx + yy - 1;\n"],
    "eddsa.circom": ["        enabled * (sum.out[j] - expected.out[j]) === 0;\n", "    inverse * q[0] === 1;\n"],
    "window.circom": [
        "    enabled[0] === 1;  // count >= 1\n",
        "        enabled[i] * (enabled[i] - 1) === 0;\n",
        "        enabled[i] * (1 - enabled[i - 1]) === 0;\n",
        "    total === count;\n",
        "    enabled * (membership.root - deviceSetRoot) === 0;\n",
    ],
    "temperature_window.circom": ["        (1 - enabled[i]) * value[i] === 0;\n"],
}
"""The checks that stand between an attacker and a proof; without them any inputs have a witness."""


def compile_without_checks(folder: Path, line: str = "", lie: str = "") -> Compiled:
    """The program without `CHECKS`, every signal kept: it computes what an attacker would put into each wire.

    `lie` takes the place of `line`, which stands in one of the shared files.
    """
    replaced = 0
    for source in sources(NAME):
        text = source.read_text()
        for check in CHECKS.get(source.name, []):
            assert text.count(check) == 1, check
            text = text.replace(check, "}\n\n// The 254 bits" if "The 254" in check else "")
        replaced += text.count(line) if line else 0
        (folder / source.name).write_text(text.replace(line, lie) if line else text)
    assert replaced == (1 if line else 0), line
    run_compiler(folder, NAME, ["--O0", "--wasm", "--sym"], NODE_MODULES)
    return Compiled(folder, NAME)


@pytest.fixture(scope="session")
def unchecked(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The program without its checks."""
    return compile_without_checks(tmp_path_factory.mktemp("unchecked"))


@pytest.fixture(scope="session")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Compiled]:
    """The program without its checks, with one line more that a dishonest prover would rather have."""
    return lambda line, lie: compile_without_checks(tmp_path_factory.mktemp("lying"), line, lie)


@dataclass(frozen=True)
class Attack:
    """Forces inputs into the committed constraints."""

    circuit: R1cs
    rebuilt: Compiled
    unchecked: Compiled

    def broken(self, inputs: CircuitInputs) -> list[set[str]]:
        """For each constraint that the forced witness breaks, the signals that it reads."""
        values = self.unchecked.solve(inputs)
        witness = [1] + [0] * (self.circuit.wires - 1)
        names: dict[int, set[str]] = {}
        for name, wire in self.rebuilt.wires.items():
            names.setdefault(wire, set()).add(name)
            witness[wire] = values[self.unchecked.wires[name]]
        broken = self.circuit.violated(witness)
        return [set().union(*(names.get(w, set()) for w in self.circuit.wires_of(i))) for i in broken]


@pytest.fixture(scope="session")
def attack(circuit: R1cs, rebuilt: Compiled, unchecked: Compiled) -> Attack:
    return Attack(circuit, rebuilt, unchecked)
