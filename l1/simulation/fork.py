"""Runs in which too many delegates are byzantine: they cut the honest ones in two and let each side decide alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.parameters import IIP_51
from l1.simulation.adversary import Adversary, Knowledge, Sends, Will
from l1.simulation.host import Sent
from l1.simulation.plan import Plan, Seat
from l1.simulation.world import World


class TwoFaced(Will):
    """Agrees with everybody: votes before each side as that side does, and proposes each its own block."""

    def __init__(self, sides: tuple[list[int], list[int]], since: int) -> None:
        """It does so from this height on."""
        self._sides = sides
        self._since = since
        self._said: set[tuple[int, Vote]] = set()

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        if me.height < self._since:
            return sends
        return [
            send
            for message in (each for _, each in sends)
            if isinstance(message, Proposal)
            for send in self._two(me, message)
        ]

    def tick(self, me: Adversary) -> None:
        for members in self._sides:
            height = me.world.hosts[members[0]].height
            seats = me.world.electorates.at(height).seats
            if height < self._since or me.number not in seats:
                continue
            for place, votes in list(me.known.votes.get(height, {}).items()):
                if any(seats.get(each) in votes for each in members):
                    self._join(me, members, height, place)

    def _two(self, me: Adversary, proposal: Proposal) -> Sends:
        other = me.proposal(proposal.round, me.fresh(proposal.round), proposal.valid_round, proposal.proof)
        return [(self._sides[0], proposal), (self._sides[1], other)]

    def _join(self, me: Adversary, members: list[int], height: int, place: tuple[int, Topic, bytes]) -> None:
        vote = me.vote(height, *place)
        if (members[0], vote) not in self._said:
            self._said.add((members[0], vote))
            me.say([(members, vote)])


def force(seed: int, count: int, *, churn: bool = False) -> tuple[World, Certificate, Certificate] | None:
    """A fork of so many delegates, just too many of them byzantine; None if the seed brought none about.

    Parameters
    ----------
    churn
        Whether delegate sets change every other height; the fork then comes some heights later.

    Returns
    -------
    The run, and certificates of two blocks of one height.
    """
    rng = random.Random(f"fork {seed}")
    order = rng.sample(range(count), count)
    traitors, honest = sorted(order[: count // 3 + 1]), sorted(order[count // 3 + 1 :])
    sides = (honest[::2], honest[1::2])
    since = rng.randint(1, 8) if churn else 1
    plan = Plan(
        seed,
        (100,) * count,
        replace(IIP_51, blocks_per_epoch=2),
        stable=400_000,
        byzantine={number: frozenset() for number in traitors},
        sets=tuple(_set(rng, traitors, sides) for _ in range(4)) if churn else (),
    )
    world = World(plan)
    world.knowledge = Knowledge(heights=1_000)
    world.script = _apart(sides, since)
    for number in traitors:
        traitor = world.hosts[number]
        assert isinstance(traitor, Adversary), "the plan says so"
        traitor.wills = [TwoFaced(sides, since)]
        traitor.mean = True
    world.run()
    for certificates in world.checker.certificates.values():
        if len(certificates) > 1:
            first, second = list(certificates.values())[:2]
            return world, first, second
    return None


def _set(rng: random.Random, traitors: list[int], sides: tuple[list[int], list[int]]) -> tuple[Seat, ...]:
    """All delegates, or all but one traitor and one of each side: with either side, traitors are two thirds."""
    parties = [list(each) for each in (traitors, *sides)]
    if len(sides[0]) > 1 and rng.random() < 0.5:
        for party in parties:
            party.remove(rng.choice(party))
    members = [number for party in parties for number in party]
    power = rng.randint(1, 200)
    return tuple(Seat(number, power) for number in rng.sample(members, len(members)))


def _apart(sides: tuple[list[int], list[int]], since: int) -> Callable[[int, int, Sent], bool]:
    """Links between the sides carry nothing of this height or later."""
    cut = {(a, b) for one, other in (sides, sides[::-1]) for a in one for b in other}

    def passes(sender: int, receiver: int, message: Sent) -> bool:
        height = message.certificate.height if isinstance(message, Decision) else message.height
        return height < since or (sender, receiver) not in cut

    return passes
