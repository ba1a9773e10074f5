"""Who decides which heights of a run: the same delegates always, or members, order and powers that change every epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from l1.consensus.delegates import DelegateSet
from l1.simulation.plan import Plan, Seat
from l1.simulation.signatures import delegates_of


@dataclass(frozen=True)
class Electorate:
    """The set of some heights, and whose its seats are."""

    delegates: DelegateSet
    """Members by their seats."""
    holders: tuple[int, ...]
    """Which delegate of the run has each seat."""
    byzantine: frozenset[int]
    """Seats of byzantine delegates."""
    seats: dict[int, int] = field(init=False)
    """The seat of each delegate that has one."""
    byzantine_power: int = field(init=False)
    """What byzantine seats count together."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seats", {holder: seat for seat, holder in enumerate(self.holders)})
        object.__setattr__(self, "byzantine_power", self.delegates.power_of(self.byzantine))


class Electorates:
    """The sets of a run."""

    def __init__(self, plan: Plan, *, signed: bool = False) -> None:
        everybody = tuple(Seat(number, power) for number, power in enumerate(plan.powers))
        self._sets = [self._of(plan, seats, signed=signed) for seats in plan.sets or (everybody,)]
        self._heights = plan.parameters.blocks_per_epoch

    def at(self, height: int) -> Electorate:
        """Who decides a height, from 1."""
        return self._sets[(height - 1) // self._heights % len(self._sets)]

    def set_of(self, height: int) -> DelegateSet:
        """The set that decides a height."""
        return self.at(height).delegates

    def changes(self, decided: int) -> int:
        """How often the set changed in so many heights."""
        heights = range(1, decided)
        return sum(self.at(height) is not self.at(height + 1) for height in heights)

    def _of(self, plan: Plan, seats: Iterable[Seat], *, signed: bool) -> Electorate:
        holders = tuple(each.holder for each in seats)
        powers = [each.power for each in seats]
        byzantine = frozenset(seat for seat, holder in enumerate(holders) if holder in plan.byzantine)
        members = delegates_of(powers, plan.parameters.quorum_rule, holders=holders, signed=signed)
        return Electorate(members, holders, byzantine)
