"""The classifier's circuit, compiled from the `.onnx` file's own weights, and its inputs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper

from provers.programs import PROGRAMS
from provers.zkp.circuits.build import CIRCUITS, ROOT, r1cs_header, run_compiler

MODEL = PROGRAMS / "vibration_classifier" / "vibration_classifier.onnx"
NAME = "classifier"
LAYERS = 3
REACH = 22
"""The circuit takes sums of a magnitude below 2^22."""


@dataclass(frozen=True)
class Compiled:
    """A circuit and its witness calculator."""

    r1cs: bytes
    wasm: bytes

    @property
    def constraints(self) -> int:
        """How many constraints the proof is about."""
        return r1cs_header(self.r1cs)[3]


def constants(model: Path = MODEL) -> dict[str, list[int] | list[list[int]] | int]:
    """The model's integers by the names that the circuit calls them by: weights0, bias0, shift0, …

    Raises ValueError where a sum could leave the circuit's range.
    """
    arrays = {each.name: numpy_helper.to_array(each) for each in onnx.load(model).graph.initializer}
    found: dict[str, list[int] | list[list[int]] | int] = {}
    for index in range(LAYERS):
        weights, bias = arrays[f"weights{index}"].astype(int), arrays[f"bias{index}"].astype(int)
        if (255 * abs(weights).sum(axis=0) + abs(bias)).max() >= 1 << REACH:
            raise ValueError(f"a sum of layer {index} can reach 2^{REACH}")
        found |= {f"weights{index}": weights.tolist(), f"bias{index}": bias.tolist()}
        if f"unit{index}" in arrays:
            found[f"shift{index}"] = int(arrays[f"unit{index}"]).bit_length() - 1
    return found


def weights_source(model: Path = MODEL) -> str:
    """`weights.circom`: one function for each of the model's constants."""
    functions = [f"function {name}() {{\n    return {value};\n}}\n" for name, value in constants(model).items()]
    return "pragma circom 2.1.6;\n\n" + "\n".join(functions)


def compile_classifier(model: Path = MODEL) -> Compiled:
    """Compile with npm's circom2 as the project's own circuits are. Raises RuntimeError with the compiler's words."""
    with tempfile.TemporaryDirectory(prefix="w3bstream-zkml-") as scratch:
        out = Path(scratch)
        shutil.copy(CIRCUITS / "bits.circom", out)
        shutil.copy(Path(__file__).with_name("classifier.circom"), out)
        (out / "weights.circom").write_text(weights_source(model), "utf-8")
        run_compiler(out, NAME, ("--O2", "--r1cs", "--wasm"), ROOT / "node_modules")
        return Compiled((out / f"{NAME}.r1cs").read_bytes(), (out / f"{NAME}_js" / f"{NAME}.wasm").read_bytes())


def circuit_inputs(samples: Sequence[int]) -> dict[str, int | list[int]]:
    """Every input signal for 64 samples of 8 bits."""
    packed = [int.from_bytes(bytes(samples[at : at + 31]), "little") for at in range(0, len(samples), 31)]
    return {"packed": packed, "samples": list(samples)}
