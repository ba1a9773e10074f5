"""The appraisal (RFC 9334 §8.3): evidence, endorsements, anchors, policy and reference values in, a result out.

Pure: the time is an argument, and nothing is fetched. What is malformed raises; what is well-formed and does not hold is
appraised, so that a result says which claim is worth what.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import cast

from verifier.attestation.anchors import SimulatedAnchors, TrustAnchors
from verifier.attestation.binding import CallerData
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues
from verifier.attestation.result import (
    AFFIRMED,
    APPROVED_AT_LAUNCH,
    CONTRAINDICATED,
    CRYPTOGRAPHY_FAILED,
    KNOWN_VULNERABILITIES,
    NO_CLAIM,
    SIMULATED_HARDWARE,
    UNRECOGNIZED,
    AnchorKind,
    AnchorName,
    AttestationResult,
    Finding,
    TrustworthinessVector,
)
from verifier.errors import InvalidInput, Refused

Verify = Callable[[bytes, Endorsements, TrustAnchors, AppraisalPolicy, int], Claims]
CLOCK_SKEW = 60
"""Seconds that a platform's clock may be ahead of ours."""
MAX_TIME = 1 << 40
"""Latest time that may be asked about, Unix seconds (year 36812)."""
_MODULES = {
    Platform.SGX: "sgx",
    Platform.TDX: "tdx",
    Platform.SEV: "sev",
    Platform.SEV_SNP: "sev_snp",
    Platform.NITRO: "nitro",
    Platform.CCA: "cca",
    Platform.NVIDIA_H100: "nvidia_h100",
}


def _verifier(platform: Platform) -> Verify:
    """The platform's verifier, whose libraries are loaded by its first use."""
    return cast(Verify, import_module(f"verifier.attestation.{_MODULES[platform]}").verify)


def appraise(
    evidence: Evidence,
    endorsements: Endorsements,
    anchors: TrustAnchors,
    policy: AppraisalPolicy,
    *,
    at: int,
    reference: ReferenceValues | None = None,
    caller_data: CallerData | None = None,
    nonce: bytes = b"",
) -> AttestationResult:
    """Appraise one piece of evidence.

    Parameters: `at` is the time asked about, Unix seconds; `reference` are the program's known builds (None: what runs
    is not appraised); `caller_data` is what the evidence must carry, from `binding` (None: not appraised); `nonce` is
    the verifier's own, for the result to repeat: it is checked as part of `caller_data`.

    Returns the result; it is affirming only where no finding speaks against it and the anchor is a vendor's.
    Raises InvalidInput (W3B-9101 to W3B-9104) for what is malformed or missing, Unavailable (W3B-9116).
    """
    if not 0 < at < MAX_TIME:
        raise InvalidInput("W3B-9101", f"the time {at} is not in 1 to 2^40 - 1", field="at")
    made = _Result(evidence=evidence, endorsements=endorsements, anchors=anchors, policy=policy, at=at, nonce=nonce)
    try:
        claims = _verifier(evidence.platform)(evidence.data, endorsements, anchors, policy, at)
    except Refused as error:
        return made.failed(Finding.of(error))
    findings = [*claims.findings, *_configuration(claims, policy), *_freshness(claims, policy, at)]
    notes = list(claims.notes)
    if reference is None:
        notes.append("no reference values were given: which program runs is not appraised")
    else:
        findings += _executables(claims, evidence.platform, reference)
    if caller_data is None:
        notes.append("no caller data was asked for: what the evidence speaks for is not appraised")
    else:
        findings += _binding(claims, caller_data)
    return made.appraised(claims, findings, notes, measured=reference is not None, bound=caller_data is not None)


class _Result:
    """Makes the results of one appraisal."""

    def __init__(
        self,
        *,
        evidence: Evidence,
        endorsements: Endorsements,
        anchors: TrustAnchors,
        policy: AppraisalPolicy,
        at: int,
        nonce: bytes,
    ) -> None:
        self._evidence, self._endorsements, self._anchors = evidence, endorsements, anchors
        self._policy, self._at, self._nonce = policy, at, nonce

    def failed(self, finding: Finding) -> AttestationResult:
        """The result where a platform's verifier refuses: nothing that the evidence says is repeated."""
        if finding.code in ("W3B-9108", "W3B-9109", "W3B-9110"):
            claim = _WORTH[finding.code][0]
            vector = replace(TrustworthinessVector(), **{claim: CONTRAINDICATED})
        else:
            identity = UNRECOGNIZED if finding.code == "W3B-9107" else CRYPTOGRAPHY_FAILED
            vector = TrustworthinessVector(
                instance_identity=identity,
                configuration=CRYPTOGRAPHY_FAILED,
                executables=CRYPTOGRAPHY_FAILED,
                hardware=identity,
                runtime_opaque=CRYPTOGRAPHY_FAILED,
                sourced_data=CRYPTOGRAPHY_FAILED,
            )
        name = f"SIMULATED {self._anchors.name}" if isinstance(self._anchors, SimulatedAnchors) else ""
        return self._made(vector, AnchorName(self._anchors.kind, name, ""), (finding,))

    def appraised(
        self, claims: Claims, findings: list[Finding], notes: list[str], *, measured: bool, bound: bool
    ) -> AttestationResult:
        """The result of evidence whose signatures and chain hold."""
        worth = {
            "instance_identity": AFFIRMED,
            "configuration": AFFIRMED,
            "executables": APPROVED_AT_LAUNCH if measured else NO_CLAIM,
            "hardware": AFFIRMED,
            "runtime_opaque": AFFIRMED,
            "sourced_data": AFFIRMED if bound else NO_CLAIM,
        }
        for finding in findings:
            claim, value = _WORTH.get(finding.code, ("configuration", CONTRAINDICATED))
            worth[claim] = max(worth[claim], value)
        if self._anchors.kind is AnchorKind.SIMULATED:
            # No hardware was there to be genuine: the memory is not encrypted either.
            if worth["hardware"] == AFFIRMED:
                worth["hardware"] = SIMULATED_HARDWARE
            worth["runtime_opaque"] = NO_CLAIM
        anchor = AnchorName(self._anchors.kind, claims.anchor.name, claims.anchor.sha256.hex())
        return self._made(TrustworthinessVector(**worth), anchor, tuple(findings), tuple(notes), claims)

    def _made(
        self,
        vector: TrustworthinessVector,
        anchor: AnchorName,
        findings: tuple[Finding, ...],
        notes: tuple[str, ...] = (),
        claims: Claims | None = None,
    ) -> AttestationResult:
        return AttestationResult(
            platform=self._evidence.platform.value,
            status=vector.tier(),
            vector=vector,
            anchor=anchor,
            at=self._at,
            policy=self._policy.identifier,
            evidence_sha256=self._evidence.sha256,
            endorsements_sha256=self._endorsements.digest,
            findings=findings,
            notes=notes,
            claims=claims.plain() if claims else {},
            valid_until=claims.valid_until if claims else 0,
            nonce=self._nonce,
        )


