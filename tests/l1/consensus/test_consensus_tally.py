"""Votes counted by power, against a count that goes through all votes again."""

from __future__ import annotations

from itertools import product

import pytest
from consensus_world import delegates
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.machine import NIL, Topic
from l1.consensus.messages import Vote
from l1.consensus.tally import Equivocation, Tally, is_equivocation

A, B = b"A" * 32, b"B" * 32
POWERS = (5, 3, 2, 2, 1)
SET = delegates(*POWERS)
VOTES = st.builds(
    Vote,
    st.just(1),
    st.integers(0, 2),
    st.sampled_from(Topic),
    st.sampled_from([NIL, A, B]),
    st.integers(0, len(POWERS) - 1),
    st.just(b""),
)
BALLOTS = st.lists(VOTES, max_size=60)


def counted(votes: list[Vote]) -> tuple[list[Vote], list[Equivocation | bool]]:
    """The votes that count, by the rule: each delegate's first of a round and topic, and first COMMIT of a height."""
    kept: list[Vote] = []
    said: list[Equivocation | bool] = []
    tally = Tally(SET)
    for vote in votes:
        said.append(tally.add(vote))
        places = [each for each in kept if each.delegate == vote.delegate and each.topic == vote.topic]
        same = [each for each in places if each.round == vote.round]
        if not same and not any(is_equivocation(each, vote) for each in places):
            kept.append(vote)
    return kept, said


@given(BALLOTS)
def test_quorums_are_what_a_recount_finds(votes: list[Vote]) -> None:
    tally = Tally(SET)
    for vote in votes:
        tally.add(vote)
    kept, _ = counted(votes)
    for round_, topic in product(range(3), Topic):
        sums = dict.fromkeys((NIL, A, B), 0)
        for vote in kept:
            if (vote.round, vote.topic) == (round_, topic):
                sums[vote.block_hash] += POWERS[vote.delegate]
        found = [block_hash for block_hash, power in sums.items() if 3 * power > 2 * sum(POWERS)]
        assert tally.quorum(round_, topic) == (found[0] if found else None)
        for block_hash in (NIL, A, B):
            place = (round_, topic, block_hash)
            wanted = [each for each in kept if (each.round, each.topic, each.block_hash) == place]
            assert sorted(tally.votes_for(round_, topic, block_hash)) == sorted(wanted)
    for topic in Topic:
        found_rounds = [(at, tally.quorum(at, topic)) for at in range(3)]
        assert sorted(tally.blocks[topic].items()) == [each for each in found_rounds if each[1] not in (None, NIL)]


@given(BALLOTS)
def test_a_quorum_is_told_once_and_contradictions_always(votes: list[Vote]) -> None:
    kept, said = counted(votes)
    told: dict[tuple[int, Topic], int] = {}
    for vote, answer in zip(votes, said, strict=True):
        if isinstance(answer, Equivocation):
            assert is_equivocation(*answer)
            assert vote == answer.second
            assert answer.first in kept
        elif answer:
            told[vote.round, vote.topic] = told.get((vote.round, vote.topic), 0) + 1
    assert all(count <= 2 for count in told.values()), "once for any votes, once for a block"
    for vote in votes:
        assert vote in kept or any(isinstance(each, Equivocation) and each.second == vote for each in said)


@given(st.permutations(list(range(len(POWERS)))), st.sampled_from(Topic))
def test_the_order_of_votes_does_not_matter(order: list[int], topic: Topic) -> None:
    tally = Tally(SET)
    power = 0
    for index in order:
        answer = tally.add(Vote(1, 0, topic, A, index))
        reached = 3 * (power + POWERS[index]) > 2 * sum(POWERS) >= 3 * power
        assert answer is reached
        power += POWERS[index]
        assert tally.quorum(0, topic) == (A if 3 * power > 2 * sum(POWERS) else None)


@given(BALLOTS, st.integers(-1, 3))
def test_rounds_are_joined_behind_more_than_a_third(votes: list[Vote], after: int) -> None:
    tally = Tally(SET)
    for vote in votes:
        tally.add(vote)
    kept, _ = counted(votes)
    furthest = [max((vote.round for vote in kept if vote.delegate == at), default=-1) for at in range(len(POWERS))]

    def power_at(round_: int) -> int:
        return sum(power for far, power in zip(furthest, POWERS, strict=True) if far >= round_)

    wanted = [round_ for round_ in range(after + 1, 3) if 3 * power_at(round_) > sum(POWERS)]
    assert tally.joined_round(after) == (max(wanted) if wanted else None)


@given(BALLOTS)
def test_a_topic_has_passed_when_a_quorum_came_as_far(votes: list[Vote]) -> None:
    tally = Tally(SET)
    for vote in votes:
        tally.add(vote)
    kept, _ = counted(votes)
    for round_, topic in product(range(3), Topic):
        came = {vote.delegate for vote in kept if (vote.round, vote.topic) >= (round_, topic)}
        assert tally.passed(round_, topic) == (3 * sum(POWERS[at] for at in came) > 2 * sum(POWERS))


def test_what_is_forgotten_is_gone_and_the_rest_stays() -> None:
    tally = Tally(SET)
    for round_, index in product(range(3), range(len(POWERS))):
        tally.add(Vote(1, round_, Topic.LOCK, A, index))
    tally.forget(2)
    assert sorted(tally.blocks[Topic.LOCK].items()) == [(2, A)]
    assert tally.votes_for(1, Topic.LOCK, A) == []
    assert tally.passed(1, Topic.LOCK), "that everybody left it is still known"


FIRST = Vote(1, 0, Topic.PROPOSAL, A, 1)


@pytest.mark.parametrize(
    ("second", "convicts"),
    [
        (FIRST._replace(block_hash=B), True),
        (FIRST._replace(block_hash=NIL), True),
        (FIRST, False),
        (FIRST._replace(block_hash=B, round=1), False),
        (FIRST._replace(block_hash=B, height=2), False),
        (FIRST._replace(block_hash=B, topic=Topic.LOCK), False),
        (FIRST._replace(block_hash=B, delegate=2), False),
    ],
)
def test_what_convicts(second: Vote, convicts: bool) -> None:
    assert is_equivocation(FIRST, second) is convicts
    assert is_equivocation(second, FIRST) is convicts


def test_two_commits_of_a_height_convict_whatever_their_rounds() -> None:
    first = Vote(1, 0, Topic.COMMIT, A, 1)
    assert is_equivocation(first, first._replace(round=7, block_hash=B))
    assert not is_equivocation(first, first._replace(round=7)), "the same block again is how a later round decides it"
    assert not is_equivocation(first, first._replace(height=2, block_hash=B))
    tally = Tally(SET)
    tally.add(first)
    assert tally.add(first._replace(round=7, block_hash=B)) == Equivocation(
        first, first._replace(round=7, block_hash=B)
    )
    assert tally.votes_for(7, Topic.COMMIT, B) == []
