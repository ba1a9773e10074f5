"""What only a simulator can show: what Intel signs, changed and signed again, has dcap-qvl's verdict on chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from provers.tee.simulation.certificates import Validity
from provers.tee.simulation.intel import FMSPC, pck_extension
from tests.contracts.dcap_machine import AT, DATA, DAY, ISSUED, MEASUREMENT, Machine
from tests.contracts.dcap_world import GAS, DcapChain, genuine, start
from verifier import dcap_calldata as calldata
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.identity import artifact
from verifier.attestation.policy import AppraisalPolicy, TcbPolicy
from verifier.bindings import Revert
from verifier.bindings.abi import encode_call
from verifier.errors import W3bstreamError

MACHINE = Machine()
PLATFORMS = pytest.mark.parametrize("platform", [Platform.SGX, Platform.TDX], ids=str)
TEE = {Platform.SGX: 0, Platform.TDX: 0x81}
NAME = FMSPC.hex().upper()
ALL = frozenset(calldata.ON_CHAIN_STATUSES)


@dataclass
class World:
    """A store under the simulated root with the machine's collateral, and two adapters of each platform."""

    dcap: DcapChain
    store: bytes
    strict: dict[Platform, bytes]
    """UpToDate alone."""
    lenient: dict[Platform, bytes]
    """Every status that a contract can accept."""

    def call(self, function: str, *arguments: bytes) -> str:
        """Why the store refuses; empty where it does not, and then it has kept it."""
        data = encode_call("DcapCollateral", function, *arguments)
        found = self.dcap.chain.call(self.store, data, gas=GAS)
        if isinstance(found, Revert):
            return self.dcap.refusal(self.store, data)
        self.dcap.send(self.store, data)
        return ""

    def renew(self, quote: bytes, endorsements: Endorsements) -> None:
        """Have the store take other documents at `AT`, in place of those of the snapshot."""
        self.dcap.go_back()
        calls = calldata.collateral_calls(quote, endorsements)
        self.dcap.send(self.store, calls.together())

    def refusal(self, adapter: bytes, quote: bytes) -> str:
        return self.dcap.refusal(adapter, encode_call("DcapAttestation", "appraise", calldata.evidence(quote)))

    def accepts(self, adapter: bytes, quote: bytes) -> bool:
        return isinstance(self.dcap.appraise(adapter, calldata.evidence(quote)), tuple)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The snapshot has lists and PCK, and no documents: each test brings its own."""
    for dcap in start(tmp_path_factory.mktemp("dcap"), AT - 600):
        store = dcap.store(MACHINE.root)
        strict = {platform: dcap.adapter(store, tee, frozenset({"UpToDate"})) for platform, tee in TEE.items()}
        lenient = {platform: dcap.adapter(store, tee, ALL) for platform, tee in TEE.items()}
        calls = calldata.collateral_calls(MACHINE.quote(Platform.SGX), MACHINE.documents(Platform.SGX))
        for call in (calls.root_list, calls.pck_list, calls.pck):
            dcap.send(store, call)
        dcap.at(AT)
        dcap.keep()
        yield World(dcap, store, strict, lenient)


@pytest.fixture
def world(made: World) -> World:
    """As it is when both platforms' documents are there."""
    made.dcap.go_back()
    for platform in TEE:
        calls = calldata.collateral_calls(MACHINE.quote(platform), MACHINE.documents(platform))
        made.dcap.send(made.store, calls.together())
    return made


def accepted_off_chain(
    platform: Platform, quote: bytes, endorsements: Endorsements, statuses: frozenset[str] = frozenset({"UpToDate"})
) -> bool:
    policy = AppraisalPolicy(tcb=TcbPolicy(accepted_statuses=statuses))
    try:
        result = appraise(Evidence(platform, quote), endorsements, MACHINE.intel.anchors, policy, at=AT)
    except W3bstreamError:
        return False
    return result.findings == ()


