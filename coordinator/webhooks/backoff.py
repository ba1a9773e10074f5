"""When a failed delivery is tried again: a fixed schedule with jitter, pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

PAUSES = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
"""Seconds before the second to the tenth try: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h; together about three days
(Standard Webhooks, "Operational considerations")."""


@dataclass(frozen=True)
class Backoff:
    """The pauses between tries, in seconds.

    Each is lengthened or shortened by a random part, so that messages to one recovering endpoint keep apart (Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog 2015).
    """

    pauses: tuple[float, ...] = PAUSES
    """Before try 2, 3 and so on; the last one again for every later try."""
    jitter: float = 0.1
    """The random part, 0 to 1."""
    longest: float = 86_400.0
    """A server's Retry-After counts up to here."""

    def delay(self, tries: int, draw: random.Random, at_least: float | None = None) -> float:
        """Seconds to wait after `tries` failed tries, 1 or more; a server's Retry-After lifts it, up to `longest`."""
        pause = self.pauses[min(tries, len(self.pauses)) - 1]
        chosen = pause * draw.uniform(1 - self.jitter, 1 + self.jitter)
        return max(chosen, min(at_least, self.longest)) if at_least is not None else chosen
