"""Test only: keys, candidates and states to run the rules on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from l1.staking import candidates
from l1.staking.parameters import IIP_53, IOTX, Parameters
from l1.staking.state import BlockContext, StakingState
from native import _native

START = BlockContext(1, 1_800_000_000)
"""The first block of these tests."""


@dataclass(frozen=True)
class Keys:
    """A BLS key pair with its proof of possession."""

    secret: _native.BlsSecretKey
    public: bytes
    possession: bytes


@lru_cache(maxsize=1024)
def keys(number: int) -> Keys:
    """The key pair of a number."""
    secret = _native.BlsSecretKey.key_gen(number.to_bytes(32, "big"))
    return Keys(secret, secret.public_key().to_bytes(), secret.prove_possession())


def account(number: int) -> bytes:
    """The address of a number, from 0."""
    return (0xACC0 << 140 | number + 1).to_bytes(20, "big")


def operator(number: int) -> bytes:
    """The operator of candidate `number`."""
    return (0x0FE0 << 140 | number).to_bytes(20, "big")


def reward(number: int) -> bytes:
    """The reward account of candidate `number`."""
    return (0x0EA0 << 140 | number).to_bytes(20, "big")


def registered(
    state: StakingState,
    number: int,
    *,
    stake: int = 2_000_000 * IOTX,
    parameters: Parameters = IIP_53,
    block: BlockContext = START,
    days: int = 91,
    auto_stake: bool = True,
) -> StakingState:
    """The state with candidate `number` registered and staked."""
    pair = keys(number)
    return candidates.register(
        parameters,
        state,
        block,
        account(number),
        operator=operator(number),
        reward=reward(number),
        bls_key=pair.public,
        possession=pair.possession,
        value=parameters.registration_fee + stake,
        days=days,
        auto_stake=auto_stake,
    )


def with_candidates(count: int, *, parameters: Parameters = IIP_53, stake: int = 2_000_000 * IOTX) -> StakingState:
    """A state with `count` candidates of equal stake."""
    state = StakingState()
    for number in range(count):
        state = registered(state, number, parameters=parameters, stake=stake)
    return state
