"""Quotes: percentiles of what was, and nothing where nothing was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.scheduling.quote import Finished, KindQuote, Range, estimate, quote_kind

PROOFS = st.builds(Finished, st.integers(0, 10**6), st.integers(0, 10**7), st.integers(0, 10**7))


def test_percentiles_are_nearest_rank() -> None:
    quote = quote_kind("zkp.groth16", [Finished(each, 10 * each, 100 * each) for each in range(1, 101)])
    assert quote == KindQuote("zkp.groth16", 100, Range(50, 95), Range(500, 950), Range(5_000, 9_500))


def test_without_proofs_there_are_no_figures_and_no_estimate() -> None:
    known, unknown = quote_kind("a", [Finished(1, 2, 3)]), quote_kind("b", [])
    assert unknown == KindQuote("b", 0, Range(), Range(), Range())
    assert estimate([known, unknown], 2) is None
    assert estimate([known, unknown], 1) is not None
    assert estimate([], 1) is None


def test_a_task_takes_as_long_as_its_slowest_kind_and_pays_for_all() -> None:
    fast = quote_kind("fast", [Finished(1, 10, 500_000)])
    slow = quote_kind("slow", [Finished(1, 90, 70_000)])
    third = quote_kind("third", [Finished(1, 10**9, 10**9)])
    found = estimate([fast, slow, third], 2)
    assert found is not None
    assert (found.kinds, found.total_ms, found.gas) == (("fast", "slow"), Range(90, 90), Range(570_000, 570_000))


@given(st.lists(PROOFS, min_size=1, max_size=40))
def test_p50_is_never_over_p95_and_both_were_measured(proofs: list[Finished]) -> None:
    quote = quote_kind("kind", proofs)
    for name in ("proving_ms", "total_ms", "gas"):
        found, values = getattr(quote, name), [getattr(each, name) for each in proofs]
        assert found.p50 <= found.p95
        assert {found.p50, found.p95} <= set(values)