@PLATFORMS
def test_a_simulated_quote_holds_under_its_root_which_says_that_it_is_simulated(
    world: World, platform: Platform
) -> None:
    found, caller_data, devices, valid_until = world.dcap.accepted(
        world.strict[platform], calldata.evidence(MACHINE.quote(platform))
    )
    own = {"mrenclave": MEASUREMENT[:32], "mrtd": MEASUREMENT}
    names = ("mrconfigid", "rtmr0", "rtmr1", "rtmr2", "rtmr3")
    assert found == artifact(platform, dict.fromkeys(names, bytes(48)) | own)
    assert (caller_data, devices) == (DATA, b"")
    assert valid_until == ISSUED + 30 * DAY - 1
    for contract, address in (("DcapAttestation", world.strict[platform]), ("DcapCollateral", world.store)):
        assert world.dcap.chain.read(address, encode_call(contract, "isSimulated"))[-1] == 1


@PLATFORMS
def test_nothing_simulated_comes_into_a_store_under_intels_root(world: World, platform: Platform) -> None:
    store = world.dcap.store(VendorAnchors().of(Platform.SGX)[0].der)
    quote = MACHINE.quote(platform)
    for call in calldata.collateral_calls(quote, MACHINE.documents(platform)).all():
        assert world.dcap.refusal(store, call).startswith("CollateralRefused ")
    assert world.refusal(world.dcap.adapter(store, TEE[platform], ALL), quote) == "EvidenceRefused pck"


@pytest.mark.parametrize("name", ["sgx/quote_v3", "tdx/quote_v4", "tdx/quote_v5"])
def test_nothing_genuine_comes_into_a_store_under_a_simulated_root(world: World, name: str) -> None:
    data, endorsements = genuine(name)
    for call in calldata.collateral_calls(data, endorsements).all():
        assert world.dcap.refusal(world.store, call).startswith("CollateralRefused ")
    platform = Platform.SGX if name.startswith("sgx") else Platform.TDX
    assert world.refusal(world.lenient[platform], data) == "EvidenceRefused pck"


def test_another_simulators_quote_is_refused(world: World) -> None:
    """Its PCK is not known; with this machine's certificate in its place, the signature does not hold."""
    other = Machine().quote(Platform.SGX)
    assert world.refusal(world.lenient[Platform.SGX], other) == "EvidenceRefused pck"
    evidence = calldata.evidence(MACHINE.quote(Platform.SGX))[:32] + calldata.evidence(other)[32:]
    found = world.dcap.refusal(world.lenient[Platform.SGX], encode_call("DcapAttestation", "appraise", evidence))
    assert found == "EvidenceRefused quote.qe_report_signature"


@pytest.mark.parametrize("offset", [0, 20, 200])
def test_a_root_that_did_not_sign_itself_is_no_root(world: World, offset: int) -> None:
    for root in (
        MACHINE.root[:-1],
        MACHINE.root + b"\0",
        b"",
        MACHINE.certificate("pck", "pck"),
        MACHINE.root[offset:-1],
    ):
        with pytest.raises(AssertionError, match="creation reverted"):
            world.dcap.store(root)


# --- debug and attributes ---


def test_a_debug_enclave_is_refused(world: World) -> None:
    sgx = MACHINE.signed(MACHINE.quote(Platform.SGX), 48, b"\x13")
    assert world.refusal(world.lenient[Platform.SGX], sgx) == "EvidenceRefused report.attributes.debug"
    tdx = MACHINE.signed(MACHINE.quote(Platform.TDX), 120, b"\x01")
    assert world.refusal(world.lenient[Platform.TDX], tdx) == "EvidenceRefused report.attributes.debug"


def test_a_debug_quoting_enclave_is_refused_whatever_its_identity_masks(world: World) -> None:
    def masked(identity: dict[str, Any]) -> None:
        identity["attributesMask"] = "00" * 16

    quote = MACHINE.certified(MACHINE.quote(Platform.SGX), 48, b"\x13")
    endorsements = MACHINE.documents(Platform.SGX, identity=masked)
    world.renew(quote, endorsements)
    assert world.refusal(world.lenient[Platform.SGX], quote) == "EvidenceRefused quote.qe_report.debug"
    assert not accepted_off_chain(Platform.SGX, quote, endorsements)


