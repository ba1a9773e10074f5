"""Certificates with real BLS12-381 keys: a quorum of one round and nothing else holds (IIP-52)."""

from __future__ import annotations

from functools import cache

import pytest
from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
from py_ecc.optimized_bls12_381 import add, neg

from l1.consensus.certificate import (
    ROUND_BYTES,
    CertificateError,
    bitmap_of,
    certify,
    check,
    committee,
    footer,
    from_footer,
    require_signers,
)
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Vote, domain_of
from native import _native

DOMAIN = domain_of(4_690, b"g" * 32)
A, B = b"A" * 32, b"B" * 32


@cache
def secret(number: int) -> _native.BlsSecretKey:
    return _native.BlsSecretKey.key_gen(number.to_bytes(32))


@cache
def members(*powers: int) -> DelegateSet:
    return DelegateSet(
        tuple(
            Delegate(at.to_bytes(20), power, secret(at).public_key().to_bytes()) for at, power in enumerate(powers, 1)
        )
    )


@cache
def vote(index: int, round_: int = 2, topic: Topic = Topic.COMMIT, block_hash: bytes = A, height: int = 5) -> Vote:
    unsigned = Vote(height, round_, topic, block_hash, index)
    return unsigned._replace(signature=secret(index + 1).sign(unsigned.digest(DOMAIN)))


FIVE = members(3, 2, 2, 2, 1)
GOOD = certify([vote(0), vote(1), vote(2)], FIVE)


def reason_of(certificate: Certificate, of: DelegateSet = FIVE, domain: bytes = DOMAIN) -> str:
    with pytest.raises(CertificateError) as refused:
        check(certificate, of, domain)
    assert refused.value.args[0] == refused.value.reason
    return refused.value.reason


def test_a_quorum_of_votes_is_a_certificate() -> None:
    assert GOOD.signer_indices() == [0, 1, 2]
    check(GOOD, FIVE, DOMAIN)
    everybody = certify([vote(index) for index in range(5)], FIVE)
    check(everybody, FIVE, DOMAIN)
    assert certify([vote(2), vote(0), vote(1), vote(0)], FIVE) == GOOD, "order and repetition do not matter"


@pytest.mark.parametrize(
    "votes",
    [
        [],
        [vote(0), vote(1), vote(2, round_=3)],
        [vote(0), vote(1), vote(2, topic=Topic.LOCK)],
        [vote(0), vote(1), vote(2, block_hash=B)],
        [vote(0), vote(1), vote(2, height=6)],
    ],
    ids=["none", "rounds", "topics", "blocks", "heights"],
)
def test_votes_that_are_not_alike_are_refused(votes: list[Vote]) -> None:
    with pytest.raises(CertificateError) as refused:
        certify(votes, FIVE)
    assert refused.value.reason == "votes"


def test_too_little_power_is_refused() -> None:
    with pytest.raises(CertificateError) as refused:
        certify([vote(1), vote(2), vote(3)], FIVE)
    assert refused.value.reason == "power"
    weak = members(1, 1, 1)
    two_thirds = Certificate(*GOOD[:4], b"\x03", _native.bls_aggregate([vote(0).signature, vote(1).signature]))
    assert reason_of(two_thirds, weak) == "power", "exactly two thirds"


def test_a_delegate_beyond_the_set_is_refused() -> None:
    with pytest.raises(CertificateError) as refused:
        certify([vote(0), vote(1), vote(5)], FIVE)
    assert refused.value.reason == "bitmap"
    for index in (-1, 5):
        with pytest.raises(CertificateError):
            bitmap_of([index], 5)


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        (b"\x0f", "signature"),
        (b"\x0b", "signature"),
        (b"\x27", "bitmap"),
        (b"\x87", "bitmap"),
        (b"\x07\x00", "bitmap"),
        (b"", "bitmap"),
        (b"\x00", "power"),
        (b"\x03", "power"),
    ],
    ids=["one-more", "another", "beyond", "last-bit", "too-long", "empty", "nobody", "too-few"],
)
def test_a_wrong_bitmap_is_refused(signers: bytes, reason: str) -> None:
    assert reason_of(GOOD._replace(signers=signers)) == reason


@pytest.mark.parametrize(
    "changed",
    [
        GOOD._replace(height=6),
        GOOD._replace(round=3),
        GOOD._replace(topic=Topic.LOCK),
        GOOD._replace(block_hash=B),
        GOOD._replace(signature=vote(0).signature),
        GOOD._replace(signature=_native.bls_aggregate([vote(0).signature, vote(1).signature, vote(3).signature])),
        GOOD._replace(
            signature=_native.bls_aggregate([vote(0).signature, vote(1).signature, vote(2, round_=3).signature])
        ),
        GOOD._replace(signature=_native.bls_aggregate([vote(index).signature for index in (0, 1, 2, 2)])),
    ],
    ids=["height", "round", "topic", "block", "one-share", "other-signer", "mixed-rounds", "a-share-twice"],
)
def test_a_signature_on_something_else_is_refused(changed: Certificate) -> None:
    assert reason_of(changed) == "signature"


