"""SGX and TDX: genuine quotes hold at their date under Intel's root, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from attestation_vectors import FEBRUARY_2026, HARDENING, INTEL, JUNE_2025, appraise_intel, collateral, read, refusal
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_intel import AT, DAY, NOW, SimulatedIntel

from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.intel_quote import parse
from verifier.attestation.policy import AppraisalPolicy, TcbPolicy
from verifier.attestation.result import AttestationResult, Tier
from verifier.errors import InvalidInput, Refused, W3bstreamError

CASES = pytest.mark.parametrize("case", INTEL)
YEAR = 365 * 86400


@CASES
def test_a_genuine_quote_is_affirmed_at_its_date(case: str) -> None:
    result = appraise_intel(case)
    assert result.status is Tier.AFFIRMING
    assert result.is_affirming_under_vendor
    assert result.findings == ()
    assert (result.anchor.kind.value, result.anchor.name) == ("vendor", "Intel SGX Root CA")
    assert result.valid_until > INTEL[case][2]
    assert len(result.endorsements_sha256) == 64
    assert result.require() is result


def test_the_claims_are_those_of_the_published_quote() -> None:
    found = appraise_intel("sgx-v3").claims
    assert bytes.fromhex(found["caller_data"]["report_data"]) == b"Hello, world!".ljust(64, b"\0")
    assert found["measurements"]["mrenclave"] == "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    assert found["tcb_status"] == "ConfigurationAndSWHardeningNeeded"
    assert found["advisories"] == ["INTEL-SA-00289", "INTEL-SA-00615"]
    assert found["fmspc"] == "00a067110000"


@CASES
def test_its_collateral_ages(case: str) -> None:
    at = INTEL[case][2]
    assert refusal(appraise_intel, case, at=at + YEAR)[0] == "W3B-9105"
    assert refusal(appraise_intel, case, at=at - YEAR)[0] == "W3B-9105"
    assert refusal(appraise_intel, case, at=at + 40 * YEAR)[0] == "W3B-9105"
    assert refusal(appraise_intel, case, at=1)[0] == "W3B-9105"


@pytest.mark.parametrize("at", [0, -1, 1 << 40, 1 << 70])
def test_a_time_out_of_range_is_refused(at: int) -> None:
    assert refusal(appraise_intel, "tdx-v4", at=at) == ("W3B-9101", "at")


def test_the_genuine_quote_below_every_tcb_level_is_refused() -> None:
    name = "tdx/quote_v5_outdated"
    evidence = Evidence(Platform.TDX, read(f"{name}.bin"))
    result = appraise(evidence, collateral(name), VendorAnchors(), AppraisalPolicy(), at=FEBRUARY_2026)
    assert result.status is Tier.CONTRAINDICATED
    assert [each.code for each in result.findings] == ["W3B-9110"]


def test_a_quote_followed_by_something_is_refused() -> None:
    data = read("tdx/quote_v4_spr_e4.bin")
    with pytest.raises(InvalidInput, match="bytes after its signature") as caught:
        parse(data)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "quote")
    assert parse(data[:-39]).version == 4


@CASES
def test_a_changed_bit_anywhere_in_header_and_body_is_refused(case: str) -> None:
    data = read(f"{INTEL[case][1]}.bin")
    for at in range(len(parse(data).signed)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        code, field = refusal(appraise_intel, case, bytes(changed))
        assert code in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9109"), at
        assert field


@CASES
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_anywhere_in_the_signature_section_is_refused(case: str, data: st.DataObject) -> None:
    whole = read(f"{INTEL[case][1]}.bin").rstrip(b"\0") + b"\0"
    at = data.draw(st.integers(len(parse(whole).signed), len(whole) - 2))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert refusal(appraise_intel, case, bytes(changed))[0].startswith("W3B-91")


@CASES
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_mutations_raise_our_errors_only(case: str, data: st.DataObject) -> None:
    whole = bytearray(read(f"{INTEL[case][1]}.bin"))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole) - 1))
        whole[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    if bytes(whole).rstrip(b"\0") != read(f"{INTEL[case][1]}.bin").rstrip(b"\0"):
        refusal(appraise_intel, case, bytes(whole) or b"\0")


@CASES
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_collateral_is_refused_or_says_the_same(case: str, data: st.DataObject) -> None:
    """A change outside of what Intel signs (white space, case of hex) may be let through, with the same claims."""
    name = INTEL[case][1]
    whole = bytearray(read(f"{name}_collateral.json"))
    start = data.draw(st.integers(0, len(whole) - 1))
    whole[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
    code = ""
    try:
        result = appraise_intel(case, endorsements=Endorsements({"collateral.json": bytes(whole)}))
    except W3bstreamError as error:
        code = error.code
    if code:
        assert code in ("W3B-9103", "W3B-9104")
    else:
        assert result.findings or result.claims == appraise_intel(case).claims


@CASES
def test_every_truncation_is_refused(case: str) -> None:
    data = read(f"{INTEL[case][1]}.bin").rstrip(b"\0")
    for length in [*range(1, 120), *range(120, len(data) - 1, 97), len(data) - 1]:
        code, field = refusal(appraise_intel, case, data[:length])
        assert (code, field.split(".")[0]) in (("W3B-9101", "quote"), ("W3B-9102", "quote")), length


def test_too_much_and_too_little_are_refused() -> None:
    for data in (b"", bytes(256 * 1024 + 1)):
        with pytest.raises(InvalidInput) as caught:
            Evidence(Platform.SGX, data)
        assert (caught.value.code, caught.value.field) == ("W3B-9101", "evidence")


@pytest.mark.parametrize(
    ("offset", "value", "field"),
    [
        (0, b"\x00\x03", "quote.version"),
        (0, b"\x06\x00", "quote.version"),
        (2, b"\x03\x00", "quote.attestation_key_type"),
        (4, b"\x81\x00", "quote.tee_type"),
        (12, bytes(16), "quote.qe_vendor_id"),
    ],
)
def test_what_is_not_known_is_named(offset: int, value: bytes, field: str) -> None:
    """Wrong-endian and unknown versions among them."""
    data = bytearray(read("sgx/quote_v3.bin"))
    data[offset : offset + len(value)] = value
    assert refusal(appraise_intel, "sgx-v3", bytes(data)) == ("W3B-9102", field)


def test_a_quote_of_the_other_platform_is_refused() -> None:
    sgx, tdx = read("sgx/quote_v3.bin"), read("tdx/quote_v4.bin")
    assert refusal(appraise_intel, "tdx-v4", sgx) == ("W3B-9102", "quote.tee_type")
    assert refusal(appraise_intel, "sgx-v3", tdx) == ("W3B-9102", "quote.tee_type")


def test_collateral_of_another_platform_is_refused() -> None:
    assert refusal(appraise_intel, "sgx-v3", endorsements=collateral("tdx/quote_v4"))[0] == "W3B-9107"
    assert refusal(appraise_intel, "tdx-v4", endorsements=collateral("sgx/quote_v3"))[0] == "W3B-9107"


def test_missing_collateral_is_named() -> None:
    assert refusal(appraise_intel, "sgx-v3", endorsements=Endorsements()) == ("W3B-9103", "collateral.collateral.json")
    whole = json.loads(read("sgx/quote_v3_collateral.json"))
    for name in whole:
        part = json.dumps({each: value for each, value in whole.items() if each != name}).encode()
        found = refusal(appraise_intel, "sgx-v3", endorsements=Endorsements({"collateral.json": part}))
        assert found == ("W3B-9103", f"collateral.{name}")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b'{"tcb_info":1}', b"[" * 5000, b'{"tcb_info":"","tcb_info":""}', b"1" * 5000],
    ids=["empty", "list", "cut", "binary", "number", "bomb", "twice", "digits"],
)
def test_malformed_collateral_is_refused(data: bytes) -> None:
    code, field = refusal(appraise_intel, "sgx-v3", endorsements=Endorsements({"collateral.json": data}))
    assert (code, field.split(".")[0]) in (("W3B-9104", "collateral"), ("W3B-9103", "collateral"))


def test_a_status_that_is_not_accepted_is_a_warning_and_no_pass() -> None:
    result = appraise_intel("sgx-v3", policy=AppraisalPolicy())
    assert result.status is Tier.WARNING
    assert [(each.code, each.field) for each in result.findings] == [("W3B-9110", "tcb.status")]
    with pytest.raises(Refused, match="ConfigurationAndSWHardeningNeeded"):
        result.require()


@pytest.mark.parametrize(
    ("tcb", "field"),
    [
        (replace(HARDENING.tcb, denied_advisories=frozenset({"INTEL-SA-00615"})), "tcb.advisories"),
        (replace(HARDENING.tcb, minimum_evaluation_number=18), "tcb.evaluation_number"),
    ],
)
def test_the_tcb_policy_is_kept(tcb: TcbPolicy, field: str) -> None:
    assert refusal(appraise_intel, "sgx-v3", policy=AppraisalPolicy(tcb=tcb)) == ("W3B-9110", field)


def test_flags_of_the_platform_can_be_refused() -> None:
    for flag in ("allow_smt", "allow_dynamic_platform", "allow_cached_keys"):
        policy = AppraisalPolicy(tcb=replace(TcbPolicy(), **{flag: False}))
        assert refusal(appraise_intel, "tdx-v4", policy=policy) == ("W3B-9110", "tcb.platform")


@CASES
def test_a_genuine_quote_is_refused_under_a_simulated_root(case: str) -> None:
    code, _ = refusal(appraise_intel, case, anchors=SimulatedIntel().anchors, at=AT)
    assert code in ("W3B-9105", "W3B-9107")
    code, _ = refusal(appraise_intel, case, anchors=SimulatedIntel().anchors)
    assert code in ("W3B-9105", "W3B-9106", "W3B-9107")


# --- what only a simulator can show ---

PLATFORMS = pytest.mark.parametrize("platform", [Platform.SGX, Platform.TDX], ids=str)
DATA = bytes(range(64))


def simulated(intel: SimulatedIntel, platform: Platform, **options: object) -> AttestationResult:
    """The appraisal of a simulated quote under its own root."""
    quote = intel.quote(platform, DATA, bytes([7] * 48), debug=bool(options.pop("debug", False)))
    policy = options.pop("policy", AppraisalPolicy())
    endorsements = options.pop("endorsements", None) or intel.collateral(platform)
    anchors = options.pop("anchors", None) or intel.anchors
    at = options.pop("at", AT)
    return appraise(Evidence(platform, quote), endorsements, anchors, policy, at=at)  # type: ignore[arg-type]


@PLATFORMS
def test_simulated_evidence_holds_under_its_root_and_is_never_affirming(platform: Platform) -> None:
    result = simulated(SimulatedIntel(), platform)
    assert result.findings == ()
    assert (result.status, result.anchor.kind.value) == (Tier.WARNING, "simulated")
    assert result.vector.hardware == -33
    assert result.anchor.name == "SIMULATED tests"
    assert result.require(allow_simulated=True) is result
    with pytest.raises(Refused) as caught:
        result.require()
    assert caught.value.code == "W3B-9114"


@PLATFORMS
def test_simulated_evidence_never_holds_under_intels_root(platform: Platform) -> None:
    result = simulated(SimulatedIntel(), platform, anchors=VendorAnchors())
    assert result.status is Tier.CONTRAINDICATED
    assert result.claims == {}
    assert result.findings[0].code in ("W3B-9106", "W3B-9107")


@PLATFORMS
def test_intels_root_at_the_end_of_a_strangers_chain_is_no_chain(platform: Platform) -> None:
    """The quote names Intel's root as its last certificate; nothing in it is signed by that root."""
    intel = SimulatedIntel()
    genuine = x509.load_der_x509_certificate(VendorAnchors().of(platform)[0].der)
    quote = intel.quote(platform, DATA, last=genuine)
    assert parse(quote).chain[-1] == VendorAnchors().of(platform)[0].der
    for endorsements in (intel.collateral(platform), collateral("tdx/quote_v4"), collateral("sgx/quote_v3")):
        for at in (AT, JUNE_2025):
            result = appraise(Evidence(platform, quote), endorsements, VendorAnchors(), AppraisalPolicy(), at=at)
            assert result.status is Tier.CONTRAINDICATED
            assert result.findings[0].code in ("W3B-9105", "W3B-9106", "W3B-9107")


