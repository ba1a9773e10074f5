"""Anchors, reference values, caller data and results: what the appraisal makes of claims that hold."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest
from attestation_vectors import appraise_intel
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from simulated_intel import SimulatedIntel, new_key

from verifier.attestation.anchors import SimulatedAnchors, VendorAnchors, require_vendor
from verifier.attestation.binding import expected
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy, ReferenceValue, ReferenceValues, TcbPolicy
from verifier.attestation.policy_file import read_policy
from verifier.attestation.result import AnchorKind, AttestationResult, Tier, TrustworthinessVector, tier_of
from verifier.errors import InvalidInput, Refused

PROGRAM = bytes([9] * 32)
CLAIMS = appraise_intel("tdx-v4").claims
MRTD = bytes.fromhex(CLAIMS["measurements"]["mrtd"])
DATA = bytes.fromhex(CLAIMS["caller_data"]["report_data"])


def known(*values: ReferenceValue) -> ReferenceValues:
    return ReferenceValues(PROGRAM, values)


def build(**changes: Any) -> ReferenceValue:
    return ReferenceValue(**{"platform": Platform.TDX, "measurements": {"mrtd": MRTD}, **changes})


# --- anchors ---


def test_production_refuses_simulated_anchors() -> None:
    vendor = VendorAnchors()
    assert require_vendor(vendor) is vendor
    with pytest.raises(Refused, match="simulated anchors of tests in production") as caught:
        require_vendor(SimulatedIntel().anchors)
    assert (caught.value.code, caught.value.field) == ("W3B-9114", "anchors")


def test_the_two_kinds_of_anchor_are_no_kind_of_each_other() -> None:
    assert not issubclass(SimulatedAnchors, VendorAnchors)
    assert not issubclass(VendorAnchors, SimulatedAnchors)
    with pytest.raises(TypeError):
        VendorAnchors(roots={Platform.SGX: [b""]})  # type: ignore[call-arg]


def certificate(organisation: str | None) -> bytes:
    key, now = new_key(), datetime.datetime(2026, 1, 1)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "root")]
    if organisation is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    subject = x509.Name(attributes)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("organisation", [None, "Intel Corporation", "NOT SIMULATED"])
def test_a_root_that_does_not_say_that_it_is_simulated_is_refused(organisation: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        SimulatedAnchors("x", {Platform.SGX: [certificate(organisation)]})
    assert (caught.value.code, caught.value.field) == ("W3B-9115", "roots.sgx")
    SimulatedAnchors("x", {Platform.SGX: [certificate("SIMULATED x")]})


def test_the_vendors_root_cannot_be_called_simulated() -> None:
    with pytest.raises(InvalidInput, match="must say so"):
        SimulatedAnchors("x", {Platform.SGX: [VendorAnchors().of(Platform.SGX)[0].der]})
    with pytest.raises(InvalidInput, match="no certificate"):
        SimulatedAnchors("x", {Platform.SGX: [b"junk"]})


# --- reference values ---


def test_a_known_build_affirms_the_executables() -> None:
    result = appraise_intel("tdx-v4", reference=known(build()))
    assert (result.findings, result.vector.executables) == ((), 3)
    assert result.is_affirming_under_vendor


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((), "measurements.none"),
        ((build(platform=Platform.SGX, measurements={"mrenclave": MRTD[:32]}),), "measurements.none"),
        ((build(measurements={"mrtd": bytes(48)}),), "measurements.mrtd"),
        ((build(measurements={"mrtd": MRTD[:47]}),), "measurements.mrtd"),
        ((build(measurements={"mrtd": MRTD, "rtmr3": bytes([1] * 48)}),), "measurements.rtmr3"),
        ((build(measurements={"mrtd": MRTD, "unheard": b""}),), "measurements.unheard"),
        ((build(revoked=True),), "measurements"),
        ((build(), build(revoked=True, note="leaks keys")), "measurements"),
        ((build(minimum_svn={"tdx_module": 200}),), "svn.tdx_module"),
        ((build(minimum_svn={"unheard": 0}),), "svn.unheard"),
    ],
)
def test_anything_else_is_contraindicated(values: tuple[ReferenceValue, ...], field: str) -> None:
    result = appraise_intel("tdx-v4", reference=known(*values))
    assert [(each.code, each.field) for each in result.findings] == [("W3B-9111", field)]
    assert (result.status, result.vector.executables) == (Tier.CONTRAINDICATED, 96)


def test_one_of_several_builds_is_enough_and_its_own_svn_counts() -> None:
    old, current = build(minimum_svn={"tdx_module": 200}), build(minimum_svn={"tdx_module": 1})
    assert appraise_intel("tdx-v4", reference=known(old, current)).findings == ()


def test_a_reference_value_says_which_code_runs() -> None:
    for platform in Platform:
        with pytest.raises(InvalidInput) as caught:
            ReferenceValue(platform, {"rtmr3": bytes(48)})
        assert (caught.value.code, caught.value.field) == ("W3B-9115", "measurements")
    with pytest.raises(InvalidInput):
        ReferenceValues(bytes(31), ())


def test_a_minimum_security_version_of_the_policy_is_kept() -> None:
    for minimum in ({"tdx_module": 200}, {"tdx_module": 1, "unheard": 0}):
        found = appraise_intel("tdx-v4", policy=AppraisalPolicy(minimum_svn=minimum)).findings
        assert [each.code for each in found] == ["W3B-9110"]
    assert appraise_intel("tdx-v4", policy=AppraisalPolicy(minimum_svn={"tdx_module": 1})).findings == ()


# --- caller data ---


def test_exactly_the_data_that_is_asked_for_affirms() -> None:
    result = appraise_intel("tdx-v4", caller_data={"report_data": DATA}, nonce=b"n" * 32)
    assert (result.findings, result.vector.sourced_data) == ((), 2)
    assert result.to_ear()["eat_nonce"] == (b"n" * 32).hex()


@given(st.binary(max_size=80).filter(lambda data: data != DATA))
def test_any_other_data_is_contraindicated(data: bytes) -> None:
    result = appraise_intel("tdx-v4", caller_data={"report_data": data})
    assert [(each.code, each.field) for each in result.findings] == [("W3B-9112", "report_data")]
    assert (result.status, result.vector.sourced_data) == (Tier.CONTRAINDICATED, 96)


def test_a_field_that_must_be_absent_and_one_that_is_not_there() -> None:
    for wanted in ({"report_data": None}, {"user_data": DATA}):
        found = appraise_intel("tdx-v4", caller_data=wanted).findings
        assert [each.code for each in found] == ["W3B-9112"]


@pytest.mark.parametrize(
    ("platform", "length"), [("sgx", 64), ("tdx", 64), ("sev-snp", 64), ("cca", 64), ("nvidia-h100", 32), ("sev", 16)]
)
def test_caller_data_of_another_length_is_refused(platform: str, length: int) -> None:
    assert list(expected(Platform(platform), bytes(length)).values()) == [bytes(length)]
    for wrong in (0, length - 1, length + 1):
        with pytest.raises(InvalidInput) as caught:
            expected(Platform(platform), bytes(wrong))
        assert caught.value.code == "W3B-9101"
    with pytest.raises(InvalidInput):
        expected(Platform.NITRO, bytes(513))


# --- the result ---


@given(st.integers(-128, 127))
def test_tiers_are_those_of_ar4si(value: int) -> None:
    severity = [Tier.NONE, Tier.AFFIRMING, Tier.WARNING, Tier.CONTRAINDICATED].index(tier_of(value))
    bounds = [(-1, 1), (-32, 31), (-96, 95), (-128, 127)]
    assert [low <= value <= high for low, high in bounds].index(True) == severity


@pytest.mark.parametrize("value", [-129, 128])
def test_a_number_outside_is_no_claim(value: int) -> None:
    with pytest.raises(ValueError, match="no trustworthiness claim"):
        tier_of(value)


@given(st.builds(TrustworthinessVector, *[st.integers(-128, 127)] * 8))
def test_a_status_is_no_better_than_its_worst_claim(vector: TrustworthinessVector) -> None:
    order = [Tier.NONE, Tier.AFFIRMING, Tier.WARNING, Tier.CONTRAINDICATED]
    assert order.index(vector.tier()) == max(order.index(tier_of(value)) for value in vector.claims().values())
    assert len(vector.claims()) == 8


def test_the_ear_has_the_names_of_the_draft() -> None:
    ear = json.loads(json.dumps(appraise_intel("tdx-v4").to_ear()))
    assert (ear["eat_profile"], ear["iat"]) == ("tag:ietf.org,2026:rats/ear#04", 1750334171)
    appraisal = ear["submods"]["tdx"]
    assert appraisal["ear_status"] == "affirming"
    assert set(appraisal["ear_trustworthiness_vector"]) == {
        "instance-identity",
        "configuration",
        "executables",
        "file-system",
        "hardware",
        "runtime-opaque",
        "storage-opaque",
        "sourced-data",
    }
    assert appraisal["ear_verifier_claims"]["trust_anchor"] == "vendor"
    assert len(appraisal["ear_verifier_claims"]["notes"]) == 2
    (policy,) = appraisal["ear_appraisal_policy_ids"]
    assert policy == AppraisalPolicy().identifier


def test_every_part_of_the_collateral_is_in_its_digest() -> None:
    one = Endorsements({"a": b"1", "b": b"2"})
    assert one.digest == Endorsements({"b": b"2", "a": b"1"}).digest
    others = [{"a": b"2", "b": b"1"}, {"a": b"1"}, {"ab": b"12"}, {"a": b"1", "b": b"2", "c": b""}, {}]
    assert len({one.digest, *(Endorsements(each).digest for each in others)}) == 6


def test_too_much_collateral_is_refused() -> None:
    for parts in ({str(at): b"" for at in range(65)}, {"a": bytes(1024 * 1024 + 1)}):
        with pytest.raises(InvalidInput) as caught:
            Endorsements(parts)
        assert caught.value.code == "W3B-9104"


def test_a_policys_identifier_changes_with_each_of_its_rules() -> None:
    base = AppraisalPolicy()
    others = [
        replace(base, name="other"),
        replace(base, tcb=TcbPolicy(denied_advisories=frozenset({"INTEL-SA-00289"}))),
        replace(base, minimum_svn={"a": 1}),
        replace(base, maximum_vmpl=1),
        replace(base, allow_smt=False),
        replace(base, allow_migration=True),
        replace(base, accepted_lifecycles=frozenset({0x40})),
        replace(base, maximum_age_seconds=1),
        replace(base, require_rim=False),
    ]
    assert len({each.identifier for each in (base, *others)}) == 10


def test_a_result_that_is_only_a_warning_is_not_let_through() -> None:
    result = replace(appraise_intel("tdx-v4"), status=Tier.WARNING)
    assert not result.is_affirming_under_vendor
    with pytest.raises(Refused):
        result.require()


def test_a_simulated_status_cannot_be_dressed_up() -> None:
    """Even a result whose fields were changed to affirming names its anchor."""
    made = replace(appraise_intel("tdx-v4"), anchor=replace(appraise_intel("tdx-v4").anchor, kind=AnchorKind.SIMULATED))
    assert isinstance(made, AttestationResult)
    assert not made.is_affirming_under_vendor
    with pytest.raises(Refused) as caught:
        made.require()
    assert caught.value.code == "W3B-9114"


# --- files ---


@pytest.mark.parametrize(
    ("spelling", "wrap"),
    [
        ("binary", lambda data: data),
        ("hex", lambda data: data.hex().encode()),
        ("0x hex", lambda data: b"0x" + data.hex().upper().encode() + b"\n"),
        ("base64", lambda data: __import__("base64").b64encode(data)),
        ("base64 in lines", lambda data: __import__("base64").encodebytes(data)),
        ("base64url", lambda data: __import__("base64").urlsafe_b64encode(data).rstrip(b"=")),
    ],
)
def test_evidence_is_read_in_each_spelling(spelling: str, wrap: Any) -> None:
    data = bytes([3, 0, 2, 0]) + bytes(range(256)) * 3
    assert Evidence.from_file(Platform.SGX, wrap(data)).data == data, spelling


def test_a_jwt_is_no_evidence() -> None:
    with pytest.raises(InvalidInput, match="a service's verdict") as caught:
        Evidence.from_file(Platform.NVIDIA_H100, b"eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJ4In0.AAAA")
    assert caught.value.code == "W3B-9102"
    with pytest.raises(InvalidInput):
        Evidence.from_file(Platform.SGX, bytes(800_000))


POLICY = {
    "format": "w3bstream-attestation-policy/1",
    "name": "prod",
    "tcb": {"accepted_statuses": ["UpToDate", "SWHardeningNeeded"], "denied_advisories": ["INTEL-SA-00615"]},
    "minimum_svn": {"isvsvn": 2},
    "program_id": "0x" + PROGRAM.hex(),
    "reference_values": [{"platform": "sgx", "measurements": {"mrenclave": "ab" * 32}, "revoked": True, "note": "x"}],
}


def test_a_policy_file_is_read() -> None:
    policy, reference = read_policy(json.dumps(POLICY).encode())
    assert policy.tcb.accepted_statuses == {"UpToDate", "SWHardeningNeeded"}
    assert (policy.minimum_svn, policy.accepted_lifecycles, policy.require_rim) == ({"isvsvn": 2}, {0x30}, True)
    assert reference is not None
    (value,) = reference.values
    assert (value.platform, value.measurements, value.revoked) == (
        Platform.SGX,
        {"mrenclave": bytes([0xAB] * 32)},
        True,
    )
    only = {"format": POLICY["format"], "name": "x"}
    assert read_policy(json.dumps(only).encode()) == (AppraisalPolicy(name="x"), None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"format": "other"}, "format"),
        ({"name": ""}, "name"),
        ({"unheard": 1}, "unheard"),
        ({"tcb": {"accepted_statuses": ["Revoked"]}}, "tcb.accepted_statuses"),
        ({"tcb": {"platform_grace_seconds": -1}}, "tcb.platform_grace_seconds"),
        ({"maximum_vmpl": "0"}, "maximum_vmpl"),
        ({"maximum_vmpl": 4}, "maximum_vmpl"),
        ({"require_rim": 1}, "require_rim"),
        ({"program_id": "0x00"}, "program_id"),
        ({"program_id": None}, "program_id"),
        ({"reference_values": [{"platform": "z80", "measurements": {"a": "00"}}]}, "reference_values.0.platform"),
        ({"reference_values": [{"platform": "sgx", "measurements": {"a": "00"}}]}, "measurements"),
        ({"reference_values": [{"platform": "sgx", "measurements": {"a": "0"}}]}, "reference_values.0.measurements.a"),
    ],
)
def test_a_policy_file_that_is_wrong_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_policy(json.dumps(POLICY | changes).encode())
    assert (caught.value.code, caught.value.field) == ("W3B-9115", field)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 9999, b"\xff", b'{"format":1,"format":2}'])
def test_what_is_no_policy_file_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_policy(data)
    assert caught.value.code == "W3B-9115"
