"""Genuine SGX and TDX quotes on chain: the contracts say what dcap-qvl says, at every time and under every change."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.dcap_world import GAS, DcapChain, genuine, start, why, with_field
from verifier import dcap_calldata as calldata
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.identity import artifact
from verifier.attestation.intel_quote import parse
from verifier.attestation.policy import AppraisalPolicy, TcbPolicy
from verifier.attestation.result import AttestationResult
from verifier.bindings import Revert
from verifier.bindings.abi import encode_call
from verifier.errors import InvalidInput, W3bstreamError

ROOT = VendorAnchors().of(Platform.SGX)[0].der
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
JUNE_2025, FEBRUARY_2026, OCTOBER_2026 = 1750334171, 1771500000, 1791420000
"""Times at which the vectors' collateral holds (tests/vectors/attestation/README.md)."""
YEAR = 365 * 86400
STATUSES = frozenset({"UpToDate", "ConfigurationAndSWHardeningNeeded"})
POLICY = AppraisalPolicy(tcb=TcbPolicy(accepted_statuses=STATUSES))
CASES = {
    "sgx-v3": ("sgx/quote_v3", JUNE_2025, Platform.SGX),
    "tdx-v4": ("tdx/quote_v4", JUNE_2025 + 60, Platform.TDX),
    "tdx-v5": ("tdx/quote_v5", OCTOBER_2026, Platform.TDX),
}
JUNE = pytest.mark.parametrize("case", ["sgx-v3", "tdx-v4"])
TEE = {Platform.SGX: 0, Platform.TDX: 0x81}


@dataclasses.dataclass
class World:
    """A store under Intel's root with the collateral of June 2025, and an adapter of each platform."""

    dcap: DcapChain
    store: bytes
    adapters: dict[Platform, bytes]
    gas: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for dcap in start(tmp_path_factory.mktemp("dcap"), JUNE_2025 - 600):
        store = dcap.store(ROOT)
        adapters = {platform: dcap.adapter(store, tee, STATUSES) for platform, tee in TEE.items()}
        gas = {
            case: dcap.bring(store, calldata.collateral_calls(*genuine(CASES[case][0])), CASES[case][1])
            for case in ("sgx-v3", "tdx-v4")
        }
        dcap.keep()
        yield World(dcap, store, adapters, gas)


@pytest.fixture
def world(made: World) -> World:
    made.dcap.go_back()
    return made


def off_chain(case: str, data: bytes, endorsements: Endorsements, at: int) -> AttestationResult:
    evidence = Evidence(CASES[case][2], data)
    return appraise(evidence, endorsements, VendorAnchors(), POLICY, at=at)


def is_accepted_off_chain(case: str, data: bytes, at: int) -> bool:
    try:
        return off_chain(case, data, genuine(CASES[case][0])[1], at).is_affirming_under_vendor
    except W3bstreamError:
        return False


def bring(world: World, case: str) -> bytes:
    """Have the store know the case's collateral, be at its time; the adapter."""
    name, at, platform = CASES[case]
    if case == "tdx-v5":
        world.dcap.bring(world.store, calldata.collateral_calls(*genuine(name)), at)
    world.dcap.at(max(at, world.dcap.chain.now()))
    return world.adapters[platform]


@pytest.mark.parametrize("case", CASES)
def test_a_genuine_quote_is_accepted_with_the_claims_that_dcap_qvl_has(world: World, case: str) -> None:
    name, at, platform = CASES[case]
    data, endorsements = genuine(name)
    adapter = bring(world, case)
    found, caller_data, devices, valid_until = world.dcap.accepted(adapter, calldata.evidence(data))
    result = off_chain(case, data, endorsements, at)
    assert result.is_affirming_under_vendor
    measurements = {key: bytes.fromhex(value) for key, value in result.claims["measurements"].items()}
    assert found == artifact(platform, measurements)
    assert caller_data == bytes.fromhex(result.claims["caller_data"]["report_data"])
    assert devices == b""
    # dcap-qvl calls the list's next update its end, and refuses it in that very second.
    assert valid_until == result.valid_until - (case == "tdx-v4")


