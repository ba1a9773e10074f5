"""Simulated SGX and TDX: collateral by the day, what is signed where, and no root but the installation's own."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from simulated_installations import (
    MEASURED,
    NOW,
    appraised,
    attested,
    attester,
    caller_of,
    digest,
    flipped,
    installation,
    reference,
    refusal,
    with_data,
    with_parts,
)

from provers.tee.measurement import Measured
from provers.tee.simulation.attester import Attested
from provers.tee.simulation.certificates import DAY, LIFETIME
from provers.tee.simulation.intel import IntelHierarchy
from provers.tee.simulation.intel_collateral import VALID_DAYS
from provers.tee.simulation.store import Store
from provers.tee.simulation.tdx import TdxAttester
from verifier.attestation.appraisal import appraise
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.intel_quote import parse
from verifier.attestation.policy import AppraisalPolicy, TcbPolicy
from verifier.attestation.result import Tier

PLATFORMS = pytest.mark.parametrize("platform", [Platform.SGX, Platform.TDX], ids=str)
VECTORS = Path(__file__).resolve().parents[1] / "vectors/attestation"
GENUINE = {Platform.SGX: "sgx/quote_v3", Platform.TDX: "tdx/quote_v4"}
JUNE_2025 = 1750334171


def fields(made: Attested) -> dict[str, str]:
    found: dict[str, str] = json.loads(made.endorsements.parts["collateral.json"])
    return found


def with_fields(made: Attested, **changes: str) -> Attested:
    return with_parts(made, {"collateral.json": json.dumps(fields(made) | changes).encode()})


@PLATFORMS
def test_every_certificate_says_that_it_is_simulated(platform: Platform) -> None:
    made = attested(platform)
    chains = [name for name in fields(made) if name.endswith("chain")]
    assert len(chains) == 3
    found = [each for name in chains for each in x509.load_pem_x509_certificates(fields(made)[name].encode())]
    found += [x509.load_der_x509_certificate(each) for each in parse(made.evidence.data).chain]
    for each in found:
        for name in (each.subject, each.issuer):
            (organisation,) = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            assert organisation.value == "SIMULATED - NOT INTEL - NO TRUST"
    assert b"SIMULATED" in made.evidence.data[28:48]  # the header's user data


@PLATFORMS
def test_genuine_evidence_does_not_hold_here(platform: Platform) -> None:
    quote = (VECTORS / f"{GENUINE[platform]}.bin").read_bytes()
    collateral = Endorsements({"collateral.json": (VECTORS / f"{GENUINE[platform]}_collateral.json").read_bytes()})
    anchors = installation(0).anchors(platform)
    for at in (JUNE_2025, NOW):
        for parts in (collateral, attested(platform).endorsements):
            result = appraise(Evidence(platform, quote), parts, anchors, AppraisalPolicy(), at=at)
            assert (result.status, result.claims) == (Tier.CONTRAINDICATED, {})
            assert result.findings[0].code == "W3B-9107"


@PLATFORMS
def test_a_changed_bit_anywhere_in_header_and_body_is_refused(platform: Platform) -> None:
    made = attested(platform)
    for at in range(len(parse(made.evidence.data).signed)):
        code, field = refusal(with_data(made, flipped(made.evidence.data, at)))
        assert code in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9109"), at
        assert field


@PLATFORMS
@given(st.data())
def test_a_changed_byte_behind_the_body_is_refused(platform: Platform, data: st.DataObject) -> None:
    """Signature, attestation key, QE report and its signature, QE authentication data, PCK chain."""
    made = attested(platform)
    whole = made.evidence.data
    at = data.draw(st.integers(len(parse(whole).signed), len(whole) - 2))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert refusal(with_data(made, bytes(changed)))[0].startswith("W3B-91")


@PLATFORMS
@pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
def test_changed_collateral_is_refused(platform: Platform, name: str) -> None:
    made = attested(platform)
    text = fields(made)[name]
    dates = [('"UpToDate"', '"Revoked"'), ('"isvsvn":1', '"isvsvn":0'), ('"version":', '"version": ')]
    for old, new in dates:
        if old in text:
            assert refusal(with_fields(made, **{name: text.replace(old, new)}))[0] == "W3B-9106"
    theirs = fields(attested(platform, number=1))
    swapped = {part: theirs[part] for part in (name, f"{name}_signature")}
    assert refusal(with_fields(made, **swapped)) == ("W3B-9106", f"collateral.{name}_signature")
    chained = with_fields(made, **swapped, **{f"{name}_issuer_chain": theirs[f"{name}_issuer_chain"]})
    assert refusal(chained)[0] in ("W3B-9106", "W3B-9107")


@PLATFORMS
def test_revocation_lists_of_another_are_refused(platform: Platform) -> None:
    made, theirs = attested(platform), fields(attested(platform, number=1))
    for name in ("root_ca_crl", "pck_crl"):
        assert refusal(with_fields(made, **{name: theirs[name]}))[0].startswith("W3B-91")


@PLATFORMS
def test_collateral_ends_after_thirty_days_and_is_made_anew_each_day(platform: Platform) -> None:
    maker = attester(platform)

    def made_at(now: int) -> Attested:
        return maker.attest(MEASURED, caller_of(platform), now=now)

    old, end = made_at(NOW), NOW - NOW % DAY + VALID_DAYS * DAY
    assert appraised(old, at=NOW).valid_until == end
    assert appraised(old, at=end - 1).findings == ()
    assert refusal(old, at=end + 1)[0] == "W3B-9105"
    assert refusal(old, at=NOW - NOW % DAY - 1)[0] == "W3B-9105"
    assert made_at(NOW + 1).endorsements == old.endorsements
    for now in (NOW + DAY, end + 1, LIFETIME.end):
        fresh = made_at(now)
        assert fresh.endorsements != old.endorsements
        assert appraised(fresh, at=now, caller_data=caller_of(platform)).findings == ()


@PLATFORMS
def test_the_vendors_end_is_theirs(platform: Platform) -> None:
    made = attester(platform).attest(MEASURED, caller_of(platform), now=LIFETIME.end)
    assert refusal(made, at=LIFETIME.end + 1)[0] == "W3B-9105"


@PLATFORMS
def test_the_platform_has_nothing_to_be_excused(platform: Platform) -> None:
    """No flag of it, and no status, needs a policy that is less strict than the strictest."""
    strict = TcbPolicy(
        minimum_evaluation_number=17, allow_smt=False, allow_dynamic_platform=False, allow_cached_keys=False
    )
    assert appraised(attested(platform), policy=AppraisalPolicy(tcb=strict)).findings == ()
    later = AppraisalPolicy(tcb=replace(strict, minimum_evaluation_number=18))
    assert refusal(attested(platform), policy=later) == ("W3B-9110", "tcb.evaluation_number")


def test_collateral_of_the_other_platform_is_refused() -> None:
    sgx, tdx = attested(Platform.SGX), attested(Platform.TDX)
    assert refusal(Attested(sgx.evidence, tdx.endorsements))[0] == "W3B-9107"
    assert refusal(Attested(tdx.evidence, sgx.endorsements))[0] == "W3B-9107"


def test_a_quote_of_version_5_is_a_td_report_of_tdx_1_5(tmp_path: Path) -> None:
    maker = TdxAttester(IntelHierarchy(Store(tmp_path)), version=5)
    caller = caller_of(Platform.TDX)
    made = maker.attest(MEASURED, caller, now=NOW)
    quote = parse(made.evidence.data)
    assert (quote.version, len(quote.body)) == (5, 648)
    mine = replace(installation(0).anchors(Platform.TDX), roots=maker.roots)
    known = reference(Platform.TDX, MEASURED)
    assert appraised(made, anchors=mine, caller_data=caller, reference=known).findings == ()
    assert refusal(made)[0] == "W3B-9107"
    for at in range(0, len(quote.signed), 7):
        assert refusal(with_data(made, flipped(made.evidence.data, at)), anchors=mine)[0].startswith("W3B-91")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_what_was_measured_and_bound_is_what_is_read(program: bytes, configuration: bytes, data: bytes) -> None:
    measured = Measured(digest("runtime"), program, configuration)
    for platform in (Platform.SGX, Platform.TDX, Platform.CCA):
        maker, caller = attester(platform), {"report_data": data}
        result = appraised(maker.attest(measured, caller, now=NOW), caller_data=caller)
        assert result.findings == ()
        assert result.claims["caller_data"] == {"report_data": data.hex()}
        for name, value in maker.measurements(measured).items():
            assert result.claims["measurements"][name] == value.hex()


@pytest.mark.parametrize("platform", [Platform.SGX, Platform.TDX, Platform.CCA], ids=str)
def test_evidence_is_made_in_less_than_five_milliseconds(platform: Platform) -> None:
    """The best of some: the machine may be busy, the work is not longer for it."""
    maker, caller = attester(platform), caller_of(platform)
    taken = []
    for _ in range(30):
        begin = time.perf_counter()
        maker.attest(MEASURED, caller, now=NOW)
        taken.append(time.perf_counter() - begin)
    assert sorted(taken)[10] < 0.005
