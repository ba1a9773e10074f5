"""Sealing: the suite is RFC 9180's, and nothing opens but what was sealed, for the same key and purpose."""

from __future__ import annotations

import pickle

import pytest
from broker_requests import DOMAIN, Enclave
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from verifier.attestation.sealing import MAX_SEALED, OVERHEAD, SealingKey, reading_info, seal
from verifier.errors import InvalidInput, Refused

KEM, SUITE = b"KEM" + bytes([0, 0x20]), b"HPKE" + bytes([0, 0x20, 0, 1, 0, 2])


def extract(salt: bytes, suite: bytes, label: bytes, material: bytes) -> bytes:
    """RFC 9180 §4, LabeledExtract."""
    made = HMAC(salt or bytes(32), SHA256())
    made.update(b"HPKE-v1" + suite + label + material)
    return made.finalize()


def expand(secret: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """RFC 9180 §4, LabeledExpand."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, labelled).derive(secret)


def rfc_9180_open(sealed: bytes, private: X25519PrivateKey, info: bytes) -> bytes:
    """RFC 9180 §4.1 Decap, §5.1 KeySchedule in base mode, and Open with sequence number 0."""
    enc, ciphertext = sealed[:32], sealed[32:]
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    prk = extract(b"", KEM, b"eae_prk", shared)
    secret = expand(prk, KEM, b"shared_secret", enc + private.public_key().public_bytes_raw(), 32)
    context = b"\0" + extract(b"", SUITE, b"psk_id_hash", b"") + extract(b"", SUITE, b"info_hash", info)
    scheduled = extract(secret, SUITE, b"secret", b"")
    key, nonce = (expand(scheduled, SUITE, label, context, size) for label, size in ((b"key", 32), (b"base_nonce", 12)))
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


@given(st.binary(max_size=300), st.binary(max_size=80))
def test_what_is_sealed_opens_by_the_text_of_rfc_9180(plaintext: bytes, info: bytes) -> None:
    private = X25519PrivateKey.generate()
    sealed = seal(plaintext, private.public_key().public_bytes_raw(), info)
    assert len(sealed) == len(plaintext) + OVERHEAD
    assert rfc_9180_open(sealed, private, info) == plaintext
    assert SealingKey(private).open(sealed, info) == plaintext


def test_another_key_purpose_or_byte_opens_nothing() -> None:
    key = SealingKey()
    sealed = seal(b"the secret", key.public, b"purpose")
    with pytest.raises(Refused, match="W3B-9121"):
        SealingKey().open(sealed, b"purpose")
    with pytest.raises(Refused, match="W3B-9121"):
        key.open(sealed, b"another purpose")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(Refused, match="W3B-9121"):
            key.open(bytes(changed), b"purpose")
    for length in (0, 1, 31, 32, OVERHEAD - 1, len(sealed) - 1):
        with pytest.raises(Refused, match="W3B-9121"):
            key.open(sealed[:length], b"purpose")
    with pytest.raises(Refused, match="W3B-9121"):
        key.open(bytes(MAX_SEALED + 1), b"purpose")
    with pytest.raises(Refused, match="W3B-9121"):
        key.open(bytes(32) + sealed[32:], b"purpose")


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32)])
def test_a_sealing_key_that_cannot_be_used_is_refused(public: bytes) -> None:
    with pytest.raises(InvalidInput, match="W3B-9120"):
        seal(b"x", public, b"")


def test_too_much_is_not_sealed() -> None:
    key = SealingKey()
    assert len(key.open(seal(bytes(MAX_SEALED - OVERHEAD), key.public, b""), b"")) == MAX_SEALED - OVERHEAD
    with pytest.raises(InvalidInput, match="W3B-9120"):
        seal(bytes(MAX_SEALED - OVERHEAD + 1), key.public, b"")


def test_a_private_key_shows_itself_to_nobody() -> None:
    secret = bytes(range(1, 33))
    key = SealingKey.from_secret(secret)
    assert secret.hex() not in repr(key) + str(vars(key))
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(InvalidInput, match="W3B-9120"):
        SealingKey.from_secret(secret[:31])


def test_a_readings_payload_is_bound_to_project_device_and_sequence() -> None:
    key, device = SealingKey(), bytes([1] * 20)
    sealed = seal(b"21.5", key.public, reading_info(1, device, 7))
    assert key.open(sealed, reading_info(1, device, 7)) == b"21.5"
    for info in (reading_info(2, device, 7), reading_info(1, bytes([2] * 20), 7), reading_info(1, device, 8)):
        with pytest.raises(Refused, match="W3B-9121"):
            key.open(sealed, info)


def test_an_answer_to_one_request_is_none_to_another() -> None:
    enclave = Enclave()
    request, other = (enclave.request(bytes([number] * 32)) for number in (1, 2))
    sealed = seal(b"secret", request.sealing_key, request.info(DOMAIN))
    assert enclave.sealing.open(sealed, request.info(DOMAIN)) == b"secret"
    with pytest.raises(Refused, match="W3B-9121"):
        enclave.sealing.open(sealed, other.info(DOMAIN))