def test_the_adapters_say_what_they_are(world: World) -> None:
    chain = world.dcap.chain
    for platform, adapter in world.adapters.items():
        answer = chain.read(adapter, encode_call("DcapAttestation", "kind"))
        assert f"tee.{platform.value}".encode() in answer
        assert b"dcap" in chain.read(adapter, encode_call("DcapAttestation", "route"))
        assert chain.read(adapter, encode_call("DcapAttestation", "isSimulated")) == bytes(32)
    found = chain.read(world.store, encode_call("DcapCollateral", "rootSha256"))
    assert found == VendorAnchors().of(Platform.SGX)[0].sha256
    assert found == chain.read(world.store, encode_call("DcapCollateral", "INTEL_ROOT"))


def test_the_genuine_quote_below_every_tcb_level_is_refused(world: World) -> None:
    data, endorsements = genuine("tdx/quote_v5_outdated")
    world.dcap.bring(world.store, calldata.collateral_calls(data, endorsements), FEBRUARY_2026)
    found = world.dcap.appraise(world.adapters[Platform.TDX], calldata.evidence(data))
    assert isinstance(found, Revert)
    assert why(found) == "EvidenceRefused tcb.level"


def test_a_status_or_evaluation_that_the_policy_does_not_have_is_refused(world: World) -> None:
    data = calldata.evidence(genuine("sgx/quote_v3")[0])
    strict = world.dcap.adapter(world.store, 0, frozenset({"UpToDate"}))
    assert refusal(world, strict, data) == "EvidenceRefused tcb.status"
    late = world.dcap.adapter(world.store, 0, STATUSES, minimum=18)
    assert refusal(world, late, data) == "EvidenceRefused tcb.evaluation_number"
    assert world.dcap.accepted(world.dcap.adapter(world.store, 0, STATUSES, minimum=17), data)


@pytest.mark.parametrize(
    ("tee", "statuses"), [(1, 1), (0x81, 0), (0, 2), (0, 0b10001), (0, 1 << 6 | 1), (0, 1 << 255 | 1)]
)
def test_a_policy_that_accepts_what_nobody_may_is_not_deployed(world: World, tee: int, statuses: int) -> None:
    types = ["address", "uint256", "uint256", "uint256"]
    with pytest.raises(AssertionError, match="creation reverted"):
        world.dcap.deploy("DcapAttestation", types, world.store, tee, statuses, 0)


def test_only_what_a_contract_can_accept_becomes_its_policy() -> None:
    assert calldata.accepted_statuses(STATUSES) == 0b1001
    with pytest.raises(InvalidInput) as caught:
        calldata.accepted_statuses(frozenset({"UpToDate", "OutOfDate"}))
    assert (caught.value.code, caught.value.field) == ("W3B-9115", "tcb.accepted_statuses")


def refusal(world: World, adapter: bytes, evidence: bytes) -> str:
    return world.dcap.refusal(adapter, encode_call("DcapAttestation", "appraise", evidence))


@JUNE
def test_it_is_accepted_until_the_second_that_dcap_qvl_names(world: World, case: str) -> None:
    name, _, platform = CASES[case]
    data, _ = genuine(name)
    evidence, adapter = calldata.evidence(data), world.adapters[platform]
    last = world.dcap.accepted(adapter, evidence)[3]
    for at, holds in ((last, True), (last + 1, False), (last + YEAR, False), (last + 30 * YEAR, False)):
        world.dcap.at(at)
        assert isinstance(world.dcap.appraise(adapter, evidence), tuple) is holds
        assert is_accepted_off_chain(case, data, at) is holds
    assert refusal(world, adapter, evidence) in ("EvidenceRefused root.expired", "EvidenceRefused pck.expired")


@JUNE
def test_a_changed_bit_anywhere_is_refused(world: World, case: str) -> None:
    """The evidence has no byte that is not signed, hashed or looked up."""
    name, _, platform = CASES[case]
    evidence, adapter = calldata.evidence(genuine(name)[0]), world.adapters[platform]
    for at in range(0, len(evidence), 3 if case == "sgx-v3" else 5):
        changed = bytearray(evidence)
        changed[at] ^= 1 << (at % 8)
        found = world.dcap.appraise(adapter, bytes(changed))
        assert isinstance(found, Revert), at
        assert found.name in ("EvidenceRefused", "MalformedEvidence"), (at, found)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.sampled_from(["sgx-v3", "tdx-v4"]), st.data())
