"""What a program is run with, beside its code. A change of any of it is another program id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from provers.programs import Manifest
from provers.tee.runtime.abi import ABI_VERSION
from provers.tee.runtime.limits import WasmLimits
from verifier.attestation.secret_request import check_name
from verifier.commitment import scheme
from verifier.completeness import COMPLETENESS_OUTPUTS
from verifier.errors import InvalidInput
from verifier.outputs import parse_outputs
from verifier.reading import KeyType


@dataclass(frozen=True)
class Configuration:
    """Raises InvalidInput (W3B-4030) for a value that the runtime cannot serve."""

    scheme: str
    """Commitment scheme; the enclave computes `poseidon-bn254-v1`."""
    capacity: int
    """Most readings of a window: the leaves of its tree, a power of two."""
    outputs: tuple[str, ...]
    """The manifest's, without the completeness, which the runtime appends."""
    key_types: tuple[KeyType, ...]
    """Device keys that are accepted."""
    limits: WasmLimits
    sealed: str = ""
    """Name of the secret, an X25519 key, that opens the readings' payloads; empty where they are in clear."""

    def __post_init__(self) -> None:
        scheme(self.scheme)
        if self.capacity < 1 or self.capacity & (self.capacity - 1):
            raise InvalidInput("W3B-4030", f"capacity {self.capacity} is no power of two", field="capacity")
        if not self.key_types:
            raise InvalidInput("W3B-4030", "no key type is accepted", field="key_types")
        if self.sealed:
            check_name(self.sealed)
        parse_outputs((*self.outputs, *COMPLETENESS_OUTPUTS))

    @classmethod
    def of(cls, manifest: Manifest) -> Configuration:
        """A manifest's. Raises InvalidInput (W3B-4030, W3B-4002, W3B-2001, W3B-9120)."""
        return cls(
            manifest.scheme,
            manifest.capacity,
            manifest.outputs[: -len(COMPLETENESS_OUTPUTS)],
            tuple(sorted(manifest.key_types)),
            WasmLimits.of(manifest.limits),
            manifest.sealed,
        )

    def digest(self) -> bytes:
        """SHA-256 of its JSON with sorted names and no spaces, 32 bytes."""
        plain = asdict(self) | {"abi": ABI_VERSION, "key_types": [each.label for each in self.key_types]}
        return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).digest()
