"""TDX: a quote v4 or v5 over a TD report of 584 bytes or more (TDX Module 1.5 ABI, TDINFO_STRUCT and REPORTDATA)."""

from __future__ import annotations

from verifier.attestation import intel_dcap
from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform, unknown_version
from verifier.attestation.intel_quote import TDX_TEE, parse
from verifier.attestation.policy import AppraisalPolicy

TD_ATTRIBUTES, REPORT_DATA = 120, 520
"""Offsets in the TD report."""
MEASUREMENTS = {
    "mrseam": 16,
    "mrsignerseam": 64,
    "mrtd": 136,
    "mrconfigid": 184,
    "mrowner": 232,
    "mrownerconfig": 280,
    "rtmr0": 328,
    "rtmr1": 376,
    "rtmr2": 424,
    "rtmr3": 472,
}
"""Offset by name, 48 bytes each."""
DEBUG = 0x01
"""Bit of the attributes' first byte (TUD): the host may read the TD."""


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a TDX quote; the endorsement is `collateral.json`.

    Raises InvalidInput (W3B-9101 to W3B-9104), Refused (W3B-9105 to W3B-9110), Unavailable (W3B-9116).
    """
    quote = parse(data)
    if quote.tee != TDX_TEE:
        raise unknown_version("quote.tee_type", "is SGX; this is the verifier of TDX")
    found = intel_dcap.verify(quote, data, endorsements, anchors=anchors.of(Platform.TDX), policy=policy.tcb, at=at)
    body = quote.body
    return Claims(
        anchor=found.anchor,
        caller_data={"report_data": body[REPORT_DATA : REPORT_DATA + 64]},
        measurements={name: body[offset : offset + 48] for name, offset in MEASUREMENTS.items()},
        debug=bool(body[TD_ATTRIBUTES] & DEBUG),
        svn={
            "tdx_module": body[0],
            "tdx_module_version": body[1],
            "tcb.evaluation_number": found.evaluation_number,
        },
        valid_until=found.valid_until,
        findings=() if found.finding is None else (found.finding,),
        details={**intel_dcap.details(found, quote), "td_attributes": body[TD_ATTRIBUTES : TD_ATTRIBUTES + 8].hex()},
    )
