"""What somebody tries who wants more out of the staking contract than is his, or to keep another from it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak
from staking_chain import PEOPLE, RICH, Pair, refusal_of
from staking_operations import SHORT, Operation
from staking_world import START, account, registered

from l1.chain.genesis import GenesisAccount
from l1.staking import buckets, candidates, exits
from l1.staking.contract import STAKING_ADDRESS, encode_call
from l1.staking.parameters import IIP_53, IOTX
from l1.staking.refusal import StakingRefused
from l1.staking.state import MAX_VOTES, BlockContext, StakingState
from verifier.contracts.compile import compile_sources

THIEF = b"\x11" * 20
CALLER = PEOPLE.actors[7]


@lru_cache(maxsize=1)
def compiled() -> dict[str, Any]:
    source = (Path(__file__).parent / "solidity" / "Attacker.sol").read_text()
    # 5159: SELFDESTRUCT is deprecated; that it still moves coins (EIP-6780) is what is tested.
    _, contracts = compile_sources({"Attacker.sol": source}, expected_warnings={"5159"})
    return contracts["Attacker.sol"]


def code(name: str, kind: str) -> bytes:
    return bytes.fromhex(compiled()[name]["evm"][kind]["object"])


def selector(signature: str) -> bytes:
    return bytes(keccak(signature.encode())[:4])


def act(data: bytes, again: bytes = b"") -> bytes:
    return selector("act(bytes,bytes)") + encode(["bytes", "bytes"], [data, again])


def asked(pair: Pair, name: str, kind: str) -> Any:
    (found,) = decode([kind], pair.call(selector(f"{name}()"), to=THIEF).output)
    return found


def step(pair: Pair, operation: Operation | None = None, producer: bytes = PEOPLE.operators[0]) -> None:
    block = replace(pair.block, height=pair.block.height + 1, timestamp=pair.block.timestamp + 3)
    pair.step(block, producer, bytes(32), operation)


@pytest.fixture
def pair() -> Pair:
    """A candidate with stake, and a contract that attacks."""
    made = Pair(SHORT, {THIEF: GenesisAccount(nonce=1, code=code("Reentrant", "deployedBytecode"))})
    step(made, Operation("register", 0, 0, 1, value=500_000 * IOTX, days=91, auto_stake=True))
    return made


def sent(pair: Pair, data: bytes, value: int = 0, seconds: int = 3) -> None:
    assert pair.send(CALLER, THIEF, data, value, seconds=seconds).receipts[0].status


# --- calls in the middle of a payment ---


@pytest.mark.parametrize("again", [("withdraw", 1), ("withdraw", 2)])
def test_a_withdrawal_is_paid_once(pair: Pair, again: tuple[str, int]) -> None:
    """The bucket is gone before its owner is paid; another bucket of his may be withdrawn meanwhile."""
    for _ in range(2):
        sent(pair, act(encode_call("createBucket", PEOPLE.actors[0], 0, False)), 300 * IOTX)
    before = pair.view().balance(STAKING_ADDRESS)
    sent(pair, act(encode_call("unstake", 1)))
    sent(pair, act(encode_call("unstake", 2)))
    sent(pair, act(encode_call("withdraw", 1), encode_call(*again)), seconds=SHORT.withdraw_wait)
    other = again == ("withdraw", 2)
    assert asked(pair, "succeeded", "bool") is other
    assert pair.view().balance(THIEF) == (600 if other else 300) * IOTX
    assert pair.view().balance(STAKING_ADDRESS) == before - (600 if other else 300) * IOTX
    (pool,) = decode(["uint256"], pair.read(encode_call("pool")))
    assert pool == SHORT.registration_fee


def test_rewards_are_paid_once() -> None:
    made = Pair(SHORT, {THIEF: GenesisAccount(nonce=1, code=code("Reentrant", "deployedBytecode"))})
    step(made, Operation("fund", 0, value=10**5 * IOTX))
    step(made, Operation("register", 0, 0, 1, value=500_000 * IOTX, days=91, auto_stake=True))
    to_thief = encode_call("update", PEOPLE.operators[0], THIEF, b"", b"")
    made.send(PEOPLE.actors[0], STAKING_ADDRESS, to_thief, 0, seconds=3)
    made.state = made.state.with_candidate(replace(made.state.candidates[PEOPLE.actors[0]], reward=THIEF))
    while made.block.height <= SHORT.last_height(2):
        step(made)
    owed = made.state.unclaimed[THIEF]
    assert owed > 0
    sent(made, act(encode_call("claim"), encode_call("claim")))
    assert asked(made, "paid", "uint256") == 1
    assert asked(made, "succeeded", "bool") is False
    assert asked(made, "answer", "bytes")[:4] == selector("NothingToClaim(address)")
    assert made.view().balance(THIEF) == owed


# --- coins that nobody asked for ---


def test_forced_coins_are_the_pools(pair: Pair) -> None:
    """They cannot be refused; nobody's stake or reward is less or more by them."""
    before = pair.view().balance(STAKING_ADDRESS)
    forced = code("Forced", "bytecode") + encode(["address"], [STAKING_ADDRESS])
    executed = pair.send(CALLER, b"", forced, 7 * IOTX, seconds=3)
    assert executed.receipts[0].status
    assert pair.view().balance(STAKING_ADDRESS) == before + 7 * IOTX
    (pool,) = decode(["uint256"], pair.read(encode_call("pool")))
    assert pool == SHORT.registration_fee + 7 * IOTX


