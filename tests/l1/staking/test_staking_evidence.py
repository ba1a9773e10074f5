"""Evidence of equivocation: what convicts, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from staking_world import account, keys, with_candidates

from l1.staking import candidates
from l1.staking.evidence import Evidence, check_evidence, offence_id, punish
from l1.staking.parameters import IIP_53, IOTX
from l1.staking.refusal import StakingRefused

CHAIN = 4690


@dataclass(frozen=True)
class Vote:
    """A vote with a signing format of its own."""

    chain_id: int
    height: int
    round: int
    topic: int
    block_hash: bytes
    signer: bytes
    signature: bytes = b""

    def signing_bytes(self) -> bytes:
        numbers = (self.chain_id, self.height, self.round, self.topic)
        return b"".join(number.to_bytes(8, "big") for number in numbers) + self.block_hash


def vote(number: int = 0, block: int = 1, **changes: int) -> Vote:
    pair = keys(number)
    fields = {"chain_id": CHAIN, "height": 9, "round": 0, "topic": 2} | changes
    unsigned = Vote(**fields, block_hash=block.to_bytes(32, "big"), signer=pair.public)
    return replace(unsigned, signature=pair.secret.sign(unsigned.signing_bytes()))


def refused(reason: str, first: Vote, second: Vote) -> None:
    for evidence in (Evidence(first, second), Evidence(second, first)):
        with pytest.raises(StakingRefused, match=f"^{reason}:"):
            check_evidence(evidence, CHAIN)


@settings(max_examples=30, deadline=None)
@given(
    place=st.fixed_dictionaries(
        {"height": st.integers(1, 2**40), "round": st.integers(0, 2**20), "topic": st.integers(0, 2)}
    ),
    blocks=st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True),
)
def test_two_blocks_in_one_place_convict(place: dict[str, int], blocks: list[int]) -> None:
    first, second = (vote(block=block, **place) for block in blocks)
    check_evidence(Evidence(first, second), CHAIN)
    assert offence_id(first) == offence_id(second)


@pytest.mark.parametrize("changes", [{"height": 10}, {"round": 1}, {"topic": 1}])
def test_votes_in_two_places_do_not(changes: dict[str, int]) -> None:
    refused("EvidenceNotOnePlace", vote(), vote(block=2, **changes))
    assert offence_id(vote()) != offence_id(vote(block=2, **changes))


def test_other_refusals() -> None:
    refused("EvidenceAgrees", vote(), vote())
    refused("EvidenceNotOnePlace", vote(), vote(1, 2))
    refused("EvidenceOtherChain", vote(), vote(block=2, chain_id=1))
    refused("EvidenceOtherChain", vote(chain_id=1), vote(block=2, chain_id=1))
    refused("EvidenceUnsigned", vote(), replace(vote(block=2), signature=vote().signature))
    refused("EvidenceUnsigned", vote(), replace(vote(block=2), signature=b""))
    refused("EvidenceUnsigned", vote(), replace(vote(block=2), signature=vote(1, 2).signature))


def test_punishing_slashes_a_share_once_for_each_place() -> None:
    parameters = replace(IIP_53, equivocation_slash_share=500)
    state = with_candidates(2)
    evidence = Evidence(vote(), vote(block=2))
    punished = punish(parameters, state, evidence, CHAIN)
    assert punished.candidates[account(0)].self_stake == 1_900_000 * IOTX
    assert punished.candidates[account(1)] == state.candidates[account(1)]
    assert punished.total == state.total
    for again in (evidence, Evidence(vote(block=3), vote())):
        with pytest.raises(StakingRefused, match="EvidenceKnown"):
            punish(parameters, punished, again, CHAIN)
    other = punish(parameters, punished, Evidence(vote(round=1), vote(block=2, round=1)), CHAIN)
    assert other.candidates[account(0)].self_stake == 1_805_000 * IOTX
    with pytest.raises(StakingRefused, match="EvidenceOfStranger"):
        punish(parameters, state, Evidence(vote(5), vote(5, 2)), CHAIN)


def test_by_default_an_offence_is_recorded_and_costs_nothing() -> None:
    state = with_candidates(1)
    recorded = punish(IIP_53, state, Evidence(vote(), vote(block=2)), CHAIN)
    assert recorded == replace(state, convictions=frozenset({offence_id(vote())}))


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
    assert punish(parameters, state, Evidence(vote(), vote(block=2)), CHAIN).candidates[account(0)].self_stake == 0
