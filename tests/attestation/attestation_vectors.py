"""The committed evidence, tests/vectors/attestation/README.md says where each is from."""

from __future__ import annotations

from pathlib import Path

from verifier.attestation.anchors import TrustAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy, TcbPolicy
from verifier.attestation.result import AttestationResult, Tier
from verifier.errors import W3bstreamError

FOLDER = Path(__file__).resolve().parents[1] / "vectors/attestation"
JUNE_2025 = 1750334171
"""2025-06-19T11:56:11Z: an hour after the collateral of the SGX v3 and TDX v4 quotes was issued."""
FEBRUARY_2026 = 1771500000
OCTOBER_2026 = 1791420000
"""Within the validity of the TDX v5 quotes' collateral."""
HARDENING = AppraisalPolicy(
    tcb=TcbPolicy(accepted_statuses=frozenset({"UpToDate", "ConfigurationAndSWHardeningNeeded"}))
)
"""The status of the SGX machine whose quote is published."""

INTEL = {
    "sgx-v3": (Platform.SGX, "sgx/quote_v3", JUNE_2025, HARDENING),
    "tdx-v4": (Platform.TDX, "tdx/quote_v4", JUNE_2025, AppraisalPolicy()),
    "tdx-v5": (Platform.TDX, "tdx/quote_v5", OCTOBER_2026, AppraisalPolicy()),
}
"""Genuine quotes that are accepted: platform, file, time, policy."""


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def collateral(name: str) -> Endorsements:
    return Endorsements({"collateral.json": read(f"{name}_collateral.json")})


def appraise_intel(
    case: str,
    data: bytes | None = None,
    *,
    at: int | None = None,
    endorsements: Endorsements | None = None,
    anchors: TrustAnchors | None = None,
    policy: AppraisalPolicy | None = None,
    **more: object,
) -> AttestationResult:
    """A genuine quote's appraisal, with what is given in place of its own."""
    platform, name, time, own = INTEL[case]
    return appraise(
        Evidence(platform, read(f"{name}.bin") if data is None else data),
        collateral(name) if endorsements is None else endorsements,
        anchors or VendorAnchors(),
        policy or own,
        at=time if at is None else at,
        **more,  # type: ignore[arg-type]
    )


def refusal(work: object, *arguments: object, **options: object) -> tuple[str, str]:
    """Code and field of what an appraisal says against evidence, raised or found; fails where it is accepted."""
    try:
        result: AttestationResult = work(*arguments, **options)  # type: ignore[operator]
    except W3bstreamError as error:
        return error.code, error.field
    assert result.status is not Tier.AFFIRMING
    assert not result.is_affirming_under_vendor
    return result.findings[0].code, result.findings[0].field
