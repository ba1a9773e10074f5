"""What goes wrong in a run, all of it drawn from the seed before the run begins.

Faults of the network, the clocks and the disks end at the plan's stabilisation time; byzantine delegates never stop.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from l1.consensus.parameters import DEVNET, IIP_51, WAKE, Pacing, Parameters, QuorumRule
from l1.simulation.fault import ALL, BYZANTINE, Fault
from l1.simulation.network import Weather

_CHURNS = 0.5
"""Share of runs in which delegate sets change."""
_SETS = 6
"""Different sets of such a run."""
_PLOTS = 0.12
"""Share of runs in which all byzantine delegates usurp, while one honest delegate is not heard."""
START = 100_000
"""When a run begins, in ms; every clock shows a positive time then."""


class Moment(StrEnum):
    """When a delegate loses power."""

    AT_ONCE = "at once"
    BEFORE_WRITE = "before an entry is written"
    TORN_WRITE = "while an entry is written"
    AFTER_WRITE = "after an entry is written, before anything is sent"
    BEFORE_COMMIT = "after a block is final, before it is in the chain"
    AFTER_COMMIT = "after a block is in the chain, before the log lets go of its votes"
    WHILE_ROTATING = "while the log is replaced by a shorter one"
    WHILE_SENDING = "while a vote is sent: some get it, some do not"


class Crash(NamedTuple):
    """A delegate stops, and comes back with what its disk has."""

    delegate: int
    at: int
    """From when on the moment is waited for, in ms."""
    moment: Moment
    down: int
    """How long, in ms."""
    kept: float = 0.0
    """Share of a torn entry that is on the disk."""


class Seat(NamedTuple):
    """A place in a delegate set."""

    holder: int
    """Which delegate of the run has it."""
    power: int
    """What its vote counts in an epoch."""


@dataclass(frozen=True)
class Plan:
    """One run, but for what byzantine delegates do on the way."""

    seed: int
    """What it was drawn from, and what the run draws from."""
    powers: tuple[int, ...]
    """Each delegate's power, where all of them decide every height."""
    parameters: Parameters
    """Times and rules."""
    weathers: tuple[Weather, ...] = (Weather(0),)
    """The network's, in their order; the last one begins at `stable`."""
    stable: int = START
    """From when on links, clocks and disks are good, in ms."""
    heights: int = 3
    """How many every honest delegate must decide after that."""
    skews: tuple[int, ...] = ()
    """By how much each clock is ahead, in ms; empty for none."""
    drifts: tuple[int, ...] = ()
    """By how much each clock is fast, in parts per million."""
    crashes: tuple[Crash, ...] = ()
    """In the order of their times."""
    byzantine: dict[int, frozenset[Fault]] = field(default_factory=dict)
    """What each byzantine delegate does."""
    depth_first: bool = False
    """Whether hosts carry out the effects of an effect before the effects after it."""
    sets: tuple[tuple[Seat, ...], ...] = ()
    """Who decides the heights of each epoch, over and over; empty for all delegates always. Who has no seat watches."""

    @property
    def honest(self) -> list[int]:
        """Delegates that follow the rules."""
        return [index for index in range(len(self.powers)) if index not in self.byzantine]


@dataclass(frozen=True)
class Wish:
    """What runs a caller wants."""

    faults: frozenset[Fault] = ALL
    """What may go wrong."""
    delegates: int | None = None
    """How many; None for 4 to 7, drawn. Where sets change, there may be up to two more than have seats."""
    heights: int = 3
    """See Plan."""
    skewed: bool = False
    """Whether powers differ; else every delegate has the same."""
    parameters: Parameters | None = None
    """None for a draw."""
    patience: int = 30_000
    """How long things may go wrong before the network is stable, in ms."""


