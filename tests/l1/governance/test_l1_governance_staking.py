"""Governance on the staking contract itself: buckets vote for their owners, and not for the delegate they elect."""

from __future__ import annotations

import pytest
from governance_world import QUICK, VOTERS, Solidity, World, address, policy, technical

from l1.governance import contract as c
from l1.governance.proposals import Call
from l1.governance.states import State, Step
from l1.staking import contract as staking
from l1.staking.parameters import IIP_53, IOTX
from l1.staking.weight import votes_of
from native import _native

DELEGATE, STAKER, SMALL, LATE, _ = VOTERS
SELF_STAKE = 400_000 * IOTX
OWN = votes_of(SELF_STAKE, 91, True, True)
STAKED = votes_of(500_000 * IOTX, 350, False, False)
LITTLE = votes_of(300_000 * IOTX, 0, False, False)


@pytest.fixture
def staked(solidity: Solidity) -> World:
    """A delegate with its self-stake, and two accounts whose buckets elect it."""
    world = World(solidity)
    world.gas = 16_000_000
    world.stake = world.deploy_code(staking.creation_code(IIP_53))
    world.governance = world.deploy(world.stake, QUICK)
    world.reader = c.GovernanceReader(world.governance, world.eth_call)
    secret = _native.BlsSecretKey.key_gen(bytes(31) + b"\x01")
    point, proof = staking.encode_key(secret.public_key().to_bytes(), secret.prove_possession())
    register = staking.encode_call("register", address(DELEGATE), address(DELEGATE), point, proof, 91, True)
    world.send(DELEGATE, register, world.stake, SELF_STAKE + IIP_53.registration_fee)
    world.send(STAKER, _bucket(350), world.stake, 500_000 * IOTX)
    world.send(SMALL, _bucket(0), world.stake, 300_000 * IOTX)
    return world


def _bucket(days: int) -> bytes:
    return staking.encode_call("createBucket", address(DELEGATE), days, False)


def test_each_owner_votes_with_its_own_buckets(staked: World) -> None:
    proposal = staked.idea(policy(), STAKER)
    staked.send(STAKER, c.advance(Step.SUPPORT, proposal))
    staked.now += QUICK.voting_delay
    # In the opening block, so after the snapshot.
    opening = (LATE, staked.governance, c.advance(Step.OPEN, proposal), 0)
    staked.block((LATE, staked.stake, _bucket(1_000), 700_000 * IOTX), opening)
    assert staked.refusal(LATE, c.vote(proposal, True)).name == "NoWeight"
    staked.send(DELEGATE, c.vote(proposal, False))
    staked.send(STAKER, c.vote(proposal, True))
    record = staked.reader.proposal(proposal)
    assert (record.support, record.yes, record.no) == (STAKED, STAKED, OWN)
    assert record.turnout_needed == -(-(OWN + STAKED + LITTLE) * QUICK.turnout_quorum_bps // 10_000)
    staked.now += QUICK.voting_period
    staked.advance(Step.CLOSE, proposal)
    assert staked.reader.proposal(proposal).state is State.PASSED


def test_unstaking_after_the_snapshot_changes_no_vote(staked: World) -> None:
    """Bucket 2 has no duration, so its owner may leave at once: before the snapshot it is gone, after it is counted."""
    unstake = staking.encode_call("unstake", 2)
    proposal = staked.idea(policy(), SMALL)
    staked.send(SMALL, unstake, staked.stake)
    staked.send(SMALL, c.advance(Step.SUPPORT, proposal))
    assert staked.reader.proposal(proposal).support == LITTLE
    staked.now += QUICK.voting_delay
    staked.advance(Step.OPEN, proposal)
    assert staked.refusal(SMALL, c.vote(proposal, True)).name == "NoWeight"
    assert staked.reader.proposal(proposal).turnout_needed == -(-(OWN + STAKED) * 2_000 // 10_000)


def test_executed_proposal_stakes_and_then_has_weight(staked: World) -> None:
    """The contract is an account like any other: what it stakes out of its money is in its own name."""
    stake = Call(staked.stake, _bucket(0), 100 * IOTX)
    draft = technical(stake)
    proposal = staked.idea(draft, STAKER)
    staked.send(STAKER, c.advance(Step.SUPPORT, proposal))
    staked.now += QUICK.voting_delay
    staked.advance(Step.OPEN, proposal)
    staked.send(STAKER, c.vote(proposal, True))
    staked.now += QUICK.voting_period
    staked.advance(Step.CLOSE, proposal)
    staked.advance(Step.QUEUE, proposal)
    staked.now += QUICK.time_lock
    staked.send(LATE, b"", value=100 * IOTX)
    staked.send(LATE, c.execute(proposal, draft.calls))
    head = staked.chain.head_number
    staked.block()
    weight = staked.eth_call(staked.stake, staking.encode_call("weightAt", staked.governance, head))
    assert int.from_bytes(weight, "big") == votes_of(100 * IOTX, 0, False, False)
