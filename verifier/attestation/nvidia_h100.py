"""NVIDIA Hopper: an SPDM 1.1 measurement transcript, verified by the native module, and compared here with NVIDIA's
signed reference manifests of the driver and the VBIOS.

Endorsements: `certificates` (.pem, leaf first), `driver.swidtag` and `vbios.swidtag`; `*.crl` are revocation lists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from verifier.attestation import accelerated, rim
from verifier.attestation.anchors import Anchor, TrustAnchors
from verifier.attestation.claims import Claims
from verifier.attestation.evidence import Endorsements, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import Finding

NVDEC_STATUS, NVDEC_DISABLED = 11, b"\x55"
"""Opaque data that says whether the video decoder runs."""
DEVICE_KEY = "device_key_sha256"
"""Detail that tells one GPU from another: its certificate's key, which its firmware keeps."""
NVDEC_MEASUREMENT = 35
"""Index of its firmware, which is not measured where it is disabled."""


def verify(data: bytes, endorsements: Endorsements, anchors: TrustAnchors, policy: AppraisalPolicy, at: int) -> Claims:
    """Verify a GPU's report and compare it with the manifests.

    Raises InvalidInput (W3B-9101 to W3B-9104), Refused (W3B-9105 to W3B-9108), Unavailable (W3B-9116).
    """
    roots, chain = anchors.of(Platform.NVIDIA_H100), accelerated.certificates(endorsements, "certificates")
    lists = accelerated.revocation_lists(endorsements)
    report = accelerated.call(
        lambda: accelerated.native().h100_verify(data, chain, [each.sha256 for each in roots], at, lists),
        endorsed=("certificate", "chain", "revocation"),
    )
    anchor = accelerated.anchor_of(report.root, roots)
    manifests = {
        name: rim.read(endorsements.get(f"{name}.swidtag"), f"collateral.{name}", anchors.rim(), at)
        for name in ("driver", "vbios")
        if f"{name}.swidtag" in endorsements.parts
    }
    claims = claims_of(report, manifests, anchor, policy, accelerated.earliest_expiry(chain))
    return replace(claims, details={**claims.details, DEVICE_KEY: accelerated.public_key_sha256(chain[0])})


def claims_of(
    report: Any, manifests: dict[str, rim.Manifest], anchor: Anchor, policy: AppraisalPolicy, valid_until: int
) -> Claims:
    """The claims of a verified report; what its manifests do not vouch for is a finding."""
    findings, notes = [], []
    for name in ("driver", "vbios"):
        if name in manifests:
            findings += _compare(report, manifests[name], name)
        elif policy.require_rim:
            why = f"collateral.{name}.swidtag is missing: nothing says what the {name}'s measurements must be"
            findings.append(Finding("W3B-9111", f"collateral.{name}.swidtag", why))
        else:
            notes.append(f"no reference manifest of the {name} was given: its measurements are not appraised")
    if not findings:
        findings += _conflict(manifests)
    versions = {"driver_version": report.driver_version, "vbios_version": report.vbios_version}
    return Claims(
        anchor=anchor,
        caller_data={"nonce": report.nonce},
        measurements={
            **{f"block{index}": value for index, _, value in report.measurements},
            **{name: (value or "").encode() for name, value in versions.items()},
        },
        debug=False,
        valid_until=valid_until,
        findings=tuple(findings),
        notes=tuple(notes),
        details={name: value or "" for name, value in versions.items()},
    )


def _compare(report: Any, manifest: rim.Manifest, name: str) -> list[Finding]:
    """The manifest is of the report's version, and each measurement in it has one of its values."""
    version = getattr(report, f"{name}_version") or ""
    where = f"collateral.{name}.swidtag"
    if manifest.version.upper() != version.upper():
        why = f"{where} is of version {manifest.version[:40]!r}; the GPU runs {version!r}"
        return [Finding("W3B-9111", where, why)]
    # Manifests count from 0, SPDM blocks from 1.
    runtime = {index - 1: value for index, _, value in report.measurements}
    for index, accepted in sorted(manifest.measurements.items()):
        if index == NVDEC_MEASUREMENT and report.opaque.get(NVDEC_STATUS) == NVDEC_DISABLED:
            continue
        if runtime.get(index) not in accepted:
            why = f"measurements.block{index + 1} has no value of the {name}'s manifest"
            return [Finding("W3B-9111", f"measurements.block{index + 1}", why)]
    return []


def _conflict(manifests: dict[str, rim.Manifest]) -> list[Finding]:
    """Driver and VBIOS each vouch for measurements of their own."""
    if len(manifests) < 2:
        return []
    both = set(manifests["driver"].measurements) & set(manifests["vbios"].measurements)
    if not both:
        return []
    why = f"collateral.driver and collateral.vbios both vouch for measurement {min(both)}"
    return [Finding("W3B-9111", "collateral.driver.swidtag", why)]
