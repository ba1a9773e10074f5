"""Rebuild circuit programs: `python -m provers.zkp.circuits.build [--check] [NAME …]`, all of them without a name.

Writes the constants' circom files, compiles each program with npm's circom2 (`npm ci` first), and writes the artifacts
and `program.toml` into each program's folder. With `--check` it writes nothing and fails where a rebuild differs.
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
        'provenance = "in-proof"',
        'key_types = ["babyjubjub"]',
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


def circuit_programs() -> list[str]:
    """Names of the programs whose folder has a circom source of the folder's name."""
    return sorted(path.stem for path in PROGRAMS.glob("*/*.circom") if path.stem == path.parent.name)


def refresh_constants(check: bool) -> bool:
    """Write the constants' files where they differ, or with `check` only look; True when all are (now) right."""
    stale = {path: text for path, text in constants().items() if not path.exists() or path.read_text("utf-8") != text}
    if check:
        for path in stale:
            print(f"{path.name} is not what constants.py writes", file=sys.stderr)
        return not stale
    for path, text in stale.items():
        path.write_text(text, "utf-8")
    return True


def rebuild(name: str, node_modules: Path, check: bool) -> bool:
    """Build one program, or with `check` only compare; True when the folder has (now) what a build gives."""
    built = compile_program(name, node_modules)
    folder, text = PROGRAMS / name, manifest(name, built)
    if check:
        same = (folder / "program.toml").read_text("utf-8") == text
        if not same:
            print(f"{name}: a rebuild differs from the committed manifest", file=sys.stderr)
        return same
    (folder / f"{name}.r1cs.xz").write_bytes(lzma.compress(built.r1cs, preset=6))
    (folder / f"{name}.wasm").write_bytes(built.wasm)
    (folder / "program.toml").write_text(text, "utf-8")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Build or check programs; returns the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="folders under provers/programs; all circuit programs by default")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("--node-modules", type=Path, default=ROOT / "node_modules", help="where circom2 is installed")
    options = parser.parse_args(arguments)
    right = [refresh_constants(options.check)]
    right += [rebuild(name, options.node_modules, options.check) for name in options.names or circuit_programs()]
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
