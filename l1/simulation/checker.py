"""What must hold at every step of a run, checked from outside: what honest delegates say is all that is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from l1.consensus.effects import Decided
from l1.consensus.machine import NIL, NO_ROUND, Topic
from l1.consensus.messages import Certificate, Proposal, Vote
from l1.simulation.blocks import decode, hash_of
from l1.simulation.electorate import Electorates

if TYPE_CHECKING:
    from l1.simulation.host import Host


CHECKS = frozenset(
    {
        "agreement",  # one block a height
        "validity",  # every decided block is valid, and built on the head
        "certificate",  # a quorum signed what a certificate says
        "equivocation",  # no two votes or proposals of an honest delegate contradict each other, restarts or not
        "seat",  # none votes or proposes in another's name, or without a seat in the set of the height
        "lock",  # none endorses a block against its lock without a quorum of the lock's round or a later one
        "quorum",  # none casts LOCK or COMMIT before a quorum cast what comes before
        "accountability",  # evidence is against byzantine delegates only
        "liveness",  # when links and clocks are good, heights are decided
        "exception",  # no input makes the code fail
    }
)
"""The rules."""


class Violation(NamedTuple):
    """Something that must not happen."""

    rule: str
    """One of `CHECKS`."""
    at: int
    """When, in ms."""
    text: str
    """What was seen."""


class Checker:
    """Watches the honest delegates of a run."""

    def __init__(self, electorates: Electorates, checks: frozenset[str] = CHECKS) -> None:
        self._checks = checks
        self._at = electorates.at
        self.violations: list[Violation] = []
        self.blocks: dict[int, bytes] = {}
        """Hash of the block that was decided, by height."""
        self.rounds: dict[int, int] = {}
        """The round that each height was first decided in."""
        self.certificates: dict[int, dict[bytes, Certificate]] = {}
        """A certificate of each block that was decided, by height."""
        self._cast: dict[tuple[int, int, int, Topic], bytes] = {}
        self._power: dict[tuple[int, int, Topic, bytes], int] = {}
        self._endorsed: dict[tuple[int, bytes], list[int]] = {}
        self._locks: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._commits: dict[tuple[int, int], bytes] = {}
        self._proposals: dict[tuple[int, int, int], bytes] = {}

    def report(self, rule: str, at: int, text: str) -> None:
        """Write down a violation, if it is of a rule that is checked."""
        if rule in self._checks:
            self.violations.append(Violation(rule, at, text))

    def cast(self, host: Host, vote: Vote) -> None:
        """An honest delegate has signed a vote."""
        now = host.world.now
        if vote.delegate != host.seat:
            self.report("seat", now, f"{_of(vote)} by {host.number}, whose seat is {host.seat}")
        place = (vote.delegate, vote.height, vote.round, vote.topic)
        before = self._cast.get(place)
        if before is not None:
            if before != vote.block_hash:
                self.report("equivocation", now, f"{_of(vote)} after one for {_short(before)}")
            return
        self._cast[place] = vote.block_hash
        if vote.block_hash != NIL:
            self._check_lock(vote, now)
            self._count(vote)
            if vote.topic is not Topic.PROPOSAL:
                self._lock(vote)
        if vote.topic is Topic.COMMIT:
            committed = self._commits.setdefault(place[:2], vote.block_hash)
            if committed != vote.block_hash or vote.block_hash == NIL:
                self.report("equivocation", now, f"{_of(vote)} after one for {_short(committed)}")

    def proposed(self, host: Host, proposal: Proposal) -> None:
        """An honest delegate has signed a proposal."""
        if proposal.delegate != host.seat:
            self.report("seat", host.world.now, f"{host.number} proposes as {proposal.delegate}, and is {host.seat}")
        place = (proposal.delegate, proposal.height, proposal.round)
        before = self._proposals.setdefault(place, proposal.block_hash)
        if before != proposal.block_hash:
            self.report("equivocation", host.world.now, f"two proposals of {place}")

    def convicted(self, host: Host, height: int, seat: int) -> None:
        """An honest delegate holds evidence against another."""
        if seat not in self._at(height).byzantine:
            self.report("accountability", host.world.now, f"{host.number} convicts seat {seat} of {height}: honest")

    def decided(self, host: Host, decided: Decided) -> None:
        """An honest delegate holds a block to be final; its chain is still that before. After a crash it may do so
        again."""
        now, height, block_hash = host.world.now, decided.height, decided.block_hash
        who = f"{host.number} at height {height}"
        elected = self._at(height)
        agreed = self.blocks.setdefault(height, block_hash)
        self.certificates.setdefault(height, {}).setdefault(block_hash, decided.certificate)
        self.rounds.setdefault(height, decided.round)
        if agreed != block_hash:
            self.report("agreement", now, f"{who} decides {_short(block_hash)}, others {_short(agreed)}")
        if hash_of(decided.block) != block_hash or not host.accepts(decode(decided.block)):
            self.report("validity", now, f"{who} decides a block that may not follow its head")
        certificate = decided.certificate
        signers = certificate.signer_indices()
        place = (height, decided.round, Topic.COMMIT, block_hash)
        if certificate[:4] != place or elected.delegates.power_of(signers) < elected.delegates.quorum:
            self.report("certificate", now, f"{who}: {certificate[:4]} signed by {signers} shows nothing")
        for each in signers:
            if each not in elected.byzantine and self._cast.get((each, *place[:3])) != block_hash:
                self.report("certificate", now, f"{who}: {each} never signed what its certificate says")

    def _check_lock(self, vote: Vote, now: int) -> None:
        """A vote against a lock needs a quorum of the lock's round or later, and a LOCK or a COMMIT needs a quorum of
        its round: one that honest votes and all byzantine ones together can make."""
        if vote.topic is Topic.PROPOSAL:
            locked_round, locked = self._locks.get((vote.delegate, vote.height), (NO_ROUND, NIL))
            if locked not in (NIL, vote.block_hash):
                rounds = self._endorsed.get((vote.height, vote.block_hash), [])
                if not any(locked_round <= each < vote.round for each in rounds):
                    self.report("lock", now, f"{_of(vote)} while locked on {_short(locked)} of round {locked_round}")
            return
        before = Topic.PROPOSAL if vote.topic is Topic.LOCK else Topic.LOCK
        if not self._reached((vote.height, vote.round, before, vote.block_hash)):
            self.report("quorum", now, f"{_of(vote)} without a quorum of {before.name}")

    def _count(self, vote: Vote) -> None:
        place = (vote.height, vote.round, vote.topic, vote.block_hash)
        power = self._at(vote.height).delegates.powers[vote.delegate]
        self._power[place] = self._power.get(place, 0) + power
        if vote.topic is Topic.PROPOSAL and self._reached(place):
            rounds = self._endorsed.setdefault((vote.height, vote.block_hash), [])
            if vote.round not in rounds:
                rounds.append(vote.round)

    def _reached(self, place: tuple[int, int, Topic, bytes]) -> bool:
        elected = self._at(place[0])
        return self._power.get(place, 0) + elected.byzantine_power >= elected.delegates.quorum

    def _lock(self, vote: Vote) -> None:
        place = (vote.delegate, vote.height)
        if vote.round >= self._locks.get(place, (NO_ROUND, NIL))[0]:
            self._locks[place] = (vote.round, vote.block_hash)


def _of(vote: Vote) -> str:
    return f"{vote.topic.name} of {vote.delegate} at {vote.height}/{vote.round} for {_short(vote.block_hash)}"


def _short(block_hash: bytes) -> str:
    return "nil" if block_hash == NIL else block_hash[:4].hex()
