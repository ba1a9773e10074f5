"""The window policy: every accepted reading lies in exactly one window, however the stream is cut into batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.intake.windows import CloseReason, Closing, OpenWindow, Taken, WindowTerms, advance, close, due_at

MESSAGES = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(0, 400)), max_size=120)


def lay_out(rows: list[tuple[int, bool, int]]) -> list[Taken]:
    """Positions with holes (the first number is the step), arrival times that never fall."""
    position, at, taken = 0, 0, []
    for step, accepted, pause in rows:
        position, at = position + step, at + pause
        taken.append(Taken(position, accepted, at))
    return taken


def check_invariants(taken: list[Taken], window: OpenWindow, closings: list[Closing], terms: WindowTerms) -> None:
    accepted = {message.position for message in taken if message.accepted}
    covered: list[int] = []
    before = 1
    for closing in closings:
        assert before <= closing.start < closing.end
        before = closing.end
        inside = [position for position in accepted if closing.start <= position < closing.end]
        assert closing.count == len(inside)
        assert 1 <= closing.count <= terms.readings
        covered += inside
    assert before <= window.start <= window.next_position
    left = [position for position in accepted if position >= window.start]
    assert window.count == len(left) < terms.readings
    assert (window.opened_at is None) == (window.count == 0)
    assert sorted(covered + left) == sorted(accepted)


@given(
    MESSAGES,
    st.lists(st.integers(0, 120), max_size=6),
    st.integers(1, 9),
    st.integers(1, 900),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_every_accepted_reading_is_in_exactly_one_window(
    rows: list[tuple[int, bool, int]], cuts: list[int], readings: int, age: int, flushes: list[int]
) -> None:
    taken, terms = lay_out(rows), WindowTerms(readings, age)
    window, closings, done = OpenWindow(1, 1), [], 0
    for index, end in enumerate([*sorted(cuts), len(taken)]):
        batch, done = taken[done:end], max(done, end)
        now = batch[-1].arrived_at if batch else 0
        flush_to = flushes[index] if index < len(flushes) else 0
        window, closed = advance(window, batch, terms, now, flush_to)
        closings += closed
        if 0 < flush_to <= window.next_position and window.count:
            assert window.start >= flush_to
    check_invariants(taken, window, closings, terms)


@given(MESSAGES, st.lists(st.integers(0, 120), max_size=6), st.integers(1, 9))
def test_by_count_alone_the_cut_into_batches_changes_nothing(
    rows: list[tuple[int, bool, int]], cuts: list[int], readings: int
) -> None:
    taken, terms = lay_out(rows), WindowTerms(readings, 10**12)
    whole = advance(OpenWindow(1, 1), taken, terms, 10**6)
    window, done = OpenWindow(1, 1), 0
    closings: list[Closing] = []
    for end in [*sorted(cuts), len(taken)]:
        window, closed = advance(window, taken[done:end], terms, 10**6)
        done, closings = max(done, end), closings + closed
    assert (window, closings) == whole


@given(MESSAGES, st.integers(1, 9), st.integers(1, 900))
def test_no_window_holds_a_reading_that_arrived_after_its_age(
    rows: list[tuple[int, bool, int]], readings: int, age: int
) -> None:
    taken = lay_out(rows)
    _, closings = advance(OpenWindow(1, 1), taken, WindowTerms(readings, age), 10**6)
    for closing in closings:
        inside = [m for m in taken if m.accepted and closing.start <= m.position < closing.end]
        assert closing.opened_at == inside[0].arrived_at
        assert inside[-1].arrived_at - closing.opened_at < age


def test_refused_messages_take_positions_but_no_slot() -> None:
    taken = [Taken(1, False, 0), Taken(2, True, 0), Taken(3, False, 0), Taken(4, True, 0), Taken(5, False, 0)]
    window, closings = advance(OpenWindow(1, 1), taken, WindowTerms(2, 1000), 0)
    assert closings == [Closing(1, 5, 2, 0, CloseReason.COUNT)]
    assert window == OpenWindow(5, 6)


def test_time_closes_at_the_exact_age_and_not_before() -> None:
    terms = WindowTerms(9, 1000)
    window, closings = advance(OpenWindow(1, 1), [Taken(1, True, 50)], terms, 100)
    assert (closings, due_at(window, terms)) == ([], 1050)
    assert advance(window, [], terms, 1049)[1] == []
    assert advance(window, [], terms, 1050)[1] == [Closing(1, 2, 1, 50, CloseReason.TIME)]


def test_a_window_that_was_opened_before_the_clock_was_set_back_closes() -> None:
    terms, hour = WindowTerms(9, 1000), 3_600_000
    window, _ = advance(OpenWindow(1, 1), [Taken(1, True, hour)], terms, hour)
    assert advance(window, [], terms, hour - 999)[1] == [], "set back by little: it waits that much more"
    assert advance(window, [], terms, hour - 1000)[1] == [Closing(1, 2, 1, hour, CloseReason.TIME)]
    assert advance(window, [], terms, 0)[1] == [Closing(1, 2, 1, hour, CloseReason.TIME)]


def test_a_clock_that_runs_ahead_cannot_keep_a_window_open() -> None:
    window, _ = advance(OpenWindow(1, 1), [Taken(1, True, 10**9)], WindowTerms(9, 1000), 100)
    assert window.opened_at == 100


def test_a_flush_of_what_has_not_come_waits_for_it() -> None:
    terms = WindowTerms(9, 10**6)
    window, closings = advance(OpenWindow(1, 1), [Taken(1, True, 0)], terms, 0, flush_to=3)
    assert closings == []
    window, closings = advance(window, [Taken(2, True, 0)], terms, 0, flush_to=3)
    assert closings == [Closing(1, 3, 2, 0, CloseReason.FLUSH)]
    assert advance(window, [], terms, 0, flush_to=3)[1] == []


def test_closing_without_a_reading_moves_the_start_and_makes_nothing() -> None:
    assert close(OpenWindow(3, 8), 8, CloseReason.VERSION) == (OpenWindow(8, 8), [])


def test_a_position_cannot_be_taken_twice() -> None:
    with pytest.raises(ValueError, match="taken before"):
        advance(OpenWindow(1, 5), [Taken(4, True, 0)], WindowTerms(2, 1000), 0)
