"""Delegates that decide one height over a network in memory, each with its log; any of them may crash between any two of
its effects. Signatures are not made here: who says what is known, and the driver leaves them to its host."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from l1.consensus import effects
from l1.consensus.certificate import bitmap_of, require_quorum
from l1.consensus.delegates import Delegate, DelegateSet
from l1.consensus.driver import Driver
from l1.consensus.effects import Effect
from l1.consensus.log import Entry, state_of
from l1.consensus.machine import NIL, Topic
from l1.consensus.messages import Certificate, Decision, Message, Proposal, Vote
from l1.consensus.parameters import Pacing, Parameters, Timing
from l1.consensus.tally import is_equivocation

HEIGHT = 1
TIMING = Timing(1_000, 300, 200, 200, 200, Pacing.EVENT, growth=50, resend=400)
EVENT = Parameters("test", TIMING, 100)
CLOCK = Parameters("test-clock", Timing(1_000, 300, 200, 200, 200), 100)


def delegate(number: int, power: int = 1) -> Delegate:
    """A delegate with a key of its own that nothing is signed with."""
    return Delegate(number.to_bytes(20), power, number.to_bytes(48))


def delegates(*powers: int) -> DelegateSet:
    """A set with these powers."""
    return DelegateSet(tuple(delegate(at + 1, power) for at, power in enumerate(powers)))


def certify(votes: Iterable[Vote], of: DelegateSet) -> Certificate:
    """A certificate whose signature nobody looks at; refuses what is no quorum of votes alike."""
    held = {vote.delegate: vote for vote in votes}
    assert len({vote[:4] for vote in held.values()}) == 1
    require_quorum(held, of)
    return Certificate(*next(iter(held.values()))[:4], bitmap_of(held, len(of)), bytes(96))


def certificate(of: DelegateSet, round_: int, topic: Topic, block_hash: bytes, *signers: int) -> Certificate:
    """A certificate of these signers, all when none is named."""
    bitmap = bitmap_of(signers or range(len(of)), len(of))
    return Certificate(HEIGHT, round_, topic, block_hash, bitmap, bytes(96))


def hash_of(block: bytes) -> bytes:
    """A block's hash."""
    return hashlib.sha256(block).digest()


class Crashed(Exception):
    """The process is gone; its log is not."""


@dataclass
class Host:
    """One delegate's process."""

    world: World
    index: int
    entries: list[Entry] = field(default_factory=list)
    performed: int = 0
    """Effects so far, over all its lives."""
    crashes: set[int] = field(default_factory=set)
    """Before which of them it crashes."""
    decided: effects.Decided | None = None
    refused: list[effects.Refused] = field(default_factory=list)
    convicted: list[effects.Convict] = field(default_factory=list)
    alive: bool = True
    lives: int = 0

    def start(self) -> None:
        """Begin, or begin again with what the log kept."""
        world = self.world
        self.alive = True
        self.lives += 1
        self.life = object()
        self.driver = Driver(world.parameters, world.set.members[self.index].address, certify)
        self.handle(lambda: self.driver.start_height(HEIGHT, world.set, world.last, world.now, tuple(self.entries)))

    def handle(self, of_driver: Callable[[], Sequence[Effect]]) -> None:
        """Carry out what the driver asks for, unless the process dies over it."""
        try:
            self._perform(of_driver())
        except Crashed:
            self.alive = False
            self.world.later(self.world.down_for, self.start)
        else:
            kept = state_of(HEIGHT, self.entries)
            state = self.driver.state
            if self.lives == 1:
                assert (kept.locked_round, kept.locked_hash) == (state.locked_round, state.locked_hash)
            # Who cast LOCK for nil, came back and sees the quorum is locked by it, though it says nil again.
            assert kept.locked_round <= state.locked_round
            assert (kept.committed_round, kept.committed_hash) == (state.committed_round, state.committed_hash)

    def _perform(self, asked: Sequence[Effect]) -> None:
        for effect in asked:
            if self.performed in self.crashes:
                self.crashes.discard(self.performed)
                raise Crashed
            self.performed += 1
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        world, driver = self.world, self.driver
        match effect:
            case effects.Record():
                self.entries.append(effect.entry)
            case effects.SignVote():
                world.signed.append(effect.vote)
                self._perform(driver.on_vote(effect.vote, world.now))
                world.send(self.index, effect.vote)
            case effects.SignProposal():
                world.blocks[effect.proposal.block_hash] = effect.proposal.block
                self._perform(driver.on_proposal(effect.proposal, world.now, valid=True))
                world.send(self.index, effect.proposal)
            case effects.Build():
                block = b"block %d of %d" % (effect.round, self.index)
                self._perform(driver.on_built(HEIGHT, effect.round, hash_of(block), block, world.now))
            case effects.Send():
                world.send(self.index, effect.message)
            case effects.SetTimer():
                self.at(effect.at, lambda: self.driver.on_timer(effect.height, effect.what, world.now))
            case effects.Fetch():
                block = world.blocks[effect.block_hash]
                self.at(
                    world.now + 20,
                    lambda: self.driver.on_block(effect.block_hash, block, world.now, valid=True),
                )
            case effects.Decided():
                self.decided = effect
            case effects.Convict():
                self.convicted.append(effect)
            case effects.Refused():
                self.refused.append(effect)

    def at(self, when: int, of_driver: Callable[[], Sequence[Effect]]) -> None:
        """Do it then, if this life of the process lasts."""
        life = self.life

        def act() -> None:
            if self.alive and self.life is life:
                self.handle(of_driver)

        self.world.later(when - self.world.now, act)

    def receive(self, message: Message) -> None:
        """A message has come."""
        now, driver = self.world.now, self.driver
        match message:
            case Vote():
                if self.decided is not None:
                    answer = Decision(self.decided.certificate, self.decided.block)
                    self.world.send(self.index, answer, to=message.delegate)
                self.handle(lambda: driver.on_vote(message, now))
            case Proposal():
                self.handle(lambda: driver.on_proposal(message, now, valid=True))
            case Certificate():
                self.handle(lambda: driver.on_certificate(message, now))
            case Decision():
                self.handle(lambda: driver.on_decision(message, hash_of(message.block), now, valid=True))