@pytest.mark.parametrize("extended", [False, True])
def test_every_bit_of_the_td_attributes_has_the_verdict_of_dcap_qvl(world: World, extended: bool) -> None:
    endorsements = MACHINE.documents(Platform.TDX)
    whole = MACHINE.quote(Platform.TDX, extended=extended)
    found = []
    for bit in range(64):
        quote = MACHINE.signed(whole, 120, (1 << 28 ^ 1 << bit).to_bytes(8, "little"))
        found.append(world.accepts(world.strict[Platform.TDX], quote))
        assert found[-1] is accepted_off_chain(Platform.TDX, quote, endorsements), bit
    assert {bit for bit in range(64) if found[bit]} == {16, 18, 19, 20, 21, 22, 27, 30, 31, 62, 63}


@pytest.mark.parametrize(
    ("at", "value", "extended", "field"),
    [
        (64, b"\1", False, "report.mrsignerseam"),
        (111, b"\1", False, "report.mrsignerseam"),
        (112, b"\1", False, "report.seam_attributes"),
        (0, b"\0", False, "tcb.tdx_module"),
        (1, b"\2", False, "tcb.tdx_module"),
        (15, b"\0", False, "tcb.level"),
        (600, b"\1", True, "report.mrservicetd"),
        (647, b"\1", True, "report.mrservicetd"),
        (584, b"\0", True, "tcb.tdx_module"),
        (585, b"\2", True, "tcb.tdx_module"),
        (599, b"\0", True, "tcb.level"),
    ],
)
def test_what_is_wrong_with_a_td_is_named(world: World, at: int, value: bytes, extended: bool, field: str) -> None:
    quote = MACHINE.signed(MACHINE.quote(Platform.TDX, extended=extended), at, value)
    assert world.refusal(world.lenient[Platform.TDX], quote) == f"EvidenceRefused {field}"
    assert not accepted_off_chain(Platform.TDX, quote, MACHINE.documents(Platform.TDX), ALL)


@PLATFORMS
@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        (16, b"\1", "miscselect"),
        (48, b"\x15", None),
        (48, b"\x01", "attributes"),
        (49, b"\1", "attributes"),
        (56, b"\1", None),
        (128, b"\1", "mrsigner"),
        (159, b"\1", "mrsigner"),
        (256, b"\2", "isvprodid"),
        (257, b"\1", "isvprodid"),
        (258, b"\0", "isvsvn"),
        (258, b"\0\1", None),
        (64, b"\1", None),
    ],
)
def test_the_quoting_enclave_must_be_intels(
    world: World, platform: Platform, at: int, value: bytes, field: str | None
) -> None:
    """Field None: what the identity does not ask for."""
    quote = MACHINE.certified(MACHINE.quote(platform), at, value)
    assert accepted_off_chain(platform, quote, MACHINE.documents(platform)) is (field is None)
    if field is None:
        assert world.accepts(world.strict[platform], quote)
    else:
        assert world.refusal(world.strict[platform], quote) == f"EvidenceRefused quote.qe_report.{field}"


@PLATFORMS
def test_the_quoting_enclave_vouches_for_one_attestation_key(world: World, platform: Platform) -> None:
    """Report data that names another key; and a report that a stranger signed."""
    quote = MACHINE.certified(MACHINE.quote(platform), 320, bytes(32))
    assert world.refusal(world.strict[platform], quote) == "EvidenceRefused quote.attestation_key"
    stranger = ec.generate_private_key(ec.SECP256R1())
    quote = MACHINE.certified(MACHINE.quote(platform), 0, b"", stranger)
    assert world.refusal(world.strict[platform], quote) == "EvidenceRefused quote.qe_report_signature"


# --- statuses and levels ---


@PLATFORMS
@pytest.mark.parametrize(
    "status",
    [
        *calldata.ON_CHAIN_STATUSES,
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ],
)
def test_every_status(world: World, platform: Platform, status: str) -> None:
    def changed(info: dict[str, Any]) -> None:
        info["tcbLevels"][0]["tcbStatus"] = status

    quote, endorsements = MACHINE.quote(platform), MACHINE.documents(platform, info=changed)
    world.renew(quote, endorsements)
    assert world.accepts(world.strict[platform], quote) is (status == "UpToDate")
    assert world.accepts(world.lenient[platform], quote) is (status in ALL)
    assert accepted_off_chain(platform, quote, endorsements, ALL) is (status in ALL)


