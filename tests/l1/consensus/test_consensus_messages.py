"""Messages: what is encoded comes back, and every other bytes are refused with a reason."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.machine import NO_ROUND, Topic
from l1.consensus.messages import (
    MAX_BITMAP_BYTES,
    MAX_HEIGHT,
    MAX_ROUND,
    Certificate,
    Decision,
    Message,
    MessageError,
    Proposal,
    Vote,
    decode,
    domain_of,
    encode,
    vote_digest,
)

MAX_BYTES = 4_096
HEIGHTS = st.integers(0, MAX_HEIGHT)
ROUNDS = st.integers(0, MAX_ROUND)
HASHES = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=96, max_size=96)
TOPICS = st.sampled_from(Topic)
INDICES = st.integers(0, 8 * MAX_BITMAP_BYTES - 1)
BLOCKS = st.binary(max_size=200)
VOTES = st.builds(Vote, HEIGHTS, ROUNDS, TOPICS, HASHES, INDICES, SIGNATURES)
BITMAPS = st.binary(min_size=1, max_size=MAX_BITMAP_BYTES)
CERTIFICATES = st.builds(Certificate, HEIGHTS, ROUNDS, TOPICS, HASHES, BITMAPS, SIGNATURES)
PROPOSALS = st.builds(
    Proposal,
    HEIGHTS,
    ROUNDS,
    HASHES,
    INDICES,
    st.integers(NO_ROUND, MAX_ROUND - 1),
    st.none() | CERTIFICATES,
    BLOCKS,
    SIGNATURES,
)
MESSAGES = st.one_of(VOTES, CERTIFICATES, PROPOSALS, st.builds(Decision, CERTIFICATES, BLOCKS))

VOTE = Vote(7, 2, Topic.LOCK, b"h" * 32, 3, b"s" * 96)
SHOWN = Certificate(7, 1, Topic.PROPOSAL, b"h" * 32, b"\x0f", b"s" * 96)
PROPOSAL = Proposal(7, 2, b"h" * 32, 3, 1, SHOWN, b"block", b"s" * 96)
DECISION = Decision(SHOWN._replace(topic=Topic.COMMIT), b"block")
EXAMPLES = [VOTE, SHOWN, PROPOSAL, DECISION]


def reason_of(raw: bytes) -> str:
    with pytest.raises(MessageError) as refused:
        decode(raw, max_bytes=MAX_BYTES)
    assert refused.value.args[0] == refused.value.reason
    return refused.value.reason


@given(MESSAGES)
def test_what_is_encoded_comes_back(message: Message) -> None:
    back = decode(encode(message), max_bytes=MAX_BYTES)
    assert back == message
    assert type(back) is type(message)


def assert_read_or_refused(raw: bytes) -> None:
    """Whatever is read has these bytes as its one encoding; nothing but MessageError is raised."""
    reason = ""
    try:
        assert encode(decode(raw, max_bytes=MAX_BYTES)) == raw
    except MessageError as refused:
        reason = refused.reason
    assert reason in ("", "size", "encoding", "kind", "range")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(raw: bytes) -> None:
    assert_read_or_refused(raw)


TREES = st.recursive(st.binary(max_size=100), lambda inner: st.lists(inner, max_size=9), max_leaves=30)


@given(TREES)
def test_any_rlp_is_a_message_or_refused(tree: object) -> None:
    raw = rlp.encode(tree)
    assert_read_or_refused(raw)


@given(MESSAGES, st.data())
def test_a_changed_message_is_another_or_refused(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(raw), max_bytes=MAX_BYTES)
    except MessageError:
        return
    assert other != message
    assert encode(other) == raw, "one message has one encoding"


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda each: type(each).__name__)
def test_truncated_and_extended_bytes_are_refused(message: Message) -> None:
    raw = encode(message)
    for length in range(len(raw)):
        assert reason_of(raw[:length]) == "encoding"
    assert reason_of(raw + b"\0") == "encoding"


def test_more_bytes_than_allowed_are_refused_before_they_are_read() -> None:
    raw = encode(PROPOSAL)
    assert decode(raw, max_bytes=len(raw)) == PROPOSAL
    with pytest.raises(MessageError) as refused:
        decode(raw, max_bytes=len(raw) - 1)
    assert refused.value.reason == "size"


def test_deep_nesting_is_refused() -> None:
    raw = b"\xc0"
    for _ in range(1_200):
        raw = rlp.codec.length_prefix(len(raw), 0xC0) + raw
    assert reason_of(raw) == "encoding"


@pytest.mark.parametrize("kind", [b"\x04", b"\x7f", b"\xff", b"\0"])
def test_unknown_kinds_are_refused(kind: bytes) -> None:
    assert reason_of(rlp.encode([kind, []])) == "kind"


@pytest.mark.parametrize("tree", [b"", [], [b""], [b"", b""], [[], []], [b"", [], []], [b"\1\0", []]])
def test_other_shapes_are_refused(tree: object) -> None:
    assert reason_of(rlp.encode(tree)) == "encoding"


def test_a_non_canonical_length_is_refused() -> None:
    raw = encode(DECISION)
    assert raw[0] == 0xF8, "a list of 56 to 255 bytes, its length in one byte"
    assert reason_of(b"\xf9\0" + raw[1:]) == "encoding"
    assert reason_of(rlp.encode([b"", rlp.decode(encode(VOTE))[1]])[:1] + b"\x81\0" + encode(VOTE)[2:]) == "encoding"


def fields_of(message: Message) -> tuple[bytes, list[object]]:
    kind, fields = rlp.decode(encode(message))
    return kind, list(fields)


LONG = b"\1" + bytes(8)
CASES: list[tuple[Message, int, object, str]] = [
    (VOTE, 0, b"\0\x07", "encoding"),
    (VOTE, 0, b"\0", "encoding"),
    (VOTE, 0, [], "encoding"),
    (VOTE, 0, (MAX_HEIGHT + 1).to_bytes(8), "range"),
    (VOTE, 0, LONG, "range"),
    (VOTE, 0, b"\xff" * 2_000, "range"),
    (VOTE, 1, (MAX_ROUND + 1).to_bytes(4), "range"),
    (VOTE, 2, b"\x03", "range"),
    (VOTE, 3, b"h" * 31, "range"),
    (VOTE, 3, b"h" * 33, "range"),
    (VOTE, 3, [], "range"),
    (VOTE, 4, (8 * MAX_BITMAP_BYTES).to_bytes(2), "range"),
    (VOTE, 5, b"s" * 95, "range"),
    (SHOWN, 2, b"\x03", "range"),
    (SHOWN, 3, b"", "range"),
    (SHOWN, 4, b"", "range"),
    (SHOWN, 4, bytes(MAX_BITMAP_BYTES + 1), "range"),
    (SHOWN, 4, [], "encoding"),
    (SHOWN, 5, b"s" * 97, "range"),
    (PROPOSAL, 1, (MAX_ROUND + 1).to_bytes(4), "range"),
    (PROPOSAL, 2, b"h", "range"),
    (PROPOSAL, 4, (MAX_ROUND + 1).to_bytes(4), "range"),
    (PROPOSAL, 5, b"", "encoding"),
    (PROPOSAL, 5, [b"", b""], "encoding"),
    (PROPOSAL, 6, [], "encoding"),
    (PROPOSAL, 7, b"", "range"),
    (DECISION, 0, b"", "encoding"),
    (DECISION, 1, [], "encoding"),
]


@pytest.mark.parametrize(("message", "place", "value", "reason"), CASES)
def test_every_field_is_checked(message: Message, place: int, value: object, reason: str) -> None:
    kind, fields = fields_of(message)
    fields[place] = value
    assert reason_of(rlp.encode([kind, fields])) == reason


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda each: type(each).__name__)
def test_a_field_too_few_or_too_many_is_refused(message: Message) -> None:
    kind, fields = fields_of(message)
    assert reason_of(rlp.encode([kind, fields[:-1]])) == "encoding"
    assert reason_of(rlp.encode([kind, [*fields, b""]])) == "encoding"


DOMAIN = domain_of(4_690, b"g" * 32)


@given(VOTES, VOTES)
def test_votes_that_differ_have_different_digests(one: Vote, other: Vote) -> None:
    alike = one[:4] == other[:4]
    assert (one.digest(DOMAIN) == other.digest(DOMAIN)) == alike
    assert one.digest(DOMAIN) == vote_digest(DOMAIN, *one[:4])


@given(VOTES)
def test_nothing_signed_counts_on_another_chain(vote: Vote) -> None:
    assert vote.digest(DOMAIN) != vote.digest(domain_of(4_691, b"g" * 32))
    assert vote.digest(DOMAIN) != vote.digest(domain_of(4_690, b"h" * 32))


@given(PROPOSALS, PROPOSALS)
def test_a_proposals_digest_binds_its_place_its_block_and_the_round_of_its_proof(
    one: Proposal, other: Proposal
) -> None:
    bound = (one.height, one.round, one.block_hash, one.valid_round)
    alike = bound == (other.height, other.round, other.block_hash, other.valid_round)
    assert (one.digest(DOMAIN) == other.digest(DOMAIN)) == alike
    assert one.digest(DOMAIN) != one._replace(round=(one.round + 1) % 2**31).digest(DOMAIN)
    vote = Vote(one.height, one.round, Topic.PROPOSAL, one.block_hash, one.delegate)
    assert one.digest(DOMAIN) != vote.digest(DOMAIN), "a proposal is no vote"


@given(BITMAPS)
def test_the_lowest_bit_of_the_first_byte_is_the_first_delegate(bitmap: bytes) -> None:
    signers = SHOWN._replace(signers=bitmap).signer_indices()
    assert signers == sorted(set(signers))
    assert sum(1 << index for index in signers) == int.from_bytes(bitmap, "little")
