"""Quorum certificates (IIP-52): made of one round's verified votes, and checked against the epoch's delegate set."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from l1.consensus.delegates import DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import MAX_BITMAP_BYTES, SIGNATURE_BYTES, Certificate, Vote
from native import _native

ROUND_BYTES = 4


class CertificateError(ValueError):
    """A certificate that shows nothing. `args` is (reason, text): `votes` (not alike), `bitmap` (length, or a bit
    beyond the set), `power` (not more than two thirds), `signature`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason


def certify(votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
    """The certificate of verified votes that are alike in height, round, topic and block.

    Raises CertificateError `votes` when there are none or they differ (one round only: another round is another
    digest, and the sum would verify under none), `power` when they are no quorum.
    """
    held = {vote.delegate: vote for vote in votes}
    if len({vote[:4] for vote in held.values()}) != 1:
        raise CertificateError("votes", "a certificate is made of votes of one height, round, topic and block")
    signers = bitmap_of(held, len(delegates))
    require_quorum(held, delegates)
    first = next(iter(held.values()))
    sum_ = _native.bls_aggregate([vote.signature for vote in held.values()])
    return Certificate(*first[:4], signers, sum_)


def check(certificate: Certificate, delegates: DelegateSet, domain: bytes) -> None:
    """Check that more than two thirds of the set's power signed.

    Raises CertificateError. The keys' possession was proven when they were registered.
    """
    require_signers(certificate, delegates)
    try:
        holds = committee(delegates).verify(certificate.signers, certificate.digest(domain), certificate.signature)
    except _native.BlsError as error:
        raise CertificateError("signature", str(error.args[1])) from error
    if not holds:
        raise CertificateError("signature", "the signature is not the signers' on this vote")


def require_signers(certificate: Certificate, delegates: DelegateSet) -> None:
    """Check the bitmap and the power that it stands for, not the signature. Raises CertificateError."""
    signers = certificate.signer_indices()
    if len(certificate.signers) != (len(delegates) + 7) // 8 or (signers and signers[-1] >= len(delegates)):
        raise CertificateError("bitmap", f"the bitmap is not one of {len(delegates)} delegates")
    require_quorum(signers, delegates)


def require_quorum(signers: Iterable[int], delegates: DelegateSet) -> None:
    """Check that these distinct members are more than two thirds. Raises CertificateError `power`."""
    power = delegates.power_of(signers)
    if power < delegates.quorum:
        raise CertificateError(
            "power", f"power {power} of {delegates.total} signed; more than two thirds is {delegates.quorum}"
        )


def footer(certificate: Certificate) -> bytes:
    """What a block keeps of the certificate that decided it: the round (4 bytes), the signature (96), the bitmap.

    The block itself says the height and the hash, and the topic is COMMIT.
    """
    return certificate.round.to_bytes(ROUND_BYTES) + certificate.signature + certificate.signers


def from_footer(raw: bytes, height: int, block_hash: bytes) -> Certificate:
    """The certificate of a block's footer. Raises CertificateError `bitmap` for bytes of another length."""
    head = ROUND_BYTES + SIGNATURE_BYTES
    if not head < len(raw) <= head + MAX_BITMAP_BYTES:
        raise CertificateError("bitmap", f"a footer of {len(raw)} bytes; {head} and a bitmap")
    round_ = int.from_bytes(raw[:ROUND_BYTES])
    return Certificate(height, round_, Topic.COMMIT, block_hash, raw[head:], raw[ROUND_BYTES:head])


def bitmap_of(signers: Iterable[int], count: int) -> bytes:
    """The bitmap of members, ceil(count / 8) bytes. Raises CertificateError `bitmap` for one beyond the set."""
    bits = 0
    for index in signers:
        if not 0 <= index < count:
            raise CertificateError("bitmap", f"delegate {index} of {count}")
        bits |= 1 << index
    return bits.to_bytes((count + 7) // 8, "little")


@lru_cache(maxsize=8)
def committee(delegates: DelegateSet) -> _native.BlsCommittee:
    """The set's keys, checked and decompressed once. Raises native's BlsError for bytes that are no key."""
    return _native.BlsCommittee.of_proven([delegate.key for delegate in delegates.members])
