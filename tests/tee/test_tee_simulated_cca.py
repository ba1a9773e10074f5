"""Simulated Arm CCA: the CPAK of this installation, the realm key that its platform token names, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_installations import (
    appraised,
    attested,
    attester,
    flipped,
    installation,
    refusal,
    with_data,
)

from provers.tee.simulation.cbor import encode
from verifier.attestation import cbor, cca
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.appraisal import appraise
from verifier.attestation.cbor import Tagged
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.errors import InvalidInput

TOKENS = Path(__file__).resolve().parents[1] / "vectors/attestation/cca"
PLATFORM = Platform.CCA


def tokens(number: int = 0) -> dict[int, Any]:
    """The platform token and the realm token."""
    found: dict[int, Any] = cbor.decode(attested(PLATFORM, number=number).evidence.data, "token").value
    return found


def joined(parts: dict[int, Any]) -> bytes:
    return encode(Tagged(cca.COLLECTION, parts))


def claims(token: bytes) -> dict[int, Any]:
    found: dict[int, Any] = cbor.decode(cbor.decode(token, "token").value[2], "claims")
    return found


def test_every_bit_of_a_token_counts() -> None:
    made = attested(PLATFORM)
    for at in range(len(made.evidence.data)):
        code, _ = refusal(with_data(made, flipped(made.evidence.data, at)))
        assert code in ("W3B-9101", "W3B-9102", "W3B-9106", "W3B-9107"), at


@given(st.data())
def test_truncated_and_grown_tokens_are_refused(data: st.DataObject) -> None:
    whole = attested(PLATFORM).evidence.data
    length = data.draw(st.integers(1, len(whole) - 1))
    assert refusal(with_data(attested(PLATFORM), whole[:length]))[0] == "W3B-9101"
    assert refusal(with_data(attested(PLATFORM), whole + data.draw(st.binary(min_size=1, max_size=8))))[0] == "W3B-9101"


def test_tokens_of_two_installations_do_not_make_one() -> None:
    mine, theirs = tokens(), tokens(1)
    mixed = joined({cca.PLATFORM: mine[cca.PLATFORM], cca.REALM: theirs[cca.REALM]})
    assert refusal(with_data(attested(PLATFORM), mixed)) == ("W3B-9106", "platform.10")
    mixed = joined({cca.PLATFORM: theirs[cca.PLATFORM], cca.REALM: mine[cca.REALM]})
    assert refusal(with_data(attested(PLATFORM), mixed))[0] == "W3B-9107"
    assert appraised(with_data(attested(PLATFORM), joined(mine))).findings == ()


def test_the_token_says_that_it_is_simulated() -> None:
    found = claims(tokens()[cca.PLATFORM])
    assert found[cca.IMPLEMENTATION_ID].startswith(b"SIMULATED - NOT ARM")
    (key,) = attester(PLATFORM).cca_keys
    assert (key.instance_id, key.implementation_id) == (found[cca.INSTANCE_ID], found[cca.IMPLEMENTATION_ID])


def test_a_simulated_key_cannot_be_pinned_as_a_vendors() -> None:
    with pytest.raises(InvalidInput, match="simulator") as caught:
        VendorAnchors(attester(PLATFORM).cca_keys)
    assert (caught.value.code, caught.value.field) == ("W3B-9115", "cca_keys")


@pytest.mark.parametrize("token", [1, 2])
def test_the_published_tokens_do_not_hold_here(token: int) -> None:
    data = (TOKENS / f"token_0{token}.cbor").read_bytes()
    anchors = installation(0).anchors(PLATFORM)
    result = appraise(Evidence(PLATFORM, data), Endorsements(), anchors, AppraisalPolicy(), at=1)
    assert [each.code for each in result.findings] == ["W3B-9107"]
