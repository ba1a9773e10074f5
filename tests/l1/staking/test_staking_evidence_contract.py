"""The contract that convicts: what it takes and refuses, beside the rules, and what the staking contract does then."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.bls.hash_to_curve import hash_to_G2
from py_ecc.optimized_bls12_381 import normalize
from staking_chain import CHAIN_ID, PEOPLE, Pair, refusal_of
from staking_operations import SHORT, Operation
from staking_votes import evidence, proposal, vote
from staking_world import keys

from l1.consensus.machine import Topic
from l1.consensus.messages import MAX_HEIGHT, MAX_ROUND, domain_of
from l1.staking.contract import STAKING_ADDRESS, encode_call
from l1.staking.evidence import (
    EVIDENCE,
    EVIDENCE_ADDRESS,
    HISTORY_BLOCKS,
    Evidence,
    encode_evidence,
    offence_id,
    punish,
)
from l1.staking.parameters import IOTX
from l1.staking.points import P, key_point, signature_point
from l1.staking.refusal import StakingRefused

ANYBODY = PEOPLE.actors[7]
DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
STAKE = 500_000 * IOTX


def registered(number_of_candidates: int = 2) -> Pair:
    """Candidates with stake, whose keys are numbers 1 and up."""
    made = Pair(SHORT)
    for actor in range(number_of_candidates):
        step(made, Operation("register", actor, actor, actor + 1, value=STAKE, days=91, auto_stake=True))
    return made


def step(pair: Pair, operation: Operation | None = None) -> None:
    block = replace(pair.block, height=pair.block.height + 1, timestamp=pair.block.timestamp + 3)
    pair.step(block, PEOPLE.operators[0], bytes(32), operation)


def report(pair: Pair, found: Evidence, actor: int = 7) -> None:
    """A transaction by the actor, also to the rules, which must say the same."""
    step(pair, Operation("report", actor, evidence=found, domain=pair.domain))


def asked(pair: Pair, data: bytes) -> str:
    """Why a call of the contract is refused; empty when it is not."""
    result = pair.call(data, ANYBODY, to=EVIDENCE_ADDRESS)
    assert result.status != "halt", result.halt_reason
    return "" if result.status == "success" else refusal_of(result) or "no reason"


def both(pair: Pair, found: Evidence) -> str:
    """What the contract and the rules say, which is the same."""
    refused = ""
    try:
        punish(SHORT, pair.state, found, pair.domain)
    except StakingRefused as refusal:
        refused = refusal.reason
    assert asked(pair, encode_evidence(found)) == refused
    return refused


@pytest.fixture(scope="module")
def still() -> Pair:
    """Two candidates, on whom nothing is ever reported."""
    return registered()


@pytest.fixture
def pair() -> Pair:
    """Two candidates."""
    return registered()


# --- what convicts ---


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, MAX_HEIGHT),
    round_=st.integers(0, MAX_ROUND),
    topic=st.sampled_from(Topic),
    blocks=st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True),
    number=st.integers(1, 2),
)
def test_two_blocks_in_one_place(
    still: Pair, height: int, round_: int, topic: Topic, blocks: list[int], number: int
) -> None:
    votes = [vote(still.domain, number, at, height=height, round_=round_, topic=topic) for at in blocks]
    assert both(still, evidence(*votes, number)) == ""
    proposals = [proposal(still.domain, number, at, height=height, round_=round_) for at in blocks]
    assert both(still, evidence(*proposals, number)) == ""


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_contract_and_rules_say_the_same(still: Pair, data: st.DataObject) -> None:
    """Of any two messages of few places, blocks and keys, signed for this chain or another."""
    few, other = st.integers(1, 2), domain_of(CHAIN_ID, bytes(32))
    domains = st.sampled_from([still.domain] * 4 + [other])
    votes = st.builds(
        vote, domains, few, st.integers(0, 2), height=few, round_=few, topic=st.sampled_from([Topic.LOCK, Topic.COMMIT])
    )
    proposals = st.builds(proposal, domains, few, few, height=few, round_=few, valid_round=st.integers(-1, 0))
    first, second = data.draw(st.one_of(st.tuples(votes, votes), st.tuples(proposals, proposals)))
    both(still, evidence(first, second, data.draw(st.integers(1, 3))))


def test_commits_in_two_rounds(still: Pair) -> None:
    first, second = (vote(still.domain, at=at, round_=at, topic=Topic.COMMIT) for at in (1, 2))
    assert both(still, evidence(first, second)) == ""
    for topic in (Topic.PROPOSAL, Topic.LOCK):
        first, second = (vote(still.domain, at=at, round_=at, topic=topic) for at in (1, 2))
        assert both(still, evidence(first, second)) == "EvidenceNotOnePlace"


def test_no_block_contradicts_a_block(still: Pair) -> None:
    assert both(still, evidence(vote(still.domain, at=0), vote(still.domain))) == ""


# --- what does not ---


def test_messages_of_two_places(still: Pair) -> None:
    domain = still.domain
    for changes in ({"height": 10}, {"round_": 1}, {"topic": Topic.PROPOSAL}, {"topic": Topic.COMMIT}):
        other = vote(domain, at=2, **changes)  # type: ignore[arg-type]
        assert both(still, evidence(vote(domain), other)) == "EvidenceNotOnePlace"
    for changes in ({"height": 10}, {"round_": 2}):
        other_proposal = proposal(domain, at=2, **changes)
        assert both(still, evidence(proposal(domain), other_proposal)) == "EvidenceNotOnePlace"


def test_one_block_twice(still: Pair) -> None:
    domain = still.domain
    assert both(still, evidence(vote(domain), vote(domain))) == "EvidenceAgrees"
    assert both(still, evidence(vote(domain, at=0), vote(domain, at=0))) == "EvidenceAgrees"
    assert both(still, evidence(proposal(domain), proposal(domain, valid_round=0))) == "EvidenceAgrees"


def test_signatures_that_are_not_the_keys(still: Pair) -> None:
    domain = still.domain
    one, two = vote(domain), vote(domain, at=2)
    unsigned = "EvidenceUnsigned"
    assert both(still, evidence(one, vote(domain, 2, 2))) == unsigned
    assert both(still, evidence(vote(domain, 2), two)) == unsigned
    assert both(still, evidence(one, two, 2)) == unsigned
    assert both(still, evidence(one, two._replace(signature=one.signature))) == unsigned
    swapped = one._replace(signature=two.signature), two._replace(signature=one.signature)
    assert both(still, evidence(*swapped)) == unsigned
    # What is said after the signature was made is not what was signed.
    assert both(still, evidence(one._replace(height=10), two._replace(height=10))) == unsigned
    assert both(still, evidence(one._replace(round=1), two._replace(round=1))) == unsigned
    commits = one._replace(topic=Topic.COMMIT), two._replace(topic=Topic.COMMIT)
    assert both(still, evidence(*commits)) == unsigned
    again = proposal(domain, at=2)
    assert both(still, evidence(proposal(domain), again._replace(valid_round=0))) == unsigned
    # A vote's signature is none of a proposal of the same block in the same place, nor the other way round.
    same, other = proposal(domain, round_=0), proposal(domain, at=2, round_=0)
    assert both(still, evidence(one._replace(signature=same.signature), two)) == unsigned
    assert both(still, evidence(same, other._replace(signature=two.signature))) == unsigned


@pytest.mark.parametrize("chain_id", [CHAIN_ID, CHAIN_ID + 1])
def test_messages_of_another_chain(still: Pair, chain_id: int) -> None:
    other = domain_of(chain_id, bytes(32) if chain_id == CHAIN_ID else bytes(range(32)))
    for first, second in (
        (vote(other), vote(other, at=2)),
        (vote(still.domain), vote(other, at=2)),
        (proposal(other), proposal(other, at=2)),
    ):
        assert both(still, evidence(first, second)) == "EvidenceUnsigned"


def test_a_key_that_nobody_registered(still: Pair) -> None:
    found = evidence(vote(still.domain, 3), vote(still.domain, 3, 2), 3)
    assert both(still, found) == "EvidenceOfStranger"


def call_data(key: bytes, *messages: tuple[object, ...], name: str = "reportEquivocation") -> bytes:
    return EVIDENCE.encode_call(name, key, *messages)


def raw(pair: Pair, at: int = 1) -> tuple[object, ...]:
    """A vote of key 1 as the contract takes it."""
    signed = vote(pair.domain, at=at)
    return signed.height, signed.round, signed.topic, signed.block_hash, signature_point(signed.signature)


def test_bytes_that_are_no_points(still: Pair) -> None:
    key, one, two = key_point(keys(1).public), raw(still), raw(still, 2)
    assert asked(still, call_data(key, one, two)) == ""
    point = two[4]
    assert isinstance(point, bytes)
    x, rest = int.from_bytes(point[:64]), point[64:]
    # A point of the curve of G2 that is not in the subgroup: nearly all of them.
    outside = signature_point(bytes([0x80]) + bytes(94) + b"\x02")
    for bad in (b"", point[:-1], point + b"\0", bytes(256), point[:-1] + bytes([point[-1] ^ 1]), outside):
        assert asked(still, call_data(key, one, (*two[:4], bad))) == "EvidenceUnsigned"
        assert asked(still, call_data(key, (*one[:4], bad), two)) == "EvidenceUnsigned"
    assert asked(still, call_data(key, one, (*two[:4], (x + P).to_bytes(64) + rest))) == "EvidenceUnsigned"
    negative = key[:64] + (P - int.from_bytes(key[64:])).to_bytes(64)
    reduced = (int.from_bytes(key[:64]) + P).to_bytes(64) + key[64:]
    small_order = bytes(64) + (2).to_bytes(64)
    for wrong in (b"", key[:-1], key + b"\0", bytes(128), negative, reduced, small_order, key[64:] + key[:64]):
        assert asked(still, call_data(wrong, one, two)) == "EvidenceUnsigned"


def test_a_signature_that_brings_a_pair_of_its_own(still: Pair) -> None:
    """infinity, then -key and H(message): the product of three pairs is one, and nobody signed."""
    never = vote(still.domain, at=5)
    key = key_point(keys(1).public)
    minus = key[:64] + (P - int.from_bytes(key[64:])).to_bytes(64)
    x, y = normalize(hash_to_G2(never.digest(still.domain), DST, sha256))
    hashed = b"".join(int(each).to_bytes(64) for each in (*x.coeffs, *y.coeffs))
    generator = bytes.fromhex(
        "0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
        "6c55e83ff97a1aeffb3af00adb22c6bb00000000000000000000000000000000114d1d6855d545a8aa7d76c8cf2e21f2"
        "67816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca"
    )
    forged = bytes(256) + minus + hashed
    product = still.call(key + hashed + generator + forged, to=(15).to_bytes(20))
    assert product.output == (1).to_bytes(32)
    assert asked(still, call_data(key, raw(still), (9, 0, Topic.LOCK, never.block_hash, forged))) == "EvidenceUnsigned"


@pytest.mark.parametrize("topic", [3, 255])
def test_a_topic_that_there_is_not(still: Pair, topic: int) -> None:
    good = call_data(key_point(keys(1).public), raw(still, 2), raw(still, 3))
    word = encode(["uint8"], [Topic.LOCK])
    at = [place for place in range(4, len(good), 32) if good[place : place + 32] == word]
    assert len(at) == 2
    bad = bytearray(good)
    for place in at:
        bad[place : place + 32] = encode(["uint8"], [topic])
    assert asked(still, bytes(bad)) == "no reason"


# --- what follows ---


def test_a_conviction_costs_a_share_once(pair: Pair) -> None:
    found = evidence(vote(pair.domain), vote(pair.domain, at=2))
    before, pool = pair.view().balance(STAKING_ADDRESS), pair.state.pool
    report(pair, found)
    assert pair.done["report"] == 1
    share = STAKE * SHORT.equivocation_slash_share // 10_000
    assert pair.state.pool == pool + share
    assert pair.view().balance(STAKING_ADDRESS) == before == pair.state.total
    third = evidence(vote(pair.domain, at=3), vote(pair.domain))
    for again in (found, Evidence(found.second, found.first, found.key), third):
        report(pair, again)
    assert pair.done["EvidenceKnown"] == 3
    report(pair, evidence(vote(pair.domain, round_=1), vote(pair.domain, at=2, round_=1)), actor=1)
    report(pair, evidence(proposal(pair.domain, round_=0), proposal(pair.domain, at=2, round_=0)), actor=0)
    assert pair.done["report"] == 3
    assert len(pair.state.convictions) == 3
    for offence in pair.state.convictions:
        (punished,) = EVIDENCE.decode_result("isPunished", ask(pair, "isPunished", offence))
        assert punished


def ask(pair: Pair, name: str, *arguments: object) -> bytes:
    result = pair.call(EVIDENCE.encode_call(name, *arguments), to=EVIDENCE_ADDRESS)
    assert result.status == "success"
    return result.output


def test_a_conviction_is_told(pair: Pair) -> None:
    found = evidence(vote(pair.domain), vote(pair.domain, at=2))
    executed = pair.send(ANYBODY, EVIDENCE_ADDRESS, encode_evidence(found), 0, seconds=3)
    logs = executed.receipts[0].logs
    events = [EVIDENCE.decode_event(topics, data) for address, topics, data in logs if address == EVIDENCE_ADDRESS]
    kept, proven = (each for each in events if each is not None)
    assert (kept.name, kept.args) == ("DomainKept", {"domain": pair.domain})
    assert proven.name == "EquivocationProven"
    assert proven.args == {
        "candidate": PEOPLE.actors[0],
        "offence": offence_id(found),
        "reporter": ANYBODY,
        "height": found.first.height,
    }
    assert [address for address, _, _ in logs].count(STAKING_ADDRESS) == 1


def test_too_little_stake_disqualifies(pair: Pair) -> None:
    for round_ in range(9):
        report(pair, evidence(*(vote(pair.domain, at=at, round_=round_) for at in (1, 2))))
        assert pair.state.candidates[PEOPLE.actors[0]].disqualified == (round_ >= 7)
    assert pair.done["report"] == 9


def test_who_has_no_self_stake_is_convicted_all_the_same() -> None:
    made = Pair(SHORT)
    step(made, Operation("register", 0, 0, 1))
    report(made, evidence(vote(made.domain), vote(made.domain, at=2)))
    assert made.done["report"] == 1
    assert len(made.state.convictions) == 1
    assert made.view().balance(STAKING_ADDRESS) == SHORT.registration_fee == made.state.pool


def test_by_default_it_costs_nothing() -> None:
    made = Pair(replace(SHORT, equivocation_slash_share=0))
    step(made, Operation("register", 0, 0, 1, value=STAKE, days=91, auto_stake=True))
    executed = made.send(
        ANYBODY,
        EVIDENCE_ADDRESS,
        encode_evidence(evidence(vote(made.domain), vote(made.domain, at=2))),
        0,
        seconds=3,
    )
    assert executed.receipts[0].status
    assert {address for address, _, _ in executed.receipts[0].logs} == {EVIDENCE_ADDRESS}


def test_a_key_that_was_given_up_still_convicts(pair: Pair) -> None:
    step(pair, Operation("update", 0, 0, 9))
    report(pair, evidence(vote(pair.domain), vote(pair.domain, at=2)))
    report(pair, evidence(vote(pair.domain, 9), vote(pair.domain, 9, 2), 9))
    assert pair.done["report"] == 2
    assert pair.state.candidates[PEOPLE.actors[0]].self_stake < STAKE * 91 // 100


def test_nobody_else_orders_the_staking_contract(still: Pair) -> None:
    order = encode_call("punishEquivocation", PEOPLE.actors[0])
    for somebody in (ANYBODY, PEOPLE.operators[0], PEOPLE.actors[0], STAKING_ADDRESS):
        assert refusal_of(still.call(order, somebody)) == "NotEvidence"
    assert refusal_of(still.call(order, EVIDENCE_ADDRESS)) == ""


# --- the domain ---


def kept(pair: Pair) -> bytes:
    return ask(pair, "domain")


def test_the_first_poll_keeps_the_domain(pair: Pair) -> None:
    while pair.block.height < SHORT.poll_height(1):
        assert kept(pair) == bytes(32)
        step(pair)
    assert kept(pair) == pair.domain
    while pair.block.height <= SHORT.poll_height(2):
        step(pair)
    assert kept(pair) == pair.domain


def test_anybody_may_have_the_domain_kept_and_nobody_names_it(pair: Pair) -> None:
    pair.send(ANYBODY, EVIDENCE_ADDRESS, EVIDENCE.encode_call("keepDomain"), 0, seconds=3)
    assert kept(pair) == pair.domain
    pair.send(PEOPLE.actors[1], EVIDENCE_ADDRESS, EVIDENCE.encode_call("keepDomain"), 0, seconds=3)
    assert kept(pair) == pair.domain


def test_the_genesis_hash_is_in_reach_for_so_many_blocks() -> None:
    made = Pair(SHORT)
    keep = EVIDENCE.encode_call("keepDomain")
    assert asked(made, keep) == "DomainUnknown"
    for height in range(1, HISTORY_BLOCKS + 2):
        built = made.build([], PEOPLE.operators[0], made.block.timestamp + height)
        made.chain.append(built)
        made.block = replace(made.block, height=height)
        if height in (1, 257, HISTORY_BLOCKS):
            assert asked(made, keep) == ""
    assert asked(made, keep) == "DomainUnknown"
    assert asked(made, encode_evidence(evidence(vote(made.domain), vote(made.domain, at=2)))) == "DomainUnknown"


# --- gas ---


def documented(row: str) -> int:
    """The figure of a row of the gas table in docs/explanation/staking.md."""
    text = (Path(__file__).parents[3] / "docs" / "explanation" / "staking.md").read_text()
    (line,) = [each for each in text.splitlines() if each.startswith(f"| {row} |")]
    return int(line.strip("|").split("|")[1].strip().replace(",", ""))


def test_the_gas_in_the_docs_is_what_it_takes(pair: Pair) -> None:
    pair.send(ANYBODY, EVIDENCE_ADDRESS, EVIDENCE.encode_call("keepDomain"), 0, seconds=3)
    votes = evidence(vote(pair.domain), vote(pair.domain, at=2))
    proposals = evidence(proposal(pair.domain), proposal(pair.domain, at=2))
    for row, found in (("two votes reported", votes), ("two proposals reported", proposals)):
        executed = pair.send(ANYBODY, EVIDENCE_ADDRESS, encode_evidence(found), 0, seconds=3)
        assert executed.receipts[0].status
        print(f"{row}: {executed.block.gas_used} gas")
        # Call data with other zero bytes costs a little more or less.
        assert abs(executed.block.gas_used - documented(row)) < 1_000
