"""Sample DePIN programs, one folder each: manifest, sources, compiled artifacts and the Python that feeds them.

In comes a proving task; out come the program's public output and the private inputs that its circuit takes. A WASM
program, which every `tee.` kind runs, needs no Python: docs/reference/tee.md.
"""

from __future__ import annotations

import hashlib
import lzma
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from provers.protocol import ProvingTask
from verifier.completeness import COMPLETENESS_OUTPUTS, ends_with_completeness
from verifier.errors import InvalidInput
from verifier.reading import KeyType

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
    kinds: tuple[str, ...]
    """Proof kinds, such as `zkp.groth16`; a WASM program serves every `tee.` platform that it names."""
    scheme: str
    """Commitment scheme that the project's readings are committed with."""
    capacity: int
    """Most readings in one window."""
    outputs: tuple[str, ...]
    """The output tuple, such as `uint32 count`; it ends with `COMPLETENESS_OUTPUTS`."""
    public_signals: int
    """Public signals of the circuit, without the constant 1; 0 for a WASM program."""
    module: str
    """Python module that is a `CircuitProgram`; of a WASM program one with `output_of`, or empty."""
    artifacts: Mapping[str, tuple[str, str]]
    """Name (`r1cs`, `wasm`) to (file name, SHA-256 in hex of the bytes after decompression)."""
    key_types: tuple[KeyType, ...] = tuple(KeyType)
    """Device keys whose signatures it can check."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """What a WASM program may use, where that is not the default: docs/reference/tee.md."""
    sealed: str = ""
    """Name of the key broker's secret that opens the readings' payloads; empty where they are in clear."""

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
        """The Python module that feeds the circuit. Raises InvalidInput W3B-4022 where the manifest names none."""
        if not self.module:
            raise InvalidInput("W3B-4022", f"program {self.name} names no module", field="module")
        return cast(CircuitProgram, import_module(self.module))


def kinds_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of a manifest's table: its `kind`, or its list `kinds`. Raises ValueError for anything else."""
    kinds = row.get("kinds", [row.get("kind")])
    if "kind" in row and "kinds" in row:
        raise ValueError("it has both `kind` and `kinds`")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) and kind for kind in kinds):
        raise ValueError("it names no kind")
    if len(set(kinds)) != len(kinds) or (len(kinds) > 1 and not all(kind.startswith("tee.") for kind in kinds)):
        raise ValueError(f"its kinds {kinds} are not different `tee.` ones")
    return tuple(kinds)


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's `program.toml`. Raises InvalidInput W3B-4022 when it is missing or malformed."""
    try:
        row = tomllib.loads((folder / "program.toml").read_text("utf-8"))
        kinds = kinds_of(row)
        circuit = not kinds[0].startswith("tee.")
        manifest = Manifest(
            folder,
            row["name"],
            kinds,
            row["scheme"],
            int(row["capacity"]),
            tuple(row["outputs"]),
            int(row["public_signals"]) if circuit else 0,
            row["module"] if circuit else row.get("module", ""),
            {name: (entry["file"], entry["sha256"]) for name, entry in row["artifacts"].items()},
            tuple(KeyType.from_label(label) for label in row["key_types"]) if "key_types" in row else tuple(KeyType),
            {name: int(limit) for name, limit in row.get("limits", {}).items()},
            str(row.get("sealed", "")),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
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
