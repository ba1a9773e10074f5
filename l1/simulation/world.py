"""One run: a heap of what comes when, the delegates, and the network between them."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from l1.consensus.driver import Certify, Driver
from l1.consensus.messages import Proposal, Vote
from l1.consensus.parameters import WAITING, Pacing, Parameters
from l1.consensus.schedule import phase_ends
from l1.simulation.adversary import Adversary, Knowledge
from l1.simulation.checker import CHECKS, Checker, Violation
from l1.simulation.electorate import Electorates
from l1.simulation.fault import Fault
from l1.simulation.host import Host, Sent
from l1.simulation.network import Network
from l1.simulation.plan import START, Moment, Plan
from l1.simulation.reference_port import ReferencePort, Unbound
from l1.simulation.signatures import Bls, Ledger, Scheme, SetOf, address_of
from l1.simulation.wills import WILLS

SETTLING = 60_000
"""How long after the network is stable lost messages may take to be replaced, in ms, besides the rounds' own times."""
MAX_EVENTS = 3_000_000
"""More than any run takes that ends."""

DriverFactory = Callable[[Parameters, bytes, Certify], Driver | ReferencePort]


@dataclass(frozen=True)
class Rule:
    """What the delegates of a run follow."""

    driver: DriverFactory = Driver
    """Makes a delegate's driver; byzantine ones start from the same."""
    scheme: Callable[[SetOf], Scheme] = Ledger
    """How they sign, where no real signatures are asked for."""
    checks: frozenset[str] = CHECKS
    """What is held against them."""


OURS = Rule()
"""`l1.consensus`."""
REFERENCE_PORT = Rule(ReferencePort, Unbound, frozenset({"agreement", "validity", "exception"}))
"""iotex-core: that its delegates equivocate and leave their locks is known, it is their rule; what counts is a fork."""


class Report(NamedTuple):
    """What a run came to."""

    seed: int
    heights: int
    """How many were decided."""
    events: int
    """Messages delivered, timers run out, and the like."""
    simulated_ms: int
    """Virtual time that it took."""
    violations: tuple[Violation, ...]
    """What must not happen, and did."""
    trace: str
    """A hash of everything that was sent and decided, in its order: the same for the same seed, always."""
    most_rounds: int
    """The most rounds that a height took that began when the network was stable."""
    happened: dict[Fault | Moment, int]
    """How often each fault, and each moment of a crash, happened: messages, clocks, crashes, epochs, or deeds."""


