"""Rebuild the WASM programs: `python -m provers.programs.wasm_build [--check] [NAME …]`, all of them without a name.

A WASM program is a Rust crate in a folder of this workspace whose Cargo.toml has a `[package.metadata.w3bstream]`. It is
compiled for wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`), and the module and `program.toml` are
written into its folder. With `--check` nothing is written; it fails where a rebuild differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provers.programs import PROGRAMS
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import kind_of
from verifier.completeness import COMPLETENESS_OUTPUTS
from verifier.reading import KeyType

TARGET = "wasm32-unknown-unknown"
SCHEME = "poseidon-bn254-v1"
LARGEST_PLAIN = 200_000
"""Bytes of a module that is stored as it is; a larger one is stored as `.xz`."""


@dataclass(frozen=True)
class Crate:
    """What a program's Cargo.toml says."""

    name: str
    capacity: int
    """Most readings in one window."""
    payload: str
    """Payload type of the readings, as a project file names it."""
    outputs: tuple[str, ...]
    """The program's own outputs, such as `uint32 count`; the runtime adds those of completeness."""
    module: str | None
    """Python module whose `output_of` computes the same, if there is one."""
    limits: Mapping[str, int]
    """Of the runtime's limits those that the program changes."""


def read_crate(folder: Path) -> Crate | None:
    """The program in `folder`, or None where there is none. Raises KeyError for a field that is missing."""
    file = folder / "Cargo.toml"
    package = tomllib.loads(file.read_text("utf-8"))["package"] if file.exists() else {}
    row: dict[str, Any] | None = package.get("metadata", {}).get("w3bstream")
    if row is None:
        return None
    outputs, limits = tuple(row["outputs"]), row.get("limits", {})
    return Crate(package["name"], row["capacity"], row["payload"], outputs, row.get("module"), limits)


def wasm_programs() -> list[str]:
    """Names of the WASM programs of this workspace."""
    return sorted(file.parent.name for file in PROGRAMS.glob("*/Cargo.toml") if read_crate(file.parent))


def _ask(command: Sequence[str]) -> str:
    return subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True, check=True).stdout.strip()


def compiler() -> str:
    """The compiler's version, such as `rustc 1.95.0 (59807616e 2026-04-14)`."""
    return _ask(["rustc", "--version"])


def compile_program(name: str, target: Path) -> bytes:
    """The module; `target` is cargo's folder for what it builds. Raises RuntimeError with the compiler's words.

    No path of this machine is in the module, so that another machine with the same compiler makes the same bytes.
    """
    config = tomllib.loads((PROGRAMS / ".cargo" / "config.toml").read_text("utf-8"))
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    mapped = {
        PROGRAMS: "programs",
        home / "registry" / "src": "registry",
        Path(_ask(["rustc", "--print", "sysroot"])): "rust",
    }
    flags = [
        *config["target"][TARGET]["rustflags"],
        *(f"--remap-path-prefix={path}={to}" for path, to in mapped.items()),
    ]
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags), "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target", TARGET, "--package", name]
    done = subprocess.run(command, cwd=PROGRAMS, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"cargo refused {name}:\n{done.stderr}")
    return (target / TARGET / "release" / f"{name}.wasm").read_bytes()


def manifest(crate: Crate, wasm: bytes, version: str) -> str:
    """The text of `program.toml`."""
    file = f"{crate.name}.wasm" + (".xz" if len(wasm) > LARGEST_PLAIN else "")
    lines = [
        "# Written by provers/programs/wasm_build.py; do not edit.",
        f'name = "{crate.name}"',
        f"kinds = {json.dumps([kind_of(platform) for platform in Platform])}",
        f'scheme = "{SCHEME}"',
        f"capacity = {crate.capacity}",
        f'payload = "{crate.payload}"',
        'provenance = "attested"',
        f"key_types = {json.dumps([key_type.label for key_type in KeyType])}",
        f"outputs = {json.dumps([*crate.outputs, *COMPLETENESS_OUTPUTS])}",
        *([f'module = "{crate.module}"'] if crate.module else []),
        f'compiler = "{version}"',
        "",
        "# SHA-256 of the bytes after decompression.",
        "[artifacts]",
        f'wasm = {{ file = "{file}", sha256 = "{hashlib.sha256(wasm).hexdigest()}" }}',
    ]
    if crate.limits:
        lines += ["", "[limits]", *(f"{name} = {value}" for name, value in crate.limits.items())]
    return "\n".join(lines) + "\n"


def rebuild(name: str, target: Path, check: bool) -> bool:
    """Build one program, or with `check` only compare; True when the folder has (now) what a build gives."""
    folder = PROGRAMS / name
    crate = read_crate(folder)
    if crate is None:
        raise RuntimeError(f"{folder} has no Cargo.toml with [package.metadata.w3bstream]")
    version, wasm = compiler(), compile_program(name, target)
    text = manifest(crate, wasm, version)
    if check:
        committed = (folder / "program.toml").read_text("utf-8")
        if committed != text:
            made_by = tomllib.loads(committed)["compiler"]
            print(f"{name}: a rebuild with {version} differs from what {made_by} made", file=sys.stderr)
        return committed == text
    for old in folder.glob("*.wasm*"):
        old.unlink()
    packed = lzma.compress(wasm, preset=9) if len(wasm) > LARGEST_PLAIN else wasm
    (folder / tomllib.loads(text)["artifacts"]["wasm"]["file"]).write_bytes(packed)
    (folder / "program.toml").write_text(text, "utf-8")
    print(f"{name}: {len(wasm)} bytes, {len(packed)} stored")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Build or check programs; returns the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="folders under provers/programs; all WASM programs by default")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("--target-dir", type=Path, help="keep what cargo builds here; a scratch folder by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="w3bstream-wasm-") as scratch:
        target = (options.target_dir or Path(scratch)).resolve()
        right = [rebuild(name, target, options.check) for name in options.names or wasm_programs()]
    return 0 if all(right) else 1


if __name__ == "__main__":
    raise SystemExit(main())
