"""Simulated Nitro: every signed byte counts, a document expires with its enclave's certificate, debug is all zeros."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_installations import (
    KEY,
    MEASURED,
    NOW,
    appraised,
    attested,
    attester,
    caller_of,
    flipped,
    home,
    refusal,
    with_data,
)

from provers.tee.simulation import nitro
from provers.tee.simulation.attester import Attested
from provers.tee.simulation.cbor import encode
from provers.tee.simulation.cose import sign1
from provers.tee.simulation.nitro import BACKDATED, ENCLAVE_LIFE, NitroAttester, open_attester
from provers.tee.simulation.store import Store
from tests.attestation.attestation_vectors import read
from verifier.attestation import cbor
from verifier.attestation.anchors import VendorAnchors
from verifier.attestation.evidence import Endorsements, Evidence, Platform
from verifier.attestation.policy import AppraisalPolicy
from verifier.errors import InvalidInput, W3bstreamError

NITRO = Platform.NITRO


def parts(data: bytes) -> list[Any]:
    """Protected and unprotected header, payload and signature."""
    found = cbor.decode(data, "document")
    assert isinstance(found, list)
    return found


def says(made: Attested) -> dict[str, Any]:
    found = cbor.decode(parts(made.evidence.data)[2], "payload")
    assert isinstance(found, dict)
    return found


def maker() -> NitroAttester:
    found = attester(NITRO)
    assert isinstance(found, NitroAttester)
    return found


def test_flipped_bits_of_a_document_are_refused() -> None:
    """Header, payload with all of its certificates, and signature."""
    made = attested(NITRO)
    data = made.evidence.data
    for at in [*range(100), *range(100, len(data) - 100, 11), *range(len(data) - 100, len(data))]:
        code, _ = refusal(with_data(made, flipped(data, at)))
        assert code in ("W3B-9101", "W3B-9102", "W3B-9105", "W3B-9106", "W3B-9107"), at


def test_every_truncation_is_refused() -> None:
    made = attested(NITRO)
    data = made.evidence.data
    for length in [*range(1, len(data), 97), len(data) - 1]:
        assert refusal(with_data(made, data[:length]))[0] in ("W3B-9101", "W3B-9102")
    assert refusal(with_data(made, data + b"\0"))[0] == "W3B-9101"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW - BACKDATED - 1, "W3B-9105"),
        (NOW + ENCLAVE_LIFE + 1, "W3B-9105"),
        (NOW + 3601, "W3B-9113"),
    ],
)
def test_a_document_of_another_time_is_refused(at: int, code: str) -> None:
    assert refusal(attested(NITRO), at=at)[0] == code


def test_a_document_lives_as_long_as_its_certificates() -> None:
    made = attested(NITRO)
    longer = AppraisalPolicy(maximum_age_seconds=ENCLAVE_LIFE)
    assert appraised(made, at=NOW + ENCLAVE_LIFE, policy=longer).findings == ()
    assert appraised(made).valid_until == NOW + ENCLAVE_LIFE
    assert appraised(made).claims["issued_at"] == NOW


def test_debug_has_zeros_in_every_register() -> None:
    assert set(says(attested(NITRO, debug=True))["pcrs"].values()) == {bytes(48)}
    registers = says(attested(NITRO))["pcrs"]
    assert registers[0] == MEASURED.digest(48)
    assert registers[1] == hashlib.sha384(bytes(48) + MEASURED.runtime).digest()
    assert registers[2] == hashlib.sha384(bytes(48) + MEASURED.program).digest()
    assert sorted(registers) == list(range(16))


def test_the_hypervisors_layout() -> None:
    """The same keys in the same order, and the same registers, as a genuine document."""
    genuine = cbor.decode(parts(base64.b64decode(read("nitro/enclave_2024.b64")))[2], "payload")
    ours = says(attested(NITRO))
    assert list(ours) == list(genuine)
    assert set(ours["pcrs"]) <= set(genuine["pcrs"])
    assert len(ours["cabundle"]) == len(genuine["cabundle"])
    assert attested(NITRO).evidence.data[:6] == base64.b64decode(read("nitro/enclave_2024.b64"))[:6]
    for der in (*ours["cabundle"], ours["certificate"]):
        name = x509.load_der_x509_certificate(der).subject
        (organisation,) = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        assert organisation.value == "SIMULATED - NOT AWS - NO TRUST"


def signed(changes: dict[str, Any]) -> Attested:
    """A document whose payload is changed before the enclave's own key signs it."""
    made = attested(NITRO)
    return with_data(made, nitro.signed(maker().keys["enclave"], says(made) | changes))


