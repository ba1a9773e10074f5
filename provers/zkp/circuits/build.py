"""Rebuild a circuit program: `python -m provers.zkp.circuits.build [--check] NAME`, such as `temperature_window`.

Writes the constants' circom files, compiles the program with npm's circom2 (`npm ci` first), and writes the artifacts
and `program.toml` into the program's folder. With `--check` it writes nothing and fails where a rebuild differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from provers.programs import PROGRAMS
from provers.zkp.circuits.constants import curve_source, poseidon_source
from verifier.commitment import DEVICE_DEPTH

CIRCUITS = Path(__file__).parent
ROOT = CIRCUITS.parents[2]
COMPILER = "circom2"
OPTIONS = ("--O2", "--r1cs", "--wasm")
"""--O2 puts every linear constraint into the products that use it; Poseidon's linear layers then cost nothing."""
SCHEME = "poseidon-bn254-v1"


@dataclass(frozen=True)
class Built:
    """What one compilation gives."""

    r1cs: bytes
    """iden3's binary r1cs format."""
    wasm: bytes
    """circom's witness calculator."""
    version: str
    """The compiler's npm version."""


def constants() -> dict[Path, str]:
    """The generated circom files and their text."""
    return {
        CIRCUITS / "poseidon_constants.circom": poseidon_source(),
        CIRCUITS / "curve_constants.circom": curve_source(),
    }


def sources(name: str) -> list[Path]:
    """Every circom file of a program: the shared ones and its own."""
    return [*sorted(CIRCUITS.glob("*.circom")), *sorted((PROGRAMS / name).glob("*.circom"))]


def run_compiler(folder: Path, name: str, options: Sequence[str], node_modules: Path) -> str:
    """Compile `folder`/`name`.circom in place and return circom2's npm version; it sees nothing outside the folder.

    Raises RuntimeError with the compiler's words.
    """
    package = node_modules / COMPILER
    version = json.loads((package / "package.json").read_text("utf-8"))["version"]
    command = ["node", str(package / "cli.js"), f"{name}.circom", *options, "-o", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"circom2 refused {name}:\n{done.stdout}{done.stderr}")
    return str(version)


def compile_program(name: str, node_modules: Path) -> Built:
    """Compile a program in a scratch folder. Raises RuntimeError with the compiler's words."""
    with tempfile.TemporaryDirectory(prefix="w3bstream-circom-") as scratch:
        out = Path(scratch)
        for source in sources(name):
            shutil.copy(source, out)
        version = run_compiler(out, name, OPTIONS, node_modules)
        return Built((out / f"{name}.r1cs").read_bytes(), (out / f"{name}_js" / f"{name}.wasm").read_bytes(), version)


def r1cs_header(data: bytes) -> tuple[int, int, int, int]:
    """(wires, public outputs, public inputs, constraints) of an r1cs file. Raises ValueError for another format."""
    if data[:4] != b"r1cs":
        raise ValueError("not an r1cs file")
    at = 12
    while int.from_bytes(data[at : at + 4], "little") != 1:
        at += 12 + int.from_bytes(data[at + 4 : at + 12], "little")
    at += 12
    field_bytes = int.from_bytes(data[at : at + 4], "little")
    at += 4 + field_bytes
    wires, outputs, inputs = (int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little") for i in range(3))
    constraints = int.from_bytes(data[at + 24 : at + 28], "little")
    return wires, outputs, inputs, constraints


def manifest(name: str, built: Built) -> str:
    """The text of `program.toml`."""
    module = import_module(f"provers.programs.{name}")
    wires, outputs, inputs, constraints = r1cs_header(built.r1cs)
    listed = [path.relative_to(ROOT).as_posix() for path in sources(name)]
    lines = [
        "# Written by provers/zkp/circuits/build.py; do not edit.",
        f'name = "{name}"',
        'kind = "zkp.groth16"',
        f'scheme = "{SCHEME}"',
        f"capacity = {module.CAPACITY}",
        f"device_depth = {DEVICE_DEPTH}",
        f'payload = "{module.PAYLOAD}"',
        f"outputs = {json.dumps(list(module.OUTPUTS))}",
        f"public_signals = {outputs + inputs}",
        f"constraints = {constraints}",
        f"wires = {wires}",
        f'module = "provers.programs.{name}"',
        f'compiler = "{COMPILER} {built.version} {" ".join(OPTIONS)}"',
        "sources = [",
        *(f'    "{path}",' for path in listed),
        "]",
        "",
        "# SHA-256 of the bytes after decompression.",
        "[artifacts]",
        f'r1cs = {{ file = "{name}.r1cs.xz", sha256 = "{hashlib.sha256(built.r1cs).hexdigest()}" }}',
        f'wasm = {{ file = "{name}.wasm", sha256 = "{hashlib.sha256(built.wasm).hexdigest()}" }}',
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Build or check one program; returns the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="folder under provers/programs")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("--node-modules", type=Path, default=ROOT / "node_modules", help="where circom2 is installed")
    options = parser.parse_args(arguments)
    stale = [path for path, text in constants().items() if not path.exists() or path.read_text("utf-8") != text]
    if options.check and stale:
        print(f"stale: {', '.join(path.name for path in stale)}", file=sys.stderr)
        return 1
    for path, text in constants().items():
        if path in stale:
            path.write_text(text, "utf-8")
    built = compile_program(options.name, options.node_modules)
    folder = PROGRAMS / options.name
    text = manifest(options.name, built)
    if options.check:
        if (folder / "program.toml").read_text("utf-8") != text:
            print(f"{options.name}: a rebuild differs from the committed manifest", file=sys.stderr)
            return 1
        return 0
    (folder / f"{options.name}.r1cs.xz").write_bytes(lzma.compress(built.r1cs, preset=6))
    (folder / f"{options.name}.wasm").write_bytes(built.wasm)
    (folder / "program.toml").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
