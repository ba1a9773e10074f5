"""The staking contract as an account of a genesis, with the first delegates registered in it as candidates.

Its storage is made by the contract itself: the registrations are executed on a scratch chain, in which each owner's
account has a forwarder for code, so that the contract sees the owner as its caller without the owner's key. Then the
contract's storage is copied. The scratch chain has the genesis' time; its block 1 is where the history of votes begins.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

import rlp
from coincurve import PrivateKey
from eth_abi.abi import decode
from eth_hash.auto import keccak

from l1.staking.contract import (
    STAKING_ADDRESS,
    Call,
    constants,
    encode_call,
    encode_key,
    error_name,
    runtime_code,
)
from l1.staking.parameters import IOTX, Parameters
from l1.staking.weight import votes_of
from native import _native

SELF_STAKE_DAYS: Final = 91
"""Duration of a first candidate's bucket, with auto-stake: the least that has the self-stake bonus."""
REWARD_POOL: Final = 200_000_000 * IOTX
"""What the reward pool begins with, rau (iotex-core's initial fund)."""

_GAS = 4_000_000
_RICH = 1 << 160
_FORWARDER = bytes.fromhex("365f5f375f5f365f3473") + STAKING_ADDRESS + bytes.fromhex("5af13d5f5f3e602a573d5ffd5b3d5ff3")
"""Calls the staking contract with what it is called with, and answers as that does."""


class FirstCandidate(NamedTuple):
    """Somebody who is a candidate from the first block."""

    owner: bytes
    """Identity, 20 bytes; also gets the rewards."""
    operator: bytes
    """Who makes its blocks, 20 bytes."""
    key: bytes
    """BLS key, 48 bytes."""
    proof: bytes
    """Its proof of possession, 96 bytes."""
    stake: int
    """Self-stake, rau; 0 for none."""


class Account(NamedTuple):
    """The contract's account."""

    code: bytes
    storage: dict[int, int]
    """Slot to value."""
    balance: int
    """Rau: the stakes, the registration fees, which are in the pool, and what the pool begins with besides."""


def first_votes(stake: int) -> int:
    """Votes of a first candidate with this self-stake, rau."""
    return votes_of(stake, SELF_STAKE_DAYS, True, True)


def staking_account(
    parameters: Parameters, candidates: Sequence[FirstCandidate], timestamp: int, pool: int = REWARD_POOL
) -> Account:
    """The account of the contract in a genesis of this time (Unix seconds).

    Raises
    ------
    ValueError
        As `runtime_code`, and when the contract refuses a candidate; the message has the contract's error.
    """
    code = runtime_code(parameters)
    payer = PrivateKey(secrets.token_bytes(32))
    alloc: dict[bytes, tuple[int, int, bytes, list[tuple[int, int]]]]
    alloc = {each.owner: (0, 1, _FORWARDER, []) for each in candidates}
    sender = bytes(keccak(payer.public_key.format(compressed=False)[1:])[12:])
    chain, _ = _native.Chain.genesis(
        chain_id=1,
        gas_limit=1 << 50,
        base_fee_per_gas=0,
        timestamp=timestamp,
        extra_data=b"",
        alloc=alloc | {STAKING_ADDRESS: (0, 1, code, []), sender: (_RICH, 0, b"", [])},
    )
    registrations = [
        _registration(payer, nonce, each, parameters.registration_fee) for nonce, each in enumerate(candidates)
    ]
    executed = chain.build(
        registrations,
        beneficiary=bytes(20),
        timestamp=timestamp,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=b"",
    )
    for each, receipt in zip(candidates, executed.receipts, strict=True):
        if not receipt.status:
            raise ValueError(f"candidate 0x{each.owner.hex()}: {_refusal(chain, each, parameters.registration_fee)}")
    state = chain.view_of(executed)
    storage = dict(state.storage_of(STAKING_ADDRESS))
    return Account(code, storage, state.balance(STAKING_ADDRESS) + pool)


def check_constants(call: Call, parameters: Parameters) -> None:
    """Check that the contract of a state was made with these parameters. Raises ValueError, naming the first other."""
    for name, right in constants(parameters).items():
        (found,) = decode(["uint256"], call(encode_call(name)))
        if found != right:
            raise ValueError(f"the staking contract's {name} is {found}, and the rules say {right}")


def _registration(payer: PrivateKey, nonce: int, candidate: FirstCandidate, fee: int) -> _native.Transaction:
    fields = [1, nonce, 0, 0, _GAS, candidate.owner, fee + candidate.stake, _call_data(candidate), []]
    signature = payer.sign_recoverable(keccak(b"\x02" + rlp.encode(fields)), hasher=None)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    return _native.Transaction.decode(b"\x02" + rlp.encode([*fields, signature[64], r, s]))


def _call_data(candidate: FirstCandidate) -> bytes:
    point, possession = encode_key(candidate.key, candidate.proof)
    return encode_call("register", candidate.operator, candidate.owner, point, possession, SELF_STAKE_DAYS, True)


def _refusal(chain: _native.Chain, candidate: FirstCandidate, fee: int) -> str:
    """What the contract says to a registration alone; one that only fails among others repeats another's."""
    result = chain.view(0).call(
        sender=candidate.owner,
        to=STAKING_ADDRESS,
        data=_call_data(candidate),
        value=0,
        gas=None,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=_GAS,
    )
    found = error_name(result.output) if result.status == "revert" and not fee + candidate.stake else ""
    return found or "the contract refuses its registration: is its key or operator another's, or its stake too small?"
