"""What time it is, for a process whose wall clock may be set while it works.

Leases and heartbeats are judged by the steady clock alone: a jump of the wall clock takes no lease and keeps none. Only
what was promised in wall time (deadlines, backoff) follows the wall clock, and a jump of it is believed once it has
stood for a while: a clock that is set wrong and right again within that time has expired nothing. One that is behind is
followed at once, for that makes nothing late. A deadline that was written before the clock leapt ahead is put off by as
much, for it stands for a length of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from coordinator.dispatch.pool import Steady, steady_clock
from coordinator.ledger.store import Clock

log = structlog.get_logger(__name__)

PATIENCE_MS = 30_000
"""A jump of the wall clock that stood for so long is believed."""
TOLERANCE_MS = 1_000
"""The wall clock may be slewed by so much between two looks; more is a jump."""


@dataclass(frozen=True)
class Leap:
    """The wall clock was set ahead."""

    until: int
    """What has a wall time up to this one, milliseconds, was written before."""
    by: int
    """How far, milliseconds."""


class Timekeeper:
    """Both clocks. Parameters: `wall` and `steady` give milliseconds."""

    def __init__(self, wall: Clock, steady: Steady = steady_clock) -> None:
        self._read_wall = wall
        self.steady = steady
        """Milliseconds that only go forward."""
        self._wall = wall()
        self._at = steady()
        self._jump: tuple[int, int] | None = None
        self._offset = self._wall - self._at

    def now(self) -> int:
        """Milliseconds since the Unix epoch, as far as the wall clock is believed."""
        wall, at = self._read_wall(), self.steady()
        expected = self._wall + at - self._at
        if abs(wall - expected) <= TOLERANCE_MS:
            self._jump = None
        elif not self._is_believed(wall - at, at):
            # What is written meanwhile has times of the clock that is behind: for none of it is it too late.
            return min(expected, wall)
        self._wall, self._at = wall, at
        return wall

    def leap(self) -> Leap | None:
        """How the wall clock leapt ahead since the last one that was `taken`, at once and believed or not; None when it
        did not. A clock that was set right again after it was behind has leapt ahead too."""
        wall, at = self._read_wall(), self.steady()
        by = wall - at - self._offset
        if by > TOLERANCE_MS:
            return Leap(wall - by, by)
        self._offset = wall - at
        return None

    def taken(self, leap: Leap) -> None:
        """Everything that was written before the leap is mended."""
        self._offset += leap.by

    def _is_believed(self, offset: int, at: int) -> bool:
        """Whether the wall clock has stood `offset` ahead of the steady one long enough."""
        if self._jump is None or abs(self._jump[0] - offset) > TOLERANCE_MS:
            self._jump = (offset, at)
            log.warning("the wall clock jumped", by_ms=offset - (self._wall - self._at))
        if at - self._jump[1] < PATIENCE_MS:
            return False
        self._jump = None
        return True
