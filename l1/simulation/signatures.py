"""Two ways to sign in the simulation: by an incorruptible list of who said what, and by BLS12-381."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from eth_hash.auto import keccak

from l1.consensus.certificate import CertificateError, bitmap_of, check
from l1.consensus.delegates import ADDRESS_BYTES, KEY_BYTES, MAX_DELEGATES, Delegate, DelegateSet
from l1.consensus.messages import SIGNATURE_BYTES, Certificate, Message, Proposal, Vote, domain_of
from l1.consensus.parameters import QuorumRule
from l1.nodes.signatures import Signatures
from l1.simulation.blocks import GENESIS_HASH
from native import _native

CHAIN_ID = 4_690
OTHER_CHAIN_ID = 4_689
"""A chain that delegates also vote on: what is signed there must count for nothing here."""


_BLANK = bytes(SIGNATURE_BYTES)
_Signed = TypeVar("_Signed", Proposal, Certificate)
SetOf = Callable[[int], DelegateSet]
"""The set that decides a height: a vote names its delegate by the seat in it."""


class Scheme(Protocol):
    """Signs for every delegate, and says what a delegate signed."""

    def sign_vote(self, vote: Vote) -> Vote:
        """The vote, signed by the delegate that it names."""

    def sign_proposal(self, proposal: Proposal) -> Proposal:
        """The proposal, signed by the delegate that it names."""

    def of_other_chain(self, vote: Vote) -> Vote:
        """The vote as its delegate signs it on another chain."""

    def forged(self, vote: Vote, holder: int) -> Vote:
        """The vote, signed by a delegate of the run that has another seat in its set, or none."""

    def sent(self, message: Message) -> None:
        """A message is on its way: what it carries may be checked together with others."""

    def vote_holds(self, vote: Vote) -> bool:
        """Whether the delegate that a vote names signed it."""

    def proposal_holds(self, proposal: Proposal) -> bool:
        """Whether the delegate that a proposal names signed it."""

    def certificate_holds(self, certificate: Certificate) -> bool:
        """Whether all that a certificate names signed its vote."""

    def certify(self, votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
        """The certificate of a quorum's votes."""

    def add_up(self, votes: Sequence[Vote]) -> Certificate:
        """The certificate of votes that are alike, quorum or not: what a byzantine delegate may make."""