STATUS = st.sampled_from(["UpToDate", "UpToDate", "SWHardeningNeeded", "OutOfDate", "Revoked"])
SVNS = st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=3, max_size=3)
LEVELS = st.lists(st.tuples(SVNS, SVNS, st.sampled_from([12, 13, 14, 300]), STATUS), min_size=1, max_size=4)
DATE = "2026-11-01T00:00:00Z"


def components(svns: list[int]) -> list[dict[str, int]]:
    """The first, the second and the last of 16; what the machine has is 1 each."""
    return [{"svn": svns[0]}, {"svn": svns[1]}, *[{"svn": 1}] * 13, {"svn": svns[2]}]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LEVELS, st.booleans())
def test_the_level_is_the_one_that_dcap_qvl_finds(made: World, levels: list[Any], tdx: bool) -> None:
    platform = Platform.TDX if tdx else Platform.SGX

    def changed(info: dict[str, Any]) -> None:
        found = []
        for sgx, td, pce, status in sorted(levels, key=lambda each: (each[0], each[2], each[1]), reverse=True):
            tcb: dict[str, Any] = {"sgxtcbcomponents": components(sgx), "pcesvn": pce}
            if tdx:
                tcb["tdxtcbcomponents"] = components(td)
            found.append({"tcb": tcb, "tcbDate": DATE, "tcbStatus": status})
        info["tcbLevels"] = found

    quote, endorsements = MACHINE.quote(platform), MACHINE.documents(platform, info=changed)
    made.renew(quote, endorsements)
    for adapters, statuses in ((made.strict, frozenset({"UpToDate"})), (made.lenient, ALL)):
        expected = accepted_off_chain(platform, quote, endorsements, statuses)
        assert made.accepts(adapters[platform], quote) is expected


MODULE_LEVELS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["UpToDate", "OutOfDate", "Revoked"])), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 3), MODULE_LEVELS, st.booleans()), min_size=1, max_size=3),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.booleans(),
)
def test_the_module_is_the_one_that_dcap_qvl_finds(
    made: World, modules: list[Any], svn: tuple[int, int], current: tuple[int, int], extended: bool
) -> None:
    """Contracts never accept what dcap-qvl refuses; of what it accepts they refuse a TD 1.5 that must be relaunched,
    or whose present module is not up to date."""

    def changed(info: dict[str, Any]) -> None:
        whole = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        info["tdxModuleIdentities"] = [
            {
                "id": f"TDX_{version:02X}",
                **(whole if own else whole | {"mrsigner": "01" * 48}),
                "tcbLevels": [
                    {"tcb": {"isvsvn": least}, "tcbDate": DATE, "tcbStatus": status}
                    for least, status in sorted(levels, reverse=True)
                ],
            }
            for version, levels, own in modules
        ]

    quote = MACHINE.signed(MACHINE.quote(Platform.TDX, extended=extended), 0, bytes(svn))
    if extended:
        quote = MACHINE.signed(quote, 584, bytes(current))
    endorsements = MACHINE.documents(Platform.TDX, info=changed)
    made.renew(quote, endorsements)
    expected = accepted_off_chain(Platform.TDX, quote, endorsements)
    found = made.accepts(made.strict[Platform.TDX], quote)
    assert expected or not found
    if not extended:
        assert found is expected


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 256]), st.sampled_from(["UpToDate", "OutOfDate", "Revoked"])),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2),
    st.tuples(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4)),
)
def test_the_enclaves_identity_is_read_as_dcap_qvl_reads_it(
    made: World, levels: list[tuple[int, str]], svn: int, select: tuple[bytes, bytes]
) -> None:
    def changed(identity: dict[str, Any]) -> None:
        identity["miscselect"], identity["miscselectMask"] = select[0].hex(), select[1].hex()
        identity["tcbLevels"] = [
            {"tcb": {"isvsvn": least}, "tcbDate": DATE, "tcbStatus": status}
            for least, status in sorted(levels, reverse=True)
        ]

    quote = MACHINE.certified(MACHINE.quote(Platform.SGX), 258, bytes([svn, 0]))
    fits = bytes(left & right for left, right in zip(*select, strict=True))
    for misc in (bytes(4), fits):
        quote = MACHINE.certified(quote, 16, misc)
        endorsements = MACHINE.documents(Platform.SGX, identity=changed)
        made.renew(quote, endorsements)
        expected = accepted_off_chain(Platform.SGX, quote, endorsements)
        assert made.accepts(made.strict[Platform.SGX], quote) is expected