class World:
    """One run of a plan."""

    def __init__(self, plan: Plan, rule: Rule = OURS, *, signed: bool = False) -> None:
        self.plan = plan
        self.rule = rule
        self.now = 0
        self.rng = random.Random(f"run {plan.seed}")
        self.electorates = Electorates(plan, signed=signed)
        self.scheme: Scheme = (Bls if signed else rule.scheme)(self.electorates.set_of)
        self.checker = Checker(self.electorates, rule.checks)
        self.happened: Counter[Fault | Moment] = Counter()
        """See Report."""
        self.knowledge: Knowledge | None = Knowledge() if plan.byzantine else None
        self._heap: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._pushed = 0
        self._events = 0
        self._trace = hashlib.sha256()
        self._network = Network(plan.weathers, self.rng, self._arrive)
        self.hosts: list[Host] = [
            self._adversary(index, plan.byzantine[index]) if index in plan.byzantine else Host(self, index)
            for index in range(len(plan.powers))
        ]
        self.script: Callable[[int, int, Sent], bool] | None = None
        """Whether a link (sender, receiver) lets a message through, for runs in which that is told one by one."""
        self._goal: int | None = None
        self._stable_height = 0

    # --- what hosts use ---

    def at(self, at: int, do: Callable[..., None], *given: object) -> None:
        """Do something at a time."""
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, do, given))

    def soon(self, do: Callable[..., None], *given: object) -> None:
        """Do something now, after what is being done."""
        self.at(self.now, do, *given)

    def later(self, wait: int, do: Callable[..., None], *given: object) -> None:
        """Do something so many ms from now."""
        self.at(self.now + wait, do, *given)

    def send(self, sender: int, receivers: Iterable[int], message: Sent) -> None:
        """Put a message on links."""
        script = self.script
        if script is not None:
            receivers = [each for each in receivers if script(sender, each, message)]
        self._network.send(self.now, sender, receivers, message)

    def cut(self) -> frozenset[tuple[int, int]]:
        """Links that let nothing through at the moment; adversaries know."""
        return self._network.cut

    def emitted(self, sender: int, message: Sent) -> None:
        """A delegate is about to send a message to all."""
        if isinstance(message, Vote):
            self.scheme.sent(message)
            self.note(b"vote", sender, message.height, message.round, message.topic, message.block_hash)
        elif isinstance(message, Proposal):
            self.note(b"proposal", sender, message.height, message.round, message.block_hash)
        if self.knowledge is not None:
            self.knowledge.hear(message)

    def note(self, what: bytes, *details: int | bytes) -> None:
        """Write into the trace."""
        parts = (each if isinstance(each, bytes) else b"%d" % each for each in details)
        self._trace.update(b"%d %s %s\n" % (self.now, what, b" ".join(parts)))

    def new_driver(self, number: int) -> Driver | ReferencePort:
        """A delegate's driver, as it is after switching on."""
        return self.rule.driver(self.plan.parameters, address_of(number), self.scheme.certify)

    # --- the run ---

    def run(self) -> Report:
        """Run to the end: every honest delegate has decided the plan's heights, or there was time enough."""
        plan = self.plan
        for host in self.hosts:
            self.at(START, host.start)
        for crash in plan.crashes:
            if crash.delegate not in plan.byzantine:
                self.at(crash.at, self.hosts[crash.delegate].fail, crash)
        self.at(plan.stable, self._stabilise)
        try:
            self._loop()
        except Exception as error:
            where = _place_of(error)
            self.checker.report("exception", self.now, f"{type(error).__name__}: {error} ({where})")
        return self._report()

    def _loop(self) -> None:
        heap, pop = self._heap, heapq.heappop
        while heap and not self.checker.violations:
            self.now, _, do, given = pop(heap)
            do(*given)
            self._events += 1
            if self._goal is not None and self._events % 16 == 0 and self._done():
                return
            if self._events > MAX_EVENTS:
                self.checker.report("liveness", self.now, f"{MAX_EVENTS} events and no end")

    def _adversary(self, index: int, faults: frozenset[Fault]) -> Adversary:
        return Adversary(self, index, faults, [WILLS[fault]() for fault in Fault if fault in faults])

    def _arrive(self, at: int, sender: int, receiver: int, message: Sent) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, self.hosts[receiver].receive, (sender, message)))

    def _honest(self) -> list[Host]:
        return [self.hosts[index] for index in self.plan.honest]

    def _stabilise(self) -> None:
        honest = self._honest()
        for host in honest:
            host.disarm()
        self._stable_height = max(host.height for host in honest)
        self._goal = self._stable_height + self.plan.heights
        self.at(self._deadline(), self._give_up)

    def _deadline(self) -> int:
        """By when liveness must be seen: each height may take as many rounds as there are delegates, and some."""
        honest = self._honest()
        first = max((host.driver.state.round for host in honest if host.up), default=0)
        rounds = range(first, first + 2 * len(self.hosts) + 4)
        timing = self.plan.parameters.timing
        if timing.pacing is Pacing.CLOCK:
            one = timing.interval * len(rounds)
        else:
            one = sum(phase_ends(phase, each, 0, 0, timing) for each in rounds for phase in WAITING)
        return self.now + SETTLING + one * self.plan.heights

    def _done(self) -> bool:
        goal = self._goal
        return goal is not None and all(len(self.hosts[each].chain) >= goal for each in self.plan.honest)

    def _give_up(self) -> None:
        if not self._done():
            reached = [(host.number, len(host.chain), *host.driver.state[1:3]) for host in self._honest()]
            self.checker.report("liveness", self.now, f"{reached} (delegate, height, round, phase); goal {self._goal}")

    def _report(self) -> Report:
        checker = self.checker
        calm = [round_ + 1 for height, round_ in checker.rounds.items() if height > self._stable_height + 1]
        self.note(b"end", self._events, self.rng.getrandbits(64))
        happened = self.happened + self._network.happened
        happened[Fault.SKEW] = sum(map(bool, self.plan.skews))
        happened[Fault.DRIFT] = sum(map(bool, self.plan.drifts))
        happened[Fault.CHURN] = self.electorates.changes(len(checker.blocks))
        return Report(
            self.plan.seed,
            len(checker.blocks),
            self._events,
            self.now - START,
            tuple(checker.violations),
            self._trace.hexdigest(),
            max(calm, default=0),
            {what: count for what, count in happened.items() if count},
        )


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "nowhere" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
