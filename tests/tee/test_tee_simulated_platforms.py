"""What holds for every simulated CPU platform alike: their own root, no other, and for what they were made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulated_installations import (
    DOMAIN,
    KEY,
    MEASURED,
    NOW,
    OTHERS,
    STATEMENT,
    appraised,
    attested,
    attester,
    caller_of,
    home,
    installation,
    other_bindings,
    other_statements,
    reference,
    refusal,
    with_data,
)

from provers.tee.simulation.attester import Attested
from provers.tee.simulation.certificates import LIFETIME
from provers.tee.simulation.vendors import SimulatedVendors
from verifier.attestation.anchors import VendorAnchors, require_vendor
from verifier.attestation.binding import LENGTHS, direct, register_key
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import artifact
from verifier.attestation.result import SIMULATED_HARDWARE, AnchorKind, Tier
from verifier.errors import InvalidInput, Refused

ALL = [each for each in Platform if each is not Platform.NVIDIA_H100]
PLATFORMS = pytest.mark.parametrize("platform", ALL, ids=str)
FIELDS = {each: LENGTHS[each][0] for each in ALL}


@PLATFORMS
def test_it_holds_under_its_own_root_and_never_for_hardware(platform: Platform) -> None:
    made = attested(platform)
    result = appraised(made, reference=reference(platform, MEASURED), caller_data=caller_of(platform))
    assert result.findings == ()
    assert (result.status, result.vector.hardware) == (Tier.WARNING, SIMULATED_HARDWARE)
    assert (result.anchor.kind, result.is_affirming_under_vendor) == (AnchorKind.SIMULATED, False)
    assert result.anchor.name.startswith("SIMULATED")
    assert result.vector.runtime_opaque == 0


@PLATFORMS
def test_no_vendor_vouches_for_it(platform: Platform) -> None:
    result = appraised(attested(platform), anchors=VendorAnchors())
    assert [each.code for each in result.findings] == ["W3B-9107"]
    assert (result.status, result.claims) == (Tier.CONTRAINDICATED, {})
    with pytest.raises(Refused, match="simulated"):
        require_vendor(installation(0).anchors(platform))  # type: ignore[arg-type]


@PLATFORMS
def test_another_installations_root_does_not_vouch_for_it(platform: Platform) -> None:
    theirs = attested(platform, number=1)
    assert appraised(theirs, number=1).findings == ()
    assert refusal(theirs)[0] == "W3B-9107"
    assert refusal(attested(platform), number=1)[0] == "W3B-9107"
    swapped = Attested(theirs.evidence, attested(platform).endorsements)
    code = "W3B-9107" if platform is not Platform.SEV else "W3B-9106"
    assert refusal(swapped)[0] == code


@PLATFORMS
def test_debug_is_refused(platform: Platform) -> None:
    made = attested(platform, debug=True)
    result = appraised(made)
    assert "W3B-9109" in [each.code for each in result.findings]
    assert result.status is Tier.CONTRAINDICATED
    assert result.claims.get("debug", True) is True  # dcap-qvl refuses it before there are claims
    assert appraised(attested(platform)).claims["debug"] is False


@PLATFORMS
def test_another_program_runtime_or_configuration_is_refused(platform: Platform) -> None:
    known = reference(platform, MEASURED)
    for other in OTHERS:
        code, field = refusal(attested(platform, other), reference=known)
        assert code == "W3B-9111"
        assert field.startswith("measurements.")
        assert appraised(attested(platform, other), reference=reference(platform, *OTHERS)).findings == ()


@PLATFORMS
def test_a_program_has_one_artifact(platform: Platform) -> None:
    """Each of the three digests counts in the program id, which is of the signed measurements alone."""
    maker = attester(platform)
    found = {artifact(platform, maker.measurements(each)) for each in (MEASURED, *OTHERS)}
    assert len(found) == 1 + len(OTHERS)
    says = appraised(attested(platform)).claims["measurements"]
    signed = {name: bytes.fromhex(value) for name, value in says.items()}
    assert artifact(platform, signed) == artifact(platform, maker.measurements(MEASURED))
    assert {name: signed[name] for name in maker.measurements(MEASURED)} == dict(maker.measurements(MEASURED))
    assert artifact(platform, attester(platform, 1).measurements(MEASURED)) == artifact(platform, signed)


@PLATFORMS
def test_evidence_of_a_session_key_speaks_for_no_other(platform: Platform) -> None:
    for other in other_bindings(platform):
        code, field = refusal(attested(platform), caller_data=other)
        assert code == "W3B-9112"
        assert field in other


@PLATFORMS
def test_evidence_of_a_statement_speaks_for_no_other(platform: Platform) -> None:
    caller = direct(platform, DOMAIN, STATEMENT)
    made = attester(platform).attest(MEASURED, caller, now=NOW)
    assert appraised(made, caller_data=caller).findings == ()
    for other in other_statements(platform):
        assert refusal(made, caller_data=other) == ("W3B-9112", FIELDS[platform])
    assert refusal(made, caller_data=caller_of(platform))[0] == "W3B-9112"


@PLATFORMS
def test_a_replay_under_a_new_nonce_is_refused(platform: Platform) -> None:
    again = register_key(platform, DOMAIN, replace(KEY, nonce=bytes(32)))
    assert refusal(attested(platform), caller_data=again)[0] == "W3B-9112"


@PLATFORMS
def test_evidence_is_not_another_platforms(platform: Platform) -> None:
    for other in ALL:
        if other is not platform:
            code, _ = refusal(with_data(attested(other), attested(platform).evidence.data))
            assert code in ("W3B-9101", "W3B-9102")


@PLATFORMS
def test_it_is_not_made_for_caller_data_that_the_platform_has_no_place_for(platform: Platform) -> None:
    maker, name = attester(platform), FIELDS[platform]
    good = dict(caller_of(platform))
    too_long = bytes(513)
    for caller, field in (
        ({**good, "something": b"else"}, "caller.something"),
        ({**good, name: too_long}, f"caller.{name}"),
    ):
        with pytest.raises(InvalidInput) as caught:
            maker.attest(MEASURED, caller, now=NOW)
        assert (caught.value.code, caught.value.field) == ("W3B-9101", field)


@PLATFORMS
@pytest.mark.parametrize("now", [0, LIFETIME.begin, LIFETIME.end + 1, 1 << 70])
def test_it_is_not_made_for_a_time_outside_of_its_vendors_life(platform: Platform, now: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        attester(platform).attest(MEASURED, caller_of(platform), now=now)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", "now")


@PLATFORMS
def test_whoever_opens_the_installation_later_has_the_same_vendors(platform: Platform) -> None:
    again = SimulatedVendors.open(home(0))
    made = again.attester(platform).attest(MEASURED, caller_of(platform), now=NOW)
    assert appraised(made, caller_data=caller_of(platform)).findings == ()
    assert again.attester(platform).roots == attester(platform).roots
