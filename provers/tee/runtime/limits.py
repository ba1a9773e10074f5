"""What one run of a WASM program may use. The limits are part of a program's configuration, so they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from verifier.errors import InvalidInput

HIGHEST = {"fuel": 10**12, "memory": 1 << 30, "milliseconds": 60_000}
"""What a manifest may ask for at most."""


@dataclass(frozen=True)
class WasmLimits:
    """Raises InvalidInput (W3B-4030) for a limit that is out of its range."""

    fuel: int = 1_000_000_000
    """wasmtime fuel, about one unit an instruction; 1 to 10^12."""
    memory: int = 64 << 20
    """Bytes of linear memory; 64 KiB to 1 GiB."""
    milliseconds: int = 5_000
    """Wall clock of one run; 1 to 60,000."""

    def __post_init__(self) -> None:
        for name, highest in HIGHEST.items():
            value, lowest = getattr(self, name), 1 << 16 if name == "memory" else 1
            if not lowest <= value <= highest:
                raise InvalidInput(
                    "W3B-4030", f"limit {name} is {value}, not in {lowest} to {highest}", field=f"limits.{name}"
                )

    @classmethod
    def of(cls, limits: Mapping[str, int]) -> WasmLimits:
        """A manifest's limits, the rest by default. Raises InvalidInput (W3B-4030) for an unknown name or a bad value."""
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(limits) - known):
            raise InvalidInput("W3B-4030", f"limits {unknown} are unknown; there are {sorted(known)}", field="limits")
        return cls(**limits)
