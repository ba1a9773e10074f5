"""The network between delegates: every directed link delays, loses and doubles messages as the plan says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from l1.simulation.fault import Fault

if TYPE_CHECKING:
    from l1.simulation.host import Sent


class Weather(NamedTuple):
    """How links behave from some moment on."""

    since: int
    """From when on, in ms."""
    least: int = 10
    """The least delay, in ms."""
    most: int = 50
    """The most, but for the slow ones."""
    slow: float = 0.0
    """Share of messages that take up to 40 times longer: they overtake each other."""
    loss: float = 0.0
    """Share of messages that are lost."""
    duplication: float = 0.0
    """Share of messages that come twice."""
    cut: frozenset[tuple[int, int]] = frozenset()
    """Directed links that let nothing through."""
    stalls: bool = False
    """Whether what is sent over a cut link comes when it heals; else it is lost."""

    @property
    def gentle(self) -> bool:
        """Whether every message arrives, once, and in about its order."""
        return not (self.slow or self.loss or self.duplication or self.cut)

    @property
    def cutting(self) -> Fault:
        """What its cut links are: groups apart, or links that are cut in one direction only."""
        both_ways = all((receiver, sender) in self.cut for sender, receiver in self.cut)
        return Fault.PARTITION if both_ways else Fault.ASYMMETRY


_SLOWER = 40
_LONG = 200
"""A message that takes longer than this, in ms, is a delayed one."""

Deliver = Callable[[int, int, int, "Sent"], None]
"""(at, sender, receiver, message)."""


class Network:
    """Takes messages, and says when and whether they arrive."""

    def __init__(self, weathers: Sequence[Weather], rng: random.Random, deliver: Deliver) -> None:
        """`weathers` are in the order of their beginnings."""
        self._coming = list(weathers)
        self._weather = self._coming.pop(0)
        self._cutting = self._weather.cutting
        self._random = rng.random
        self._deliver = deliver
        self.happened: Counter[Fault] = Counter()
        """How many messages met a fault."""

    @property
    def cut(self) -> frozenset[tuple[int, int]]:
        """Directed links that let nothing through."""
        return self._weather.cut

    def send(self, now: int, sender: int, receivers: Iterable[int], message: Sent) -> None:
        """Send a message over some of a delegate's links."""
        while self._coming and self._coming[0].since <= now:
            self._weather = self._coming.pop(0)
            self._cutting = self._weather.cutting
        weather, draw, deliver, happened = self._weather, self._random, self._deliver, self.happened
        least, spread = weather.least, weather.most - weather.least
        if weather.most > _LONG:
            happened[Fault.DELAY] += 1
        if weather.gentle:
            for receiver in receivers:
                deliver(now + least + int(spread * draw()), sender, receiver, message)
            return
        for receiver in receivers:
            start = now
            if (sender, receiver) in weather.cut:
                happened[self._cutting] += 1
                if not weather.stalls:
                    continue
                start = self._coming[0].since if self._coming else now
            if draw() < weather.loss:
                happened[Fault.LOSS] += 1
                continue
            copies = 2 if draw() < weather.duplication else 1
            happened[Fault.DUPLICATION] += copies - 1
            for _ in range(copies):
                delay = least + int(spread * draw())
                if draw() < weather.slow:
                    happened[Fault.REORDERING] += 1
                    delay = int(delay * (1 + (_SLOWER - 1) * draw()))
                deliver(start + delay, sender, receiver, message)
