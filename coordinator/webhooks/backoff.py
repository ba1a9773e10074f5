"""When a failed delivery is tried again: exponential backoff with full jitter, pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays in seconds: before try n + 1 a random time in [0, min(longest, first · factor^(n - 1))].

    Full jitter keeps many messages to one recovering endpoint apart (Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog 2015). With the defaults and ten tries a message lives for about half a day on average.
    """

    first: float = 5.0
    """Upper bound of the first delay."""
    factor: float = 4.0
    """Growth of the bound with each failed try."""
    longest: float = 8 * 3600.0
    """Upper bound of every delay."""

    def bound(self, tries: int) -> float:
        """Upper bound in seconds after `tries` failed tries, 1 or more."""
        # The exponent is capped so that a huge count cannot overflow a float.
        return min(self.longest, self.first * self.factor ** min(tries - 1, 64))

    def delay(self, tries: int, draw: random.Random, at_least: float | None = None) -> float:
        """Seconds to wait after `tries` failed tries; a server's Retry-After lifts it, up to `longest`."""
        chosen = draw.uniform(0, self.bound(tries))
        return max(chosen, min(at_least, self.longest)) if at_least is not None else chosen
