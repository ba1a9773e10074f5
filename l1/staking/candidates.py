"""Candidates: registration, keys, activation by own or endorsed stake (iotex-core, staking/handlers.go and
handler_candidate_*.go; keys: IIP-52)."""

from __future__ import annotations

from dataclasses import replace

from l1.staking.buckets import create_bucket, owned
from l1.staking.exits import confirm_exit, request_exit
from l1.staking.parameters import Parameters
from l1.staking.refusal import StakingRefused
from l1.staking.state import ENDORSED_UNTIL_NOTICE, BlockContext, Candidate, StakingState, put, without
from native import _native

ZERO = bytes(20)
"""The address that nobody has."""


def register(
    parameters: Parameters,
    state: StakingState,
    block: BlockContext,
    caller: bytes,
    *,
    operator: bytes,
    reward: bytes,
    bls_key: bytes,
    possession: bytes,
    value: int,
    days: int,
    auto_stake: bool,
) -> StakingState:
    """Become a candidate. `value` is the fee, alone or with a self-stake of at least the minimum.

    Parameters
    ----------
    operator, reward
        See `Candidate`. An operator works for one candidate.
    bls_key, possession
        48 and 96 bytes, compressed: the key and the proof that the caller has its secret (draft-irtf-cfrg-bls-signature,
        PopVerify), without which a key chosen as a difference of others' could sign for them.
    value
        Rau; the fee goes into the pool.
    days, auto_stake
        The self-stake bucket's terms.
    """
    if caller in state.candidates:
        raise StakingRefused("CandidateExists", f"0x{caller.hex()} is a candidate already")
    stake = value - parameters.registration_fee
    if stake < 0:
        raise StakingRefused("AmountTooSmall", f"{value} rau; registration costs {parameters.registration_fee}")
    if 0 < stake < parameters.register_self_stake:
        raise StakingRefused("SelfStakeTooSmall", f"{stake} rau; at least {parameters.register_self_stake}, or none")
    _check_address("reward", reward)
    state = _with_operator(state, caller, operator)
    state = _with_key(parameters, state, caller, bls_key, possession)
    state = state.with_candidate(Candidate(caller, operator, reward, bls_key))
    state = replace(state, pool=state.pool + parameters.registration_fee)
    if stake == 0:
        return state
    index = state.next_bucket
    state = create_bucket(
        parameters, state, block, caller, candidate=caller, value=stake, days=days, auto_stake=auto_stake
    )
    return state.with_self_stake(caller, index)


def update(
    parameters: Parameters,
    state: StakingState,
    caller: bytes,
    *,
    operator: bytes,
    reward: bytes,
    bls_key: bytes = b"",
    possession: bytes = b"",
) -> StakingState:
    """Name another operator, reward account and, unless empty, key. Polls that were taken stay as they are."""
    candidate = state.candidate(caller)
    _check_address("reward", reward)
    if operator != candidate.operator:
        freed = replace(state, operators=without(state.operators, candidate.operator))
        state = _with_operator(freed, caller, operator)
    if bls_key:
        state = _with_key(parameters, state, caller, bls_key, possession)
    return state.with_candidate(
        replace(candidate, operator=operator, reward=reward, bls_key=bls_key or candidate.bls_key)
    )


def activate(
    parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes, *, index: int
) -> StakingState:
    """Make a bucket that votes for the caller its self-stake: its own, or one whose owner endorses it."""
    candidate = state.candidate(caller)
    if candidate.exit is not None:
        raise StakingRefused("ExitPending", f"0x{caller.hex()} is leaving")
    bucket = state.bucket(index)
    if bucket.candidate != caller:
        raise StakingRefused("WrongCandidate", f"bucket {index} votes for 0x{bucket.candidate.hex()}")
    if bucket.unstaked_at is not None:
        raise StakingRefused("BucketUnstaked", f"bucket {index} is unstaked")
    _check_self_stake(parameters, bucket.amount)
    if candidate.self_stake_bucket == index:
        raise StakingRefused("SelfStakeLocked", f"bucket {index} is the self-stake already")
    if bucket.owner != caller and not bucket.endorses(block.height):
        raise StakingRefused("NotEndorsed", f"bucket {index} is neither the candidate's nor endorsed")
    state = state.with_self_stake(caller, index)
    return state.with_candidate(replace(state.candidates[caller], disqualified=False))