def test_certificates_of_another_enclave_are_refused() -> None:
    theirs = says(attested(NITRO, number=1))
    ours = says(attested(NITRO))["cabundle"]
    assert refusal(signed({"certificate": theirs["certificate"]}))[0] == "W3B-9107"
    assert refusal(signed({"cabundle": theirs["cabundle"]}))[0] == "W3B-9107"
    assert refusal(signed({"cabundle": [ours[0], *theirs["cabundle"][1:]]}))[0] in ("W3B-9106", "W3B-9107")
    assert refusal(signed({"cabundle": ours[:-1]}))[0] in ("W3B-9106", "W3B-9107")
    assert refusal(signed({"cabundle": ours[1:]}))[0] == "W3B-9107"
    assert appraised(signed({})).findings == ()


def test_an_authoritys_own_key_signs_no_document() -> None:
    """The instance's certificate as the leaf: an authority is no enclave."""
    made = says(attested(NITRO))
    leaf, bundle = made["cabundle"][-1], made["cabundle"][:-1]
    document = nitro.signed(maker().keys["instance"], made | {"certificate": leaf, "cabundle": bundle})
    assert refusal(with_data(attested(NITRO), document))[0] == "W3B-9107"


def test_another_key_signs_nothing() -> None:
    payload = parts(attested(NITRO).evidence.data)[2]
    for name in ("root", "region", "instance"):
        forged = encode(sign1(maker().keys[name], payload))
        assert refusal(with_data(attested(NITRO), forged)) == ("W3B-9106", "document.signature")


@settings(max_examples=25)
@given(user_data=st.none() | st.binary(max_size=512), key=st.none() | st.binary(min_size=1, max_size=1024))
def test_what_the_caller_gives_is_what_the_document_carries(user_data: bytes | None, key: bytes | None) -> None:
    caller = {"user_data": user_data, "nonce": KEY.nonce, "public_key": key}
    made = maker().attest(MEASURED, caller, now=NOW)
    assert appraised(made, caller_data=caller).findings == ()
    assert {name: says(made)[name] for name in caller} == caller


@pytest.mark.parametrize(
    ("name", "value"),
    [("user_data", bytes(513)), ("nonce", bytes(513)), ("public_key", bytes(1025)), ("public_key", b"")],
)
def test_caller_data_of_another_length_is_named(name: str, value: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        maker().attest(MEASURED, {**caller_of(NITRO), name: value}, now=NOW)
    assert (caught.value.code, caught.value.field) == ("W3B-9101", f"caller.{name}")


def test_a_genuine_document_is_refused_under_the_simulated_root() -> None:
    genuine = Attested(Evidence(NITRO, base64.b64decode(read("nitro/enclave_2024.b64"))), Endorsements())
    at = 1_734_708_000  # 2024-12-20T15:20:00Z
    assert appraised(genuine, at=at, anchors=VendorAnchors()).is_affirming_under_vendor
    assert refusal(genuine, at=at) == ("W3B-9107", "certificates")


@pytest.mark.parametrize("name", ["root.key", "enclave.key", "root.pem"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    maker(), attester(NITRO, 1)
    folder = tmp_path / "aws"
    shutil.copytree(home(0) / "tee/simulated/aws", folder)
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(W3bstreamError) as caught:
        open_attester(Store(folder))
    assert (caught.value.code, caught.value.field) == ("W3B-9117", f"aws/{name}")
    if name.startswith("root"):
        shutil.copy(home(1) / "tee/simulated/aws" / name, folder / name)
        with pytest.raises(W3bstreamError) as caught:
            open_attester(Store(folder))
        assert (caught.value.code, caught.value.field) == ("W3B-9117", "aws/root.pem")
