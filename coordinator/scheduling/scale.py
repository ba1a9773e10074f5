"""How many workers of a kind an external cluster should hold: pure rules over backlog and room."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Fewest and most workers of one kind."""

    low: int
    high: int


def wanted_workers(backlog: int, bounds: Bounds) -> int:
    """Workers that the backlog, in tasks that wait for or are with provers, asks for: one each, within the bounds.

    The autoscaler is asked for so many; how fast it follows is its own affair.
    """
    return max(bounds.low, min(backlog, bounds.high))


@dataclass
class SlowToFall:
    """A number that rises at once, and falls only after what was measured was lower for `linger_ms`: it keeps workers
    through a lull, and through a node's short absence."""

    linger_ms: int
    value: int = 0
    _lower_since: int | None = None

    def take(self, now: int, value: int) -> int:
        """The number to act on, after it was measured as `value` at `now` (milliseconds on the steady clock)."""
        if value >= self.value:
            self.value, self._lower_since = value, None
        elif self._lower_since is None:
            self._lower_since = now
        elif now - self._lower_since >= self.linger_ms:
            self.value, self._lower_since = value, None
        return self.value
