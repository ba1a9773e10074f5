"""The vote weight is the real number of the formula, correctly rounded, and iotex-core's to its last digit."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l1.staking import weight
from l1.staking.parameters import IIP_53
from l1.staking.weight import WEIGHT_ONE, vote_weight, votes_of

VECTORS = Path(__file__).parent / "vectors" / "go_vote_weight.txt"
MODES = ((False, False), (True, False), (True, True))
DAYS = st.integers(0, IIP_53.max_days)


def exact(days: int, auto_stake: bool, self_stake: bool) -> Decimal:
    """The formula to 80 digits, 1.2 and 1.06 as float64 holds them."""
    with localcontext() as context:
        context.prec = 80
        value = Decimal(1)
        if days:
            value += Decimal(days * (1 + auto_stake)).ln() / Decimal.from_float(1.2).ln() / 100
        if self_stake and auto_stake and days >= 91:
            value *= Decimal.from_float(1.06)
        return +value


def test_the_scale_is_what_its_comment_says() -> None:
    with localcontext() as context:
        context.prec = 80
        assert int(2**128 * Decimal(2).ln() / (100 * Decimal.from_float(1.2).ln())) == weight._SCALE
        assert int(Decimal.from_float(1.06) * 2**52) == weight._BONUS == Decimal.from_float(1.06) * 2**52


def test_every_weight_is_correctly_rounded_and_none_lies_near_a_tie() -> None:
    with localcontext() as context:
        context.prec = 80
        for days in range(IIP_53.max_days + 1):
            for auto_stake, self_stake in MODES:
                scaled = exact(days, auto_stake, self_stake) * WEIGHT_ONE
                off = scaled - vote_weight(days, auto_stake, self_stake)
                assert abs(off) < Decimal(1) / 2
                # The computed value is up to 3 · 2^-72 too small: the nearest tie is much further away.
                assert Decimal(1) / 2 - abs(off) > Decimal(3) / 2**20


def test_the_logarithm_is_as_precise_as_claimed() -> None:
    with localcontext() as context:
        context.prec = 80
        for number in range(1, 2 * IIP_53.max_days + 1):
            short = Decimal(number).ln() / Decimal(2).ln() * 2**72 - weight._log2(number)
            assert Decimal(-1) / 10**55 <= short < 1 + Decimal(1) / 2**53


def test_every_weight_is_within_one_ulp_of_go() -> None:
    lines = [line.split() for line in VECTORS.read_text().splitlines() if not line.startswith("votes")]
    assert len(lines) == IIP_53.max_days + 1
    for days, *bits in lines:
        for (auto_stake, self_stake), each in zip(MODES, bits, strict=True):
            go = WEIGHT_ONE + int(each, 16)
            assert abs(go - vote_weight(int(days), auto_stake, self_stake)) <= 1


def test_votes_differ_from_go_by_no_more_than_that_ulp() -> None:
    lines = [line.split()[1:] for line in VECTORS.read_text().splitlines() if line.startswith("votes")]
    assert len(lines) == 90
    for amount, days, auto_stake, self_stake, votes in lines:
        ours = votes_of(int(amount), int(days), auto_stake == "true", self_stake == "true")
        assert abs(ours - int(votes)) <= int(amount) // WEIGHT_ONE + 1


@pytest.mark.parametrize(
    ("days", "auto_stake", "self_stake", "value"),
    [
        (91, True, False, "1.28543"),
        (91, True, True, "1.362556"),
        (350, False, False, "1.321297"),
        (1050, True, True, "1.504746"),
    ],
)
def test_figures_computed_elsewhere(days: int, auto_stake: bool, self_stake: bool, value: str) -> None:
    digits = len(value) - 2
    assert f"{vote_weight(days, auto_stake, self_stake) / WEIGHT_ONE:.{digits}f}" == value


@given(days=DAYS, auto_stake=st.booleans(), self_stake=st.booleans())
def test_close_to_a_float(days: int, auto_stake: bool, self_stake: bool) -> None:
    value = 1 + (math.log(days * (2 if auto_stake else 1)) / math.log(1.2) / 100 if days else 0)
    if self_stake and auto_stake and days >= 91:
        value *= 1.06
    assert math.isclose(vote_weight(days, auto_stake, self_stake) / WEIGHT_ONE, value, rel_tol=1e-15)


@given(days=st.integers(0, IIP_53.max_days - 1), auto_stake=st.booleans(), self_stake=st.booleans())
def test_longer_is_never_less(days: int, auto_stake: bool, self_stake: bool) -> None:
    assert vote_weight(days, auto_stake, self_stake) <= vote_weight(days + 1, auto_stake, self_stake)
    assert vote_weight(days, auto_stake, self_stake) >= vote_weight(days, False, False) >= WEIGHT_ONE


@given(amount=st.integers(0, 10**28), days=DAYS, auto_stake=st.booleans(), self_stake=st.booleans())
def test_votes_are_truncated(amount: int, days: int, auto_stake: bool, self_stake: bool) -> None:
    votes = votes_of(amount, days, auto_stake, self_stake)
    product = amount * vote_weight(days, auto_stake, self_stake)
    assert votes * WEIGHT_ONE <= product < (votes + 1) * WEIGHT_ONE
