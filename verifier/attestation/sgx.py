"""SGX: a quote v3 over an enclave report of 384 bytes (Intel SDM vol. 3D, REPORTBODY)."""

from __future__ import annotations

from verifier.attestation import intel_dcap
from verifier.attestation.anchors import TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform, unknown_version
from verifier.attestation.intel_quote import SGX_TEE, parse
from verifier.attestation.policy import AppraisalPolicy

ATTRIBUTES, MRENCLAVE, MRSIGNER, ISVPRODID, ISVSVN, REPORT_DATA = 48, 64, 128, 256, 258, 320
"""Offsets in the report body."""
DEBUG = 0x02
"""Bit of the attributes' first byte: the enclave's memory can be read with EDBGRD."""


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify an SGX quote; the endorsement is `collateral.json`.

    Raises InvalidInput (W3B-9101 to W3B-9104), Refused (W3B-9105 to W3B-9110), Unavailable (W3B-9116).
    """
    quote = parse(data)
    if quote.tee != SGX_TEE:
        raise unknown_version("quote.tee_type", "is TDX; this is the verifier of SGX")
    found = intel_dcap.verify(quote, data, endorsements, anchors=anchors.of(Platform.SGX), policy=policy.tcb, at=at)
    body = quote.body
    return Claims(
        anchor=found.anchor,
        caller_data={"report_data": body[REPORT_DATA : REPORT_DATA + 64]},
        measurements={
            "mrenclave": body[MRENCLAVE : MRENCLAVE + 32],
            "mrsigner": body[MRSIGNER : MRSIGNER + 32],
            "isvprodid": body[ISVPRODID : ISVPRODID + 2][::-1],
        },
        debug=bool(body[ATTRIBUTES] & DEBUG),
        svn={
            "isvsvn": int.from_bytes(body[ISVSVN : ISVSVN + 2], "little"),
            "tcb.evaluation_number": found.evaluation_number,
        },
        valid_until=found.valid_until,
        findings=() if found.finding is None else (found.finding,),
        details=intel_dcap.details(found, quote),
    )
