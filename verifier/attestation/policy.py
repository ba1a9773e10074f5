"""Appraisal policy and reference values (RFC 9334 §8.5): what a relying party accepts, as values that can be hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verifier.attestation.evidence import Platform
from verifier.errors import InvalidInput

STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
)
"""Intel's TCB statuses that a policy may accept; `Revoked` is none of them."""
CODE_MEASUREMENTS: Mapping[Platform, tuple[frozenset[str], ...]] = {
    Platform.SGX: (frozenset({"mrenclave"}), frozenset({"mrsigner", "isvprodid"})),
    Platform.TDX: (frozenset({"mrtd"}),),
    Platform.SEV: (frozenset({"launch_digest"}),),
    Platform.SEV_SNP: (frozenset({"measurement"}),),
    Platform.NITRO: (frozenset({"pcr0"}),),
    Platform.CCA: (frozenset({"rim"}),),
    Platform.NVIDIA_H100: (frozenset({"driver_version"}),),
}
"""Measurements that say which code runs: a reference value names at least one of these sets."""


def _bad(where: str, why: str) -> InvalidInput:
    return InvalidInput("W3B-9115", f"{where} {why}", field=where)


@dataclass(frozen=True)
class TcbPolicy:
    """Which states of a platform's trusted computing base are accepted (SGX and TDX).

    Raises InvalidInput (W3B-9115) for a status that there is not.
    """

    accepted_statuses: frozenset[str] = frozenset({"UpToDate"})
    denied_advisories: frozenset[str] = frozenset()
    """Such as INTEL-SA-00289."""
    platform_grace_seconds: int = 0
    """How long after its TCB level's date an accepted `OutOfDate` platform is taken."""
    qe_grace_seconds: int = 0
    """The same for the quoting enclave."""
    minimum_evaluation_number: int = 0
    """Lowest tcbEvaluationDataNumber of the TCB info: what keeps an attacker from choosing an old one that is valid."""
    allow_smt: bool = True
    """Hyper-threading is on; the TCB status knows where that needs a change of configuration."""
    allow_dynamic_platform: bool = True
    """The platform may have packages added; every machine of several packages says so."""
    allow_cached_keys: bool = True
    """Intel's service keeps the platform's root keys; every cloud's multi-package platform says so."""

    def __post_init__(self) -> None:
        if unknown := self.accepted_statuses - set(STATUSES):
            raise _bad("tcb.accepted_statuses", f"has {sorted(unknown)}; there are {list(STATUSES)}")
        for name in ("platform_grace_seconds", "qe_grace_seconds", "minimum_evaluation_number"):
            if not 0 <= getattr(self, name) < 1 << 31:
                raise _bad(f"tcb.{name}", "is not in 0 to 2^31 - 1")


@dataclass(frozen=True)
class AppraisalPolicy:
    """What is accepted of every program. Debug is never: there is no switch for it."""

    name: str = "default"
    tcb: TcbPolicy = TcbPolicy()
    minimum_svn: Mapping[str, int] = field(default_factory=dict)
    """Lowest security version by claim: `isvsvn`, `tcb.microcode`, `tcb.snp`, …; one that the evidence lacks refuses."""
    maximum_vmpl: int = 0
    """SEV-SNP: highest privilege level's number that may ask for a report."""
    allow_smt: bool = True
    """SEV-SNP: the guest's policy may allow SMT."""
    allow_migration: bool = False
    """SEV-SNP: the guest's policy may allow a migration agent."""
    accepted_lifecycles: frozenset[int] = frozenset({0x30})
    """Arm CCA: high byte of the security lifecycle; 0x30 is `secured`, 0x40 would be non-platform debug."""
    maximum_age_seconds: int = 3600
    """How old evidence with a time of its own (Nitro) may be."""
    require_rim: bool = True
    """NVIDIA: the GPU's measurements must match signed reference manifests of its driver and VBIOS."""

    @property
    def identifier(self) -> str:
        """`w3bstream:attestation-policy:<name>:<sha256 of its canonical JSON>`."""
        text = json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))
        return f"w3bstream:attestation-policy:{self.name}:{hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value: Any) -> Any:
    if isinstance(value, (TcbPolicy, AppraisalPolicy)):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True)
class ReferenceValue:
    """One build of a program that is known, for one platform.

    Raises InvalidInput (W3B-9115) where it does not say which code runs, see `CODE_MEASUREMENTS`.
    """

    platform: Platform
    measurements: Mapping[str, bytes]
    """By name, all of which must be equal; text values (a driver's version) as UTF-8."""
    minimum_svn: Mapping[str, int] = field(default_factory=dict)
    revoked: bool = False
    """Whether evidence that matches is refused, whatever else allows it."""
    note: str = ""

    def __post_init__(self) -> None:
        sets = CODE_MEASUREMENTS[self.platform]
        if not any(names <= set(self.measurements) for names in sets):
            wanted = " or ".join("+".join(sorted(names)) for names in sets)
            raise _bad("measurements", f"of {self.platform.value} do not say which code runs: {wanted} is needed")


@dataclass(frozen=True)
class ReferenceValues:
    """The builds of one program: an allow-list, with revocations."""

    program_id: bytes
    """32 bytes, as in the Statement."""
    values: tuple[ReferenceValue, ...]

    def __post_init__(self) -> None:
        """Raises InvalidInput (W3B-9115)."""
        if len(self.program_id) != 32:
            raise _bad("program_id", f"has {len(self.program_id)} bytes, not 32")
