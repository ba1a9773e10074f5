"""The programs that this installation has: what each one's manifest says (`provers/programs/<name>/program.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from provers.programs import PROGRAMS, kinds_of
from provers.programs_index import MANIFEST
from verifier.completeness import COMPLETENESS_OUTPUTS, ends_with_completeness
from verifier.errors import InvalidInput, NotFound


@dataclass(frozen=True)
class Manifest:
    """What a program takes and gives."""

    name: str
    """Name of its folder."""
    kind: str
    """Proof kind, such as `zkp.groth16`; the first of `kinds` where there are several."""
    capacity: int
    """Readings it can prove at once: the leaves of its readings tree, a power of two."""
    payload: str
    """Payload type of its readings, such as `int32`."""
    scheme: str
    """Commitment scheme, such as `poseidon-bn254-v1`."""
    provenance: str = "attested"
    """`in-proof` when the proof itself enforces the devices' signatures, else `attested`."""
    key_types: tuple[str, ...] = ()
    """Device keys whose signatures it can check; a circuit whose manifest is silent takes Baby Jubjub alone."""
    kinds: tuple[str, ...] = ()
    """Every proof kind of a program that serves several: one WASM program runs on each TEE platform."""

    def proves(self, kind: str) -> bool:
        """Whether it is a program of that kind."""
        return kind in (self.kinds or (self.kind,))

    def takes_key_type(self, label: str) -> bool:
        """Whether it can check the signatures of such a device."""
        return label in self.accepted_key_types

    @property
    def accepted_key_types(self) -> tuple[str, ...]:
        """`key_types` with its default filled in."""
        if self.key_types:
            return self.key_types
        return ("babyjubjub",) if self.kind.startswith("zkp.") else ("babyjubjub", "secp256k1", "p256")


_MANIFEST = TypeAdapter(Manifest)


@cache
def _read(path: Path) -> Manifest:
    try:
        row = tomllib.loads(path.read_text("utf-8"))
        kinds = kinds_of(row)
        found = _MANIFEST.validate_python(row | {"kind": kinds[0], "kinds": kinds})
    except (tomllib.TOMLDecodeError, ValueError) as error:  # a ValidationError is a ValueError
        raise InvalidInput("W3B-2005", f"the manifest of program {path.parent.name} is not valid: {error}") from error
    if not ends_with_completeness(row.get("outputs", ())):
        raise InvalidInput(
            "W3B-2005",
            f"the outputs of program {path.parent.name} do not end with {list(COMPLETENESS_OUTPUTS)}",
            field="outputs",
        )
    return found


def installed_programs(folder: Path = PROGRAMS) -> Mapping[str, Manifest]:
    """Every installed program's manifest by name. Raises InvalidInput (W3B-2005) when one is not valid."""
    return {path.parent.name: _read(path) for path in sorted(folder.glob(f"*/{MANIFEST}"))}


def manifest(name: str, programs: Mapping[str, Manifest] | None = None) -> Manifest:
    """The manifest of an installed program. Raises NotFound (W3B-2005)."""
    known = installed_programs() if programs is None else programs
    if name not in known:
        raise NotFound("W3B-2005", f"program {name!r} is not installed; installed: {sorted(known)}", field="program")
    return known[name]
