"""The attestation result: an EAR (draft-ietf-rats-ear-04) with the trustworthiness vector of AR4SI.

The `ear_…` names and the profile's tag are those of draft-04. AR4SI (draft-ietf-rats-ar4si §2.3.2) gives each claim a
number; the tier is the number's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from verifier.errors import Refused, W3bstreamError

EAR_PROFILE = "tag:ietf.org,2026:rats/ear#04"


class Tier(StrEnum):
    """AR4SI trustworthiness tier, from what nothing is said about to what must not be trusted."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


_SEVERITY = {Tier.NONE: 0, Tier.AFFIRMING: 1, Tier.WARNING: 2, Tier.CONTRAINDICATED: 3}


def severity(tier: Tier) -> int:
    """What tiers are compared by: a worse one has more."""
    return _SEVERITY[tier]


def tier_of(value: int) -> Tier:
    """The tier of a trustworthiness claim, -128 to 127 (AR4SI §2.3.2). Raises ValueError outside of that range."""
    if not -128 <= value <= 127:
        raise ValueError(f"{value} is no trustworthiness claim: -128 to 127")
    if -1 <= value <= 1:
        return Tier.NONE
    if -32 <= value <= 31:
        return Tier.AFFIRMING
    return Tier.WARNING if -96 <= value <= 95 else Tier.CONTRAINDICATED


NO_CLAIM = 0
"""Nothing was said about this."""
AFFIRMED = 2
"""The first affirming value of every claim."""
APPROVED_AT_LAUNCH = 3
"""Executables: only approved ones were loaded during boot."""
KNOWN_VULNERABILITIES = 32
"""Configuration, executables, hardware: genuine, with known vulnerabilities."""
SIMULATED_HARDWARE = -33
"""Hardware: there is none, a simulator signed. Negative values are the verifier's own; this one is of the warning
tier, so that no result with it is affirming."""
CONTRAINDICATED = 96
"""Recognised and not to be trusted."""
UNRECOGNIZED = 97
"""Instance identity, hardware: not recognised, and it should be."""
CRYPTOGRAPHY_FAILED = 99
"""A signature, certificate or digest does not hold."""


@dataclass(frozen=True)
class TrustworthinessVector:
    """The eight claims of AR4SI; 0 is no claim."""

    instance_identity: int = NO_CLAIM
    """The attesting environment, and that its keys are not known to be compromised."""
    configuration: int = NO_CLAIM
    """Debug, privilege level, features and settings that the platform reports."""
    executables: int = NO_CLAIM
    """What was loaded, by its measurements."""
    file_system: int = NO_CLAIM
    hardware: int = NO_CLAIM
    """That hardware and firmware are genuine, and at which TCB."""
    runtime_opaque: int = NO_CLAIM
    """That memory is encrypted and closed to the host."""
    storage_opaque: int = NO_CLAIM
    sourced_data: int = NO_CLAIM
    """The data that the caller had put into the evidence."""

    def claims(self) -> dict[str, int]:
        """The claims with the names of AR4SI."""
        return {each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self)}

    def tier(self) -> Tier:
        """The worst tier of any claim: the status of an EAR may not be better."""
        return max((tier_of(value) for value in self.claims().values()), key=severity)


@dataclass(frozen=True)
class Finding:
    """One thing that speaks against the evidence."""

    code: str
    """Row of `verifier.error_codes`."""
    field: str
    """What it is about, dotted: `report.attributes.debug`, `collateral.tcb_info`."""
    message: str

    @classmethod
    def of(cls, error: W3bstreamError) -> Finding:
        """The finding that a refusal makes."""
        return cls(error.code, error.field, error.message)


class AnchorKind(StrEnum):
    """Who vouches for the key at the end of a chain."""

    VENDOR = "vendor"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class AnchorName:
    """The trust anchor of a verdict."""

    kind: AnchorKind
    name: str
    """`Intel SGX Root CA`, or the simulated root's common name."""
    sha256: str
    """Of the root certificate's DER, or of the key, hex; empty where nothing led to an anchor."""


@dataclass(frozen=True)
class AttestationResult:
    """What an appraisal concluded."""

    platform: str
    status: Tier
    """Affirming only when nothing speaks against the evidence and a vendor's anchor is at the end of its chain."""
    vector: TrustworthinessVector
    anchor: AnchorName
    at: int
    """The time that was asked about, Unix seconds."""
    policy: str
    """Name and digest of the appraisal policy."""
    evidence_sha256: str
    endorsements_sha256: str
    """Digest of the collateral that was used, see `Endorsements.digest`."""
    findings: tuple[Finding, ...] = ()
    """What speaks against it; the first is the one that `require` raises."""
    notes: tuple[str, ...] = ()
    """What was not appraised, and why."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """What the evidence says, plain values; empty unless its signatures hold."""
    valid_until: int = 0
    """Earliest expiry of a certificate or collateral that it rests on, Unix seconds; 0 where unknown."""
    nonce: bytes = b""
    """The nonce that the evidence was checked against."""

    @property
    def is_simulated(self) -> bool:
        """Whether a simulated anchor was asked about."""
        return self.anchor.kind is AnchorKind.SIMULATED

    @property
    def is_affirming_under_vendor(self) -> bool:
        """Whether nothing speaks against it and a vendor's anchor is at its end: what production accepts."""
        return self.status is Tier.AFFIRMING and self.anchor.kind is AnchorKind.VENDOR and not self.findings

    def require(self, *, allow_simulated: bool = False) -> AttestationResult:
        """The result itself, where nothing speaks against it.

        Raises Refused: with the first finding's code and field; W3B-9114 for a simulated anchor that is not allowed.
        """
        if self.findings:
            first = self.findings[0]
            raise Refused(first.code, f"{self.platform}: {first.message}", field=first.field)
        if self.is_simulated and not allow_simulated:
            raise Refused(
                "W3B-9114", f"{self.platform} evidence rests on the simulated {self.anchor.name}", field="anchor"
            )
        if self.status is not Tier.AFFIRMING and not self.is_simulated:
            raise Refused("W3B-9110", f"{self.platform} evidence is {self.status.value}", field="status")
        return self

    def to_ear(self) -> dict[str, Any]:
        """The EAR's claims-set as JSON values; byte strings are lower-case hex."""
        appraisal: dict[str, Any] = {
            "ear_status": self.status.value,
            "ear_trustworthiness_vector": self.vector.claims(),
            "ear_appraisal_policy_ids": [self.policy],
            "ear_attester_claims": dict(self.claims),
            "ear_verifier_claims": {
                "trust_anchor": self.anchor.kind.value,
                "trust_anchor_name": self.anchor.name,
                "trust_anchor_sha256": self.anchor.sha256,
                "evidence_sha256": self.evidence_sha256,
                "endorsements_sha256": self.endorsements_sha256,
                "valid_until": self.valid_until,
                "findings": [
                    {"code": each.code, "field": each.field, "message": each.message} for each in self.findings
                ],
                "notes": list(self.notes),
            },
        }
        ear: dict[str, Any] = {
            "eat_profile": EAR_PROFILE,
            "iat": self.at,
            "ear_verifier_id": {"developer": "W3bstream", "build": "verifier.attestation/1"},
            "submods": {self.platform: appraisal},
        }
        if self.nonce:
            ear["eat_nonce"] = self.nonce.hex()
        return ear