def test_levels_in_another_order_are_malformed(world: World) -> None:
    """The first that is met counts, so a low one before a high one would hide it."""

    def low_first(info: dict[str, Any]) -> None:
        low, high = json.loads(json.dumps([info["tcbLevels"][0]] * 2))
        low["tcb"]["pcesvn"] = 5
        low["tcbStatus"] = "OutOfDate"
        info["tcbLevels"] = [low, high]

    def low_first_identity(identity: dict[str, Any]) -> None:
        high = {**identity["tcbLevels"][0], "tcb": {"isvsvn": 9}}
        identity["tcbLevels"].append(high)

    quote = MACHINE.quote(Platform.SGX)
    endorsements = MACHINE.documents(Platform.SGX, low_first, low_first_identity)
    calls = calldata.collateral_calls(quote, endorsements)
    assert world.dcap.refusal(world.store, calls.tcb_info) == "MalformedJson"
    assert world.dcap.refusal(world.store, calls.qe_identity) == "MalformedJson"


# --- the text that is signed ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"id":"SGX"', '{ "id":"SGX"'),
        ('{"id":"SGX"', '{"id":"SGX","id":"SGX"'),
        ('{"id":"SGX"', '{"id":"SgX"'),
        ('"version":3', '"version":2'),
        ('"version":3', '"version":03'),
        ('"version":3', '"version":3.0'),
        ('"tcbType":0', '"tcbType":1'),
        ('"tcbEvaluationDataNumber":17', '"tcbEvaluationDataNumber":017'),
        ('"tcbEvaluationDataNumber":17', '"tcbEvaluationDataNumber":65536'),
        ('"tcbEvaluationDataNumber":17', '"tcbEvaluationDataNumber":-1'),
        ('"tcbEvaluationDataNumber":17', '"tcbEvaluationDataNumber":1e1'),
        ('"svn":1', '"svn":256'),
        ('"svn":1', '"svn":"1"'),
        ('"svn":1', '"svn":'),
        ('"pcesvn":13', '"pcesvn":65536'),
        (f'"fmspc":"{NAME}"', f'"fmspc":"{NAME[2:]}"'),
        (f'"fmspc":"{NAME}"', f'"fmspc":"{NAME[1:]}G"'),
        (f'"fmspc":"{NAME}"', f'"fmspc":"{NAME}00"'),
        ('"tcbStatus":"UpToDate"', '"tcbStatus":"uptodate"'),
        ('"tcbStatus":"UpToDate"', '"tcbStatus":"Up\\u0054oDate"'),
        ('"tcbStatus":"UpToDate"', '"tcbStatus":""'),
        ('"advisoryIDs":[]', '"advisoryIDs":["INTEL-SA-1"]'),
        ('"advisoryIDs":[]', '"advisoryIDs":["INTEL-SA-00001",]'),
        ('"advisoryIDs":[]', '"advisoryIDs":null'),
        ('"advisoryIDs":[]', '"advisoryIDs":[],"more":1'),
        ('"nextUpdate":"2026-12-21T', '"nextUpdate":"2026-13-21T'),
        ('"nextUpdate":"2026-12-21T', '"nextUpdate":"2026-02-29T'),
        ('"nextUpdate":"2026-12-21T00:00:00Z"', '"nextUpdate":"2026-12-21T00:00:00+00:00"'),
        ('"nextUpdate":"2026-12-21T00:00:00Z"', '"nextUpdate":"2026-12-21T24:00:00Z"'),
    ],
)
def test_a_text_that_intel_would_not_write_is_malformed_even_if_signed(world: World, old: str, new: str) -> None:
    text = MACHINE.fields(Platform.SGX)["tcb_info"]
    assert old in text
    fields = MACHINE.fields(Platform.SGX) | MACHINE.sign_text("tcb_info", text.replace(old, new, 1))
    endorsements = Endorsements({"collateral.json": json.dumps(fields).encode()})
    calls = calldata.collateral_calls(MACHINE.quote(Platform.SGX), endorsements)
    assert world.dcap.refusal(world.store, calls.tcb_info) == "MalformedJson"


# --- renewal and revocation ---


