"""AWS Nitro Enclaves: an attestation document (COSE_Sign1, ES384), verified by the native module; no endorsements.

The enclave's leaf certificate lives three hours: a document is appraised at its time, not years later.
"""

from __future__ import annotations

from typing import Any

from verifier.attestation import accelerated
from verifier.attestation.anchors import Anchor, TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.policy import AppraisalPolicy


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a document and its chain.

    Raises InvalidInput (W3B-9101, W3B-9102), Refused (W3B-9105 to W3B-9107), Unavailable (W3B-9116).
    """
    del endorsements, policy
    roots = anchors.of(Platform.NITRO)
    document = accelerated.call(lambda: accelerated.native().nitro_verify(data, [each.sha256 for each in roots], at))
    expiry = accelerated.earliest_expiry([document.certificate])
    return claims_of(document, accelerated.anchor_of(document.root, roots), expiry)


def claims_of(document: Any, anchor: Anchor, valid_until: int) -> Claims:
    """The claims of a verified document. PCR0 of zeros is an enclave in debug mode."""
    return Claims(
        anchor=anchor,
        caller_data={name: getattr(document, name) for name in ("user_data", "nonce", "public_key")},
        measurements={f"pcr{index}": value for index, value in sorted(document.pcrs.items())},
        debug=bool(document.debug),
        issued_at=document.timestamp // 1000,
        valid_until=valid_until,
        details={"module_id": document.module_id, "digest": document.digest},
    )
