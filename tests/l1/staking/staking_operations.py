"""Test only: operations as values, so that the rules and the contract can be given the same ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from staking_world import keys

from l1.staking import buckets, candidates, exits
from l1.staking.epoch_end import claim, fund_pool
from l1.staking.evidence import Evidence, punish
from l1.staking.parameters import DAY, IIP_53, IOTX, Parameters
from l1.staking.state import BlockContext, StakingState

SHORT = replace(
    IIP_53,
    blocks_per_epoch=13,
    endorsement_wait=9,
    exit_epochs=2,
    active_delegates=2,
    delegate_step=2,
    max_delegates=6,
    active_votes=400_000 * IOTX,
    epoch_reward_delegates=4,
    slash_per_block=30_000 * IOTX,
    equivocation_slash_share=500,
)
"""Ours with short epochs, which no set divides, and a small set, so that few blocks see much."""

ACTORS = 8
"""Accounts that act; actor n's operator is number n or n + ACTORS."""

CALLS = {
    "register": ("operator", "key", "value", "days", "auto_stake"),
    "update": ("operator", "key"),
    "create": ("candidate", "value", "days", "auto_stake"),
    "deposit": ("index", "value"),
    "restake": ("index", "days", "auto_stake"),
    "move": ("index", "candidate"),
    "unstake": ("index",),
    "withdraw": ("index",),
    "endorse": ("index",),
    "notice": ("index",),
    "revoke": ("index",),
    "activate": ("index",),
    "request_exit": (),
    "cancel_exit": (),
    "confirm_exit": (),
    "claim": (),
    "fund": ("value",),
}
"""Operation to what it takes beside the actor."""

WEIGHTS = {
    "register": 4,
    "create": 4,
    "deposit": 3,
    "restake": 2,
    "claim": 3,
    "notice": 3,
    "revoke": 4,
    "activate": 3,
    "withdraw": 2,
}
"""How often an operation is picked; 1 unless named."""


@dataclass(frozen=True)
class Operation:
    """One transaction of an actor."""

    kind: str
    actor: int
    operator: int = 0
    key: int = 0
    candidate: int = 0
    index: int = 0
    value: int = 0
    days: int = 0
    auto_stake: bool = False
    evidence: Evidence | None = None
    """What `report` reports."""
    domain: bytes = b""
    """Of the chain that it is reported on."""


@dataclass(frozen=True)
class People:
    """Addresses by number."""

    actors: Sequence[bytes]
    operators: Sequence[bytes]


def sent_value(parameters: Parameters, operation: Operation) -> int:
    """Rau that come with the transaction."""
    if operation.kind == "register":
        return parameters.registration_fee + operation.value
    return operation.value if operation.kind in ("create", "deposit", "fund") else 0


