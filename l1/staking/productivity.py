"""Who produced how many of its blocks (iotex-core, poll/slasher.go; expected slots counted one by one)."""

from __future__ import annotations

from collections.abc import Iterable

from l1.staking.parameters import Parameters, Rotation
from l1.staking.state import Seat


def expected_blocks(parameters: Parameters, epoch: int, delegates: int) -> tuple[int, ...]:
    """Blocks that each delegate is first to propose in the epoch, by its place in the delegate order.

    iotex-core divides the epoch's blocks by the delegates. That is the same for 24; where the number of delegates does
    not divide the epoch (84, 108, 132), some have a slot more than others.
    """
    blocks = parameters.blocks_per_epoch
    first = 0 if parameters.rotation is Rotation.EPOCH else parameters.first_height(epoch) % delegates
    whole, rest = divmod(blocks, delegates)
    return tuple(whole + ((place - first) % delegates < rest) for place in range(delegates))


def produced_blocks(seats: tuple[Seat, ...], beneficiaries: Iterable[bytes]) -> tuple[int, ...]:
    """Blocks of each seat, from the beneficiaries in the headers of an epoch.

    Raises
    ------
    ValueError
        For a beneficiary who has no seat: such a block is invalid.
    """
    places = {seat.operator: place for place, seat in enumerate(seats)}
    counts = [0] * len(seats)
    for beneficiary in beneficiaries:
        place = places.get(beneficiary)
        if place is None:
            raise ValueError(f"0x{beneficiary.hex()} produced a block and has no seat")
        counts[place] += 1
    return tuple(counts)


def is_unproductive(parameters: Parameters, produced: int, expected: int) -> bool:
    """Whether the share of its blocks, in whole per cent, is below the threshold: 50 of 60 is, 51 of 60 is not."""
    return expected > 0 and produced * 100 // expected < parameters.productivity_threshold
