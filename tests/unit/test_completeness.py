"""`missing` is what its definition says, and only numbers that a window can have are possible."""

from __future__ import annotations

from itertools import product

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from verifier.completeness import (
    COMPLETENESS_BYTES,
    COMPLETENESS_OUTPUTS,
    MOST_MISSING,
    Completeness,
    count_missing,
    ends_with_completeness,
)
from verifier.reading import KeyType, Reading


def reading(device: int, sequence: int) -> Reading:
    return Reading(1, bytes(19) + bytes([device]), sequence, 0, b"", KeyType.BABYJUBJUB, bytes(64))


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=16))
def test_missing_is_what_lies_between_and_is_not_there(places: set[tuple[int, int]]) -> None:
    expected = 0
    for device in range(4):
        numbers = {sequence for each, sequence in places if each == device}
        if numbers:
            expected += len(set(range(min(numbers), max(numbers))) - numbers)
    assert count_missing([reading(*place) for place in sorted(places)]) == expected


def test_missing_stops_at_its_cap() -> None:
    most = 2**64 - 1
    assert count_missing([reading(0, 0), reading(0, 2**63)]) == 2**63 - 1 == MOST_MISSING
    assert count_missing([reading(0, 0), reading(0, 2**63 - 1)]) == MOST_MISSING - 1
    assert count_missing([reading(0, 0), reading(0, most), reading(1, 0), reading(1, most)]) == MOST_MISSING
    assert count_missing([]) == count_missing([reading(0, most), reading(1, 5)]) == 0


def test_possible_is_exactly_the_rule() -> None:
    """Every small combination for a window of 2 readings over 4 positions."""
    for duplicates, late, reordered in product(range(-1, 5), repeat=3):
        rule = 0 <= duplicates <= 2 and 0 <= late <= reordered <= 2
        assert Completeness(0, duplicates, late, reordered).possible(2, 4) is rule


@pytest.mark.parametrize(("missing", "possible"), [(-1, False), (0, True), (MOST_MISSING, True), (2**63, False)])
def test_possible_bounds_missing(missing: int, possible: bool) -> None:
    assert Completeness(missing).possible(1, 1) is possible


def test_duplicates_fit_their_type() -> None:
    assert Completeness(duplicates=2**32 - 1).possible(1, 2**40)
    assert not Completeness(duplicates=2**32).possible(1, 2**40)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_encoding_is_the_abi_encoding(missing: int, duplicates: int, late: int, reordered: int) -> None:
    stated = Completeness(missing, duplicates, late, reordered)
    types = [field.split()[0] for field in COMPLETENESS_OUTPUTS]
    assert stated.encode() == encode(types, stated.words())
    assert len(stated.encode()) == COMPLETENESS_BYTES


def test_outputs_end_with_completeness() -> None:
    assert ends_with_completeness(["uint32 count", *COMPLETENESS_OUTPUTS])
    assert ends_with_completeness(list(COMPLETENESS_OUTPUTS))
    for other in ([], ["uint32 count"], [*COMPLETENESS_OUTPUTS, "uint32 count"], list(COMPLETENESS_OUTPUTS[1:])):
        assert not ends_with_completeness(other)
