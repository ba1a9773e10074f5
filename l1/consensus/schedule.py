"""Arithmetic of rounds and epochs: when a round starts, when a phase ends, who proposes.

Sources: iotex-core `consensus/scheme/rolldpos/roundcalculator.go` and `action/protocol/rolldpos/epoch.go`. All times
are milliseconds of one clock; a height's `last` is when the block before it was proposed.
"""

from __future__ import annotations

from l1.consensus.machine import Phase
from l1.consensus.parameters import WAITING, Pacing, Parameters, Timing


def epoch_of(height: int, parameters: Parameters) -> int:
    """The epoch of a height, both from 1; height 0, the genesis block, is in epoch 0."""
    return 0 if height < 1 else (height - 1) // parameters.blocks_per_epoch + 1


def first_height(epoch: int, parameters: Parameters) -> int:
    """The first height of an epoch (from 1)."""
    return (epoch - 1) * parameters.blocks_per_epoch + 1


def proposer_index(height: int, round_: int, delegates: int, parameters: Parameters) -> int:
    """Which of so many delegates proposes: one after the other, by height and round."""
    offset = height
    if parameters.epoch_relative_rotation:
        offset = height - first_height(epoch_of(height, parameters), parameters)
    return (offset + round_) % delegates


def grid(proposed_at: int, genesis_at: int, timing: Timing) -> int:
    """The point of the clock's grid at or before a block's time: what `last` is with CLOCK pacing."""
    return genesis_at + (proposed_at - genesis_at) // timing.interval * timing.interval


def round_at(now: int, last: int, timing: Timing) -> tuple[int, int]:
    """(round, its start) of a height at a time, by the clock alone.

    Raises ValueError when `now` is not after `last`: the clock went back, or the block before came from the future.
    """
    if now <= last:
        raise ValueError(f"the time {now} is not after that of the last block, {last}")
    since, interval = now - last, timing.interval
    round_ = 0
    if since > interval:
        round_ = since // interval
        if timing.tolerated_overtime == 0 or since % interval < timing.tolerated_overtime:
            round_ -= 1
    return round_, last + (round_ + 1) * interval


def phase_ends(phase: Phase, round_: int, round_start: int, entered: int, timing: Timing) -> int:
    """When a phase has lasted long enough.

    CLOCK: the round's start and the times of the phases up to this one. EVENT: when it was entered and its time, longer
    by `growth` percent each round; the first round's wait for a proposal is longer by `idle`.
    """
    if timing.pacing is Pacing.CLOCK:
        until = WAITING[: WAITING.index(phase) + 1]
        return round_start + sum(timing.duration(each) for each in until)
    idle = timing.idle if round_ == 0 and phase is Phase.ACCEPT_BLOCK_PROPOSAL else 0
    return entered + idle + timing.duration(phase) * (100 + timing.growth * round_) // 100


def next_round_start(round_: int, last: int, now: int, timing: Timing) -> int:
    """When a round after the first starts: CLOCK on the grid, EVENT at once."""
    if timing.pacing is Pacing.CLOCK:
        return last + (round_ + 1) * timing.interval
    return now