def dated(evaluation: int, issued: str = "2026-11-21T00:30:00Z") -> Any:
    def changed(document: dict[str, Any]) -> None:
        document["tcbEvaluationDataNumber"], document["issueDate"] = evaluation, issued

    return changed


def test_old_documents_never_come_back(world: World) -> None:
    """Neither an earlier evaluation nor an earlier issue of the same one, each valid by its own dates."""
    quote = MACHINE.quote(Platform.SGX)

    def bring(evaluation: int, issued: str = "2026-11-21T00:30:00Z") -> list[str]:
        changed = dated(evaluation, issued)
        calls = calldata.collateral_calls(quote, MACHINE.documents(Platform.SGX, changed, changed))
        found = []
        for call in (calls.tcb_info, calls.qe_identity):
            reply = world.dcap.chain.call(world.store, call, gas=GAS)
            found.append(world.dcap.refusal(world.store, call) if isinstance(reply, Revert) else "")
            if not found[-1]:
                world.dcap.send(world.store, call)
        return found

    older = ["CollateralRefused tcb_info.older", "CollateralRefused qe_identity.older"]
    assert bring(16) == older
    assert bring(17) == ["", ""]
    assert bring(17, "2026-11-21T00:29:59Z") == older
    assert bring(18, "2026-11-20T00:00:00Z") == ["", ""]
    assert bring(17, "2026-11-21T00:45:00Z") == older
    assert world.accepts(world.strict[Platform.SGX], quote)
    for minimum, holds in ((18, True), (19, False)):
        adapter = world.dcap.adapter(world.store, 0, ALL, minimum)
        assert world.accepts(adapter, quote) is holds


def test_the_lower_evaluation_of_the_two_documents_counts(world: World) -> None:
    quote = MACHINE.quote(Platform.SGX)
    adapter = world.dcap.adapter(world.store, 0, ALL, 18)
    world.dcap.keep()
    for info, identity, holds in (
        (dated(18), dated(17), False),
        (dated(17), dated(18), False),
        (dated(18), dated(18), True),
    ):
        endorsements = MACHINE.documents(Platform.SGX, info, identity)
        world.renew(quote, endorsements)
        assert world.accepts(adapter, quote) is holds


@PLATFORMS
def test_a_pck_that_is_revoked_after_it_was_kept_counts_no_more(world: World, platform: Platform) -> None:
    quote, adapter = MACHINE.quote(platform), world.strict[platform]
    assert world.accepts(adapter, quote)
    ca = MACHINE.certificate("ca", "root")
    others = tuple(MACHINE.keys.__dict__[name] for name in ("root", "tcb_signing"))
    newer = MACHINE.revocation_list("ca", (*others, MACHINE.keys.pck, MACHINE.keys.pck_ca), at=ISSUED + 60)
    assert world.call("storePckList", newer, ca) == ""
    assert world.refusal(adapter, quote) == "EvidenceRefused pck.revoked"
    older = MACHINE.revocation_list("ca", at=ISSUED + 59)
    assert world.call("storePckList", older, ca) == "CollateralRefused pck_crl.older"
    assert world.call("storePckList", MACHINE.revocation_list("ca", others, at=ISSUED + 61), ca) == ""
    assert world.accepts(adapter, quote)


@pytest.mark.parametrize(
    ("name", "field"),
    [("root", "root"), ("pck_ca", "pck.issuer"), ("tcb_signing", "tcb_info.signer"), ("pck", None)],
)
def test_what_the_root_revokes_counts_no_more(world: World, name: str, field: str | None) -> None:
    """A serial of the PCK on the root's list is another certificate's."""
    revoked = (MACHINE.keys.__dict__[name],)
    assert world.call("storeRootList", MACHINE.revocation_list("root", revoked, at=ISSUED + 1)) == ""
    for platform in TEE:
        quote = MACHINE.quote(platform)
        if field is None:
            assert world.accepts(world.strict[platform], quote)
        else:
            assert world.refusal(world.strict[platform], quote) == f"EvidenceRefused {field}.revoked"