@dataclass
class World:
    """The network, the clock, and what everybody signed."""

    set: DelegateSet
    parameters: Parameters = EVENT
    seed: int = 0
    loss: float = 0.0
    """Share of messages that are lost until `heals_at`."""
    heals_at: int = 0
    silent: frozenset[int] = frozenset()
    """Delegates that are not there."""
    down_for: int = 60
    last: int = 0
    now: int = 0
    signed: list[Vote] = field(default_factory=list)
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    crashes: dict[int, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._queue: list[tuple[int, int, Callable[[], Any]]] = []
        self._count = 0
        self.hosts = [Host(self, at, crashes=self.crashes.get(at, set())) for at in range(len(self.set))]

    def later(self, after: int, act: Callable[[], Any]) -> None:
        """Do it after so many milliseconds."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + max(after, 0), self._count, act))

    def send(self, sender: int, message: Message, to: int | None = None) -> None:
        """Send to all others, or to one."""
        for host in self.hosts:
            if host.index in self.silent or host.index == sender or to not in (None, host.index):
                continue
            if self.now < self.heals_at and self._random.random() < self.loss:
                continue
            self.later(self._random.randint(5, 50), lambda host=host: host.alive and host.receive(message))

    def run(self, until: int) -> World:
        """Let it run, to this time or until all have decided."""
        for host in self.hosts:
            if host.index not in self.silent:
                self.later(0, host.start)
        while self._queue and self._queue[0][0] <= until and not self.all_decided():
            self.now, _, act = heapq.heappop(self._queue)
            act()
        return self

    def all_decided(self) -> bool:
        """Whether every delegate that is there has decided."""
        return all(host.decided is not None for host in self.hosts if host.index not in self.silent)

    def check(self) -> None:
        """Agreement, nobody convicted, and every PROPOSAL vote within the lock of its delegate's votes before."""
        decided = [host.decided for host in self.hosts if host.decided is not None]
        assert len({each.block_hash for each in decided}) <= 1
        assert all(hash_of(each.block) == each.block_hash for each in decided)
        for each in decided:
            require_quorum(each.certificate.signer_indices(), self.set)
        assert not any(host.convicted for host in self.hosts)
        of = [set(votes) for votes in self._by_delegate()]
        for votes in of:
            assert not any(is_equivocation(one, other) for one, other in combinations(votes, 2))
        for votes in self._by_delegate():
            self._check_locks(votes)

    def _by_delegate(self) -> list[list[Vote]]:
        return [[vote for vote in self.signed if vote.delegate == index] for index in range(len(self.set))]

    def _check_locks(self, votes: list[Vote]) -> None:
        """L23 and L29, over restarts: who cast LOCK endorses another block only where a quorum since then did."""
        lock: Vote | None = None
        for vote in votes:
            if vote.block_hash == NIL:
                continue
            if vote.topic is not Topic.PROPOSAL:
                lock = vote if lock is None or vote.round >= lock.round else lock
            elif lock is not None and lock.round < vote.round and lock.block_hash != vote.block_hash:
                shown = range(lock.round, vote.round)
                assert any(self._has_quorum(round_, vote.block_hash) for round_ in shown), (lock, vote)

    def _has_quorum(self, round_: int, block_hash: bytes) -> bool:
        for topic in (Topic.PROPOSAL, Topic.LOCK):
            place = (round_, topic, block_hash)
            voters = {each.delegate for each in self.signed if (each.round, each.topic, each.block_hash) == place}
            if self.set.power_of(voters) >= self.set.quorum:
                return True
        return False
