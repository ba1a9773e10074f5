"""Consensus rules of a genesis: read, written, committed to by block 0, refused when no chain can have them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from l1.chain.consensus_rules import ConsensusRules, RulesInvalid, decode_rules, parse_rules
from l1.chain.genesis import Genesis, GenesisInvalid, parse_genesis
from l1.consensus.parameters import IIP_51
from l1.light.client import NotFinal, parameters_of
from l1.nodes.keys import derive
from l1.staking.parameters import IIP_53, IOTX, Parameters, Selection

DELEGATES = tuple(each.registration(1) for each in derive(b"delegates under rules...........", 4))
RULES = ConsensusRules("iip-51", 1_000, 250, 60, IIP_53)


def genesis_with(rules: ConsensusRules | None) -> Genesis:
    return Genesis(chain_id=4690, delegates=DELEGATES, consensus=rules)


def header_of(genesis: Genesis) -> bytes:
    return genesis.executor()[1].header


amounts = st.integers(0, 10**30)
stakings = st.builds(
    Parameters,
    registration_fee=amounts,
    register_self_stake=amounts,
    active_votes=amounts,
    selection=st.sampled_from(Selection),
    slash_unproductive=st.booleans(),
    epoch_reward_exempt=st.frozensets(st.binary(min_size=20, max_size=20), max_size=3),
)
any_rules = st.builds(
    ConsensusRules,
    st.sampled_from(["iip-51", "devnet"]),
    st.integers(1, 3_600_000),
    st.integers(0, 3_600_000),
    st.integers(4, 10_000),
    st.none() | stakings,
)


@given(any_rules)
def test_rules_survive_the_file_and_the_canonical_form(rules: ConsensusRules) -> None:
    assert parse_rules(json.loads(json.dumps(rules.document()))) == rules
    assert decode_rules(rules.encoded()) == rules
    genesis = genesis_with(rules)
    assert parse_genesis(json.loads(genesis.to_json())) == genesis


@given(any_rules, any_rules)
def test_other_rules_are_another_commitment(first: ConsensusRules, second: ConsensusRules) -> None:
    assert (first.commitment() == second.commitment()) == (first == second)


def test_every_number_of_staking_is_committed_to() -> None:
    for field in fields(IIP_53):
        value = getattr(IIP_53, field.name)
        if isinstance(value, int) and not isinstance(value, bool) and field.name != "blocks_per_epoch":
            other = replace(RULES, staking=replace(IIP_53, **{field.name: value + 1}))
            assert other.commitment() != RULES.commitment(), field.name


def test_staking_has_the_epochs_of_the_consensus() -> None:
    assert RULES.staking is not None
    assert RULES.staking.blocks_per_epoch == RULES.parameters().blocks_per_epoch == 60


def test_what_is_left_out_has_its_default() -> None:
    assert parse_rules({}) == ConsensusRules()
    assert parse_rules({"staking": {}}).staking == IIP_53
    assert parse_rules({"era": "devnet"}).parameters().timing.idle == 5_000
    assert parse_rules({"staking": {"activeVotes": 5}}).staking == replace(IIP_53, active_votes=5)
    assert parse_rules({"staking": {"activeVotes": str(5 * IOTX)}}).staking == replace(IIP_53, active_votes=5 * IOTX)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "expected an object"),
        ({"era": "wake"}, "consensus.era"),
        ({"era": 3}, "consensus.era"),
        ({"interval": 0}, "interval"),
        ({"interval": 10**9}, "interval"),
        ({"interval": -1}, "consensus.interval"),
        ({"interval": True}, "consensus.interval"),
        ({"interval": 2.5}, "consensus.interval"),
        ({"idle": "soon"}, "consensus.idle"),
        ({"blocksPerEpoch": 3}, "consensus.blocksPerEpoch"),
        ({"blocks": 3}, "unknown key 'blocks'"),
        ({"staking": []}, "consensus.staking"),
        ({"staking": {"blocksPerEpoch": 3}}, "unknown key 'blocksPerEpoch'"),
        ({"staking": {"selection": "by lot"}}, "consensus.staking.selection"),
        ({"staking": {"slashUnproductive": 1}}, "consensus.staking.slashUnproductive"),
        ({"staking": {"epochRewardExempt": ["0x00"]}}, "consensus.staking.epochRewardExempt"),
        ({"staking": {"epochRewardExempt": 5}}, "consensus.staking.epochRewardExempt"),
        ({"staking": {"activeVotes": -1}}, "consensus.staking.activeVotes"),
        ({"staking": {"activeVotes": 1 << 128}}, "consensus.staking.activeVotes"),
    ],
)
def test_rules_that_no_chain_can_have(document: Any, named: str) -> None:
    with pytest.raises(RulesInvalid, match=named):
        parse_rules(document)


@pytest.mark.parametrize("encoded", [b"", b"{}", b"[" * 100_000, b"\xff", RULES.encoded() + b" "])
def test_only_the_canonical_form_is_decoded(encoded: bytes) -> None:
    with pytest.raises(RulesInvalid):
        decode_rules(encoded)


def test_block_0_commits_to_the_rules() -> None:
    plain, ruled = (genesis_with(each).executor()[1] for each in (None, RULES))
    assert plain.prev_randao == bytes(32)
    assert ruled.prev_randao == RULES.commitment()
    assert ruled.hash != plain.hash


def test_who_knows_the_genesis_knows_the_length_of_an_epoch() -> None:
    header = header_of(genesis_with(RULES))
    assert parameters_of(header, RULES.encoded()) == RULES.parameters()
    assert parameters_of(header_of(genesis_with(None)), b"") == IIP_51


@pytest.mark.parametrize(
    ("header", "encoded"),
    [
        (header_of(genesis_with(RULES)), b""),
        (header_of(genesis_with(RULES)), replace(RULES, blocks_per_epoch=61).encoded()),
        (header_of(genesis_with(None)), RULES.encoded()),
    ],
)
def test_rules_that_the_genesis_does_not_commit_to(header: bytes, encoded: bytes) -> None:
    with pytest.raises(NotFinal) as refused:
        parameters_of(header, encoded)
    assert refused.value.reason == "rules"


def test_a_commitment_to_what_are_no_rules() -> None:
    junk = b"no rules"
    item = list(rlp.decode(header_of(genesis_with(RULES))))
    item[13] = keccak(junk)
    with pytest.raises(NotFinal) as refused:
        parameters_of(rlp.encode(item), junk)
    assert refused.value.reason == "rules"


def test_rules_without_delegates_are_refused() -> None:
    with pytest.raises(GenesisInvalid, match="names none"):
        parse_genesis({"consensus": {}})