def test_lists_of_a_part_or_of_another_are_refused(world: World) -> None:
    ca = MACHINE.certificate("ca", "root")
    part = MACHINE.revocation_list("ca", at=ISSUED + 5, critical=True)
    assert world.call("storePckList", part, ca) == "MalformedDer"
    assert world.call("storePckList", MACHINE.revocation_list("root", at=ISSUED + 5), ca) == "CollateralRefused pck_crl"
    stranger = Machine()
    theirs = stranger.revocation_list("ca", at=ISSUED + 5)
    assert world.call("storePckList", theirs, ca) == "CollateralRefused pck_crl.signature"
    own = stranger.certificate("ca", "root")
    assert world.call("storePckList", theirs, own) == "CollateralRefused pck_crl.issuer"
    late = MACHINE.revocation_list("ca", at=AT + 3600)
    assert world.call("storePckList", late, ca) == "CollateralRefused pck_crl.time"


# --- certificates ---


def test_only_a_pck_of_a_ca_of_the_root_is_kept(world: World) -> None:
    ca = MACHINE.certificate("ca", "root")
    assert world.call("storePck", MACHINE.certificate("pck", "ca"), ca) == ""
    name = MACHINE.keys.pck_ca.subject
    past = Validity(ISSUED - 10 * DAY, ISSUED - DAY)
    cases = {
        "pck": [
            (MACHINE.certificate("pck", "stranger", issuer_name=name), ca),
            (MACHINE.certificate("pck", "root"), ca),
            (MACHINE.certificate("pck", "ca", issuer_name=MACHINE.keys.root.subject), ca),
            (MACHINE.certificate("pck", "ca", authority=True), ca),
            (MACHINE.certificate("pck", "ca", constrained=False), ca),
        ],
        "pck.issuer": [
            (MACHINE.certificate("pck", "ca"), MACHINE.certificate("ca", "stranger")),
            (MACHINE.certificate("pck", "ca"), MACHINE.certificate("ca", "root", authority=False)),
            (MACHINE.certificate("pck", "ca"), MACHINE.certificate("ca", "pck")),
        ],
        "pck.validity.time": [(MACHINE.certificate("pck", "ca", validity=past), ca)],
        "pck.issuer.time": [(MACHINE.certificate("pck", "ca"), MACHINE.certificate("ca", "root", validity=past))],
        "pck.sgx_extension": [(MACHINE.certificate("pck", "ca", extensions={}), ca)],
    }
    for field, pairs in cases.items():
        for number, (pck, authority) in enumerate(pairs):
            assert world.call("storePck", pck, authority) == f"CollateralRefused {field}", number


def test_only_a_signer_that_the_root_certified_signs_documents(world: World) -> None:
    """A machine's own key, certified through its PCK CA, signs no TCB info."""
    fields = MACHINE.fields(Platform.SGX)
    text, signature = fields["tcb_info"].encode(), bytes.fromhex(fields["tcb_info_signature"])
    past = Validity(ISSUED - 10 * DAY, ISSUED - DAY)
    for signer in (
        MACHINE.certificate("tcb", "ca"),
        MACHINE.certificate("tcb", "stranger"),
        MACHINE.certificate("tcb", "root", authority=True),
        MACHINE.certificate("tcb", "root", validity=past),
    ):
        found = world.call("storeTcbInfo", text, signature, signer)
        assert found in ("CollateralRefused tcb_info.signer", "CollateralRefused tcb_info.signer.time")
    bare = MACHINE.certificate("tcb", "root", constrained=False)
    assert world.call("storeTcbInfo", text, signature, bare) == "MalformedDer"
    assert world.call(
        "storePck", MACHINE.certificate("pck", "ca"), MACHINE.certificate("ca", "root", constrained=False)
    ) == ("MalformedDer")


def test_the_pcks_extension_is_read_to_its_end(world: World) -> None:
    """Each byte of it changed and signed again: the same platform, another one, or malformed; never a crash."""
    ca, whole = MACHINE.certificate("ca", "root"), pck_extension()
    outcomes = set()
    for at in range(0, len(whole), 3):
        changed = whole[:at] + bytes([whole[at] ^ 1 << (at % 8)]) + whole[at + 1 :]
        outcomes.add(world.call("storePck", MACHINE.certificate("pck", "ca", extension=changed), ca))
    assert outcomes == {"", "MalformedDer"}
    for changed in (b"", whole[:-1], whole + b"\0", whole[:4] + whole[4:200]):
        assert world.call("storePck", MACHINE.certificate("pck", "ca", extension=changed), ca) == "MalformedDer"
