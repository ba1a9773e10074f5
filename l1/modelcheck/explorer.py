"""Walks through all worlds, layer by layer, and remembers the shortest run to each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from l1.consensus.machine import Cast, Info, Input, RoundStarted, Topic
from l1.modelcheck.invariants import Broken, decides, of_step, of_world
from l1.modelcheck.world import Bounds, Honest, Protocol, Renaming, World, canonical, inputs, is_final, next_turn, start

_FATAL = frozenset({"agreement", "decision", "order", "equivocation"})
"""Invariants past whose violation nothing is explored: all is lost, or the order of events means nothing any more."""


class Turn(NamedTuple):
    """What one delegate may have done when its turn is over."""

    after: Honest
    given: tuple[Input, ...]
    """The fewest inputs that lead there."""
    broken: tuple[Broken, ...]
    """What its last step broke."""


class Origin(NamedTuple):
    """How a world is reached."""

    before: World | None
    given: tuple[Input, ...]
    """What the delegate whose turn it was had come in."""
    names: Renaming
    events: int
    """Inputs of the whole run."""


@dataclass
class Report:
    """What an exploration found."""

    states: int = 0
    """Worlds between two turns, up to symmetry."""
    transitions: int = 0
    """Ways that a turn went, over all worlds."""
    events: int = 0
    """Most inputs of a shortest run to a world."""
    violations: dict[str, tuple[Broken, tuple[World, ...], Turn | None]] = field(default_factory=dict)
    """By invariant: what is wrong, the worlds of a shortest run to it, and the step if it is a step's."""


class Explorer:
    """Explores one protocol within bounds."""

    def __init__(self, protocol: Protocol, bounds: Bounds) -> None:
        self.bounds = bounds
        self._protocol: Protocol = cache(protocol)
        self._turns: dict[tuple[object, ...], list[Turn]] = {}
        self._decides: dict[tuple[Honest, ...], bool] = {}
        self._origins: dict[World, Origin] = {}
        self.final: set[World] = set()
        """The worlds after the last turn of the last layer."""

    def run(self) -> Report:
        """Explore everything."""
        report = Report()
        first, names = canonical(start(self.bounds))
        level = {first: Origin(None, (), names, 0)}
        while level:
            self._origins |= level
            report.states += len(level)
            report.events = max(report.events, *(each.events for each in level.values()))
            level = self._next_level(level, report)
        return report

    def origin(self, world: World) -> Origin:
        """How a world that was explored is reached."""
        return self._origins[world]

    def _next_level(self, level: dict[World, Origin], report: Report) -> dict[World, Origin]:
        found: dict[World, Origin] = {}
        for world, origin in sorted(level.items(), key=lambda each: each[1].events):
            broken = list(self._broken(world))
            for each in broken:
                self._keep(report, each, world, None)
            if is_final(world, self.bounds):
                self.final.add(world)
            elif not _is_fatal(broken):
                self._take_turn(world, origin, found, report)
        return found

    def _take_turn(self, world: World, origin: Origin, found: dict[World, Origin], report: Report) -> None:
        for turn in self._ways(world):
            report.transitions += 1
            for each in turn.broken:
                self._keep(report, each, world, turn)
            if not _is_fatal(turn.broken):
                self._go_on(found, world, origin, turn)

    def _go_on(self, found: dict[World, Origin], world: World, origin: Origin, turn: Turn) -> None:
        honest = (*world.honest[: world.turn], turn.after, *world.honest[world.turn + 1 :])
        ended = world._replace(honest=honest)
        after, names = canonical(next_turn(ended, self.bounds))
        events = origin.events + len(turn.given)
        known = found.get(after)
        if known is None or events < known.events:
            found[after] = Origin(world, turn.given, names, events)

    def _broken(self, world: World) -> Iterator[Broken]:
        yield from of_world(self._protocol, world, self.bounds)
        if world.turn == 0 and world.layer.topic is Topic.PROPOSAL and not self.bounds.may_break:
            decided = self._decides.get(world.honest)
            if decided is None:
                decided = self._decides[world.honest] = decides(self._protocol, world.honest, self.bounds)
            if not decided:
                yield Broken("termination", "with every message in time, honest delegates do not decide")

    def _keep(self, report: Report, broken: Broken, world: World, turn: Turn | None) -> None:
        """Keep a violation, unless one of its kind is known: worlds come in the order of their runs' lengths."""
        if broken.name in report.violations:
            return
        path = [world]
        while (before := self._origins[path[-1]].before) is not None:
            path.append(before)
        report.violations[broken.name] = (broken, tuple(reversed(path)), turn)

    def _ways(self, world: World) -> list[Turn]:
        """All that the delegate whose turn it is may do in it, the shortest first."""
        one = world.honest[world.turn]
        key = (one, world.layer, world.endorsed, world.locked)
        known = self._turns.get(key)
        if known is None:
            silent = world.layer.topic is not Topic.COMMIT
            known = [turn for turn in self._walk(world, one) if turn.broken or not (silent and turn.after.cast is None)]
            self._turns[key] = known
        return known

    def _walk(self, world: World, one: Honest) -> Iterator[Turn]:
        seen = {one}
        level = [Turn(one, (), ())]
        while level:
            yield from level
            found = []
            for turn in level:
                for given in () if _is_fatal(turn.broken) else inputs(world, turn.after.state):
                    after, broken = self._step(world, turn.after, given)
                    if after not in seen or broken:
                        seen.add(after)
                        found.append(Turn(after, (*turn.given, given), broken))
            level = found

    def _step(self, world: World, one: Honest, given: Input) -> tuple[Honest, tuple[Broken, ...]]:
        info = Info(proposer=isinstance(given, RoundStarted))
        state, outputs = self._protocol(one.state, info, given)
        broken = tuple(of_step(world, one, given, outputs))
        after = one._replace(state=state)
        for output in outputs:
            if isinstance(output, Cast) and output.topic is Topic.COMMIT:
                after = after._replace(commits=after.commits | {(output.round, output.block_hash)})
            elif isinstance(output, Cast):
                after = after._replace(cast=output.block_hash)
        return after, broken


def _is_fatal(broken: Iterable[Broken]) -> bool:
    return any(each.name in _FATAL for each in broken)


def explore(protocol: Protocol, bounds: Bounds) -> tuple[Explorer, Report]:
    """Explore a protocol within bounds."""
    explorer = Explorer(protocol, bounds)
    return explorer, explorer.run()