def draw(seed: int, wish: Wish) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"plan {seed}")
    faults = wish.faults
    count = wish.delegates if wish.delegates is not None else rng.choice((4, 4, 4, 5, 6, 7))
    parameters = wish.parameters or rng.choice((IIP_51, IIP_51, IIP_51, DEVNET, WAKE))
    churn = _Churn(seed, faults, seats=count)
    count += churn.spare
    parameters = churn.epochs_of(parameters)
    powers = _powers(rng, count, skewed=wish.skewed and parameters.quorum_rule is QuorumRule.POWER)
    if not faults:
        return Plan(seed, powers, parameters, heights=wish.heights)
    stable = START + rng.randrange(wish.patience // 6, wish.patience + 1)
    byzantine = _byzantine(rng, powers, faults)
    weathers = _weathers(rng, count, stable, faults)
    if Fault.ASYMMETRY in faults and any(wills == {Fault.USURPING} for wills in byzantine.values()):
        mute = rng.choice([index for index in range(count) if index not in byzantine])
        weathers = (Weather(0, cut=_silence(mute, count)), weathers[-1])
    clock = parameters.timing.pacing is Pacing.CLOCK
    skew = (100 if clock else 3_000) if Fault.SKEW in faults and rng.random() < 0.5 else 0
    drift = (50 if clock else 20_000) if Fault.DRIFT in faults and rng.random() < 0.3 else 0
    return Plan(
        seed,
        powers,
        parameters,
        weathers,
        stable,
        wish.heights,
        tuple(rng.randint(-skew, skew) for _ in powers),
        tuple(rng.randint(-drift, drift) for _ in powers),
        _crashes(rng, count, stable, faults) if Fault.CRASH in faults and rng.random() < 0.6 else (),
        byzantine,
        depth_first=rng.random() < 0.5,
        sets=churn.sets(powers, byzantine, parameters),
    )


class _Churn:
    """How delegate sets change in a run. It draws from a source of its own: without it a seed's other faults are the
    same."""

    def __init__(self, seed: int, faults: frozenset[Fault], *, seats: int) -> None:
        self._rng = random.Random(f"churn {seed}")
        self._happens = Fault.CHURN in faults and self._rng.random() < _CHURNS
        self._seats = seats
        self.spare = self._rng.choice((0, 0, 1, 2)) if self._happens else 0
        """Delegates beyond the seats that there are."""

    def epochs_of(self, parameters: Parameters) -> Parameters:
        """The era with epochs of a few heights."""
        if not self._happens:
            return parameters
        return replace(parameters, blocks_per_epoch=self._rng.choice((1, 2, 3, 3, 5)))

    def sets(
        self, powers: Sequence[int], byzantine: Container[int], parameters: Parameters
    ) -> tuple[tuple[Seat, ...], ...]:
        """Some epochs' sets: members leave and come back, powers change and so does the order."""
        if not self._happens:
            return ()
        by_power = parameters.quorum_rule is QuorumRule.POWER
        return tuple(self._set(powers, byzantine, by_power=by_power) for _ in range(_SETS))

    def _set(self, powers: Sequence[int], byzantine: Container[int], *, by_power: bool) -> tuple[Seat, ...]:
        """Less than a third of the power is byzantine: of those who are, some get no seat."""
        rng = self._rng
        most = min(self._seats, len(powers))
        size = max(1, rng.choice((most, most, most - 1, most - 2, rng.randint(1, most))))
        chosen = rng.sample(range(len(powers)), size)
        if all(each in byzantine for each in chosen):
            chosen.append(rng.choice([each for each in range(len(powers)) if each not in byzantine]))
        seats = [Seat(each, max(1, powers[each] * rng.randint(50, 200) // 100) if by_power else 1) for each in chosen]
        while 3 * sum(each.power for each in seats if each.holder in byzantine) >= sum(each.power for each in seats):
            seats.remove(rng.choice([each for each in seats if each.holder in byzantine]))
        return tuple(seats)


def _powers(rng: random.Random, count: int, *, skewed: bool) -> tuple[int, ...]:
    if not skewed:
        return (100,) * count
    return tuple(int(10 * rng.paretovariate(1.2)) for _ in range(count))


def _weathers(rng: random.Random, count: int, stable: int, faults: frozenset[Fault]) -> tuple[Weather, ...]:
    moments = sorted(rng.randrange(START, stable) for _ in range(rng.randint(0, 5)))
    found = [_weather(rng, count, at, faults) for at in (0, *moments)]
    least = rng.choice((1, 10, 50))
    return (*found, Weather(stable, least, least + rng.choice((5, 50, 100))))


def _weather(rng: random.Random, count: int, since: int, faults: frozenset[Fault]) -> Weather:
    def maybe(fault: Fault, choices: Sequence[float]) -> float:
        return rng.choice(choices) if fault in faults and rng.random() < 0.5 else 0.0

    least = rng.choice((1, 20, 50))
    most = least + (rng.choice((10, 100, 400, 1_500, 4_000)) if Fault.DELAY in faults else 20)
    cut: frozenset[tuple[int, int]] = frozenset()
    if {Fault.PARTITION, Fault.ASYMMETRY} & faults and rng.random() < 0.5:
        cut = _cut(
            rng, count, asymmetric=Fault.PARTITION not in faults or (Fault.ASYMMETRY in faults and rng.random() < 0.4)
        )
    return Weather(
        since,
        least,
        most,
        maybe(Fault.REORDERING, (0.02, 0.1, 0.3)),
        maybe(Fault.LOSS, (0.02, 0.1, 0.3, 0.6)),
        maybe(Fault.DUPLICATION, (0.1, 0.5)),
        cut,
        rng.random() < 0.4,
    )


def _cut(rng: random.Random, count: int, *, asymmetric: bool) -> frozenset[tuple[int, int]]:
    """Links between groups; or any directed ones; or one delegate hears all and nobody hears it."""
    if asymmetric and rng.random() < 0.5:
        return _silence(rng.randrange(count), count)
    if asymmetric:
        share = rng.choice((0.2, 0.4, 0.6))
        return frozenset((a, b) for a in range(count) for b in range(count) if a != b and rng.random() < share)
    side = [rng.randrange(rng.choice((2, 2, 3))) for _ in range(count)]
    return frozenset((a, b) for a in range(count) for b in range(count) if side[a] != side[b])


def _silence(mute: int, count: int) -> frozenset[tuple[int, int]]:
    return frozenset((mute, each) for each in range(count) if each != mute)


def _crashes(rng: random.Random, count: int, stable: int, faults: frozenset[Fault]) -> tuple[Crash, ...]:
    moments = tuple(Moment) if Fault.TEAR in faults else (Moment.AT_ONCE, Moment.AFTER_WRITE, Moment.WHILE_SENDING)
    found = []
    for _ in range(rng.randint(1, 2 * count)):
        at = rng.randrange(START, stable)
        down = min(rng.choice((1, 100, 1_000, 8_000)), stable - at)
        found.append(Crash(rng.randrange(count), at, rng.choice(moments), down, rng.random()))
    return tuple(sorted(found, key=lambda each: each.at))


def _byzantine(rng: random.Random, powers: Sequence[int], faults: Iterable[Fault]) -> dict[int, frozenset[Fault]]:
    """Less than a third of the power, most often as many as that allows."""
    wills = [fault for fault in BYZANTINE if fault in frozenset(faults)]
    if not wills or rng.random() < 0.1:
        return {}
    plot = frozenset({Fault.USURPING}) if Fault.USURPING in wills and rng.random() < _PLOTS else None
    chosen: dict[int, frozenset[Fault]] = {}
    power = 0
    for index in rng.sample(range(len(powers)), len(powers)):
        if 3 * (power + powers[index]) < sum(powers) and rng.random() < 0.95:
            power += powers[index]
            will = frozenset(rng.sample(wills, min(len(wills), rng.choice((1, 1, 2, 2, 3, 5)))))
            chosen[index] = plot or will
    return chosen