class Ledger:
    """Signatures without arithmetic: a list of who signed what, that nobody can forge."""

    def __init__(self, set_of: SetOf) -> None:
        self._set_of = set_of
        self._votes: set[Vote] = set()
        self._objects: dict[int, Vote] = {}
        self._proposals: set[tuple[int, int, int, bytes, int]] = set()
        self._certificates: dict[Certificate, bool] = {}

    def sign_vote(self, vote: Vote) -> Vote:
        """See Scheme."""
        self._votes.add(vote)
        self._objects[id(vote)] = vote
        return vote

    def sign_proposal(self, proposal: Proposal) -> Proposal:
        """See Scheme."""
        self._proposals.add(_signed_part(proposal))
        return proposal

    def of_other_chain(self, vote: Vote) -> Vote:
        """See Scheme."""
        return vote._replace(signature=b"other chain")

    def forged(self, vote: Vote, holder: int) -> Vote:
        """See Scheme."""
        return vote._replace(signature=b"%d" % holder)

    def sent(self, message: Message) -> None:
        """See Scheme."""

    def vote_holds(self, vote: Vote) -> bool:
        """See Scheme."""
        return self._objects.get(id(vote)) is vote or vote in self._votes

    def proposal_holds(self, proposal: Proposal) -> bool:
        """See Scheme."""
        return _signed_part(proposal) in self._proposals

    def certificate_holds(self, certificate: Certificate) -> bool:
        """See Scheme."""
        known = self._certificates.get(certificate)
        if known is not True:
            known = all(Vote(*certificate[:4], each) in self._votes for each in certificate.signer_indices())
            self._certificates[certificate] = known
        return known

    def certify(self, votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
        """See Scheme."""
        return self.add_up(list(votes))

    def add_up(self, votes: Sequence[Vote]) -> Certificate:
        """See Scheme."""
        signers = bitmap_of([each.delegate for each in votes], len(self._set_of(votes[0].height)))
        return Certificate(*votes[0][:4], signers, _BLANK)


class Bls:
    """Real signatures. A vote is checked when it first arrives, together with all that are on their way and alike."""

    def __init__(self, set_of: SetOf) -> None:
        self._set_of = set_of
        self._domain = domain_of(CHAIN_ID, GENESIS_HASH)
        self._other = domain_of(OTHER_CHAIN_ID, GENESIS_HASH)
        self._signatures = Signatures(self._domain)
        self._underway: dict[tuple[int, int, int, bytes], dict[Vote, None]] = {}
        self._votes: dict[Vote, bool] = {}
        self._proposals: dict[Proposal, bool] = {}
        self._certificates: dict[Certificate, bool] = {}
        self.asked = 0
        """How often anybody wanted to know whether a vote holds."""

    @property
    def verified(self) -> int:
        """How many checks by pairing that took."""
        return self._signatures.verified

    def sign_vote(self, vote: Vote) -> Vote:
        """See Scheme."""
        return vote._replace(signature=self._key_of(vote).sign(vote.digest(self._domain)))

    def sign_proposal(self, proposal: Proposal) -> Proposal:
        """See Scheme."""
        return proposal._replace(signature=self._key_of(proposal).sign(proposal.digest(self._domain)))

    def of_other_chain(self, vote: Vote) -> Vote:
        """See Scheme."""
        return vote._replace(signature=self._key_of(vote).sign(vote.digest(self._other)))

    def forged(self, vote: Vote, holder: int) -> Vote:
        """See Scheme."""
        return vote._replace(signature=secret_of(holder).sign(vote.digest(self._domain)))

    def sent(self, message: Message) -> None:
        """See Scheme."""
        if isinstance(message, Vote) and message not in self._votes:
            self._underway.setdefault(message[:4], {})[message] = None

    def vote_holds(self, vote: Vote) -> bool:
        """See Scheme."""
        self.asked += 1
        if vote not in self._votes:
            together = list(self._underway.pop(vote[:4], {}) | {vote: None})
            held = self._signatures.check(together, self._set_of(vote.height))
            self._votes.update(zip(together, held, strict=True))
        return self._votes[vote]

    def proposal_holds(self, proposal: Proposal) -> bool:
        """See Scheme."""
        delegates = self._set_of(proposal.height)
        return _once(self._proposals, proposal, lambda: self._signatures.check_proposal(proposal, delegates))

    def certificate_holds(self, certificate: Certificate) -> bool:
        """See Scheme."""
        return _once(self._certificates, certificate, lambda: self._sum_holds(certificate))

    def certify(self, votes: Iterable[Vote], delegates: DelegateSet) -> Certificate:
        """See Scheme."""
        return self._signatures.certify(votes, delegates)

    def add_up(self, votes: Sequence[Vote]) -> Certificate:
        """See Scheme."""
        signers = bitmap_of([each.delegate for each in votes], len(self._set_of(votes[0].height)))
        return Certificate(*votes[0][:4], signers, _native.bls_aggregate([each.signature for each in votes]))

    def _sum_holds(self, certificate: Certificate) -> bool:
        try:
            check(certificate, self._set_of(certificate.height), self._domain)
        except CertificateError:
            return False
        return True

    def _key_of(self, message: Vote | Proposal) -> _native.BlsSecretKey:
        """The key of the delegate that a message names."""
        return secret_of(int.from_bytes(self._set_of(message.height).members[message.delegate].address))


def _once(known: dict[_Signed, bool], message: _Signed, verdict: Callable[[], bool]) -> bool:
    if message not in known:
        known[message] = verdict()
    return known[message]


def _signed_part(proposal: Proposal) -> tuple[int, int, int, bytes, int]:
    return proposal.height, proposal.round, proposal.valid_round, proposal.block_hash, proposal.delegate


@lru_cache(maxsize=MAX_DELEGATES)
def secret_of(number: int) -> _native.BlsSecretKey:
    """The key of a delegate of the run; nothing of value hangs on it."""
    return _native.BlsSecretKey.key_gen(bytes(keccak(b"simulated delegate" + number.to_bytes(2))))


def address_of(number: int) -> bytes:
    """The operator address of a delegate of the run."""
    return number.to_bytes(ADDRESS_BYTES)


def delegates_of(
    powers: Sequence[int],
    rule: QuorumRule = QuorumRule.POWER,
    *,
    holders: Sequence[int] | None = None,
    signed: bool = False,
) -> DelegateSet:
    """A set with these powers; with usable keys only if it is to sign, for they take time.

    Parameters
    ----------
    holders
        Which delegate of the run has each seat; None for the first ones, in their order.
    """
    members = []
    for number, power in zip(range(len(powers)) if holders is None else holders, powers, strict=True):
        key = secret_of(number).public_key().to_bytes() if signed else number.to_bytes(KEY_BYTES)
        members.append(Delegate(address_of(number), power, key))
    return DelegateSet(tuple(members), rule)
