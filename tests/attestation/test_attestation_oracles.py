"""Independent Go libraries and our verifiers come to the same verdict: go-sev-guest, go-tdx-guest and nitrite.

The libraries check signatures, chains, dates and, for TDX, the TCB; debug guests and ages are a policy's, so ours is
asked whether the evidence holds (it repeats claims of nothing else), not whether it is affirmed. SGX has no such library.
"""

from __future__ import annotations

import base64
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from attestation_oracles import Oracles, build
from attestation_vectors import JUNE_2025, OCTOBER_2026, collateral, read

from tests.attestation.native import native_hierarchies as hierarchies
from tests.tee.simulated_installations import NOW, attested, attester, flipped, installation
from verifier.attestation.anchors import SimulatedAnchors, TrustAnchors, VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.errors import W3bstreamError

SNP, TDX, NITRO = Platform.SEV_SNP, Platform.TDX, Platform.NITRO
DAY = 86_400


@pytest.fixture(scope="session")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracles]:
    """The running program; without `go` there is nothing to compare with."""
    try:
        program = build(tmp_path_factory.mktemp("oracles"))
    except FileNotFoundError as error:
        pytest.skip(f"the independent oracles need Go to be built: {error}")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the oracles do not build: {error.stderr}")
    with Oracles(program) as running:
        yield running


@dataclass(frozen=True)
class Case:
    """Evidence, and the time at which it holds."""

    evidence: Evidence
    endorsements: Endorsements
    at: int

    def changed(self, data: bytes) -> Case:
        return Case(Evidence(self.evidence.platform, data), self.endorsements, self.at)

    def moved(self, at: int) -> Case:
        return Case(self.evidence, self.endorsements, at)


def ours(case: Case, anchors: TrustAnchors) -> bool:
    """Whether our verifier finds that signatures, chain, dates and TCB hold."""
    try:
        result = appraise(case.evidence, case.endorsements, anchors, AppraisalPolicy(), at=case.at)
    except W3bstreamError:
        return False
    return bool(result.claims)


def snp(report: bytes, name: str) -> Case:
    parts = {"vcek.der": read(f"sev_snp/vcek_{name}.der"), "cert_chain.pem": read("sev_snp/cert_chain_milan")}
    return Case(Evidence(SNP, report), Endorsements(parts), 1_717_200_000)


def nitro(document: bytes, at: int) -> Case:
    return Case(Evidence(NITRO, document), Endorsements(), at)


def b64(name: str) -> bytes:
    return base64.b64decode(read(name))


GENUINE = {
    "snp": snp(bytes.fromhex(read("sev_snp/report_milan.hex").decode()), "milan"),
    "snp-debug": snp(read("sev_snp/report_milan_debug.bin"), "milan_debug"),
    "snp-of-another-chip": snp(read("sev_snp/report_milan_debug.bin"), "milan"),
    "nitro": nitro(b64("nitro/enclave_2024.b64"), 1_734_708_000),
    "nitro-debug": nitro(b64("nitro/debug_2024.b64"), 1_725_911_353),
    "nitro-debug-2021": nitro(read("nitro/debug_aws.bin"), 1_614_963_800),
    "nitro-spoiled": nitro(b64("nitro/invalid_2024.b64"), 1_725_911_353),
}
HOLDING = ("snp", "snp-debug", "nitro", "nitro-debug", "nitro-debug-2021")
GENUINE_TDX = Case(Evidence(TDX, read("tdx/quote_v4.bin")), collateral("tdx/quote_v4"), JUNE_2025)


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_evidence(oracles: Oracles, name: str) -> None:
    case = GENUINE[name]
    verdict = oracles.ask(case.evidence, case.endorsements, case.at)
    assert verdict.accepted == ours(case, VendorAnchors()) == (name in HOLDING), verdict.why


