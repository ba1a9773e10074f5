"""How many workers a kind should have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.scheduling.scale import Bounds, SlowToFall, wanted_workers


@given(st.integers(0, 10_000), st.integers(0, 100), st.integers(0, 100))
def test_the_backlog_is_followed_within_the_bounds(backlog: int, low: int, more: int) -> None:
    wanted = wanted_workers(backlog, Bounds(low, low + more))
    assert low <= wanted <= low + more
    assert wanted == backlog or (wanted == low and backlog < low) or (wanted == low + more and backlog > wanted)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=40))
def test_it_rises_at_once_and_falls_only_after_the_whole_time_below(steps: list[tuple[int, int]]) -> None:
    slow, now = SlowToFall(100), 0
    seen = []
    for pause, value in steps:
        now += pause
        before = slow.value
        after = slow.take(now, value)
        seen.append((now, value))
        assert after >= value
        if after < before:
            assert all(each < before for at, each in seen if at > now - 100)
            assert after == value
