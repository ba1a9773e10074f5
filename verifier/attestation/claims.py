"""What verified evidence says, in one shape for all platforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verifier.attestation.anchors import Anchor
from verifier.attestation.result import Finding


@dataclass(frozen=True)
class Claims:
    """The claims of evidence whose signatures and chain hold."""

    anchor: Anchor
    """The root at the end of its chain."""
    caller_data: Mapping[str, bytes | None]
    """What the caller had put in: `report_data`; for Nitro `user_data`, `nonce` and `public_key`, None where absent; for
    a GPU `nonce`."""
    measurements: Mapping[str, bytes]
    """Digests and identities of what runs, by name."""
    debug: bool
    """Whether the host may look inside."""
    svn: Mapping[str, int] = field(default_factory=dict)
    """Security versions by name."""
    issued_at: int = 0
    """When it was made, Unix seconds, where the evidence says it."""
    valid_until: int = 0
    """Earliest expiry of what it rests on, Unix seconds; 0 where unknown."""
    findings: tuple[Finding, ...] = ()
    """What the platform's own rules and the policy have against it."""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain values for people."""

    def plain(self) -> dict[str, Any]:
        """JSON values; byte strings as hex."""
        return {
            "caller_data": {name: None if value is None else value.hex() for name, value in self.caller_data.items()},
            "measurements": {name: value.hex() for name, value in self.measurements.items()},
            "debug": self.debug,
            "svn": dict(self.svn),
            "issued_at": self.issued_at,
            **self.details,
        }
