"""The simulated H100 by itself: its report, chain and manifests hold under its installation's root and under no other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from simulated_installations import NOW, appraised, digest, flipped, installation, refusal, with_data, with_parts

from provers.tee.simulation.attester import Attested
from provers.tee.simulation.certificates import LIFETIME
from provers.tee.simulation.nvidia_h100 import DRIVER_VERSION, VBIOS_VERSION
from verifier.attestation import rim
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues
from verifier.attestation.result import SIMULATED_HARDWARE, Tier
from verifier.errors import InvalidInput, W3bstreamError

NONCE = digest("nonce")
VECTORS = Path(__file__).resolve().parents[1] / "vectors/attestation/nvidia_h100"
MANIFESTS = pytest.mark.parametrize("name", ["driver.swidtag", "vbios.swidtag"])


@cache
def report(number: int = 0) -> Attested:
    (made,) = installation(number).attester(Platform.NVIDIA_H100).devices(NONCE, now=NOW)
    return made


def test_a_report_holds_under_its_own_root_and_never_for_hardware() -> None:
    result = appraised(report(), caller_data={"nonce": NONCE})
    assert (result.findings, result.status) == ((), Tier.WARNING)
    assert (result.vector.hardware, result.is_affirming_under_vendor) == (SIMULATED_HARDWARE, False)
    assert (result.claims["driver_version"], result.claims["vbios_version"]) == (DRIVER_VERSION, VBIOS_VERSION)
    assert re.fullmatch(r"[0-9a-f]{64}", result.claims["device_key_sha256"])


def test_every_certificate_and_manifest_says_that_it_is_simulated() -> None:
    for each in x509.load_pem_x509_certificates(report().endorsements.parts["certificates.pem"]):
        for name in (each.subject, each.issuer):
            (organisation,) = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            assert organisation.value == "SIMULATED - NOT NVIDIA - NO TRUST"
    for part in ("driver.swidtag", "vbios.swidtag"):
        assert b'name="SIMULATED - NOT NVIDIA - NO TRUST"' in report().endorsements.parts[part]


def test_no_vendor_vouches_for_it() -> None:
    result = appraised(report(), anchors=VendorAnchors())
    assert ([each.code for each in result.findings], result.claims) == (["W3B-9107"], {})


@MANIFESTS
def test_no_vendor_vouches_for_its_manifests(name: str) -> None:
    with pytest.raises(W3bstreamError) as caught:
        rim.read(report().endorsements.parts[name], name, VendorAnchors().rim(), NOW)
    assert caught.value.code == "W3B-9107"


def test_genuine_evidence_does_not_hold_here() -> None:
    data = bytes.fromhex((VECTORS / "hopperAttestationReport.txt").read_text())
    chain = {"certificates.pem": (VECTORS / "hopperCertChain.txt").read_bytes()}
    anchors, policy = installation(0).anchors(Platform.NVIDIA_H100), AppraisalPolicy(require_rim=False)
    for parts in (chain, {**report().endorsements.parts}):
        result = appraise(Evidence(Platform.NVIDIA_H100, data), Endorsements(parts), anchors, policy, at=NOW)
        assert result.findings[0].code in ("W3B-9106", "W3B-9107")
        assert (result.status, result.claims) == (Tier.CONTRAINDICATED, {})


@MANIFESTS
def test_genuine_manifests_do_not_hold_here(name: str) -> None:
    genuine = (VECTORS / "vbios_96.00.74.00.1A.swidtag").read_bytes()
    assert refusal(with_parts(report(), {name: genuine}))[0] in ("W3B-9105", "W3B-9107")


def test_another_installations_parts_do_not_hold_here() -> None:
    assert appraised(report(1), number=1).findings == ()
    assert refusal(report(1))[0] == "W3B-9107"
    assert refusal(Attested(report(1).evidence, report().endorsements))[0] == "W3B-9106"
    for name in ("driver.swidtag", "vbios.swidtag"):
        assert refusal(with_parts(report(), {name: report(1).endorsements.parts[name]}))[0] == "W3B-9107"


@pytest.mark.parametrize("nonce", [digest("another"), bytes(32), NONCE[::-1]])
def test_another_nonce_is_refused(nonce: bytes) -> None:
    assert refusal(report(), caller_data={"nonce": nonce}) == ("W3B-9112", "nonce")


def test_a_changed_bit_in_any_part_of_the_report_is_refused() -> None:
    """The request with its nonce, each measurement, the GPU's own nonce, the opaque data, the signature."""
    made = report()
    size = len(made.evidence.data)
    for at in (*range(150), *range(150, size - 400, 13), *range(size - 400, size, 3)):
        code, _ = refusal(with_data(made, flipped(made.evidence.data, at)))
        assert code in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9107"), at


@MANIFESTS
@given(st.data())
def test_a_changed_manifest_is_refused_or_the_same(name: str, data: st.DataObject) -> None:
    whole = report().endorsements.parts[name]
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 127))
    spoiled, code = with_parts(report(), {name: bytes(changed)}), ""
    try:
        result = appraised(spoiled)
    except W3bstreamError as error:
        code = error.code
    if code:
        assert code == "W3B-9104"
    else:
        assert result.findings or result.claims == appraised(report()).claims


def test_manifests_that_are_missing_or_in_each_others_place_are_refused() -> None:
    parts = report().endorsements.parts
    swapped = {"driver.swidtag": parts["vbios.swidtag"], "vbios.swidtag": parts["driver.swidtag"]}
    assert refusal(with_parts(report(), swapped)) == ("W3B-9111", "collateral.driver.swidtag")
    only = {name: part for name, part in parts.items() if name != "vbios.swidtag"}
    assert refusal(Attested(report().evidence, Endorsements(only))) == ("W3B-9111", "collateral.vbios.swidtag")


def test_another_driver_is_refused() -> None:
    known = ReferenceValue(Platform.NVIDIA_H100, {"driver_version": DRIVER_VERSION.encode()})
    other = ReferenceValue(Platform.NVIDIA_H100, {"driver_version": b"570.00"})
    assert appraised(report(), reference=ReferenceValues(bytes(32), (known,))).vector.executables == 3
    code, field = refusal(report(), reference=ReferenceValues(bytes(32), (other,)))
    assert (code, field) == ("W3B-9111", "measurements.driver_version")


def test_its_certificates_end() -> None:
    assert appraised(report()).valid_until == LIFETIME.end
    assert refusal(report(), at=LIFETIME.end + 1)[0] == "W3B-9105"
    assert refusal(report(), at=LIFETIME.begin - 1)[0] == "W3B-9105"


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_a_nonce_of_another_length_is_not_asked_for(nonce: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        installation(0).attester(Platform.NVIDIA_H100).devices(nonce, now=NOW)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "nonce")


def test_no_two_reports_are_the_same() -> None:
    maker = installation(0).attester(Platform.NVIDIA_H100)
    assert len({maker.devices(NONCE, now=NOW)[0].evidence.sha256 for _ in range(8)}) == 8
