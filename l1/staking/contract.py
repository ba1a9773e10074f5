"""The staking contract from here: its code for the genesis, call data, and the state that it holds.

Takes the artifact of `verifier/contracts/l1/Staking.sol`; executing a call is the caller's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

from l1.staking.parameters import ExitOrder, Parameters, Rotation
from l1.staking.points import key_point, signature_point
from l1.staking.state import Bucket, Candidate, Exit, Poll, Seat, StakingState
from native import _native

STAKING_ADDRESS = b"staking".rjust(20, b"\0")
"""Where the genesis puts the contract, 20 bytes."""

PAGE = 64
"""Entries that one call reads."""

Call = Callable[[bytes], bytes]
"""Executes call data on the contract, read-only, and returns the result."""


@cache
def artifact() -> dict[str, Any]:
    """What `Staking.sol` compiles to, as the compiler wrote it."""
    loaded: dict[str, Any] = json.loads((files("l1.staking") / "artifacts" / "Staking.json").read_text())
    return loaded


def creation_code(parameters: Parameters) -> bytes:
    """Code that deploys the contract with these constants.

    Raises
    ------
    ValueError
        For parameters that the contract does not implement: IIP-61's exits, absolute rotation, candidates without keys.
    """
    if parameters.exit_order is not ExitOrder.FIFO_SERVING or parameters.rotation is not Rotation.EPOCH:
        raise ValueError(f"the contract has no {parameters.exit_order} and no {parameters.rotation}")
    if not parameters.require_bls_key or not parameters.recovery_hysteresis:
        raise ValueError("the contract asks for BLS keys, and remembers disqualification")
    values = (
        parameters.blocks_per_epoch,
        parameters.registration_fee,
        parameters.register_self_stake,
        parameters.active_self_stake,
        parameters.min_bucket,
        parameters.max_days,
        parameters.withdraw_wait,
        parameters.endorsement_wait,
        parameters.productivity_threshold,
        parameters.slash_per_block if parameters.slash_unproductive else 0,
        parameters.block_reward,
        parameters.epoch_reward,
        parameters.exit_epochs,
    )
    constructor = next(each for each in artifact()["abi"] if each["type"] == "constructor")
    return bytes.fromhex(artifact()["bytecode"][2:]) + encode(_types(constructor["inputs"]), [values])


def runtime_code(parameters: Parameters) -> bytes:
    """The contract's code with these constants, for an account of the genesis: the constructor writes no storage.

    Raises
    ------
    ValueError
        As `creation_code`.
    """
    chain, _ = _native.Chain.genesis(
        chain_id=1, gas_limit=60_000_000, base_fee_per_gas=0, timestamp=0, extra_data=b"", alloc={}
    )
    result = chain.view(0).call(
        sender=bytes(20),
        to=None,
        data=creation_code(parameters),
        value=0,
        gas=None,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=16_000_000,
    )
    if result.status != "success":
        raise ValueError(f"the constructor failed: {result.status} {result.halt_reason}")
    return result.output


def encode_call(name: str, *arguments: object) -> bytes:
    """Call data of a function. Raises eth_abi's EncodingError for a value that does not fit its type."""
    entry = _function(name)
    types = _types(entry["inputs"])
    return keccak(f"{name}({','.join(types)})".encode())[:4] + encode(types, arguments)


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
    return _errors().get(data[:4], "")


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


def _candidate(address: str, bls_key: bytes, fields: Sequence[Any]) -> Candidate:
    operator, _, reward, unproductive, disqualified, votes, self_stake, bucket, ticket, leaves_at = fields
    return Candidate(
        identity=_address(address),
        operator=_address(operator),
        reward=_address(reward),
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
        _address(owner),
        _address(candidate),
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
        tuple(Seat(_address(each[0]), _address(each[1]), each[2], each[3]) for each in seats),
        tuple((_address(identity), votes) for identity, votes in ranking),
    )


def _address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _read(call: Call, name: str, *arguments: object) -> tuple[Any, ...]:
    return decode(_types(_function(name)["outputs"]), call(encode_call(name, *arguments)))


@cache
def _function(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in artifact()["abi"] if each["type"] == "function" and each["name"] == name
    )
    return found


@cache
def _errors() -> dict[bytes, str]:
    errors = [each for each in artifact()["abi"] if each["type"] == "error"]
    named = {
        keccak(f"{each['name']}({','.join(_types(each['inputs']))})".encode())[:4]: each["name"] for each in errors
    }
    return named | {bytes.fromhex("08c379a0"): "Error", bytes.fromhex("4e487b71"): "Panic"}


def _types(inputs: list[dict[str, Any]]) -> list[str]:
    return [_type(each) for each in inputs]


def _type(entry: dict[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(entry['components']))}){kind.removeprefix('tuple')}"
