"""How long the event loop lets a timer wait: what a call, a heartbeat and a lease's renewal wait at worst too."""

from __future__ import annotations

import asyncio
import time
from collections import deque

EVERY_SECONDS = 0.5
KEPT = 120
"""Samples: those of the last minute."""


class LoopLag:
    """Measures by sleeping; `run` is cancelled to end it."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(EVERY_SECONDS)  # the measured thing itself
            self._late.append(max(0.0, time.monotonic() - began - EVERY_SECONDS))

    @property
    def worst(self) -> float:
        """The longest of the last minute, seconds."""
        return max(self._late, default=0.0)
