"""BLS signatures from Python: published answers, py_ecc as a second implementation, and everything to be refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_typing import BLSPubkey, BLSSignature
from py_ecc.bls.ciphersuites import G2ProofOfPossession as PyEcc

from native._native import (
    BlsCommittee,
    BlsError,
    BlsPublicKey,
    BlsSecretKey,
    bls_aggregate,
    bls_aggregate_public_keys,
    bls_aggregate_verify,
    bls_batch_invalid,
    bls_batch_verify,
    bls_fast_aggregate_verify,
    bls_verify,
    bls_verify_possession,
)

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("ethereum.json").read_text())
INFINITY_KEY = b"\xc0" + bytes(47)
INFINITY_SIGNATURE = b"\xc0" + bytes(95)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def key(seed: int) -> BlsSecretKey:
    return BlsSecretKey.key_gen(bytes([seed]) * 32)


def negated(encoded: bytes) -> bytes:
    """The other point with this x: the sign bit of a compressed encoding."""
    return bytes([encoded[0] ^ 0x20]) + encoded[1:]


def accepted(public: BlsPublicKey, message: bytes, signature: bytes) -> bool:
    try:
        return public.verify(message, signature)
    except BlsError:
        return False


def test_published_answers() -> None:
    for case in VECTORS["sign"]:
        secret, message = BlsSecretKey.from_bytes(unhex(case["input"]["privkey"])), unhex(case["input"]["message"])
        assert secret.sign(message) == unhex(case["output"])
        assert bls_verify(secret.public_key(), message, unhex(case["output"]))
    for case in VECTORS["aggregate"]:
        assert bls_aggregate([unhex(part) for part in case["input"]]) == unhex(case["output"])
    for case in VECTORS["fast_aggregate_verify"]:
        given = case["input"]
        keys = [unhex(encoded) for encoded in given["pubkeys"]]
        assert bls_fast_aggregate_verify(keys, unhex(given["message"]), unhex(given["signature"]))
    for case in VECTORS["aggregate_verify"]:
        given = case["input"]
        keys, messages = [unhex(k) for k in given["pubkeys"]], [unhex(m) for m in given["messages"]]
        assert bls_aggregate_verify(keys, messages, unhex(given["signature"]))
        assert not bls_aggregate_verify(keys, messages[::-1], unhex(given["signature"]))
    for case in VECTORS["key_generation"]:
        assert BlsSecretKey.key_gen(unhex(case["seed"])).to_bytes() == unhex(case["secret_key"])
    for case in VECTORS["possession"]:
        secret = BlsSecretKey.from_bytes(unhex(case["privkey"]))
        assert secret.public_key().to_bytes() == unhex(case["pubkey"])
        assert secret.prove_possession() == unhex(case["proof"])


def test_py_ecc_agrees() -> None:
    secret = BlsSecretKey.generate()
    number, message = int.from_bytes(secret.to_bytes(), "big"), b"a message of no particular length"
    public, signature = secret.public_key().to_bytes(), secret.sign(message)
    assert PyEcc.SkToPk(number) == public
    assert PyEcc.Sign(number, message) == signature
    assert PyEcc.PopVerify(BLSPubkey(public), BLSSignature(secret.prove_possession()))
    other = PyEcc.SkToPk(5)
    both = PyEcc.Aggregate([BLSSignature(signature), PyEcc.Sign(5, message)])
    assert bls_fast_aggregate_verify([public, other], message, both)
    assert bls_verify_possession(other, PyEcc.PopProve(5))
    assert BlsSecretKey.key_gen(b"m" * 40, b"info").to_bytes() == PyEcc.KeyGen(b"m" * 40, b"info").to_bytes(32, "big")


@pytest.mark.parametrize(
    ("encoded", "kind"),
    [
        (b"", "length"),
        (key(1).public_key().to_bytes()[:-1], "length"),
        (key(1).public_key().to_bytes() + b"\0", "length"),
        (bytes(48), "encoding"),
        (b"\xe0" + bytes(47), "encoding"),
        (b"\xc0" + bytes(46) + b"\x01", "encoding"),
        (b"\x9f" + b"\xff" * 47, "encoding"),
        (INFINITY_KEY, "infinity"),
        (b"\x80" + bytes(46) + b"\x01", "curve"),
        (b"\x80" + bytes(47), "subgroup"),
    ],
)
def test_bytes_that_are_no_key(encoded: bytes, kind: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: BlsPublicKey.from_bytes(encoded),
        lambda: bls_verify(encoded, b"m", key(1).sign(b"m")),
        lambda: bls_verify_possession(encoded, key(1).prove_possession()),
        lambda: bls_fast_aggregate_verify([key(1).public_key(), encoded], b"m", key(1).sign(b"m")),
        lambda: bls_aggregate_verify([encoded], [b"m"], key(1).sign(b"m")),
        lambda: bls_aggregate_public_keys([encoded]),
        lambda: bls_batch_verify([(encoded, b"m", key(1).sign(b"m"))]),
        lambda: BlsCommittee([encoded], [key(1).prove_possession()]),
        lambda: BlsCommittee.of_proven([encoded]),
    ]
    for call in calls:
        with pytest.raises(BlsError) as refused:
            call()
        assert refused.value.args[0] == kind
        assert "public key" in refused.value.args[1]
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    ("encoded", "kind"),
    [
        (b"", "length"),
        (key(1).sign(b"m")[:-1], "length"),
        (key(1).sign(b"m") + b"\0", "length"),
        (bytes(96), "encoding"),
        (b"\xe0" + bytes(95), "encoding"),
        (b"\x9f" + b"\xff" * 95, "encoding"),
        (b"\x80" + bytes(94) + b"\x01", "curve"),
        (b"\x80" + bytes(94) + b"\x02", "subgroup"),
    ],
)
def test_bytes_that_are_no_signature(encoded: bytes, kind: str) -> None:
    public, proof = key(1).public_key(), key(1).prove_possession()
    committee = BlsCommittee([public], [proof])
    calls: list[Callable[[], object]] = [
        lambda: public.verify(b"m", encoded),
        lambda: public.verify_possession(encoded),
        lambda: bls_aggregate([key(1).sign(b"m"), encoded]),
        lambda: bls_fast_aggregate_verify([public], b"m", encoded),
        lambda: bls_aggregate_verify([public], [b"m"], encoded),
        lambda: bls_batch_verify([(public, b"m", encoded)]),
        lambda: BlsCommittee([public], [encoded]),
        lambda: committee.verify(b"\x01", b"m", encoded),
        lambda: committee.aggregate([(0, encoded)]),
    ]
    for call in calls:
        with pytest.raises(BlsError) as refused:
            call()
        assert refused.value.args[0] == kind
        assert "signature" in refused.value.args[1]


def test_infinity_signs_nothing_and_nobody_signs_nothing() -> None:
    public = key(1).public_key()
    assert not public.verify(b"m", INFINITY_SIGNATURE)
    assert not bls_fast_aggregate_verify([public, key(2).public_key()], b"m", INFINITY_SIGNATURE)
    assert not bls_batch_verify([(public, b"m", INFINITY_SIGNATURE)])
    for call in (
        lambda: bls_fast_aggregate_verify([], b"m", INFINITY_SIGNATURE),
        lambda: bls_aggregate_verify([], [], INFINITY_SIGNATURE),
        lambda: bls_aggregate([]),
        lambda: bls_aggregate_public_keys([]),
        lambda: bls_batch_verify([]),
        lambda: BlsCommittee([], []),
    ):
        with pytest.raises(BlsError) as refused:
            call()
        assert refused.value.args[0] == "empty"


def test_forged_swapped_replayed_and_flipped() -> None:
    public, signature = key(1).public_key(), key(1).sign(b"m")
    assert public.verify(b"m", signature)
    assert not public.verify(b"n", signature)
    assert not key(2).public_key().verify(b"m", signature)
    assert not public.verify(b"m", negated(signature))
    assert not public.verify(public.to_bytes(), key(1).prove_possession())
    assert not public.verify_possession(key(1).sign(public.to_bytes()))
    for bit in range(0, 768, 37):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not accepted(public, b"m", bytes(flipped))


def test_a_rogue_key_forges_until_possession_is_asked_for() -> None:
    """Eve's published key is hers less Alice's, so that the sum of both is a key of which Eve has the secret."""
    alice, eve = key(1).public_key(), key(2)
    rogue = bls_aggregate_public_keys([eve.public_key(), negated(alice.to_bytes())])
    forged = eve.sign(b"Alice agrees")
    assert bls_fast_aggregate_verify([alice, rogue], b"Alice agrees", forged)
    for attempt in (eve.prove_possession(), eve.sign(rogue.to_bytes()), negated(eve.prove_possession())):
        assert not rogue.verify_possession(attempt)
        with pytest.raises(BlsError) as refused:
            BlsCommittee([alice, rogue], [key(1).prove_possession(), attempt])
        assert refused.value.args == ("unproven", "the proof of possession of key 1 does not hold")


def test_a_batch_refuses_errors_that_cancel_and_names_the_wrong_ones() -> None:
    triples = [(key(i).public_key(), bytes([i]), key(i).sign(bytes([i]))) for i in range(1, 9)]
    assert bls_batch_verify(triples)
    assert bls_batch_invalid(triples) == []
    error = key(9).sign(b"an error")
    wrong = [(k, m, bls_aggregate([s, e])) for (k, m, s), e in zip(triples[:2], (error, negated(error)), strict=True)]
    cancelling = wrong + triples[2:]
    assert not bls_batch_verify(cancelling)
    assert bls_batch_invalid(cancelling) == [0, 1]
    keys, messages, signatures = zip(*cancelling, strict=True)
    assert bls_aggregate_verify(keys, messages, bls_aggregate(signatures)), "without coefficients they do cancel"


def test_a_committee_counts_its_own_members_once() -> None:
    secrets = [key(i) for i in range(1, 25)]
    publics = [secret.public_key() for secret in secrets]
    committee = BlsCommittee(publics, [secret.prove_possession() for secret in secrets])
    assert len(committee) == 24
    assert committee.public_keys == publics
    votes = [(at, secrets[at].sign(b"block 7")) for at in (23, 0, 9)]
    bitmap, signature = committee.aggregate(votes)
    assert bitmap == bytes([0b1, 0b10, 0b1000_0000])
    assert committee.signers(bitmap) == [0, 9, 23]
    assert committee.verify(bitmap, b"block 7", signature)
    assert committee.aggregate_key(bitmap).verify(b"block 7", signature)
    assert not committee.verify(bitmap, b"block 8", signature)
    assert not committee.verify(bytes([0b11, 0b10, 0b1000_0000]), b"block 7", signature)
    assert not committee.verify(bytes([0b0, 0b10, 0b1000_0000]), b"block 7", signature)
    with pytest.raises(BlsError) as refused:
        committee.aggregate([*votes, votes[0]])
    assert refused.value.args == ("duplicate", "signer 23 is there twice")
    for votes_of_nobody, kind in (([], "empty"), ([(24, votes[0][1])], "no-member")):
        with pytest.raises(BlsError) as refused:
            committee.aggregate(votes_of_nobody)
        assert refused.value.args[0] == kind
    for hostile, kind in ((bytes(3), "empty"), (b"\x01", "length"), (bytes(4), "length")):
        with pytest.raises(BlsError) as refused:
            committee.verify(hostile, b"block 7", signature)
        assert refused.value.args[0] == kind
    odd = BlsCommittee.of_proven(publics[:5])
    with pytest.raises(BlsError) as refused:
        odd.verify(b"\x21", b"block 7", signature)
    assert refused.value.args == ("no-member", "signer 5 is no member of a committee of 5")
    with pytest.raises(BlsError) as refused:
        BlsCommittee.of_proven([publics[0], publics[1], publics[0].to_bytes()])
    assert refused.value.args == ("duplicate", "public key 2 is there twice")
    with pytest.raises(BlsError) as refused:
        BlsCommittee(publics, [secrets[0].prove_possession()])
    assert refused.value.args[0] == "count"


def test_a_secret_key_stays_where_it_is() -> None:
    secret = key(1)
    digits = secret.to_bytes().hex()
    assert digits not in repr(secret)
    assert digits not in str(secret)
    assert secret.public_key().to_bytes().hex() in repr(secret)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(secret, protocol)
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(secret)
    with pytest.raises(AttributeError):
        secret.inner = b""  # type: ignore[attr-defined]
    for encoded, kind in ((bytes(32), "scalar"), (b"\xff" * 32, "scalar"), (bytes(31), "length")):
        with pytest.raises(BlsError) as refused:
            BlsSecretKey.from_bytes(encoded)
        assert refused.value.args[0] == kind
    with pytest.raises(BlsError) as refused:
        BlsSecretKey.key_gen(bytes(31))
    assert refused.value.args == ("key-material", "key material: 31 bytes, at least 32 are needed")


def test_public_keys_are_values() -> None:
    public = key(1).public_key()
    again = BlsPublicKey.from_bytes(public.to_bytes())
    assert public == again
    assert len({public, again, key(2).public_key()}) == 2
    assert pickle.loads(pickle.dumps(public)) == public
    assert public != key(2).public_key()


def test_threads_verify_at_the_same_time() -> None:
    public, signature = key(1).public_key(), key(1).sign(b"m")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: public.verify(b"m", signature), range(32)))
        assert not any(pool.map(lambda _: public.verify(b"n", signature), range(32)))