def perform(
    parameters: Parameters, state: StakingState, block: BlockContext, operation: Operation, people: People
) -> tuple[StakingState, int]:
    """The state after an operation, and what its actor was paid. Raises StakingRefused."""
    caller = people.actors[operation.actor]
    index, value = operation.index, sent_value(parameters, operation)
    terms = {"days": operation.days, "auto_stake": operation.auto_stake}
    pair = keys(operation.key)
    match operation.kind:
        case "register":
            state = candidates.register(
                parameters,
                state,
                block,
                caller,
                operator=people.operators[operation.operator],
                reward=caller,
                bls_key=pair.public,
                possession=pair.possession,
                value=value,
                **terms,  # type: ignore[arg-type]
            )
        case "update":
            state = candidates.update(
                parameters,
                state,
                caller,
                operator=people.operators[operation.operator],
                reward=caller,
                bls_key=pair.public if operation.key else b"",
                possession=pair.possession if operation.key else b"",
            )
        case "create":
            chosen = people.actors[operation.candidate]
            state = buckets.create_bucket(parameters, state, block, caller, candidate=chosen, value=value, **terms)  # type: ignore[arg-type]
        case "deposit":
            state = buckets.deposit(parameters, state, caller, index=index, value=value)
        case "restake":
            state = buckets.restake(parameters, state, block, caller, index=index, **terms)  # type: ignore[arg-type]
        case "move":
            chosen = people.actors[operation.candidate]
            state = buckets.change_candidate(state, caller, index=index, candidate=chosen)
        case "unstake":
            state = buckets.unstake(state, block, caller, index=index)
        case "withdraw":
            return buckets.withdraw(parameters, state, block, caller, index=index)
        case "endorse":
            state = candidates.endorse(parameters, state, caller, index=index)
        case "notice":
            state = candidates.give_notice(parameters, state, block, caller, index=index)
        case "revoke":
            state = candidates.revoke_endorsement(parameters, state, block, caller, index=index)
        case "activate":
            state = candidates.activate(parameters, state, block, caller, index=index)
        case "request_exit":
            state = exits.request_exit(state, caller)
        case "cancel_exit":
            state = exits.cancel_exit(parameters, state, block, caller)
        case "confirm_exit":
            state = exits.confirm_exit(parameters, state, block, caller)
        case "claim":
            return claim(state, caller)
        case "fund":
            state = fund_pool(state, value)
        case "report":
            assert operation.evidence is not None, "a report has evidence"
            state = punish(parameters, state, operation.evidence, operation.domain)
        case unknown:
            raise AssertionError(unknown)
    return state, 0


def random_operation(draw: random.Random, state: StakingState) -> Operation:
    """An operation that has a fair chance to be accepted in this state."""
    kinds = list(CALLS)
    kind = draw.choices(kinds, [WEIGHTS.get(each, 1) for each in kinds])[0]
    actor = draw.randrange(ACTORS)
    index = draw.choice(sorted(state.buckets) or [0]) if draw.random() < 0.95 else state.next_bucket
    endorsed = [each for each in state.buckets.values() if each.endorsed_until is not None]
    if kind in ("notice", "revoke", "activate") and endorsed and draw.random() < 0.8:
        index = draw.choice(endorsed).index
    unstaked = [each for each in state.buckets.values() if each.unstaked_at is not None]
    if kind == "withdraw" and unstaked and draw.random() < 0.8:
        index = draw.choice(unstaked).index
    stakes = [0, 333_333 * IOTX, 400_000 * IOTX, 400_000 * IOTX - 1, draw.randrange(10**24), 750_000 * IOTX]
    return Operation(
        kind,
        actor,
        operator=actor if draw.random() < 0.8 else draw.randrange(2 * ACTORS),
        key=draw.randrange(1, 4 * ACTORS),
        candidate=draw.randrange(ACTORS),
        index=index,
        value=draw.choice(stakes),
        days=draw.choice([0, 1, 7, 90, 91, 350, 1050, 1051]),
        auto_stake=draw.random() < 0.6,
    )


def by_owner(operation: Operation, state: StakingState, people: People, draw: random.Random) -> Operation:
    """The operation by the owner of its bucket, or by who is leaving, most of the time: others are refused only."""
    leaving = [each for each in state.candidates.values() if each.exit]
    waits = operation.kind == "cancel_exit"
    able = [each.identity for each in leaving if each.exit and (each.exit.leaves_at is None) == waits]
    if operation.kind in ("cancel_exit", "confirm_exit") and able and draw.random() < 0.8:
        return replace(operation, actor=list(people.actors).index(draw.choice(able)))
    bucket = state.buckets.get(operation.index)
    if bucket is None or "index" not in CALLS[operation.kind] or draw.random() < 0.1:
        return operation
    owner = bucket.candidate if operation.kind == "activate" else bucket.owner
    return replace(operation, actor=list(people.actors).index(owner))


def next_block(draw: random.Random, block: BlockContext) -> BlockContext:
    """The next block; now and then long after."""
    pause = draw.choice([1, 3, 60, DAY, 4 * DAY, 100 * DAY])
    return BlockContext(block.height + 1, block.timestamp + pause)
