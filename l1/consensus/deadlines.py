"""Deadlines of one height: when its rounds start, and when a phase has waited long enough (arithmetic: `schedule`).

With EVENT pacing, waiting for votes ends only after a quorum has voted anything (L34, L47 of Algorithm 1): a minority
that is cut off from the rest does not run through rounds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from l1.consensus.machine import Phase, Schedule, Topic
from l1.consensus.messages import Vote
from l1.consensus.parameters import Pacing, Timing
from l1.consensus.schedule import next_round_start, phase_ends, round_at
from l1.consensus.tally import Tally

_WAITS_FOR: Final = {Phase.ACCEPT_PROPOSAL_ENDORSEMENT: Topic.PROPOSAL, Phase.ACCEPT_LOCK_ENDORSEMENT: Topic.LOCK}


class Deadline(NamedTuple):
    """When a phase has lasted too long."""

    phase: Phase
    round: int
    at: int
    """In ms of the driver's clock."""


class Deadlines:
    """What one delegate waits for."""

    def __init__(self, timing: Timing, tally: Tally, last: int, now: int) -> None:
        """`last` is when the block before was proposed, as in `Driver.start_height`."""
        self._timing = timing
        self._tally = tally
        self._last = last
        self._round_start = now
        self._waiting: Schedule | None = None

    def first_round(self, after: int, now: int) -> tuple[int, int]:
        """(round, its start) of the first round later than `after`."""
        round_, at = 0, self._last + self._timing.interval
        if self._timing.pacing is Pacing.CLOCK:
            round_, at = round_at(max(now, self._last + 1), self._last, self._timing)
        return max(round_, after + 1), at

    def start_of(self, round_: int, now: int) -> int:
        """When a round after the first starts."""
        return next_round_start(round_, self._last, now, self._timing)

    def resend_at(self, now: int) -> int:
        """When to send again what may be lost."""
        return now + (self._timing.resend or self._timing.interval)

    def enter(self, round_: int, now: int) -> None:
        """A round begins: nothing is waited for."""
        self._waiting = None
        self._round_start = self.start_of(round_, now)

    def wait(self, schedule: Schedule) -> None:
        """A phase begins."""
        self._waiting = schedule

    def is_past(self, vote: Vote) -> bool:
        """Whether a vote shows that its voter is beyond what is waited for."""
        waiting = self._waiting
        return waiting is not None and (vote.round, vote.topic) > (waiting.round, _WAITS_FOR.get(waiting.phase, 3))

    def due(self, round_: int, now: int) -> Deadline | None:
        """The deadline of the phase that the round is in, once, when it is known."""
        waiting, timing = self._waiting, self._timing
        if waiting is None or waiting.round != round_:
            return None
        topic = _WAITS_FOR.get(waiting.phase)
        if timing.pacing is Pacing.EVENT and topic is not None and not self._tally.passed(round_, topic):
            return None
        self._waiting = None
        return Deadline(waiting.phase, round_, phase_ends(waiting.phase, round_, self._round_start, now, timing))