@PLATFORMS
def test_another_simulators_evidence_is_refused(platform: Platform) -> None:
    result = simulated(SimulatedIntel(), platform, anchors=SimulatedIntel().anchors)
    assert result.findings[0].code in ("W3B-9106", "W3B-9107")


@PLATFORMS
def test_debug_is_refused(platform: Platform) -> None:
    assert refusal(simulated, SimulatedIntel(), platform, debug=True) == ("W3B-9109", "report.attributes.debug")


@PLATFORMS
def test_a_revoked_key_is_refused(platform: Platform) -> None:
    assert refusal(simulated, SimulatedIntel(revoked=True), platform) == ("W3B-9108", "quote.pck")
    assert refusal(simulated, SimulatedIntel(status="Revoked"), platform) == ("W3B-9108", "tcb.status")


@PLATFORMS
def test_grace_ends(platform: Platform) -> None:
    intel = SimulatedIntel(status="OutOfDate", tcb_date=NOW - 10 * DAY)
    late = TcbPolicy(accepted_statuses=frozenset({"UpToDate", "OutOfDate"}), platform_grace_seconds=11 * 86400)
    assert simulated(intel, platform, policy=AppraisalPolicy(tcb=late)).findings == ()
    for tcb in (TcbPolicy(), replace(late, platform_grace_seconds=9 * 86400), replace(late, platform_grace_seconds=0)):
        assert refusal(simulated, intel, platform, policy=AppraisalPolicy(tcb=tcb))[0] == "W3B-9110"


@PLATFORMS
@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_collateral_signed_by_another_is_refused(platform: Platform, name: str) -> None:
    """Old collateral under the platform's own signer is another test: here the signature is a stranger's."""
    intel, other = SimulatedIntel(), SimulatedIntel(evaluation_number=99)
    theirs = json.loads(other.collateral(platform).parts["collateral.json"])
    changes = {f"{name}": theirs[name], f"{name}_signature": theirs[f"{name}_signature"]}
    code, field = refusal(simulated, intel, platform, endorsements=intel.collateral(platform, **changes))
    assert (code, field) == ("W3B-9106", f"collateral.{name}_signature")


@PLATFORMS
def test_old_collateral_is_refused(platform: Platform) -> None:
    """A valid TCB info of an earlier evaluation, chosen because it knows fewer advisories."""
    policy = AppraisalPolicy(tcb=TcbPolicy(minimum_evaluation_number=17))
    old = SimulatedIntel(evaluation_number=16)
    assert refusal(simulated, old, platform, policy=policy) == ("W3B-9110", "tcb.evaluation_number")
    assert refusal(simulated, old, platform, at=AT + 31 * 86400)[0] == "W3B-9105"
