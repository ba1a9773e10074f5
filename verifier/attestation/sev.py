"""Legacy SEV and SEV-ES: the firmware's ATTESTATION report of 208 bytes, signed with the PEK (AMD document 55766, SEV
API 0.24, §6.8), and the chain PEK, CEK, ASK, ARK, with the owner's OCA as the PEK's other signer.

Endorsements: `ark.cert`, `ask.cert`, `cek.cert`, `oca.cert` and `pek.cert`. No genuine report is published: the chains of
a Naples and a Rome machine are genuine, reports are tested with a simulated chain only.

What a report binds: `mnonce` is chosen by whoever asks the firmware, the host, and not by the guest. A report shows which
guest was launched where, and nothing of a key in it; a secret for the guest goes in through LAUNCH_SECRET.
"""

from __future__ import annotations

import hashlib

from verifier.attestation import sev_certificates as certificates
from verifier.attestation.anchors import Anchor, TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform, malformed, refused, unknown_version
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import Finding

REPORT_BYTES, SIGNED_BYTES, SIGNATURE = 208, 52, 64
NO_DEBUG, NO_SEND = 0x01, 0x08
"""Bits of the guest's policy (§3.2): the host may not debug it; it may not be sent to another platform."""
_ARKS = {
    "Naples": "dedabca561e1dece8cc00b7bda864cf5f20b95017864408cfe18eaee0dce24b9",
    "Rome": "865977b268c16d5b27772b00aaefb4e737ba9499e818ed8e9f65b0cecefbc529",
}
"""SHA-256 of the ARK certificates as AMD's download site has them."""


def vendor_anchors() -> tuple[Anchor, ...]:
    """AMD's roots of the first generations."""
    return tuple(Anchor(f"AMD ARK {name}", bytes.fromhex(digest)) for name, digest in _ARKS.items())


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a report and its chain.

    Raises InvalidInput (W3B-9101 to W3B-9104), Refused (W3B-9106, W3B-9107). `at` is not used: neither the report nor
    its certificates have a time, so freshness is the nonce's.
    """
    del at
    if len(data) != REPORT_BYTES:
        raise malformed("report", f"has {len(data)} bytes, not {REPORT_BYTES}")
    guest_policy, usage, algorithm, reserved = (
        int.from_bytes(data[offset : offset + 4], "little") for offset in (48, 52, 56, 60)
    )
    if (usage, algorithm) != (certificates.PEK, certificates.ECDSA_SHA256) or reserved:
        raise unknown_version(
            "report.sig_algo", f"is {algorithm:#x} by a key of usage {usage:#x}; ECDSA by the PEK is known"
        )
    anchor, pek = verify_chain(endorsements, anchors)
    certificates.check_ecdsa(pek.key, algorithm, data[:SIGNED_BYTES], data[SIGNATURE:], "report.signature")
    major, minor = pek.api
    return Claims(
        anchor=anchor,
        caller_data={"mnonce": data[:16]},
        measurements={"launch_digest": data[16:48]},
        debug=not guest_policy & NO_DEBUG,
        svn={"api": major << 8 | minor},
        findings=_findings(guest_policy, policy),
        notes=("mnonce is chosen by whoever asks the firmware: it does not bind the guest",),
        details={"guest_policy": f"{guest_policy:#x}", "api": f"{major}.{minor}"},
    )


def verify_chain(endorsements: Endorsements, anchors: TrustAnchors) -> tuple[Anchor, certificates.PlatformCertificate]:
    """The anchor and the PEK of a chain that holds.

    Raises InvalidInput (W3B-9103, W3B-9104), Refused (W3B-9106, W3B-9107).
    """
    root = endorsements.get("ark.cert")
    digest = hashlib.sha256(root).digest()
    anchor = next((each for each in anchors.of(Platform.SEV) if each.sha256 == digest), None)
    if anchor is None:
        raise refused("W3B-9107", "collateral.ark.cert", f"{digest.hex()} is no {anchors.kind.value} anchor")
    ark = certificates.read_authority(root, "collateral.ark.cert", certificates.ARK)
    ask = certificates.read_authority(endorsements.get("ask.cert"), "collateral.ask.cert", certificates.ASK)
    cek, oca, pek = (
        certificates.read_platform(endorsements.get(f"{name}.cert"), f"collateral.{name}.cert", usage)
        for name, usage in (("cek", certificates.CEK), ("oca", certificates.OCA), ("pek", certificates.PEK))
    )
    if ask.signer_id != ark.key_id:
        raise refused("W3B-9107", "collateral.ask.cert", "names another root")
    certificates.check_rsa(ark, ask.body, ask.signature, "collateral.ask.cert")
    by_ask = certificates.signature_by(cek, certificates.ASK, "collateral.cek.cert")
    if by_ask.algorithm != certificates.rsa_algorithm(ask.key):
        raise refused(
            "W3B-9106", "collateral.cek.cert", f"has a signature of algorithm {by_ask.algorithm:#x} by the ASK"
        )
    certificates.check_rsa(ask, cek.body, by_ask.value, "collateral.cek.cert")
    for certificate, where, signer, usage in (
        (oca, "collateral.oca.cert", oca, certificates.OCA),
        (pek, "collateral.pek.cert", cek, certificates.CEK),
        (pek, "collateral.pek.cert", oca, certificates.OCA),
    ):
        signature = certificates.signature_by(certificate, usage, where)
        certificates.check_ecdsa(signer.key, signature.algorithm, certificate.body, signature.value, where)
    return anchor, pek


def _findings(guest_policy: int, policy: AppraisalPolicy) -> tuple[Finding, ...]:
    if guest_policy & NO_SEND or policy.allow_migration:
        return ()
    why = f"report.policy {guest_policy:#x} lets the guest be sent to another platform"
    return (Finding("W3B-9109", "report.policy.nosend", why),)
