"""SEV-SNP, Nitro and H100: genuine evidence through the native verifiers, and what the policy makes of it."""

from __future__ import annotations

import base64
import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from attestation_vectors import read
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_intel import SimulatedIntel

from verifier.attestation import accelerated, nvidia_h100, rim
from verifier.attestation.anchors import Anchor, SimulatedAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.attestation.result import AttestationResult, Tier
from verifier.errors import InvalidInput, Refused, W3bstreamError


def seconds(*parts: int) -> int:
    return int(datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp())  # type: ignore[misc]


MILAN = Endorsements({"vcek.der": read("sev_snp/vcek_milan.der"), "cert_chain.pem": read("sev_snp/cert_chain_milan")})
MILAN_DEBUG = Endorsements(
    {"vcek.der": read("sev_snp/vcek_milan_debug.der"), "cert_chain.pem": read("sev_snp/cert_chain_milan")}
)
H100 = Endorsements({"certificates.pem": read("nvidia_h100/hopperCertChain.txt")})
NO_RIM = AppraisalPolicy(require_rim=False)
CASES: dict[str, tuple[Platform, bytes, Endorsements, int, AppraisalPolicy]] = {
    "snp": (
        Platform.SEV_SNP,
        bytes.fromhex(read("sev_snp/report_milan.hex").decode()),
        MILAN,
        seconds(2024, 6, 1),
        AppraisalPolicy(),
    ),
    "nitro": (
        Platform.NITRO,
        base64.b64decode(read("nitro/enclave_2024.b64")),
        Endorsements(),
        seconds(2024, 12, 20, 15, 20),
        AppraisalPolicy(),
    ),
    "h100": (
        Platform.NVIDIA_H100,
        bytes.fromhex(read("nvidia_h100/hopperAttestationReport.txt").decode()),
        H100,
        seconds(2024, 6, 1),
        NO_RIM,
    ),
}
PLATFORMS = pytest.mark.parametrize("case", CASES)


def appraised(case: str, data: bytes | None = None, **changes: Any) -> AttestationResult:
    platform, own, endorsements, at, policy = CASES[case]
    return appraise(
        Evidence(platform, own if data is None else data),
        changes.pop("endorsements", endorsements),
        changes.pop("anchors", VendorAnchors()),
        changes.pop("policy", policy),
        at=changes.pop("at", at),
        **changes,
    )


def refusal(case: str, data: bytes | None = None, **changes: Any) -> tuple[str, str]:
    """Code and field; fails where the evidence is affirmed."""
    try:
        result = appraised(case, data, **changes)
    except W3bstreamError as error:
        return error.code, error.field
    assert result.status is not Tier.AFFIRMING
    return result.findings[0].code, result.findings[0].field


@PLATFORMS
def test_genuine_evidence_is_affirmed_at_its_date(case: str) -> None:
    result = appraised(case)
    assert result.findings == ()
    assert result.is_affirming_under_vendor
    assert result.valid_until > CASES[case][3]


def test_the_verdict_names_the_vendors_root() -> None:
    assert [appraised(case).anchor.name for case in CASES] == [
        "AMD ARK Milan",
        "aws.nitro-enclaves",
        "NVIDIA Device Identity CA",
    ]


@PLATFORMS
def test_genuine_evidence_is_refused_under_a_simulated_root(case: str) -> None:
    root = SimulatedIntel().root.public_bytes(serialization.Encoding.DER)
    for anchors in (SimulatedAnchors("tests", {CASES[case][0]: [root]}), SimulatedAnchors("tests")):
        result = appraised(case, anchors=anchors)
        assert [each.code for each in result.findings] == ["W3B-9107"]
        assert (result.status, result.claims) == (Tier.CONTRAINDICATED, {})


def test_the_first_expiry_is_read_from_certificates_with_a_serial_number_of_0() -> None:
    vcek = read("sev_snp/vcek_milan.der")
    assert appraised("snp").valid_until == accelerated.earliest_expiry([vcek]) == seconds(2030, 4, 3, 19, 23, 43)
    for junk in (b"", b"junk", vcek[:200], b"\x30\x80"):
        with pytest.raises(InvalidInput) as caught:
            accelerated.earliest_expiry([vcek, junk])
        assert caught.value.code == "W3B-9104"