# --- an endorsement that is never given back ---


def endorsed() -> StakingState:
    """Candidate 0 stands with bucket 1 of account 5, whose notice is over at height 100."""
    state = registered(StakingState(), 0, stake=0)
    terms: dict[str, Any] = {"candidate": account(0), "value": 400_000 * IOTX, "days": 91, "auto_stake": True}
    state = buckets.create_bucket(IIP_53, state, START, account(5), **terms)
    state = candidates.endorse(IIP_53, state, account(5), index=0)
    state = candidates.activate(IIP_53, state, START, account(0), index=0)
    before = BlockContext(100 - IIP_53.endorsement_wait, START.timestamp)
    return candidates.give_notice(IIP_53, state, before, account(5), index=0)


def test_a_candidate_cannot_keep_an_endorsers_bucket_by_cancelling() -> None:
    state = candidates.revoke_endorsement(IIP_53, endorsed(), BlockContext(100, 0), account(5), index=0)
    with pytest.raises(StakingRefused, match=r"^NotEndorsed"):
        exits.cancel_exit(IIP_53, state, BlockContext(101, 0), account(0))
    # While the endorsement lasts, the exit is the candidate's own to cancel.
    own = exits.request_exit(endorsed(), account(0))
    assert exits.cancel_exit(IIP_53, own, BlockContext(99, 0), account(0)).candidates[account(0)].exit is None


def test_the_contract_says_so_too(pair: Pair) -> None:
    step(pair, Operation("register", 1, 1, 2))
    step(pair, Operation("create", 2, candidate=1, value=400_000 * IOTX, days=91, auto_stake=True))
    step(pair, Operation("endorse", 2, index=1))
    step(pair, Operation("activate", 1, index=1))
    step(pair, Operation("request_exit", 1))
    step(pair, Operation("cancel_exit", 1))
    step(pair, Operation("notice", 2, index=1))
    for _ in range(SHORT.endorsement_wait):
        step(pair)
    step(pair, Operation("revoke", 2, index=1))
    leaving = pair.state.candidates[PEOPLE.actors[1]].exit
    assert leaving is not None
    assert leaving.leaves_at is None
    step(pair, Operation("cancel_exit", 1))
    assert (pair.done["cancel_exit"], pair.done["NotEndorsed"]) == (1, 1)


# --- more votes than an election can tell ---


def test_a_candidate_has_at_most_the_votes_that_a_seat_can_have(pair: Pair) -> None:
    """With more, the poll could not be encoded and no block be made."""
    most = MAX_VOTES - pair.state.candidates[PEOPLE.actors[0]].votes
    step(pair, Operation("create", 1, candidate=0, value=most + 1))
    step(pair, Operation("create", 1, candidate=0, value=most))
    assert pair.state.candidates[PEOPLE.actors[0]].votes == MAX_VOTES
    step(pair, Operation("create", 1, candidate=0, value=SHORT.min_bucket))
    step(pair, Operation("register", 2, 2, 3, value=500_000 * IOTX, days=91, auto_stake=True))
    step(pair, Operation("create", 1, candidate=2, value=SHORT.min_bucket))
    step(pair, Operation("move", 1, candidate=0, index=3))
    assert pair.done["VotesTooLarge"] == 3
    while pair.block.height <= SHORT.poll_height(1):
        step(pair)
    assert max(each.power for each in pair.state.polls[2].seats) == MAX_VOTES
    assert refusal_of(pair.call(encode_call("deposit", 0), CALLER, RICH // 2)) == "VotesTooLarge"
