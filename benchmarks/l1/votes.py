"""Votes and certificates at 24 to 144 delegates: one aggregate against as many single signatures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from coincurve import PrivateKey, PublicKey

from l1.consensus.certificate import certify, check, committee, footer
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.machine import Topic
from l1.consensus.messages import Vote, domain_of
from l1.nodes.keys import derive
from l1.nodes.signatures import Signatures

SIZES = (24, 48, 96, 144)
ECDSA_ENDORSEMENT = 65 + 65 + 12 + 5
"""Bytes of one endorsement in iotex-core's footer: key, signature, timestamp, protobuf tags and lengths."""
DOMAIN = domain_of(4690, bytes(32))


@dataclass(frozen=True)
class VoteCosts:
    """One delegate set; times in CPU seconds, the least of the repetitions."""

    delegates: int
    sign: float
    """One vote."""
    check_single: float
    """Every vote by itself."""
    check_batch: float
    """Every vote, in one batch of a process that hears them together."""
    certify: float
    """Summing the votes of a quorum."""
    check_aggregate: float
    """The certificate."""
    check_ecdsa: float
    """As many secp256k1 signatures, what a footer holds without IIP-52."""
    footer: int
    """Bytes with IIP-52."""
    footer_ecdsa: int
    """Bytes without."""


def least(run: Callable[[], object], repetitions: int) -> float:
    """CPU seconds of the quickest run."""
    best = float("inf")
    for _ in range(repetitions):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def measure(count: int, repetitions: int) -> VoteCosts:
    """The costs with so many delegates, all of whom vote."""
    keys = derive(b"benchmark of votes, not a secret", count)
    delegates = DelegateSet(tuple(Delegate(each.address, 1, each.voting.public_key().to_bytes()) for each in keys))
    alike = [Vote(7, 0, Topic.COMMIT, bytes(range(32)), index) for index in range(count)]
    digest = alike[0].digest(DOMAIN)
    votes = [vote._replace(signature=key.voting.sign(digest)) for vote, key in zip(alike, keys, strict=True)]
    public = committee(delegates).public_keys
    certificate = certify(votes, delegates)
    ecdsa = [(PrivateKey(each.operator).sign(digest, None), PrivateKey(each.operator).public_key) for each in keys]

    def single() -> None:
        for vote in votes:
            assert public[vote.delegate].verify(digest, vote.signature)

    def secp256k1() -> None:
        for signature, key in ecdsa:
            assert PublicKey(key.format()).verify(signature, digest, None)

    return VoteCosts(
        count,
        least(lambda: keys[0].voting.sign(digest), repetitions),
        least(single, max(1, repetitions // 4)),
        least(lambda: all(Signatures(DOMAIN).check(votes, delegates)), repetitions),
        least(lambda: certify(votes, delegates), repetitions),
        least(lambda: check(certificate, delegates, DOMAIN), repetitions),
        least(secp256k1, repetitions),
        len(footer(certificate)),
        (2 * count // 3 + 1) * ECDSA_ENDORSEMENT,
    )
