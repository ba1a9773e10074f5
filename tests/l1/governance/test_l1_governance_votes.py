"""What an attacker tries with stake, ids and drafts: weight that counts twice, sums that wrap, submissions replayed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from governance_world import QUICK, VOTERS, World, address, policy, technical

from l1.governance import contract as c
from l1.governance.proposals import MAX_CALLS, MAX_TEXT, MAX_URI, Call, Draft
from l1.governance.states import State, Step

ONE, TWO, THREE, FOUR, NONE = VOTERS
"""Weights 400, 300, 200, 100 and 0."""
HUGE = 2**128 - 1


def _state(world: World, proposal: bytes) -> State:
    return world.reader.proposal(proposal).state


# --- stake counts once ---


def test_voting_twice(world: World) -> None:
    proposal = world.voting(policy())
    world.send(ONE, c.vote(proposal, True))
    for yes in (True, False):
        assert world.refusal(ONE, c.vote(proposal, yes)).name == "AlreadyVoted"
    first, second = world.block(
        (TWO, world.governance, c.vote(proposal, False), 0), (TWO, world.governance, c.vote(proposal, False), 0)
    )
    assert first.refusal is None
    assert second.refusal is not None
    record = world.reader.proposal(proposal)
    assert (record.yes, record.no) == (400, 300)


def test_supporting_twice(world: World) -> None:
    world.set_weights(50, 300, 200, 450)
    proposal = world.idea(policy())
    world.advance(Step.SUPPORT, proposal)
    assert world.refusal(ONE, c.advance(Step.SUPPORT, proposal)).name == "AlreadySupported"
    assert world.reader.proposal(proposal).support == 50


@pytest.mark.parametrize("blocks_later", [0, 1])
def test_weight_acquired_after_the_vote_opened(world: World, blocks_later: int) -> None:
    """Stake that comes in the opening block, or later, has no vote; stake that leaves then keeps it."""
    proposal = world.proposal(policy())
    world.now += QUICK.voting_delay
    moved = world.data("OpenStake", "set", [address(ONE), address(NONE)], [0, 400])
    opening = (TWO, world.governance, c.advance(Step.OPEN, proposal), 0)
    moving = (TWO, world.stake, moved, 0)
    if blocks_later:
        world.block(opening)
        world.block(moving)
    else:
        world.block(moving, opening)
    assert world.refusal(NONE, c.vote(proposal, True)).name == "NoWeight"
    world.send(ONE, c.vote(proposal, True))
    assert world.reader.proposal(proposal).yes == 400


def test_moved_stake_supports_once(world: World) -> None:
    """Weight that walks from account to account supports with the account it was in when the idea came."""
    world.set_weights(60, 0, 0, 940)
    proposal = world.idea(policy())
    world.advance(Step.SUPPORT, proposal)
    world.set_weights(0, 60, 0, 940)
    assert world.refusal(TWO, c.advance(Step.SUPPORT, proposal)).name == "NoWeight"
    assert _state(world, proposal) is State.IDEA


def test_stake_borrowed_for_one_transaction(world: World) -> None:
    """Weight taken and given back within a block is in no snapshot."""
    borrow = (NONE, world.stake, world.data("OpenStake", "set", [address(NONE)], [10**6]), 0)
    propose = (NONE, world.governance, c.submit(policy()), 0)
    repay = (NONE, world.stake, world.data("OpenStake", "set", [address(NONE)], [0]), 0)
    _, proposed, _ = world.block(borrow, propose, repay)
    assert proposed.refusal is not None
    assert world.refusal(NONE, c.submit(policy())).name == "BelowThreshold"


def test_proposer_below_the_threshold(world: World) -> None:
    world.set_weights(990, 10, 0, 0, 0)
    world.idea(policy(), TWO)
    world.set_weights(991, 9, 0, 0, 0)
    refusal = world.refusal(TWO, c.submit(policy(1)))
    assert (refusal.name, refusal.args) == ("BelowThreshold", {"weight": 9, "needed": 10})


def test_threshold_of_nothing_asks_for_some_weight(world: World) -> None:
    world.governance = world.deploy(world.stake, replace(QUICK, proposal_threshold_bps=0))
    world.idea(policy(), FOUR)
    refusal = world.refusal(NONE, c.submit(policy()))
    assert (refusal.name, refusal.args) == ("BelowThreshold", {"weight": 0, "needed": 1})


def test_no_stake_at_all(world: World) -> None:
    world.set_weights(0, 0, 0, 0, 0)
    assert world.refusal(ONE, c.submit(policy())).name == "BelowThreshold"


def test_stake_that_left_before_the_vote_decides_nothing(world: World) -> None:
    """With no weight at the snapshot there is no turnout to reach, and still nothing passes."""
    proposal = world.proposal(policy())
    world.set_weights(0, 0, 0, 0, 0)
    world.now += QUICK.voting_delay
    world.advance(Step.OPEN, proposal)
    assert world.refusal(ONE, c.vote(proposal, True)).name == "NoWeight"
    world.now += QUICK.voting_period
    world.advance(Step.CLOSE, proposal)
    assert _state(world, proposal) is State.REJECTED


# --- the count ---


@pytest.mark.parametrize(
    ("weights", "votes", "passed"),
    [
        ((400, 300, 200, 100), (True,), True),
        ((500, 500), (True, False), False),
        ((501, 499), (True, False), True),
        ((800, 200), (None, True), True),
        ((801, 199), (None, True), False),
        ((996, 4), (None, True), False),
    ],
)
def test_majority_and_turnout_at_the_edge(
    world: World, weights: tuple[int, ...], votes: tuple[bool | None, ...], passed: bool
) -> None:
    """More than half of what was cast, and at least a fifth of all weight."""
    proposal = world.proposal(policy())
    world.set_weights(*weights, *[0] * (5 - len(weights)))
    world.now += QUICK.voting_delay
    world.advance(Step.OPEN, proposal)
    for voter, yes in zip(VOTERS, votes, strict=False):
        if yes is not None:
            world.send(voter, c.vote(proposal, yes))
    world.now += QUICK.voting_period
    world.advance(Step.CLOSE, proposal)
    assert _state(world, proposal) is (State.PASSED if passed else State.REJECTED)


def test_weights_that_overflow(world: World) -> None:
    """A stake contract that reports nonsense stops its votes; it never makes a sum wrap."""
    stake = world.create("LyingStake")
    world.governance = world.deploy(stake, QUICK)
    world.reader = c.GovernanceReader(world.governance, world.eth_call)

    def tell(voter: bytes, weight: int, total: int) -> None:
        world.send(ONE, world.data("LyingStake", "set", voter, weight, total), stake)

    tell(address(ONE), HUGE, HUGE + 1)
    refusal = world.refusal(ONE, c.submit(policy()))
    assert (refusal.name, refusal.args) == ("WeightOutOfRange", {"weight": HUGE + 1})
    tell(address(ONE), HUGE, HUGE)
    proposal = world.proposal(policy())
    world.now += QUICK.voting_delay
    world.advance(Step.OPEN, proposal)
    world.send(ONE, c.vote(proposal, True))
    tell(address(TWO), 2**256 - 1, HUGE)
    assert world.refusal(TWO, c.vote(proposal, True)).name == "WeightOutOfRange"
    tell(address(TWO), 1, HUGE)
    refusal = world.refusal(TWO, c.vote(proposal, True))
    assert (refusal.name, refusal.args) == ("Panic", {"code": 0x11})
    world.send(TWO, c.vote(proposal, False))
    world.now += QUICK.voting_period
    world.advance(Step.CLOSE, proposal)
    assert _state(world, proposal) is State.PASSED


# --- identity ---


def test_same_draft_twice(world: World) -> None:
    proposal = world.idea(policy())
    refusal = world.refusal(ONE, c.submit(policy()))
    assert (refusal.name, refusal.args) == ("ProposalExists", {"id": proposal})
    world.advance(Step.CANCEL, proposal)
    assert world.refusal(ONE, c.submit(policy())).name == "ProposalExists"
    assert world.idea(policy(salt=1)) != proposal
    assert world.idea(policy(), TWO) != proposal


def test_executed_draft_again(world: World) -> None:
    ledger = world.create("Ledger")
    draft = technical(Call(ledger, world.data("Ledger", "add", 5)))
    world.send(ONE, c.execute(world.ready(draft), draft.calls))
    assert world.refusal(ONE, c.submit(draft)).name == "ProposalExists"


def test_id_taken_by_another_sender(world: World) -> None:
    """Who sees a draft in the mempool and is first with it gets an id of his own."""
    stolen = world.idea(policy(), TWO)
    own = world.idea(policy(), ONE)
    assert stolen != own
    assert world.refusal(TWO, c.advance(Step.CANCEL, own)).name == "NotProposer"


def test_votes_of_another_contract(world: World) -> None:
    """The same draft of the same proposer at two contracts has two ids."""
    here = world.proposal(policy())
    world.governance = world.deploy(world.stake, QUICK)
    there = world.idea(policy())
    assert here != there
    assert world.refusal(ONE, c.advance(Step.SUPPORT, here)).name == "UnknownProposal"


# --- cancelling ---


@pytest.mark.parametrize("reach", ["idea", "proposal"])
def test_cancelled_by_its_proposer_only(world: World, reach: str) -> None:
    proposal = getattr(world, reach)(policy())
    assert world.refusal(TWO, c.advance(Step.CANCEL, proposal)).name == "NotProposer"
    world.now += QUICK.support_period + QUICK.voting_delay + QUICK.grace_period
    receipt = world.advance(Step.CANCEL, proposal)
    assert [each.name for each in receipt.events] == ["ProposalCancelled", "StateChanged"]
    for step in (Step.SUPPORT, Step.OPEN, Step.CANCEL, Step.ARCHIVE):
        assert world.refusal(ONE, c.advance(step, proposal)).name == "WrongState"


def test_open_vote_cannot_be_cancelled(world: World) -> None:
    proposal = world.voting(policy())
    assert world.refusal(ONE, c.advance(Step.CANCEL, proposal)).name == "WrongState"


# --- drafts ---


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (policy(text=""), "text"),
        (policy(text="x" * (MAX_TEXT + 1)), "text"),
        (policy(text="é" * (MAX_TEXT // 2) + "x"), "text"),
        (policy(document_hash=bytes(32)), "documentHash"),
        (policy(uri=""), "uri"),
        (policy(uri="x" * (MAX_URI + 1)), "uri"),
        (policy(artifact_hash=b"\x01" * 32), "artifactHash"),
        (policy(calls=(Call(bytes(20)),)), "calls"),
        (technical(), "calls"),
        (technical(*[Call(bytes(20))] * (MAX_CALLS + 1)), "calls"),
        (technical(Call(bytes(20)), artifact_hash=bytes(32)), "artifactHash"),
    ],
)
def test_draft_refused(world: World, draft: Draft, field: str) -> None:
    refusal = world.refusal(ONE, c.submit(draft))
    assert (refusal.name, refusal.args) == ("InvalidDraft", {"field": field})


def test_largest_drafts_are_taken(world: World) -> None:
    world.idea(policy(text="é" * (MAX_TEXT // 2), uri="x" * MAX_URI))
    world.idea(technical(*[Call(bytes(20))] * MAX_CALLS))


def test_draft_of_an_unknown_kind(world: World) -> None:
    data = bytearray(c.submit(policy()))
    # Selector, offset of the draft, then its kind.
    assert data[4 + 32 : 4 + 64] == bytes(32)
    data[4 + 63] = 2
    assert world.refusal(ONE, bytes(data)).name == ""