@pytest.mark.parametrize("name", HOLDING)
def test_genuine_evidence_years_later(oracles: Oracles, name: str) -> None:
    for at in (GENUINE[name].at + 10 * 365 * DAY, 1_500_000_000):
        case = GENUINE[name].moved(at)
        verdict = oracles.ask(case.evidence, case.endorsements, at)
        assert not verdict.accepted
        assert not ours(case, VendorAnchors())


@pytest.mark.parametrize("name", ["snp", "nitro"])
def test_genuine_evidence_under_a_simulated_root(oracles: Oracles, name: str) -> None:
    case = GENUINE[name]
    platform = case.evidence.platform
    verdict = oracles.ask(case.evidence, case.endorsements, case.at, roots=attester(platform).roots[platform])
    assert not verdict.accepted
    assert not ours(case, installation(0).anchors(platform))


@pytest.mark.parametrize("name", ["snp", "nitro"])
def test_flipped_bits_in_genuine_evidence(oracles: Oracles, name: str) -> None:
    assert_flips_are_refused(oracles, GENUINE[name], VendorAnchors(), ())


def test_a_genuine_tdx_quote(oracles: Oracles) -> None:
    """go-tdx-guest 0.3.1 compares the FMSPC's hex digits as text, and Intel's document has them in upper case: it is
    asked for signature and chain, and refuses the same collateral that ours accepts. What it says is kept here, so that a
    later version's change is seen.
    """
    assert oracles.ask(GENUINE_TDX.evidence, Endorsements(), JUNE_2025).accepted
    assert ours(GENUINE_TDX, VendorAnchors())
    whole = oracles.ask(GENUINE_TDX.evidence, GENUINE_TDX.endorsements, JUNE_2025)
    assert not whole.accepted
    assert '"b0c06f000000") is not equal' in whole.why
    assert '"B0C06F000000"' in whole.why
    root = attester(TDX).roots[TDX]
    assert not oracles.ask(GENUINE_TDX.evidence, Endorsements(), JUNE_2025, roots=root).accepted
    assert not ours(GENUINE_TDX, installation(0).anchors(TDX))
    for at in range(0, 632, 11):
        changed = GENUINE_TDX.changed(flipped(GENUINE_TDX.evidence.data, at))
        assert not oracles.ask(changed.evidence, Endorsements(), JUNE_2025).accepted, at
        assert not ours(changed, VendorAnchors()), at


def test_a_genuine_tdx_quote_without_collateral(oracles: Oracles) -> None:
    """No collateral of this quote is published: the library takes its signature and chain, ours wants to know the TCB.
    39 bytes of text stand after it, which the library overlooks and ours does not.
    """
    data = read("tdx/quote_v4_spr_e4.bin")
    for quote, code in ((data, "W3B-9101"), (data[:-39], "W3B-9103")):
        evidence = Evidence(TDX, quote)
        assert oracles.ask(evidence, Endorsements(), 1_700_000_000).accepted
        with pytest.raises(W3bstreamError) as caught:
            appraise(evidence, Endorsements(), VendorAnchors(), AppraisalPolicy(), at=1_700_000_000)
        assert caught.value.code == code


@pytest.mark.parametrize(("name", "holds"), [("tdx/quote_v5", True), ("tdx/quote_v5_outdated", False)])
def test_tdx_quotes_of_version_5(oracles: Oracles, name: str, holds: bool) -> None:
    """go-tdx-guest 0.3.1 does not know the version: ours stands alone."""
    case = Case(Evidence(TDX, read(f"{name}.bin")), collateral(name), OCTOBER_2026)
    verdict = oracles.ask(case.evidence, case.endorsements, case.at)
    assert (verdict.accepted, "quote format not supported" in verdict.why) == (False, True)
    assert ours(case, VendorAnchors()) == holds


