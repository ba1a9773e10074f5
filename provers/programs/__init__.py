"""Sample DePIN programs, one folder each: manifest, sources, compiled artifacts and the Python that feeds them.

In comes a proving task; out come the program's public output and the private inputs that its circuit takes.
"""

from __future__ import annotations

import hashlib
import lzma
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from provers.protocol import ProvingTask
from verifier.completeness import COMPLETENESS_OUTPUTS, ends_with_completeness
from verifier.errors import InvalidInput

PROGRAMS = Path(__file__).parent
"""Where the sample programs lie."""

CircuitInputs = dict[str, int | list[int]]
"""Signal name to value; an array of signals is flattened in row-major order. Values are in [0, r)."""


class CircuitProgram(Protocol):
    """What a circuit program's Python module offers (the manifest's `module`)."""

    def output_of(self, task: ProvingTask) -> bytes:
        """The canonical ABI encoding of the program's output. Raises InvalidInput W3B-4021."""

    def circuit_inputs(self, task: ProvingTask, digest: bytes) -> CircuitInputs:
        """Every input signal of the circuit for the task; `digest` is the Statement's. Raises InvalidInput W3B-4021."""


@dataclass(frozen=True)
class Manifest:
    """A program folder's `program.toml`."""

    folder: Path
    """Where the artifacts lie."""
    name: str
    """The program's name."""
    kind: str
    """Proof kind, `zkp.groth16`."""
    scheme: str
    """Commitment scheme that the circuit computes."""
    capacity: int
    """Most readings in one window."""
    outputs: tuple[str, ...]
    """The output tuple, such as `uint32 count`; it ends with `COMPLETENESS_OUTPUTS`."""
    public_signals: int
    """Public signals of the circuit, without the constant 1."""
    module: str
    """Python module that is a `CircuitProgram`."""
    artifacts: Mapping[str, tuple[str, str]]
    """Name (`r1cs`, `wasm`) to (file name, SHA-256 in hex of the bytes after decompression)."""

    def artifact(self, name: str) -> bytes:
        """The bytes of an artifact, decompressed and checked. Raises InvalidInput W3B-4022."""
        if name not in self.artifacts:
            raise InvalidInput("W3B-4022", f"program {self.name} has no artifact {name!r}", field=name)
        file, expected = self.artifacts[name]
        try:
            data = (self.folder / file).read_bytes()
            data = lzma.decompress(data) if file.endswith(".xz") else data
        except (OSError, lzma.LZMAError) as error:
            raise InvalidInput("W3B-4022", f"{self.folder / file} cannot be read: {error}", field=name) from error
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise InvalidInput("W3B-4022", f"{file} has SHA-256 {found}, the manifest says {expected}", field=name)
        return data

    def program(self) -> CircuitProgram:
        """The Python module that feeds the circuit."""
        return cast(CircuitProgram, import_module(self.module))


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's `program.toml`. Raises InvalidInput W3B-4022 when it is missing or malformed."""
    try:
        row = tomllib.loads((folder / "program.toml").read_text("utf-8"))
        manifest = Manifest(
            folder,
            row["name"],
            row["kind"],
            row["scheme"],
            int(row["capacity"]),
            tuple(row["outputs"]),
            int(row["public_signals"]),
            row["module"],
            {name: (entry["file"], entry["sha256"]) for name, entry in row["artifacts"].items()},
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            "W3B-4022", f"{folder / 'program.toml'} is no manifest: {error!r}", field="program"
        ) from error
    if not ends_with_completeness(manifest.outputs):
        raise InvalidInput(
            "W3B-4022",
            f"the outputs of {folder / 'program.toml'} do not end with {list(COMPLETENESS_OUTPUTS)}",
            field="outputs",
        )
    return manifest
