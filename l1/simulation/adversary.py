"""Byzantine delegates: real drivers whose words are twisted on the way out, by adversaries that see everything.

They know every message that anybody sent and every delegate's state, and act together; they cannot forge a signature.
Each will twists what the delegate's driver wants to send, and may say something unasked now and then.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from l1.consensus import effects
from l1.consensus.effects import Effect
from l1.consensus.machine import NIL, NO_ROUND, Phase, Topic
from l1.consensus.messages import Certificate, Proposal, Vote
from l1.consensus.schedule import proposer_index
from l1.simulation.blocks import hash_of
from l1.simulation.fault import Fault
from l1.simulation.host import Host, Sent

if TYPE_CHECKING:
    from l1.simulation.world import World

Sends = list[tuple[list[int], Sent]]
"""Receivers, and what they get."""
_REMEMBERED = 600


class Knowledge:
    """What the adversaries have heard: everything, of the newest heights."""

    def __init__(self, heights: int = 3) -> None:
        self.heights = heights
        """How many it remembers."""
        self.recent: deque[Sent] = deque(maxlen=_REMEMBERED)
        """The newest messages."""
        self.votes: dict[int, dict[tuple[int, Topic, bytes], dict[int, Vote]]] = {}
        """height -> (round, topic, block) -> seat -> vote."""
        self.proposals: dict[int, dict[bytes, Proposal]] = {}
        """height -> block -> a proposal of it."""

    def hear(self, message: Sent) -> None:
        """Remember a message that somebody sends."""
        self.recent.append(message)
        if isinstance(message, Vote):
            votes = self.votes.setdefault(message.height, {})
            votes.setdefault(message[1:4], {})[message.delegate] = message
        elif isinstance(message, Proposal):
            self.proposals.setdefault(message.height, {}).setdefault(message.block_hash, message)
        for heights in (self.votes, self.proposals):
            if len(heights) > self.heights:
                del heights[min(heights)]

    def blocks(self, height: int) -> list[bytes]:
        """Hashes of the blocks that were proposed for a height."""
        return list(self.proposals.get(height, ()))


class Will:
    """Something that a byzantine delegate does."""

    fault: Fault | None = None
    """What it is called in a plan."""
    needs_seat = True
    """Whether it can act unasked only at a height that it has a seat at."""

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        """What it sends instead."""
        return sends

    def tick(self, me: Adversary) -> None:
        """Act unasked."""


class Adversary(Host):
    """A byzantine delegate."""

    watched = False

    def __init__(self, world: World, number: int, faults: frozenset[Fault], wills: Sequence[Will]) -> None:
        super().__init__(world, number)
        self.rng = random.Random(f"adversary {world.plan.seed} {number}")
        self.wills = wills
        self.forgets = Fault.AMNESIC in faults
        self.mean = bool(faults & {Fault.SILENT, Fault.WITHHOLDING, Fault.SPLITTING, Fault.USURPING})
        """Whether it lets those who fell behind stay there."""
        self._acting: Will | None = None

    @property
    def others(self) -> list[int]:
        """Honest delegates: the ones worth talking to."""
        return self.world.plan.honest

    @property
    def allies(self) -> frozenset[int]:
        """Seats of byzantine delegates in the set of its present height."""
        return self.world.electorates.at(self.height).byzantine

    @property
    def known(self) -> Knowledge:
        """What the adversaries know."""
        assert self.world.knowledge is not None
        return self.world.knowledge

    def start(self) -> None:
        super().start()
        self._tick(self._incarnation)

    def emit(self, message: Sent) -> None:
        sends: Sends = [(self.peers, message)]
        for will in self.wills:
            twisted = will.twist(self, sends)
            if twisted != sends:
                self.did(will)
            sends = twisted
        self.say(sends)

    def say(self, sends: Iterable[tuple[Iterable[int], Sent]]) -> None:
        """Send messages as they are."""
        for receivers, message in sends:
            self.world.emitted(self.number, message)
            self.world.send(self.number, receivers, message)
            if self._acting is not None:
                self.did(self._acting)

    def did(self, will: Will) -> None:
        """Count that a will was done."""
        if will.fault is not None:
            self.world.happened[will.fault] += 1

    def seat_at(self, height: int) -> int | None:
        """Its seat in the set of a height."""
        return self.world.electorates.at(height).seats.get(self.number)

    def proposes(self, height: int, round_: int) -> bool:
        """Whether the round is its turn."""
        count = len(self.world.electorates.set_of(height))
        return proposer_index(height, round_, count, self.world.plan.parameters) == self.seat_at(height)

    def vote(self, height: int, round_: int, topic: Topic, block_hash: bytes) -> Vote:
        """A vote of its own, signed, at a height that it has a seat at."""
        seat = self.seat_at(height)
        assert seat is not None, "who has no seat has no vote"
        return self.world.scheme.sign_vote(Vote(height, round_, topic, block_hash, seat))

    def proposal(self, round_: int, block: bytes, valid_round: int, proof: Certificate | None) -> Proposal:
        """A proposal of its own, signed, at the present height."""
        seat = self.seat
        assert seat is not None, "who has no seat proposes nothing"
        made = Proposal(self.height, round_, hash_of(block), seat, valid_round, proof, block)
        return self.world.scheme.sign_proposal(made)

    def fresh(self, round_: int, *, sound: bool = True) -> bytes:
        """A block that nobody else has."""
        return self.build(self.height, round_, salt=self.rng.getrandbits(60), sound=sound)

    def sometimes(self, share: float) -> bool:
        """True for this share of the calls."""
        return self.rng.random() < share

    def some(self, of: Iterable[int]) -> list[int]:
        """Some of them, each with an even chance."""
        return [each for each in of if self.rng.random() < 0.5]

    def candidates(self) -> list[bytes]:
        """Everything that one can vote for at this height."""
        return [NIL, *self.known.blocks(self.height)]

    def certificates(self) -> list[Certificate]:
        """Every certificate of this height that the adversaries can make, of the honest votes and all their own."""
        found = []
        elected = self.world.electorates.at(self.height)
        for (round_, topic, block_hash), votes in self.known.votes.get(self.height, {}).items():
            signers = set(votes) | elected.byzantine
            if block_hash == NIL or elected.delegates.power_of(signers) < elected.delegates.quorum:
                continue
            found.append(self.sum_of(round_, topic, block_hash, signers))
        return found

    def sum_of(self, round_: int, topic: Topic, block_hash: bytes, signers: Iterable[int]) -> Certificate:
        """A certificate of these signers, whose votes there are or who are byzantine."""
        held = self.known.votes.get(self.height, {}).get((round_, topic, block_hash), {})
        sign = self.world.scheme.sign_vote
        votes = [held.get(each) or sign(Vote(self.height, round_, topic, block_hash, each)) for each in sorted(signers)]
        return self.world.scheme.add_up(votes)

    def _carry_out(self, effect: Effect) -> None:
        if self.forgets:
            self.forget()
        if not (self.forgets and isinstance(effect, effects.Record)):
            super()._carry_out(effect)

    def forget(self) -> None:
        """Forget its lock, and what it voted."""
        driver = self.driver
        if driver.state.phase != Phase.DECIDED:
            self.world.happened[Fault.AMNESIC] += driver.state.locked_round != NO_ROUND
            gone = {"locked_round": NO_ROUND, "locked_hash": NIL, "valid_round": NO_ROUND, "valid_hash": NIL}
            driver.state = driver.state._replace(**gone, committed_round=NO_ROUND, committed_hash=NIL)  # type: ignore[arg-type]

    def _elsewhere(self, sender: int, message: Sent, height: int) -> None:
        if height > self.height or not self.mean:
            super()._elsewhere(sender, message, height)

    def _tick(self, incarnation: int) -> None:
        if incarnation != self._incarnation:
            return
        seated = self.seat is not None
        for will in self.wills:
            if seated or not will.needs_seat:
                self._acting = will
                will.tick(self)
        self._acting = None
        self.world.later(self.rng.randrange(40, 1_200), self._tick, incarnation)