# --- simulated ---


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
@pytest.mark.parametrize("provider", [False, True], ids=["vcek", "vlek"])
def test_reports_of_every_version_and_product(oracles: Oracles, product: str, version: int, provider: bool) -> None:
    """go-sev-guest 0.15.0 wants 64 bytes of a chip's identifier, where Turin's certificates have 8: ours stands alone."""
    extensions = hierarchies.endorsements(product, provider="Example Cloud" if provider else None)
    (leaf, ask, ark), _ = hierarchies.chain(hierarchies.snp_parts(extensions))
    parts = {"vlek.der" if provider else "vcek.der": leaf}
    parts["cert_chain.pem"] = b"".join(ssl.DER_cert_to_PEM_cert(each).encode() for each in (ask, ark))
    report = hierarchies.snp_report(product, version, provider=provider)
    case = Case(Evidence(SNP, report), Endorsements(parts), hierarchies.NOW)
    verdict = oracles.ask(case.evidence, case.endorsements, case.at, roots=[ark])
    assert ours(case, SimulatedAnchors("tests", {SNP: [ark]}))
    assert verdict.accepted == (product != "Turin"), verdict.why


SIMULATED = pytest.mark.parametrize("platform", [SNP, TDX, NITRO], ids=str)


def simulated(platform: Platform, number: int = 0) -> Case:
    made = attested(platform, number=number)
    return Case(made.evidence, made.endorsements, NOW)


@SIMULATED
def test_simulated_evidence_holds_under_its_own_root_alone(oracles: Oracles, platform: Platform) -> None:
    case = simulated(platform)
    for number, holds in ((0, True), (1, False)):
        verdict = oracles.ask(case.evidence, case.endorsements, NOW, roots=attester(platform, number).roots[platform])
        assert verdict.accepted == ours(case, installation(number).anchors(platform)) == holds, verdict.why
    vendor = oracles.ask(case.evidence, case.endorsements, NOW)
    assert (vendor.accepted, ours(case, VendorAnchors())) == (False, False)


@SIMULATED
def test_simulated_evidence_expires(oracles: Oracles, platform: Platform) -> None:
    for at in (NOW + 40 * 365 * DAY, 1_600_000_000):
        case = simulated(platform).moved(at)
        assert not oracles.ask(case.evidence, case.endorsements, at, roots=attester(platform).roots[platform]).accepted
        assert not ours(case, installation(0).anchors(platform))


@SIMULATED
def test_flipped_bits_in_simulated_evidence(oracles: Oracles, platform: Platform) -> None:
    anchors = installation(0).anchors(platform)
    assert_flips_are_refused(oracles, simulated(platform), anchors, attester(platform).roots[platform])


@SIMULATED
def test_endorsements_of_another_installation(oracles: Oracles, platform: Platform) -> None:
    case = Case(simulated(platform).evidence, simulated(platform, 1).endorsements, NOW)
    if platform is NITRO:
        assert case.endorsements.parts == {}
        return
    for number in (0, 1):
        roots = attester(platform, number).roots[platform]
        assert not oracles.ask(case.evidence, case.endorsements, NOW, roots=roots).accepted
        assert not ours(case, installation(number).anchors(platform))


def signed_region(case: Case) -> range:
    """Where every byte is signed, or is the signature: the report and its signature; header, body and signature of a
    quote; the payload and signature of a document.
    """
    ends = {SNP: 0x2A0 + 48, TDX: 48 + 584 + 4 + 64, NITRO: len(case.evidence.data)}
    starts = {SNP: 0, TDX: 0, NITRO: 9}
    return range(starts[case.evidence.platform], ends[case.evidence.platform])


def assert_flips_are_refused(oracles: Oracles, case: Case, anchors: TrustAnchors, roots: tuple[bytes, ...]) -> None:
    """One bit in each of some eighty bytes."""
    region = signed_region(case)
    for at in [*region[:: max(1, len(region) // 80)], region[-1]]:
        changed = case.changed(flipped(case.evidence.data, at))
        verdict = oracles.ask(changed.evidence, changed.endorsements, changed.at, roots=roots)
        assert not verdict.accepted, at
        assert not ours(changed, anchors), at
