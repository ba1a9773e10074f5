"""Entries of the write-ahead log: what is encoded comes back, and everything else is refused."""

from __future__ import annotations

import pytest
import rlp
from consensus_world import HEIGHT, certificate, delegates
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.log import Entry, Held, LogError, Proposed, Voted, decode_entry, encode_entry, state_of
from l1.consensus.machine import NIL, NO_ROUND, State, Topic
from l1.consensus.messages import encode

A, B = b"A" * 32, b"B" * 32
PROOF = certificate(delegates(1, 1, 1, 1), 2, Topic.PROPOSAL, A)
HASHES = st.sampled_from([NIL, A, B])
ROUNDS = st.integers(0, 2**31 - 1)
HEIGHTS = st.integers(0, 2**63 - 1)
VOTED = st.builds(Voted, HEIGHTS, ROUNDS, st.sampled_from(Topic), HASHES)
PROPOSED = st.builds(Proposed, HEIGHTS, ROUNDS, HASHES, st.integers(NO_ROUND, 2**31 - 2), st.binary(max_size=100))
HELD = st.builds(Held, HEIGHTS, ROUNDS, HASHES, st.just(PROOF), st.binary(max_size=100))
ENTRIES = st.one_of(VOTED, PROPOSED, HELD)
EXAMPLES: list[Entry] = [
    Voted(HEIGHT, 2, Topic.LOCK, A),
    Proposed(HEIGHT, 2, A, 1, b"block"),
    Held(HEIGHT, 2, A, PROOF, b"block"),
]


@given(ENTRIES)
def test_what_is_encoded_comes_back(entry: Entry) -> None:
    back = decode_entry(encode_entry(entry))
    assert back == entry
    assert type(back) is type(entry)


def assert_read_or_refused(raw: bytes) -> None:
    refused = False
    try:
        entry = decode_entry(raw)
    except LogError:
        refused = True
    assert refused or encode_entry(entry) == raw, "an entry has one encoding"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_refused(raw: bytes) -> None:
    assert_read_or_refused(raw)


@given(st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=6), max_leaves=20))
def test_any_rlp_is_an_entry_or_refused(tree: object) -> None:
    assert_read_or_refused(rlp.encode(tree))


@given(ENTRIES, st.data())
def test_a_flipped_byte_makes_another_entry_or_none(entry: Entry, data: st.DataObject) -> None:
    """That it was another is for the checksum of the file's frames to see."""
    raw = bytearray(encode_entry(entry))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert_read_or_refused(bytes(raw))


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda each: type(each).__name__)
def test_torn_entries_are_refused(entry: Entry) -> None:
    raw = encode_entry(entry)
    for length in range(len(raw)):
        with pytest.raises(LogError):
            decode_entry(raw[:length])
    with pytest.raises(LogError):
        decode_entry(raw + b"\0")


VOTE_FIELDS = [b"\1", b"\2", b"\1", A]


@pytest.mark.parametrize(
    "tree",
    [
        [b"\3", VOTE_FIELDS],
        [b"", VOTE_FIELDS[:-1]],
        [b"", [*VOTE_FIELDS, b""]],
        [b"\0", VOTE_FIELDS],
        [b"", [b"\0\1", b"\2", b"\1", A]],
        [b"", [b"\1", b"\2", b"\3", A]],
        [b"", [b"\1", b"\2", b"\1", A[:31]]],
        [b"", [b"\1", b"\2", b"\1", []]],
        [b"", [[], b"\2", b"\1", A]],
        [[], VOTE_FIELDS],
        [b"\1", [b"\1", b"\2", A, b"\1", []]],
        [b"\1", [b"\1", b"\2", A, b"\1" * 9, b""]],
        [b"\2", [b"\1", b"\2", A, b"", b""]],
        [b"\2", [b"\1", b"\2", A, encode(PROOF)[:-1], b""]],
        [b"\2", [b"\1", b"\2", A, [], b""]],
    ],
)
def test_entries_with_a_wrong_field_are_refused(tree: object) -> None:
    with pytest.raises(LogError):
        decode_entry(rlp.encode(tree))


@given(st.lists(ENTRIES.map(lambda each: each._replace(height=HEIGHT)), max_size=12))
def test_a_state_is_of_its_heights_votes_only(entries: list[Entry]) -> None:
    others = [each._replace(height=HEIGHT + 1) for each in entries]
    assert state_of(HEIGHT, [*others, *entries, *others]) == state_of(HEIGHT, entries)
    assert state_of(HEIGHT, others) == State(HEIGHT)


def test_a_state_is_before_the_last_round_that_was_voted_or_proposed_in() -> None:
    assert state_of(HEIGHT, []).round == NO_ROUND
    assert state_of(HEIGHT, [Voted(HEIGHT, 0, Topic.PROPOSAL, A)]).round == NO_ROUND
    assert state_of(HEIGHT, [Voted(HEIGHT, 4, Topic.PROPOSAL, NIL)]).round == 3
    assert state_of(HEIGHT, [Proposed(HEIGHT, 6, A, NO_ROUND, b"")]).round == 5
    assert state_of(HEIGHT, [Held(HEIGHT, 9, A, PROOF, b"")]) == State(HEIGHT), "a block that was kept is no vote"


def test_votes_for_a_block_lock_and_votes_for_nil_do_not() -> None:
    state = state_of(HEIGHT, [Voted(HEIGHT, 1, Topic.LOCK, A), Voted(HEIGHT, 2, Topic.LOCK, NIL)])
    assert (state.locked_round, state.locked_hash, state.valid_round, state.valid_hash) == (1, A, 1, A)
    state = state_of(HEIGHT, [Voted(HEIGHT, 3, Topic.LOCK, B), Voted(HEIGHT, 1, Topic.COMMIT, B)])
    assert (state.locked_round, state.committed_round, state.committed_hash) == (3, 1, B)
    state = state_of(HEIGHT, [Voted(HEIGHT, 1, Topic.PROPOSAL, A)])
    assert state.locked_round == NO_ROUND
