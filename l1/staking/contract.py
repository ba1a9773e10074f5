"""The staking contract from here: its code for the genesis, call data, and the state that it holds.

Takes the artifact of `verifier/contracts/l1/Staking.sol`; executing a call is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from l1.contracts import construction
from l1.contracts.abi import Artifact
from l1.staking.evidence import HISTORY_BLOCKS
from l1.staking.parameters import ExitOrder, Parameters, Rotation
from l1.staking.points import key_point, signature_point
from l1.staking.state import Bucket, Candidate, Exit, Poll, Seat, StakingState

STAKING_ADDRESS = b"staking".rjust(20, b"\0")
"""Where the genesis puts the contract, 20 bytes."""

CONTRACT = Artifact("l1.staking", "Staking")
"""What `Staking.sol` compiles to."""

MAX_SEATS = 144
"""Most delegates of an epoch that the system calls have gas for, whatever happened in it."""

MAX_SHARES = 100
"""Most candidates who share an epoch's reward, likewise."""

PAGE = 64
"""Entries that one call reads."""

Call = Callable[[bytes], bytes]
"""Executes call data on the contract, read-only, and returns the result."""


def creation_code(parameters: Parameters) -> bytes:
    """Code that deploys the contract with these constants.

    Raises
    ------
    ValueError
        For parameters that the contract does not implement: IIP-61's exits, absolute rotation, candidates without keys;
        for a threshold or a share above one; for epochs so long that the first poll cannot read the genesis block's
        hash any more; for more delegates, or more of those who share a reward, than one transaction can settle.
    """
    if parameters.exit_order is not ExitOrder.FIFO_SERVING or parameters.rotation is not Rotation.EPOCH:
        raise ValueError(f"the contract has no {parameters.exit_order} and no {parameters.rotation}")
    if not parameters.require_bls_key or not parameters.recovery_hysteresis:
        raise ValueError("the contract asks for BLS keys, and remembers disqualification")
    if not 0 <= parameters.productivity_threshold <= 100:
        raise ValueError(f"productivity_threshold: {parameters.productivity_threshold} is no percentage")
    if not 0 <= parameters.equivocation_slash_share <= 10_000:
        raise ValueError(f"equivocation_slash_share: {parameters.equivocation_slash_share} is not in [0, 10000]")
    if parameters.poll_height(1) > HISTORY_BLOCKS:
        raise ValueError(f"blocks_per_epoch: the first poll must be in block {HISTORY_BLOCKS} or before (EIP-2935)")
    if parameters.max_delegates > MAX_SEATS or parameters.epoch_reward_delegates > MAX_SHARES:
        raise ValueError(
            f"max_delegates {parameters.max_delegates} and epoch_reward_delegates {parameters.epoch_reward_delegates}: "
            f"a transaction settles at most {MAX_SEATS} and {MAX_SHARES} (EIP-7825)"
        )
    return CONTRACT.creation_code(tuple(constants(parameters).values()))


def constants(parameters: Parameters) -> dict[str, int]:
    """What the contract is made with, by the name of each getter, in the constructor's order."""
    return {
        "BLOCKS_PER_EPOCH": parameters.blocks_per_epoch,
        "REGISTRATION_FEE": parameters.registration_fee,
        "REGISTER_SELF_STAKE": parameters.register_self_stake,
        "ACTIVE_SELF_STAKE": parameters.active_self_stake,
        "MIN_BUCKET": parameters.min_bucket,
        "MAX_DAYS": parameters.max_days,
        "WITHDRAW_WAIT": parameters.withdraw_wait,
        "ENDORSEMENT_WAIT": parameters.endorsement_wait,
        "PRODUCTIVITY_THRESHOLD": parameters.productivity_threshold,
        "SLASH_PER_BLOCK": parameters.slash_per_block if parameters.slash_unproductive else 0,
        "BLOCK_REWARD": parameters.block_reward,
        "EPOCH_REWARD": parameters.epoch_reward,
        "EXIT_EPOCHS": parameters.exit_epochs,
        "EQUIVOCATION_SLASH_SHARE": parameters.equivocation_slash_share,
    }