_WORTH: Mapping[str, tuple[str, int]] = {
    "W3B-9105": ("hardware", CRYPTOGRAPHY_FAILED),
    "W3B-9108": ("instance_identity", CONTRAINDICATED),
    "W3B-9109": ("configuration", CONTRAINDICATED),
    "W3B-9110": ("hardware", KNOWN_VULNERABILITIES),
    "W3B-9111": ("executables", CONTRAINDICATED),
    "W3B-9112": ("sourced_data", CONTRAINDICATED),
    "W3B-9113": ("sourced_data", CONTRAINDICATED),
}
"""Claim and value by a finding's code."""


def _finding(code: str, where: str, why: str) -> Finding:
    return Finding(code, where, f"{where} {why}")


def _configuration(claims: Claims, policy: AppraisalPolicy) -> list[Finding]:
    """Debug and security versions."""
    found = []
    if claims.debug and not any(each.code == "W3B-9109" for each in claims.findings):
        found.append(_finding("W3B-9109", "report.debug", "is set: the host may read what runs"))
    return found + _versions(claims, policy.minimum_svn, "W3B-9110")


def _versions(claims: Claims, minimum: Mapping[str, int], code: str) -> list[Finding]:
    found = []
    for name, lowest in sorted(minimum.items()):
        has = claims.svn.get(name)
        if has is None:
            found.append(_finding(code, f"svn.{name}", f"is not in the evidence; it has {sorted(claims.svn)}"))
        elif has < lowest:
            found.append(_finding(code, f"svn.{name}", f"is {has}; at least {lowest} is wanted"))
    return found


def _freshness(claims: Claims, policy: AppraisalPolicy, at: int) -> list[Finding]:
    """Evidence with a time of its own is neither old nor from the future."""
    if not claims.issued_at:
        return []
    age = at - claims.issued_at
    if age < -CLOCK_SKEW:
        return [_finding("W3B-9113", "timestamp", f"is {-age} seconds in the future")]
    if age > policy.maximum_age_seconds:
        return [_finding("W3B-9113", "timestamp", f"is {age} seconds old; at most {policy.maximum_age_seconds}")]
    return []


def _executables(claims: Claims, platform: Platform, reference: ReferenceValues) -> list[Finding]:
    """What runs is a known build: one that matches, and none that matches and is revoked."""
    known = [each for each in reference.values if each.platform is platform]
    matches = [each for each in known if _matches(claims, each)]
    if not matches:
        name = _closest(claims, known)
        return [_finding("W3B-9111", f"measurements.{name}", f"is no known build's; {len(known)} are known")]
    for each in matches:
        if each.revoked:
            return [
                _finding("W3B-9111", "measurements", f"are of a revoked build{f': {each.note}' if each.note else ''}")
            ]
    old = [_versions(claims, each.minimum_svn, "W3B-9111") for each in matches]
    return [] if not all(old) else old[0]


def _matches(claims: Claims, reference: ReferenceValue) -> bool:
    return all(claims.measurements.get(name) == value for name, value in reference.measurements.items())


def _closest(claims: Claims, known: list[ReferenceValue]) -> str:
    """The first measurement that keeps the nearest known build from matching."""
    wrong = [
        [name for name, value in sorted(each.measurements.items()) if claims.measurements.get(name) != value]
        for each in known
    ]
    return min(wrong, key=len)[0] if wrong else "none"


def _binding(claims: Claims, wanted: CallerData) -> list[Finding]:
    """The evidence carries exactly what it must."""
    found = []
    for name, value in wanted.items():
        has = claims.caller_data.get(name)
        if value is None and has:
            found.append(_finding("W3B-9112", name, f"has {len(has)} bytes; it must be absent"))
        elif value is not None and (has is None or not hmac.compare_digest(has, value)):
            shown = "absent" if has is None else has.hex()
            found.append(_finding("W3B-9112", name, f"is {shown[:128]}, not {value.hex()[:128]}"))
    return found