def endorse(parameters: Parameters, state: StakingState, caller: bytes, *, index: int) -> StakingState:
    """Vouch with a bucket for the candidate it votes for, who may then activate it."""
    bucket = owned(state, caller, index)
    if bucket.unstaked_at is not None:
        raise StakingRefused("BucketUnstaked", f"bucket {index} is unstaked")
    _check_self_stake(parameters, bucket.amount)
    if state.is_self_stake(bucket):
        raise StakingRefused("SelfStakeLocked", f"bucket {index} is the self-stake of its candidate")
    if bucket.endorsed_until is not None:
        raise StakingRefused("EndorsementActive", f"bucket {index} is endorsed")
    return state.with_bucket(replace(bucket, endorsed_until=ENDORSED_UNTIL_NOTICE))


def give_notice(
    parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes, *, index: int
) -> StakingState:
    """Announce the end of an endorsement: at once, or after the wait where the bucket is in use."""
    bucket = owned(state, caller, index)
    if not bucket.endorses(block.height):
        raise StakingRefused("NotEndorsed", f"bucket {index} is not endorsed at {block.height}")
    wait = parameters.endorsement_wait if state.is_self_stake(bucket) else 0
    return state.with_bucket(replace(bucket, endorsed_until=block.height + wait))


def revoke_endorsement(
    parameters: Parameters, state: StakingState, block: BlockContext, caller: bytes, *, index: int
) -> StakingState:
    """End an endorsement whose notice is over.

    Where the bucket is still the candidate's self-stake, the first call sends the candidate into the exit queue, and one
    after its exit frees the bucket (handler_candidate_endorsement.go, with the exit queue).
    """
    bucket = owned(state, caller, index)
    if bucket.endorsed_until is None:
        raise StakingRefused("NotEndorsed", f"bucket {index} is not endorsed")
    if block.height < bucket.endorsed_until:
        raise StakingRefused("EndorsementActive", f"bucket {index} is endorsed until {bucket.endorsed_until}")
    if state.is_self_stake(bucket):
        if state.candidates[bucket.candidate].exit is None:
            return request_exit(state, bucket.candidate)
        state = confirm_exit(parameters, state, block, bucket.candidate)
    return state.with_bucket(replace(bucket, endorsed_until=None))


def _check_self_stake(parameters: Parameters, amount: int) -> None:
    if amount < parameters.register_self_stake:
        raise StakingRefused("SelfStakeTooSmall", f"{amount} rau; at least {parameters.register_self_stake}")


def _check_address(name: str, address: bytes) -> None:
    if len(address) != 20 or address == ZERO:
        raise StakingRefused("ZeroAddress", f"{name} is 0x{address.hex()}")


def _with_operator(state: StakingState, identity: bytes, operator: bytes) -> StakingState:
    _check_address("operator", operator)
    if operator in state.operators:
        raise StakingRefused("OperatorTaken", f"0x{operator.hex()} works for 0x{state.operators[operator].hex()}")
    return replace(state, operators=put(state.operators, operator, identity))


def _with_key(
    parameters: Parameters, state: StakingState, identity: bytes, bls_key: bytes, possession: bytes
) -> StakingState:
    if not bls_key and not parameters.require_bls_key:
        return state
    if bls_key in state.bls_keys:
        raise StakingRefused("KeyTaken", f"0x{bls_key.hex()} was registered by 0x{state.bls_keys[bls_key].hex()}")
    try:
        key = _native.BlsPublicKey.from_bytes(bls_key)
        proven = key.verify_possession(possession)
    except _native.BlsError as error:
        raise StakingRefused("KeyInvalid", f"0x{bls_key.hex()}: {error}") from error
    if not proven:
        raise StakingRefused("PossessionUnproven", f"the proof is not of the secret of 0x{bls_key.hex()}")
    return replace(state, bls_keys=put(state.bls_keys, bls_key, identity))