def runtime_code(parameters: Parameters) -> bytes:
    """The contract's code with these constants, for an account of the genesis: the constructor writes no storage.

    Raises
    ------
    ValueError
        As `creation_code`.
    """
    return construction.runtime_code(creation_code(parameters))


def encode_call(name: str, *arguments: object) -> bytes:
    """Call data of a function. Raises eth_abi's EncodingError for a value that does not fit its type."""
    return CONTRACT.encode_call(name, *arguments)


def encode_key(bls_key: bytes, possession: bytes) -> tuple[bytes, bytes]:
    """A key and its proof, compressed, as `register` and `update` take them; empty for no new key.

    Raises
    ------
    PointInvalid
        For bytes that are no point.
    """
    return (key_point(bls_key), signature_point(possession)) if bls_key else (b"", b"")


def error_name(data: bytes) -> str:
    """The custom error in a revert's data; `Error` and `Panic` are Solidity's own. Empty for an unknown one."""
    return CONTRACT.error_name(data)


def read_state(call: Call, epoch: int, *, with_buckets: bool = False) -> StakingState:
    """The contract's state, as the rules know it.

    Rewards of accounts, keys that were given up, and convictions are not listed by the contract and are left out; no
    election and no settlement reads them.

    Parameters
    ----------
    epoch
        The current one: its poll and the next one's are read.
    with_buckets
        Also read every bucket. System calls need none.
    """
    ((pool, next_bucket, next_ticket, admitted, ended, count),) = _read(call, "overview")
    candidates = {}
    for start in range(0, count, PAGE):
        for view in _read(call, "readCandidates", start, PAGE)[0]:
            candidate = _candidate(*view)
            candidates[candidate.identity] = candidate
    buckets: dict[int, Bucket] = {}
    if with_buckets:
        for start in range(0, next_bucket, PAGE):
            buckets |= {index: _bucket(index, bucket) for index, bucket in _read(call, "readBuckets", start, PAGE)[0]}
    polls = {number: poll for number in (epoch, epoch + 1) if (poll := _poll(call, number)) is not None}
    return StakingState(
        buckets=buckets,
        candidates=candidates,
        operators={each.operator: each.identity for each in candidates.values()},
        bls_keys={each.bls_key: each.identity for each in candidates.values()},
        pool=pool,
        next_bucket=next_bucket,
        next_ticket=next_ticket,
        exit_admitted=admitted or None,
        polls=polls,
        ended_epoch=ended,
    )


def read_seats(call: Call, epoch: int) -> tuple[Seat, ...]:
    """The delegates that an epoch's poll froze, in their order; none where there was no poll, or nobody to elect."""
    poll = _poll(call, epoch)
    return poll.seats if poll else ()


def _candidate(address: bytes, bls_key: bytes, fields: Sequence[Any]) -> Candidate:
    operator, _, reward, unproductive, disqualified, votes, self_stake, bucket, ticket, leaves_at = fields
    return Candidate(
        identity=address,
        operator=operator,
        reward=reward,
        bls_key=bls_key,
        votes=votes,
        self_stake_bucket=bucket - 1 if bucket else None,
        self_stake=self_stake,
        disqualified=disqualified,
        exit=Exit(ticket - 1, leaves_at or None) if ticket else None,
        last_unproductive=unproductive,
    )


def _bucket(index: int, fields: Sequence[Any]) -> Bucket:
    owner, started_at, days, candidate, unstaked_at, auto_stake, amount, endorsed_until = fields
    return Bucket(
        index,
        owner,
        candidate,
        amount,
        days,
        auto_stake,
        started_at,
        unstaked_at or None,
        endorsed_until or None,
    )


def _poll(call: Call, epoch: int) -> Poll | None:
    seats, ranking = _read(call, "readPoll", epoch)
    if not seats:
        return None
    return Poll(
        epoch,
        tuple(Seat(*each) for each in seats),
        tuple(ranking),
    )


def _read(call: Call, name: str, *arguments: object) -> tuple[Any, ...]:
    return CONTRACT.decode_result(name, call(encode_call(name, *arguments)))