def test_a_mutated_quote_has_the_verdict_of_dcap_qvl(made: World, case: str, data: st.DataObject) -> None:
    """Also where the change is in what neither looks at: PEM that follows the signatures, padding after the end."""
    name, at, platform = CASES[case]
    whole = bytearray(genuine(name)[0])
    start_at = data.draw(st.integers(0, len(whole) - 1))
    whole[start_at : start_at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        evidence = calldata.evidence(bytes(whole))
    except InvalidInput:
        assert not is_accepted_off_chain(case, bytes(whole), at)
        return
    accepted = isinstance(made.dcap.appraise(made.adapters[platform], evidence), tuple)
    assert accepted is is_accepted_off_chain(case, bytes(whole), at)


@JUNE
def test_every_other_length_is_malformed(world: World, case: str) -> None:
    name, _, platform = CASES[case]
    evidence, adapter = calldata.evidence(genuine(name)[0]), world.adapters[platform]
    for length in [*range(0, 40, 13), *range(40, len(evidence), 61), len(evidence) - 1]:
        assert refusal(world, adapter, evidence[:length]).startswith("MalformedEvidence quote."), length
    for more in (b"\0", bytes(32), b"\1", evidence):
        assert refusal(world, adapter, evidence + more).startswith("MalformedEvidence quote."), more


@pytest.mark.parametrize(
    ("offset", "value", "field"),
    [
        (0, b"\x00\x03", "quote.version"),
        (0, b"\x04\x00", "quote.version"),
        (2, b"\x00\x02", "quote.attestation_key_type"),
        (2, b"\x03\x00", "quote.attestation_key_type"),
        (4, b"\x81\x00", "quote.tee_type"),
        (4, b"\x00\x00\x00\x81", "quote.tee_type"),
        (12, bytes(16), "quote.qe_vendor_id"),
    ],
)
def test_what_is_not_known_is_named(world: World, offset: int, value: bytes, field: str) -> None:
    """Wrong-endian numbers among them."""
    evidence = bytearray(calldata.evidence(genuine("sgx/quote_v3")[0]))
    at = calldata.EVIDENCE_HEAD + offset
    evidence[at : at + len(value)] = value
    assert refusal(world, world.adapters[Platform.SGX], bytes(evidence)) == f"MalformedEvidence {field}"


def test_a_quote_of_the_other_platform_is_refused(world: World) -> None:
    sgx, tdx = (calldata.evidence(genuine(name)[0]) for name in ("sgx/quote_v3", "tdx/quote_v4"))
    assert refusal(world, world.adapters[Platform.TDX], sgx) == "MalformedEvidence quote.version"
    assert refusal(world, world.adapters[Platform.SGX], tdx) == "MalformedEvidence quote.version"


def test_another_platforms_pck_is_refused(world: World) -> None:
    """The two machines' certificates are both known; neither signed the other's quoting enclave."""
    sgx, tdx = (calldata.evidence(genuine(name)[0]) for name in ("sgx/quote_v3", "tdx/quote_v4"))
    assert refusal(world, world.adapters[Platform.SGX], tdx[:32] + sgx[32:]) == "EvidenceRefused tcb_info"
    assert refusal(world, world.adapters[Platform.TDX], sgx[:32] + tdx[32:]) == "EvidenceRefused tcb_info"
    assert refusal(world, world.adapters[Platform.SGX], bytes(32) + sgx[32:]) == "EvidenceRefused pck"


def test_the_other_spelling_of_a_signature_is_the_same_evidence(world: World) -> None:
    """n - s is as good as s (P-256 has no rule against it): what is accepted once goes by the caller data's nonce."""
    evidence = calldata.evidence(genuine("sgx/quote_v3")[0])
    adapter = world.adapters[Platform.SGX]
    first = world.dcap.accepted(adapter, evidence)
    for at in (32, 544):
        s = int.from_bytes(evidence[at + 32 : at + 64], "big")
        other = evidence[: at + 32] + (P256_ORDER - s).to_bytes(32, "big") + evidence[at + 64 :]
        assert world.dcap.accepted(adapter, other) == first
    for value in (0, P256_ORDER, 2**256 - 1):
        bad = evidence[:64] + value.to_bytes(32, "big") + evidence[96:]
        assert refusal(world, adapter, bad) == "EvidenceRefused quote.signature"


# --- the store ---


@JUNE
def test_what_is_known_changes_nothing(world: World, case: str) -> None:
    """The same collateral again is no error: whoever comes second loses nothing but gas."""
    calls = calldata.collateral_calls(*genuine(CASES[case][0]))
    for call in calls.all():
        receipt = world.dcap.send(world.store, call)
        assert receipt["logs"] == []


def test_all_at_once(world: World) -> None:
    """One transaction brings a new store all that a platform needs."""
    data, endorsements = genuine("sgx/quote_v3")
    store = world.dcap.store(ROOT)
    adapter = world.dcap.adapter(store, 0, STATUSES)
    calls = calldata.collateral_calls(data, endorsements)
    assert refusal(world, adapter, calldata.evidence(data)) == "EvidenceRefused pck"
    world.dcap.send(store, calls.together())
    assert world.dcap.accepted(adapter, calldata.evidence(data))


@pytest.mark.parametrize(
    ("left_out", "field"),
    [
        ("root_list", "root_ca_crl"),
        ("pck_list", "pck_crl"),
        ("tcb_info", "tcb_info"),
        ("qe_identity", "qe_identity"),
        ("pck", "pck"),
    ],
)
def test_nothing_is_accepted_without_all_collateral(world: World, left_out: str, field: str) -> None:
    data, endorsements = genuine("sgx/quote_v3")
    store = world.dcap.store(ROOT)
    adapter = world.dcap.adapter(store, 0, STATUSES)
    for name, call in vars(calldata.collateral_calls(data, endorsements)).items():
        if name != left_out:
            world.dcap.send(store, call)
    assert refusal(world, adapter, calldata.evidence(data)) == f"EvidenceRefused {field}"


def test_collateral_is_taken_in_its_time_only(world: World) -> None:
    calls = calldata.collateral_calls(*genuine("sgx/quote_v3"))
    store = world.dcap.store(ROOT)
    world.dcap.at(world.dcap.chain.now() + YEAR)
    expected = ["root_ca_crl.time", "pck_crl.time", "tcb_info.time", "qe_identity.time"]
    found = [world.dcap.refusal(store, call) for call in calls.all()[:4]]
    assert found == [f"CollateralRefused {each}" for each in expected]
    world.dcap.at(world.dcap.chain.now() + 6 * YEAR)
    assert world.dcap.refusal(store, calls.pck) == "CollateralRefused pck.validity.time"


def test_collateral_of_the_future_is_not_taken(world: World) -> None:
    calls = calldata.collateral_calls(*genuine("tdx/quote_v5"))
    found = [world.dcap.refusal(world.store, call) for call in calls.all()]
    expected = ["root_ca_crl.time", "pck_crl.time", "tcb_info.time", "qe_identity.time", "pck.validity.time"]
    assert found == [f"CollateralRefused {each}" for each in expected]


@JUNE
@pytest.mark.parametrize("name", ["root_ca_crl", "pck_crl", "tcb_info", "qe_identity", "pck"])
def test_changed_collateral_is_refused(world: World, case: str, name: str) -> None:
    """A bit of each signed text, signature and certificate."""
    data, endorsements = genuine(CASES[case][0])
    store = world.dcap.store(ROOT)
    fields = json.loads(endorsements.get("collateral.json"))
    call = {"root_ca_crl": "root_list", "pck_crl": "pck_list"}.get(name, name)
    if name == "pck":
        first = calldata.collateral_calls(data, endorsements).pck
        pck = parse(data).chain[0]
        for at in range(0, len(pck), 17):
            found = world.dcap.refusal(store, first.replace(pck, flipped(pck, at)))
            assert found.startswith(("CollateralRefused pck", "MalformedDer")), at
        return
    text = fields[name]
    for at in range(0, len(text), max(1, len(text) // 60)):
        if name.endswith("crl"):
            changed = flipped(bytes.fromhex(text), at // 2).hex()
        else:
            changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        calls = calldata.collateral_calls(data, with_field(endorsements, **{name: changed}))
        found = world.dcap.refusal(store, getattr(calls, call))
        assert found.startswith(("CollateralRefused", "MalformedDer", "MalformedJson")), (at, found)
    if not name.endswith("crl"):
        field = f"{name}_signature"
        for changed in (
            "00" * 64,
            fields[field][:-2],
            fields[field] + "00",
            flipped(bytes.fromhex(fields[field]), 40).hex(),
        ):
            calls = calldata.collateral_calls(data, with_field(endorsements, **{field: changed}))
            assert world.dcap.refusal(store, getattr(calls, call)) == f"CollateralRefused {name}.signature"


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << (at % 8)]) + data[at + 1 :]


@JUNE
def test_cut_or_longer_collateral_is_malformed(world: World, case: str) -> None:
    data, endorsements = genuine(CASES[case][0])
    fields = json.loads(endorsements.get("collateral.json"))
    store = world.dcap.store(ROOT)
    for name, call in (
        ("root_ca_crl", "root_list"),
        ("pck_crl", "pck_list"),
        ("tcb_info", "tcb_info"),
        ("qe_identity", "qe_identity"),
    ):
        unit = 2 if name.endswith("crl") else 1
        whole = fields[name]
        lengths = range(0, len(whole), unit * max(1, len(whole) // unit // 40))
        more = ("00", "3000") if unit == 2 else (" ", "}", "\n", whole)
        for changed in [*(whole[:length] for length in lengths), *(whole + each for each in more)]:
            calls = calldata.collateral_calls(data, with_field(endorsements, **{name: changed}))
            found = world.dcap.refusal(store, getattr(calls, call))
            assert found.startswith(("MalformedDer", "MalformedJson")), (name, len(changed), found)


def test_a_signer_in_anothers_place_is_refused(world: World) -> None:
    """Each certificate is Intel's own, and none may do another's work."""
    data, endorsements = genuine("sgx/quote_v3")
    pck, authority, root = parse(data).chain
    fields: dict[str, Any] = json.loads(endorsements.get("collateral.json"))
    text, signature = fields["tcb_info"].encode(), bytes.fromhex(fields["tcb_info_signature"])
    store = world.dcap.store(ROOT)

    def stored(function: str, *arguments: bytes) -> str:
        return world.dcap.refusal(store, encode_call("DcapCollateral", function, *arguments))

    for other in (pck, authority, root):
        assert stored("storeTcbInfo", text, signature, other) == "CollateralRefused tcb_info.signer"
    for other in (pck, root):
        assert stored("storePck", pck, other).startswith("CollateralRefused pck")
    assert stored("storePck", authority, authority) == "CollateralRefused pck"
    pck_list, root_list = bytes.fromhex(fields["pck_crl"]), bytes.fromhex(fields["root_ca_crl"])
    assert stored("storeRootList", pck_list) == "CollateralRefused root_ca_crl"
    assert stored("storePckList", root_list, authority) == "CollateralRefused pck_crl"
    assert stored("storePckList", pck_list, pck) == "CollateralRefused pck_crl.issuer"


def test_a_key_without_extension_of_sgx_is_no_pck(world: World) -> None:
    """The TCB signing certificate is the root's own, and its issuer is no PCK CA."""
    fields = json.loads(genuine("sgx/quote_v3")[1].get("collateral.json"))
    (signer, *_) = calldata._certificates(fields, "tcb_info_issuer_chain")
    found = world.dcap.refusal(world.store, encode_call("DcapCollateral", "storePck", signer, ROOT))
    assert found == "CollateralRefused pck.sgx_extension"


def test_the_figures_of_the_docs_are_the_measured_ones(world: World) -> None:
    text = (Path(__file__).parents[2] / "docs/reference/dcap-on-chain.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d,]+) \|", text, re.MULTILINE))
    measured = {f"{name}, {case}": gas for case, calls in world.gas.items() for name, gas in calls.items()}
    measured = {key: gas for key, gas in measured.items() if key != "root_list, tdx-v4"}
    for case in ("sgx-v3", "tdx-v4"):
        evidence = calldata.evidence(genuine(CASES[case][0])[0])
        data = encode_call("DcapAttestation", "appraise", evidence)
        chain = world.dcap.chain
        receipt = chain.send(chain.funded, world.adapters[CASES[case][2]], data, GAS)
        measured[f"appraise, {case}"] = receipt["gasUsed"]
    wrong = {
        name: (gas, rows.get(name))
        for name, gas in measured.items()
        if abs(gas - int(rows.get(name, "0").replace(",", ""))) > 0.01 * gas
    }
    assert wrong == {}, f"measured and documented differ: {wrong}"
