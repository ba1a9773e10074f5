"""Runs in which too many delegates are byzantine: they cut the honest ones in two and let each side decide alone."""

from __future__ import annotations

import random

from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate, Proposal, Vote
from l1.consensus.parameters import IIP_51
from l1.simulation.adversary import Adversary, Knowledge, Sends, Will
from l1.simulation.network import Weather
from l1.simulation.plan import Plan
from l1.simulation.world import World


class TwoFaced(Will):
    """Agrees with everybody: votes before each side as that side does, and proposes each its own block."""

    def __init__(self, sides: tuple[list[int], list[int]]) -> None:
        self._sides = sides
        self._said: set[tuple[int, Vote]] = set()

    def twist(self, me: Adversary, sends: Sends) -> Sends:
        return [
            send
            for message in (each for _, each in sends)
            if isinstance(message, Proposal)
            for send in self._two(me, message)
        ]

    def tick(self, me: Adversary) -> None:
        for members in self._sides:
            height = me.world.hosts[members[0]].height
            for place, votes in list(me.known.votes.get(height, {}).items()):
                if any(each in votes for each in members):
                    self._join(me, members, height, place)

    def _two(self, me: Adversary, proposal: Proposal) -> Sends:
        other = me.proposal(proposal.round, me.fresh(proposal.round), proposal.valid_round, proposal.proof)
        return [(self._sides[0], proposal), (self._sides[1], other)]

    def _join(self, me: Adversary, members: list[int], height: int, place: tuple[int, Topic, bytes]) -> None:
        vote = me.vote(height, *place)
        if (members[0], vote) not in self._said:
            self._said.add((members[0], vote))
            me.say([(members, vote)])


def force(seed: int, count: int) -> tuple[World, Certificate, Certificate] | None:
    """A fork of so many delegates, just too many of them byzantine; None if the seed brought none about.

    Returns
    -------
    The run, and certificates of two blocks of one height.
    """
    rng = random.Random(f"fork {seed}")
    order = rng.sample(range(count), count)
    traitors, honest = sorted(order[: count // 3 + 1]), sorted(order[count // 3 + 1 :])
    sides = (honest[::2], honest[1::2])
    cut = frozenset((a, b) for one, other in (sides, sides[::-1]) for a in one for b in other)
    stable = 400_000
    plan = Plan(
        seed,
        (100,) * count,
        IIP_51,
        (Weather(0, cut=cut), Weather(stable)),
        stable,
        byzantine={index: frozenset() for index in traitors},
    )
    world = World(plan)
    world.knowledge = Knowledge(heights=1_000)
    for index in traitors:
        traitor = world.hosts[index]
        assert isinstance(traitor, Adversary), "the plan says so"
        traitor.wills = [TwoFaced(sides)]
        traitor.mean = True
    world.run()
    for certificates in world.checker.certificates.values():
        if len(certificates) > 1:
            first, second = list(certificates.values())[:2]
            return world, first, second
    return None
