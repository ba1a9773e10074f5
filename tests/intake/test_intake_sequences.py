"""Duplicates, gaps and late readings, against a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.intake.sequences import SequenceBook

A, B = b"a" * 20, b"b" * 20


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 30)), max_size=80))
def test_missing_is_what_lies_between_the_first_and_the_last(stream: list[tuple[bytes, int]]) -> None:
    book = SequenceBook({}, {})
    seen: dict[bytes, list[int]] = {A: [], B: []}
    for device, sequence in stream:
        assert (book.accept(device, sequence, b"says") is None) == (sequence not in seen[device])
        if sequence not in seen[device]:
            seen[device].append(sequence)
    for device, sequences in seen.items():
        if not sequences:
            assert device not in book.last
            continue
        assert book.last[device] == max(sequences)
        expected = set(range(sequences[0], max(sequences))) - set(sequences)
        gaps = [gap for gap in book.gaps if gap.device == device]
        assert sum(gap.missing for gap in gaps) == len(expected)
        inside = {number for gap in gaps for number in range(gap.first, gap.last + 1)}
        assert expected <= inside


def test_a_late_reading_of_an_earlier_gap_is_left_to_the_ledger() -> None:
    book = SequenceBook({A: 10}, {(A, 9): b"first"})
    assert book.accept(A, 5, b"late") is None
    assert book.accept(A, 9, b"second") == b"first"
    assert (book.late, book.gaps, book.moved) == ([(A, 5)], [], set())
