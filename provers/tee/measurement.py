"""What of a TEE program is measured: the runtime, the program and what it is configured with (docs/reference/tee.md).

An attester puts the digest where its platform measures what is loaded, in that measurement's length.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from verifier.errors import InvalidInput

DOMAIN = b"w3bstream/tee-measurement/v1"


@dataclass(frozen=True)
class Measured:
    """Three SHA-256 digests, 32 bytes each. Raises InvalidInput (W3B-9101) for another length."""

    runtime: bytes
    """Of the code that runs the program."""
    program: bytes
    """Of the program's WASM."""
    configuration: bytes
    """Of all that the program is run with: its manifest's fields and its limits."""

    def __post_init__(self) -> None:
        for name in ("runtime", "program", "configuration"):
            if len(getattr(self, name)) != 32:
                raise InvalidInput("W3B-9101", f"{name} has {len(getattr(self, name))} bytes, not 32", field=name)

    def digest(self, size: int) -> bytes:
        """The measurement. Parameters: `size` is 32 (SHA-256) or 48 (SHA-384) bytes.

        Raises InvalidInput (W3B-9101) for another size.
        """
        if size not in _HASHES:
            raise InvalidInput("W3B-9101", f"a measurement has {sorted(_HASHES)} bytes, not {size}", field="size")
        return hashlib.new(_HASHES[size], DOMAIN + self.runtime + self.program + self.configuration).digest()


_HASHES = {32: "sha256", 48: "sha384"}
