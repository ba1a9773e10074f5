"""Evidence of equivocation by the rules: what convicts, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staking_votes import evidence, proposal, vote
from staking_world import account, keys, with_candidates

from l1.consensus.machine import Topic
from l1.consensus.messages import MAX_HEIGHT, MAX_ROUND, Proposal, Vote, domain_of
from l1.consensus.tally import is_equivocation
from l1.staking import candidates
from l1.staking.evidence import Evidence, check_evidence, encode_evidence, offence_id, punish
from l1.staking.parameters import IIP_53, IOTX
from l1.staking.points import PointInvalid
from l1.staking.refusal import StakingRefused

DOMAIN = domain_of(4690, bytes(range(32)))


def refused(reason: str, first: Vote | Proposal, second: Vote | Proposal) -> None:
    for found in (evidence(first, second), evidence(second, first)):
        with pytest.raises(StakingRefused, match=f"^{reason}:"):
            check_evidence(found, DOMAIN)


PLACES = st.fixed_dictionaries(
    {
        "height": st.integers(1, MAX_HEIGHT),
        "round_": st.integers(0, MAX_ROUND),
        "topic": st.sampled_from(Topic),
    }
)
BLOCKS = st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True)


@settings(max_examples=30, deadline=None)
@given(place=PLACES, blocks=BLOCKS)
def test_two_blocks_in_one_place_convict(place: dict[str, int], blocks: list[int]) -> None:
    first, second = (vote(DOMAIN, at=at, **place) for at in blocks)  # type: ignore[arg-type]
    check_evidence(evidence(first, second), DOMAIN)
    assert offence_id(evidence(first, second)) == offence_id(evidence(second, first))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_convicts_whom_the_tally_convicts(data: st.DataObject) -> None:
    few = st.builds(
        lambda height, round_, topic, at: vote(DOMAIN, at=at, height=height, round_=round_, topic=topic),
        st.integers(1, 2),
        st.integers(0, 1),
        st.sampled_from(Topic),
        st.integers(0, 2),
    )
    first, second = data.draw(few), data.draw(few)
    try:
        check_evidence(evidence(first, second), DOMAIN)
    except StakingRefused:
        assert not is_equivocation(first, second)
    else:
        assert is_equivocation(first, second)


@pytest.mark.parametrize("changes", [{"height": 10}, {"round_": 1}, {"topic": Topic.PROPOSAL}, {"topic": Topic.COMMIT}])
def test_votes_in_two_places_do_not(changes: dict[str, int]) -> None:
    other = vote(DOMAIN, at=2, **changes)  # type: ignore[arg-type]
    refused("EvidenceNotOnePlace", vote(DOMAIN), other)
    assert offence_id(evidence(vote(DOMAIN), other)) != offence_id(evidence(other, vote(DOMAIN)))


def test_commits_of_one_height_convict_in_any_rounds() -> None:
    first, second = (vote(DOMAIN, at=at, round_=at, topic=Topic.COMMIT) for at in (1, 2))
    check_evidence(evidence(first, second), DOMAIN)
    third = vote(DOMAIN, at=3, round_=7, topic=Topic.COMMIT)
    assert offence_id(evidence(first, second)) == offence_id(evidence(third, first))
    refused("EvidenceNotOnePlace", first, vote(DOMAIN, at=2, height=10, topic=Topic.COMMIT))


def test_no_block_contradicts_a_block() -> None:
    check_evidence(evidence(vote(DOMAIN, at=0), vote(DOMAIN)), DOMAIN)
    refused("EvidenceAgrees", vote(DOMAIN, at=0), vote(DOMAIN, at=0))


def test_two_proposals_in_one_round_convict() -> None:
    check_evidence(evidence(proposal(DOMAIN), proposal(DOMAIN, at=2)), DOMAIN)
    check_evidence(evidence(proposal(DOMAIN), proposal(DOMAIN, at=2, valid_round=0)), DOMAIN)
    # A block that is proposed again with a proof is the same block.
    refused("EvidenceAgrees", proposal(DOMAIN), proposal(DOMAIN, valid_round=0))
    refused("EvidenceNotOnePlace", proposal(DOMAIN), proposal(DOMAIN, at=2, round_=2))
    refused("EvidenceNotOnePlace", proposal(DOMAIN), proposal(DOMAIN, at=2, height=10))


def test_a_vote_and_a_proposal_are_no_evidence() -> None:
    refused("EvidenceNotOnePlace", proposal(DOMAIN, round_=0), vote(DOMAIN, at=2))
    with pytest.raises(ValueError, match="two votes or two proposals"):
        encode_evidence(evidence(proposal(DOMAIN, round_=0), vote(DOMAIN, at=2)))


def test_other_refusals() -> None:
    one, two = vote(DOMAIN), vote(DOMAIN, at=2)
    refused("EvidenceAgrees", one, one)
    refused("EvidenceUnsigned", one, vote(DOMAIN, 2, 2))
    refused("EvidenceUnsigned", one._replace(signature=two.signature), two._replace(signature=one.signature))
    refused("EvidenceUnsigned", one, two._replace(signature=b""))
    for domain in (domain_of(4691, bytes(range(32))), domain_of(4690, bytes(32))):
        refused("EvidenceUnsigned", vote(DOMAIN), vote(domain, at=2))
        refused("EvidenceUnsigned", vote(domain), vote(domain, at=2))
    # The signature of a proposal is none of a vote for the same block in the same place.
    same = proposal(DOMAIN, at=2, round_=0)
    refused("EvidenceUnsigned", one, two._replace(signature=same.signature))
    with pytest.raises(PointInvalid):
        encode_evidence(evidence(one, two._replace(signature=b"")))


def test_punishing_slashes_a_share_once_for_each_place() -> None:
    parameters = replace(IIP_53, equivocation_slash_share=500)
    state = with_candidates(2)
    one, two = vote(DOMAIN, 0), vote(DOMAIN, 0, 2)
    found = evidence(one, two, 0)
    punished = punish(parameters, state, found, DOMAIN)
    assert punished.candidates[account(0)].self_stake == 1_900_000 * IOTX
    assert punished.candidates[account(1)] == state.candidates[account(1)]
    assert punished.total == state.total
    for again in (found, evidence(vote(DOMAIN, 0, 3), one, 0)):
        with pytest.raises(StakingRefused, match="EvidenceKnown"):
            punish(parameters, punished, again, DOMAIN)
    later = evidence(vote(DOMAIN, 0, round_=1), vote(DOMAIN, 0, 2, round_=1), 0)
    assert punish(parameters, punished, later, DOMAIN).candidates[account(0)].self_stake == 1_805_000 * IOTX
    with pytest.raises(StakingRefused, match="EvidenceOfStranger"):
        punish(parameters, state, evidence(vote(DOMAIN, 5), vote(DOMAIN, 5, 2), 5), DOMAIN)


def test_by_default_an_offence_is_recorded_and_costs_nothing() -> None:
    state = with_candidates(1)
    found = evidence(vote(DOMAIN, 0), vote(DOMAIN, 0, 2), 0)
    recorded = punish(IIP_53, state, found, DOMAIN)
    assert recorded == replace(state, convictions=frozenset({offence_id(found)}))


def test_a_key_that_was_given_up_still_convicts() -> None:
    state = with_candidates(1)
    old = state.candidates[account(0)]
    state = candidates.update(
        IIP_53,
        state,
        account(0),
        operator=old.operator,
        reward=old.reward,
        bls_key=keys(7).public,
        possession=keys(7).possession,
    )
    parameters = replace(IIP_53, equivocation_slash_share=10_000)
    found = Evidence(vote(DOMAIN, 0), vote(DOMAIN, 0, 2), keys(0).public)
    assert punish(parameters, state, found, DOMAIN).candidates[account(0)].self_stake == 0
