"""Vote weight of a bucket in fixed point (iotex-core, staking/vote_bucket.go `CalculateVoteWeight`).

The rule is w = 1 + ln(days · (1 + m)) / ln(1.2) / 100 with m = 1 for auto-stake, times 1.06 for the self-stake bucket
with auto-stake and at least 91 days. iotex-core computes it in float64 and its result depends on the processor's
logarithm; a consensus rule may not. Here it is that real number, for the values of the float64 constants 1.2 and 1.06,
rounded to the nearest multiple of 2^-52, which is float64's own spacing between 1 and 2.

Precision. `_log2` squares a mantissa of 127 fractional bits 72 times (Knuth, TAOCP 1.2.2, exercise 25). Each truncation
makes the mantissa less by a factor above 1 - 2^-127; what that costs the logarithm is halved with every bit, so in all
less than 2^-125. With the bits that are never computed, below 2^-72, and the two truncations after it, the value before
the last rounding is too small by less than 3 · 2^-72. No argument up to 1050 days lies so near to the middle between two
multiples of 2^-52 (tests/l1/staking/test_weight.py computes all of them to 80 digits), so the rounding is exact.
"""

from __future__ import annotations

from functools import lru_cache

WEIGHT_BITS = 52
"""Fractional bits of a weight."""

WEIGHT_ONE = 1 << WEIGHT_BITS
"""The weight 1."""

SELF_STAKE_BONUS_DAYS = 91
"""Least days for the self-stake bonus."""

_LOG_BITS = 72
_SCALE = 0x9BB8984310213BB2662B684A21A9524  # floor(2^128 · ln 2 / (100 · ln 1.2)), 1.2 as float64 holds it
_BONUS = 0x10F5C28F5C28F6  # 1.06 · 2^52 as float64 holds it


@lru_cache(maxsize=8192)
def vote_weight(days: int, auto_stake: bool, self_stake: bool) -> int:
    """The weight of each rau in a bucket, in units of 2^-52.

    Parameters
    ----------
    days
        Duration, 0 to 1050; 0 weighs 1.
    auto_stake
        Whether the duration does not run down.
    self_stake
        Whether it is the self-stake bucket of its candidate.
    """
    weight = 1 << _LOG_BITS
    if days > 0:
        weight += _log2(days << auto_stake) * _SCALE >> 128
    if self_stake and auto_stake and days >= SELF_STAKE_BONUS_DAYS:
        weight = weight * _BONUS >> WEIGHT_BITS
    dropped = _LOG_BITS - WEIGHT_BITS
    return (weight + (1 << dropped - 1)) >> dropped


def votes_of(amount: int, days: int, auto_stake: bool, self_stake: bool) -> int:
    """Votes of a bucket, truncated: `amount` (rau) times `vote_weight`."""
    return amount * vote_weight(days, auto_stake, self_stake) >> WEIGHT_BITS


def _log2(number: int) -> int:
    """log2 of a positive integer, in units of 2^-72, truncated."""
    exponent = number.bit_length() - 1
    mantissa = number << 127 - exponent
    bits = exponent
    for _ in range(_LOG_BITS):
        mantissa = mantissa * mantissa >> 127
        bits <<= 1
        if mantissa >> 128:
            mantissa >>= 1
            bits |= 1
    return bits
