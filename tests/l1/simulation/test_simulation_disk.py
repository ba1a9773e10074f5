"""The simulated disk: a torn log gives its whole entries back, and goes on after them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.log import Entry, Held, LogError, Proposed, Voted
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate
from l1.simulation.disk import ROTATE_ENTRIES, Disk, frame, read

HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, 2**31 - 1)
VOTES = st.builds(Voted, NUMBERS, NUMBERS, st.sampled_from(Topic), HASHES)
PROPOSALS = st.builds(Proposed, NUMBERS, NUMBERS, HASHES, st.integers(-1, 100), st.binary(max_size=80))
PROOFS = st.builds(
    Certificate, NUMBERS, NUMBERS, st.sampled_from(Topic), HASHES, st.binary(min_size=1, max_size=3), st.just(bytes(96))
)
LOCKS = st.builds(Held, NUMBERS, NUMBERS, HASHES, PROOFS, st.binary(max_size=80))
ENTRIES = st.lists(st.one_of(VOTES, PROPOSALS, LOCKS), max_size=6)


@given(ENTRIES, st.data())
def test_a_log_cut_anywhere_gives_the_entries_before_the_cut(entries: list[Entry], data: st.DataObject) -> None:
    """Every prefix of the bytes is a prefix of the entries, all that are whole in it."""
    frames = [frame(each) for each in entries]
    cut = data.draw(st.integers(0, sum(map(len, frames))))
    whole = next((n for n in range(len(frames), -1, -1) if sum(map(len, frames[:n])) <= cut), 0)
    assert read(b"".join(frames)[:cut]) == (entries[:whole], sum(map(len, frames[:whole])))


@given(ENTRIES, VOTES, st.floats(0, 0.99), VOTES)
def test_what_is_written_after_a_tear_can_be_read(before: list[Entry], torn: Entry, kept: float, after: Entry) -> None:
    """A restart cuts off what is torn, so that the next entry stands where a reader looks for it."""
    disk = Disk()
    for each in before:
        disk.append(each)
    disk.tear(torn, kept)
    assert disk.recover() == before
    disk.append(after)
    assert disk.recover() == [*before, after]


@given(ENTRIES.filter(bool), st.data())
def test_a_flipped_bit_is_never_read_as_an_entry(entries: list[Entry], data: st.DataObject) -> None:
    """Entries before it stay; it and what follows are gone."""
    raw = bytearray(b"".join(map(frame, entries)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    found, _ = read(bytes(raw))
    assert found == entries[: len(found)]
    assert len(found) < len(entries)


def test_an_entry_that_is_whole_and_yet_none_is_an_error() -> None:
    """No crash makes one: to pass over it would be to forget a vote."""
    whole = frame(Held(1, 0, bytes(32), Certificate(1, 0, Topic.PROPOSAL, bytes(32), b"\x07", b"too short"), b""))
    with pytest.raises(LogError):
        read(whole)


def test_heights_that_are_over_are_forgotten_when_the_log_is_full() -> None:
    """Until then they stay, like in the file of a real node; what is torn at the end is not among them."""
    disk = Disk()
    entries = [Voted(height, 0, Topic.LOCK, bytes(32)) for height in range(ROTATE_ENTRIES)]
    for each in entries[:-1]:
        disk.append(each)
        disk.decided()
    assert disk.recover() == entries[:-1]
    disk.tear(entries[-1], 0.5)
    assert disk.recover() == entries[:-1]
    assert disk.torn == 1
    disk.append(entries[-1])
    assert disk.full
    disk.decided()
    assert disk.recover() == []
    assert not disk.full