@PLATFORMS
def test_a_changed_byte_is_refused(case: str) -> None:
    whole = CASES[case][1]
    for at in [*range(0, 80), *range(80, len(whole), 61)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        assert refusal(case, bytes(changed))[0] in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9107", "W3B-9113"), at


@PLATFORMS
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_random_mutations_raise_our_errors_only(case: str, data: st.DataObject) -> None:
    whole = bytearray(CASES[case][1])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(whole) - 1))
        whole[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    if bytes(whole) != CASES[case][1]:
        refusal(case, bytes(whole) or b"\0")


@PLATFORMS
def test_truncations_are_refused(case: str) -> None:
    whole = CASES[case][1]
    for length in [*range(1, len(whole), 173), len(whole) - 1]:
        assert refusal(case, whole[:length])[0] in ("W3B-9101", "W3B-9102")
    assert refusal(case, whole + b"\0")[0] == "W3B-9101"


def test_expired_and_not_yet_valid_certificates_are_refused() -> None:
    assert refusal("snp", at=seconds(2031, 1, 1))[0] == "W3B-9105"
    assert refusal("snp", at=seconds(2022, 1, 1))[0] == "W3B-9105"
    assert refusal("nitro", at=seconds(2024, 12, 21))[0] == "W3B-9105"
    assert refusal("h100", at=seconds(2020, 1, 1))[0] == "W3B-9105"


@PLATFORMS
def test_caller_data_is_compared_whole(case: str) -> None:
    data = {name: value and bytes.fromhex(value) for name, value in appraised(case).claims["caller_data"].items()}
    assert appraised(case, caller_data=data).vector.sourced_data == 2
    for name, value in data.items():
        wrong = b"x" * 32 if value is None else bytes([value[0] ^ 1]) + value[1:]
        assert refusal(case, caller_data={**data, name: wrong}) == ("W3B-9112", name)
        if value:
            assert refusal(case, caller_data={**data, name: None}) == ("W3B-9112", name)


# --- SEV-SNP ---


def test_a_genuine_debug_guest_is_refused() -> None:
    found = refusal("snp", read("sev_snp/report_milan_debug.bin"), endorsements=MILAN_DEBUG)
    assert found == ("W3B-9109", "report.debug")


def test_another_chips_certificate_is_refused() -> None:
    code, _ = refusal("snp", endorsements=MILAN_DEBUG)
    assert code in ("W3B-9106", "W3B-9107")
    turin = {"vcek.der": read("sev_snp/vcek_turin.der"), "cert_chain.pem": read("sev_snp/cert_chain_turin")}
    found = refusal("snp", endorsements=Endorsements(turin), at=seconds(2026, 1, 1))
    assert found[0] in ("W3B-9101", "W3B-9106", "W3B-9107")


def test_missing_and_malformed_certificates_are_named() -> None:
    assert refusal("snp", endorsements=Endorsements()) == ("W3B-9103", "collateral.vcek")
    only = Endorsements({"vcek.der": read("sev_snp/vcek_milan.der")})
    assert refusal("snp", endorsements=only) == ("W3B-9103", "collateral.cert_chain")
    for junk in (b"junk", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n", b"-----BEGIN"):
        parts = {"vcek.der": junk, "cert_chain.pem": read("sev_snp/cert_chain_milan")}
        assert refusal("snp", endorsements=Endorsements(parts))[0] == "W3B-9104"


def test_minimum_security_versions_and_guest_policy_are_kept() -> None:
    svn = appraised("snp").claims["svn"]
    assert appraised("snp", policy=AppraisalPolicy(minimum_svn=svn)).findings == ()
    for name, value in svn.items():
        found = refusal("snp", policy=AppraisalPolicy(minimum_svn={name: value + 1}))
        assert found == ("W3B-9110", f"svn.{name}")
    assert refusal("snp", policy=AppraisalPolicy(allow_smt=False)) == ("W3B-9109", "report.policy.smt")


# --- Nitro ---


def test_a_genuine_debug_enclave_is_refused() -> None:
    debug = base64.b64decode(read("nitro/debug_2024.b64"))
    assert refusal("nitro", debug, at=seconds(2024, 9, 9, 20)) == ("W3B-9109", "report.debug")
    assert refusal("nitro", read("nitro/debug_aws.bin"), at=seconds(2021, 3, 5, 17, 30)) == ("W3B-9109", "report.debug")


def test_the_spoiled_document_is_refused() -> None:
    spoiled = base64.b64decode(read("nitro/invalid_2024.b64"))
    at = seconds(2024, 7, 23, 23, 0)  # its signer lives until 23:51:24
    assert refusal("nitro", spoiled, at=at)[0] in ("W3B-9101", "W3B-9106", "W3B-9107")


def test_an_old_document_is_refused() -> None:
    issued = appraised("nitro").claims["issued_at"]
    policy = AppraisalPolicy(maximum_age_seconds=60)
    assert appraised("nitro", at=issued + 60, policy=policy).findings == ()
    assert refusal("nitro", at=issued + 61, policy=policy) == ("W3B-9113", "timestamp")


# --- H100 ---


def test_a_gpu_without_manifests_is_not_affirmed_by_default() -> None:
    result = appraised("h100", policy=AppraisalPolicy())
    assert [(each.code, each.field) for each in result.findings] == [
        ("W3B-9111", "collateral.driver.swidtag"),
        ("W3B-9111", "collateral.vbios.swidtag"),
    ]
    assert len(appraised("h100").notes) == 4


VBIOS = read("nvidia_h100/vbios_96.00.74.00.1A.swidtag")
RIM_TIME = seconds(2024, 6, 1)


def manifest(data: bytes, at: int = RIM_TIME) -> rim.Manifest:
    return rim.read(data, "collateral.vbios", VendorAnchors().rim(), at)


def test_genuine_manifests_are_read_at_their_date() -> None:
    found = manifest(VBIOS)
    assert (found.version, found.product, len(found.measurements)) == ("96.00.74.00.1A", "GH100", 12)
    assert all(len(value) == 48 for values in found.measurements.values() for value in values)
    for at in (seconds(2020, 1, 1), seconds(2027, 1, 1)):
        with pytest.raises(Refused) as caught:
            manifest(VBIOS, at)
        assert caught.value.code == "W3B-9105"


def test_a_manifest_of_another_version_is_refused() -> None:
    parts = {**H100.parts, "vbios.swidtag": VBIOS}
    assert refusal("h100", endorsements=Endorsements(parts), policy=NO_RIM) == ("W3B-9111", "collateral.vbios.swidtag")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_manifest_is_never_another_one(data: st.DataObject) -> None:
    changed = bytearray(VBIOS)
    start = data.draw(st.integers(0, len(VBIOS) - 1))
    changed[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    code = ""
    try:
        found = manifest(bytes(changed))
    except W3bstreamError as error:
        code = error.code
    if code:
        assert code in ("W3B-9104", "W3B-9105", "W3B-9106", "W3B-9107")
    else:
        assert found == manifest(VBIOS)


def test_an_unsigned_manifest_and_one_with_a_document_type_are_refused() -> None:
    start, end = VBIOS.index(b"<ds:Signature "), VBIOS.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb">]>' + VBIOS
    for data in (VBIOS[:start] + VBIOS[end:], bomb, b"", b"<a/>"):
        with pytest.raises(InvalidInput) as caught:
            manifest(data)
        assert caught.value.code == "W3B-9104"


def test_a_second_payload_beside_the_signed_one_is_refused() -> None:
    """Signature wrapping: what is read must be what is signed."""
    inner = VBIOS[VBIOS.index(b"<SoftwareIdentity") :]
    wrapped = inner.replace(b"<SoftwareIdentity", b"<SoftwareIdentity Id='x'", 1)
    for data in (b"<r>" + inner + b"</r>", wrapped, inner.replace(b"</SoftwareIdentity>", b"<x/></SoftwareIdentity>")):
        with pytest.raises(W3bstreamError) as caught:
            manifest(data)
        assert caught.value.code in ("W3B-9104", "W3B-9106")


def test_measurements_are_compared_with_every_active_value() -> None:
    """The comparison by itself: no published manifest is of the published report's versions."""
    value, other = bytes(48), bytes([1] * 48)
    report = SimpleNamespace(
        nonce=bytes(32),
        driver_version="550.90.07",
        vbios_version="96.00.9F.00.01",
        measurements=[(1, 1, value), (2, 1, other), (36, 1, other)],
        opaque={11: b"\x55"},
    )

    def findings(driver: dict[int, tuple[bytes, ...]], vbios: dict[int, tuple[bytes, ...]]) -> list[str]:
        manifests = {
            "driver": rim.Manifest("550.90.07", "GH100", driver),
            "vbios": rim.Manifest("96.00.9f.00.01", "GH100", vbios),
        }
        claims = nvidia_h100.claims_of(report, manifests, Anchor("x", bytes(32)), AppraisalPolicy(), 0)
        assert {each.code for each in claims.findings} <= {"W3B-9111"}
        return [each.field for each in claims.findings]

    assert findings({0: (other, value)}, {1: (other,)}) == []
    assert findings({35: (value,)}, {0: (value,)}) == []  # the decoder is off: its firmware is not measured
    assert findings({0: (other,)}, {1: (other,)}) == ["measurements.block1"]
    assert findings({0: (value,)}, {1: (value,)}) == ["measurements.block2"]
    assert findings({0: (value,), 5: (value,)}, {}) == ["measurements.block6"]
    assert findings({0: (value,)}, {0: (value,)}) == ["collateral.driver.swidtag"]
    report.opaque = {11: b"\xaa"}
    assert findings({35: (value,)}, {}) == ["measurements.block36"]


def test_a_reason_that_is_not_known_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        raise accelerated.native().AttestationRefused("unheard", "report.x", "is odd")

    with pytest.raises(Refused) as caught:
        accelerated.call(work)
    assert (caught.value.code, caught.value.field) == ("W3B-9106", "report.x")
    monkeypatch.delattr("native._native.AttestationRefused")
    with pytest.raises(W3bstreamError) as absent:
        accelerated.native()
    assert absent.value.code == "W3B-9116"
