"""The numbers of the process and the bounds that no vote can move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from l1.governance.states import StepRefused

DAY = 86_400
"""Seconds."""
ONE = 10_000
"""One whole, in basis points."""
MAX_PERIOD_FLOOR = DAY
"""The largest floor of periods that a deployment may choose, seconds."""


@dataclass(frozen=True)
class Parameters:
    """The numbers of the process; the defaults are those of docs/adr/0010-governance.md.

    Shares are in basis points and rounded up, periods in seconds. The lower bound of every period is the deployment's
    floor.
    """

    proposal_threshold_bps: int = 0
    """Share of all weight that a proposer needs, 0 to 100. 0 is any weight at all: every stakeholder may propose."""
    support_quorum_bps: int = 100
    """Share of all weight whose support makes an idea a proposal, 1 to 1,000."""
    turnout_quorum_bps: int = 1_000
    """Share of all weight that must be cast, 100 to 5,000. IIP-23's 10 %."""
    majority_bps: int = 5_000
    """Share of the cast weight that yes must exceed, 5,000 to 8,000."""
    support_period: int = 30 * DAY
    """How long an idea gathers support, at most 180 days."""
    voting_delay: int = 7 * DAY
    """From proposal to vote, at most 30 days."""
    voting_period: int = 7 * DAY
    """How long the vote lasts, at most 30 days."""
    time_lock: int = 7 * DAY
    """From queueing to the first moment of execution, at most 30 days."""
    grace_period: int = 14 * DAY
    """How long the next step (open, queue, execute) may be taken, at most 90 days."""

    def as_tuple(self) -> tuple[int, ...]:
        """The values in the contract's order."""
        return tuple(getattr(self, each.name) for each in fields(self))

    def check(self, floor: int) -> None:
        """Raise StepRefused (ParameterOutOfBounds) for the first number outside its bounds.

        Parameters
        ----------
        floor
            Least seconds of a period.
        """
        for field, least, most in bounds(floor):
            value = getattr(self, field)
            if not least <= value <= most:
                raise StepRefused("ParameterOutOfBounds", name=solidity_name(field), value=value)


def bounds(floor: int) -> Iterator[tuple[str, int, int]]:
    """(field, least, most) of every parameter, in the order in which the contract looks."""
    yield "proposal_threshold_bps", 0, 100
    yield "support_quorum_bps", 1, 1_000
    yield "turnout_quorum_bps", 100, 5_000
    yield "majority_bps", 5_000, 8_000
    yield "support_period", floor, 180 * DAY
    yield "voting_delay", floor, 30 * DAY
    yield "voting_period", floor, 30 * DAY
    yield "time_lock", floor, 30 * DAY
    yield "grace_period", floor, 90 * DAY


def solidity_name(field: str) -> str:
    """`voting_delay` as the contract writes it: `votingDelay`."""
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def share(total: int, bps: int) -> int:
    """`bps` of `total`, rounded up."""
    return -(-total * bps // ONE)