def test_another_chain_and_another_set_refuse_it() -> None:
    assert reason_of(GOOD, domain=domain_of(4_691, b"g" * 32)) == "signature"
    turned = DelegateSet((*FIVE.members[1:], FIVE.members[0]))
    assert reason_of(GOOD, turned) == "power", "the bits name others there"
    stronger = DelegateSet(
        tuple(each._replace(key=secret(9 + at).public_key().to_bytes()) for at, each in enumerate(FIVE.members))
    )
    assert reason_of(GOOD, stronger) == "signature"


INFINITY = b"\xc0" + bytes(95)


@cache
def outside_subgroup() -> bytes:
    """The first point of G2's curve by its abscissa that is not in the subgroup."""
    for abscissa in range(1, 100):
        encoded = (abscissa | 1 << 767).to_bytes(96)
        try:
            _native.bls_verify(secret(1).public_key(), b"", encoded)
        except _native.BlsError as error:
            if error.args[0] == "subgroup":
                return encoded
    raise AssertionError("no point found")


@pytest.mark.parametrize(
    "signature",
    [INFINITY, outside_subgroup(), bytes(96), b"\xff" * 96, GOOD.signature[:-1], GOOD.signature + b"\0", b""],
    ids=["infinity", "subgroup", "zeros", "ones", "short", "long", "none"],
)
def test_bytes_that_are_no_signature_are_refused(signature: bytes) -> None:
    assert reason_of(GOOD._replace(signature=signature)) == "signature"


def test_a_rogue_key_signs_for_everybody_and_so_is_refused_without_its_proof() -> None:
    """The attacker's key is its own minus the sum of the others'. The sum of all is then its own, so it signs for all;
    but nobody has the secret of that key, and so nobody can prove to have it."""
    others = [secret(1).public_key().to_bytes(), secret(2).public_key().to_bytes()]
    attacker = secret(7)
    sum_of_others = _native.bls_aggregate_public_keys(others).to_bytes()
    rogue = G1_to_pubkey(add(pubkey_to_G1(attacker.public_key().to_bytes()), neg(pubkey_to_G1(sum_of_others))))
    proofs = [secret(1).prove_possession(), secret(2).prove_possession()]
    forged = DelegateSet(tuple(Delegate(bytes([at]) * 20, 1, key) for at, key in enumerate([*others, rogue], 1)))
    shown = Certificate(5, 2, Topic.COMMIT, A, b"\x07", b"")
    check(shown._replace(signature=attacker.sign(shown.digest(DOMAIN))), forged, DOMAIN)
    for proof in (
        attacker.prove_possession(),
        proofs[0],
        _native.bls_aggregate([*proofs, attacker.prove_possession()]),
    ):
        with pytest.raises(_native.BlsError) as refused:
            _native.BlsCommittee([*others, rogue], [*proofs, proof])
        assert refused.value.args[0] == "unproven"


@pytest.mark.parametrize("key", [b"\xc0" + bytes(47), bytes(48), b"\xff" * 48], ids=["infinity", "zeros", "ones"])
def test_a_set_with_bytes_that_are_no_key_verifies_nothing(key: bytes) -> None:
    bad = DelegateSet((FIVE.members[0]._replace(key=key), *FIVE.members[1:]))
    assert reason_of(GOOD, bad) == "signature"
    with pytest.raises(_native.BlsError):
        committee(bad)


def test_the_signers_are_checked_without_the_signature_too() -> None:
    require_signers(GOOD._replace(signature=b""), FIVE)
    with pytest.raises(CertificateError):
        require_signers(GOOD._replace(signers=b"\x01"), FIVE)


@pytest.mark.parametrize("count", [1, 8, 9, 24, 48, 96, 144])
def test_a_footer_is_a_hundred_bytes_and_the_bitmap(count: int) -> None:
    signers = range(2 * count // 3 + 1) if count > 1 else [0]
    shown = Certificate(5, 2, Topic.COMMIT, A, bitmap_of(signers, count), b"s" * 96)
    raw = footer(shown)
    assert len(raw) == 100 + (count + 7) // 8
    assert from_footer(raw, 5, A) == shown
    assert ROUND_BYTES + 96 == 100


def test_the_footer_of_24_delegates_is_a_twentieth_of_single_signatures() -> None:
    shown = Certificate(5, 2, Topic.COMMIT, A, bitmap_of(range(17), 24), b"s" * 96)
    assert len(footer(shown)) == 103


@pytest.mark.parametrize("length", [0, 4, 99, 100, 229])
def test_a_footer_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CertificateError) as refused:
        from_footer(bytes(length), 5, A)
    assert refused.value.reason == "bitmap"
