"""SEV-SNP: an attestation report of 1,184 bytes (AMD document 56860), verified by the native module.

Endorsements: `vcek` or `vlek`, and `cert_chain` (ASK or ASVK, then ARK), each .pem or .der; or all in
`certificates.pem`, leaf first. `*.crl` are revocation lists.
"""

from __future__ import annotations

from verifier.attestation import accelerated
from verifier.attestation.anchors import Anchor, TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import Finding


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a report and its chain.

    Raises InvalidInput (W3B-9101 to W3B-9104), Refused (W3B-9105 to W3B-9108), Unavailable (W3B-9116).
    """
    roots, chain = anchors.of(Platform.SEV_SNP), chain_of(endorsements)
    lists = accelerated.revocation_lists(endorsements)
    report = accelerated.call(
        lambda: accelerated.native().sev_snp_verify(data, chain, [each.sha256 for each in roots], at, lists),
        endorsed=("certificate", "chain", "revocation"),
    )
    return claims_of(report, accelerated.anchor_of(report.root, roots), policy, accelerated.earliest_expiry(chain))


def chain_of(endorsements: Endorsements) -> list[bytes]:
    """The certificates, the report's signer first, DER. Raises InvalidInput (W3B-9103, W3B-9104)."""
    if "certificates.pem" in endorsements.parts:
        return accelerated.certificates(endorsements, "certificates")
    leaf = "vlek" if any(name.startswith("vlek.") for name in endorsements.parts) else "vcek"
    return accelerated.certificates(endorsements, leaf, "cert_chain")


def claims_of(report: object, anchor: Anchor, policy: AppraisalPolicy, valid_until: int) -> Claims:
    """The claims of a verified report, and what the policy has against its privilege level and guest policy."""
    field = _Fields(report)
    tcb = _Fields(field.any("reported_tcb"))
    svn = {f"tcb.{name}": tcb.number(name) for name in ("bootloader", "tee", "snp", "microcode")}
    if tcb.any("fmc") is not None:
        svn["tcb.fmc"] = tcb.number("fmc")
    product = str(field.any("product"))
    return Claims(
        anchor=anchor,
        caller_data={"report_data": field.data("report_data")},
        measurements={
            name: field.data(name)
            for name in ("measurement", "host_data", "id_key_digest", "author_key_digest", "family_id", "image_id")
        },
        debug=bool(field.any("policy_debug")),
        svn={**svn, "guest_svn": field.number("guest_svn")},
        valid_until=valid_until,
        findings=_findings(field, policy),
        details={
            "report_version": field.number("version"),
            "product": product,
            "signing_key": str(field.any("signing_key")),
            "guest_policy": f"{field.number('policy'):#x}",
            "vmpl": field.number("vmpl"),
            "chip_id": field.data("chip_id").hex(),
            "report_id": field.data("report_id").hex(),
        },
    )


def _findings(field: _Fields, policy: AppraisalPolicy) -> tuple[Finding, ...]:
    found = []
    if (level := field.number("vmpl")) > policy.maximum_vmpl:
        why = f"report.vmpl is {level}; at most {policy.maximum_vmpl} is accepted"
        found.append(Finding("W3B-9109", "report.vmpl", why))
    if field.any("policy_smt") and not policy.allow_smt:
        found.append(Finding("W3B-9109", "report.policy.smt", "report.policy lets the guest run with SMT"))
    if field.any("policy_migrate_ma") and not policy.allow_migration:
        found.append(
            Finding("W3B-9109", "report.policy.migrate_ma", "report.policy lets a migration agent move the guest")
        )
    return tuple(found)


class _Fields:
    """Typed reading of a native record, whose class Python does not know."""

    def __init__(self, record: object) -> None:
        self._record = record

    def any(self, name: str) -> object:
        """An attribute as it is."""
        return getattr(self._record, name)

    def number(self, name: str) -> int:
        """An integer attribute. Raises TypeError for another type."""
        value = self.any(name)
        if not isinstance(value, int):
            raise TypeError(f"{name} is {type(value).__name__}")
        return value

    def data(self, name: str) -> bytes:
        """A byte string attribute. Raises TypeError for another type."""
        value = self.any(name)
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is {type(value).__name__}")
        return value
