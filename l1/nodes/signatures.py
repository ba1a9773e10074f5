"""Signatures of one process: each distinct vote is checked once, and those that say the same in one check.

The check of many takes random coefficients: the plain sum of the votes would also hold when two wrong ones cancel, and
then a certificate of only some of them would not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from l1.consensus.certificate import certify, committee
from l1.consensus.delegates import DelegateSet
from l1.consensus.messages import Certificate, Proposal, Vote
from native import _native

REMEMBERED = 4_096
"""Checked votes that are remembered: some heights of 144 delegates."""
CERTIFICATES = 256


class Signatures:
    """What this process has checked and summed up. One thread at a time."""

    def __init__(self, domain: bytes) -> None:
        """`domain` is `messages.domain_of` the chain."""
        self._domain = domain
        self._checked: OrderedDict[Vote, bool] = OrderedDict()
        self._certificates: OrderedDict[tuple[int, int, int, bytes, DelegateSet], Certificate] = OrderedDict()
        self.verified = 0
        """Checks by pairing so far; far fewer than votes."""

    def check(self, votes: Sequence[Vote], delegates: DelegateSet) -> list[bool]:
        """Which of the votes are signed by the delegates that they name. Delegates beyond the set have no key."""
        fresh: dict[tuple[int, int, int, bytes], list[Vote]] = {}
        for vote in dict.fromkeys(votes):
            if vote not in self._checked:
                fresh.setdefault(vote[:4], []).append(vote)
        for alike in fresh.values():
            self._check_alike(alike, delegates)
        held = [self._checked.get(vote, False) for vote in votes]
        while len(self._checked) > REMEMBERED:
            self._checked.popitem(last=False)
        return held

    def made(self, vote: Vote) -> None:
        """Remember a vote that this process has signed itself."""
        self._checked[vote] = True

    def check_proposal(self, proposal: Proposal, delegates: DelegateSet) -> bool:
        """Whether the delegate that the proposal names signed it."""
        return self._one(proposal.delegate, proposal.digest(self._domain), proposal.signature, delegates)

    def certify(self, votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
        """`certificate.certify`, once for all delegates of the process that reach the same quorum."""
        alike = list(votes)
        place = (*alike[0][:4], delegates) if alike else None
        if place is None or place not in self._certificates:
            made = certify(alike, delegates)
            self._certificates[(*made[:4], delegates)] = made
            while len(self._certificates) > CERTIFICATES:
                self._certificates.popitem(last=False)
            return made
        return self._certificates[place]

    def _check_alike(self, votes: list[Vote], delegates: DelegateSet) -> None:
        digest = votes[0].digest(self._domain)
        keys = committee(delegates).public_keys
        known = [vote for vote in votes if 0 <= vote.delegate < len(keys)]
        self.verified += 1
        try:
            wrong = _native.bls_batch_invalid([(keys[vote.delegate], digest, vote.signature) for vote in known])
            held = {vote: index not in wrong for index, vote in enumerate(known)}
        except _native.BlsError:
            held = {vote: self._one(vote.delegate, digest, vote.signature, delegates) for vote in known}
        self._checked.update(dict.fromkeys(votes, False) | held)

    def _one(self, delegate: int, digest: bytes, signature: bytes, delegates: DelegateSet) -> bool:
        if not 0 <= delegate < len(delegates):
            return False
        self.verified += 1
        try:
            return committee(delegates).public_keys[delegate].verify(digest, signature)
        except _native.BlsError:
            return False
