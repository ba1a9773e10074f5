"""A chain whose delegates are elected: polls, rewards, slashing and fees in blocks that every node checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from elections_chain import (
    EPOCH,
    STAKING,
    Grower,
    account_of,
    candidate_keys,
    decide,
    elections_genesis,
    registration,
)
from l1_wallet import CHAIN_ID, key, sign

from l1.chain.blockchain import Blockchain
from l1.chain.duties import GWEI, Duties, DutyUndone, check_duties, system_transactions
from l1.chain.genesis import GenesisAccount, GenesisInvalid
from l1.chain.producer import build_block
from l1.chain.store import StoreError
from l1.chain.system_contracts import with_contracts
from l1.consensus.certificate import check
from l1.consensus.delegates import DelegateSet
from l1.consensus.messages import domain_of
from l1.light.client import Checkpoint, LightClient
from l1.nodes.keys import derive
from l1.nodes.validation import BlockRefused, execute, read_block
from l1.staking.contract import STAKING_ADDRESS, encode_call
from l1.staking.evidence import EVIDENCE_ADDRESS
from l1.staking.parameters import IOTX
from l1.staking.state import Seat
from native import _native

KEYS = derive(b"delegates that stand for office.", 5)
GENESIS = elections_genesis(KEYS)
POLL = EPOCH // 2 + 1
"""Height of the first poll."""


@pytest.fixture
def grower(tmp_path: Path) -> Iterator[Grower]:
    chain = Blockchain(tmp_path / "chain", GENESIS)
    yield Grower(chain, KEYS)
    chain.close()


def members(delegates: DelegateSet) -> set[bytes]:
    return {each.address for each in delegates.members}


# --- epochs ---


async def test_the_delegates_elect_and_a_light_client_follows(tmp_path: Path) -> None:
    chain = Blockchain(tmp_path / "chain", GENESIS)
    try:
        await decide(chain, KEYS, 3 * EPOCH + 2)
        domain = domain_of(chain.chain_id, chain.hash_of(0))
        orders = set()
        for number in range(1, 3 * EPOCH + 2):
            stored, certificate = chain.block(number), chain.certificate(number)
            assert stored is not None
            assert certificate is not None
            check(certificate, chain.delegates_at(number), domain)
            assert stored.block.extra_data == chain.delegates_at(number + 1).root()
            system = [each for each in stored.block.transactions if each.to == STAKING_ADDRESS]
            ends = number % EPOCH == 0 and number > EPOCH
            assert len(system) == (number % EPOCH == POLL) + 2 * ends
            assert all(each.sender == stored.block.beneficiary for each in system)
            assert all(each.status for each in stored.receipts)
            orders.add(tuple(each.address for each in chain.delegates_at(number).members))
        assert len(orders) > 1, "each epoch draws its own order"

        genesis = chain.block(0)
        assert genesis is not None
        checkpoint = Checkpoint(chain.chain_id, genesis.block.hash, genesis.block.header, chain.delegates_at(1))
        assert GENESIS.consensus is not None
        client = LightClient(checkpoint, GENESIS.consensus.parameters(), now=0)
        for last in (EPOCH, 2 * EPOCH, 3 * EPOCH):
            stored, footer = chain.block(last), chain.footer(last)
            assert stored is not None
            assert footer is not None
            client.advance(stored.block.header, footer, chain.delegates_at(last + 1))
        assert client.delegates == chain.delegates_at(3 * EPOCH + 1)
    finally:
        chain.close()


def test_a_candidate_is_elected_misses_its_blocks_and_is_slashed(grower: Grower) -> None:
    """IIP-50: it is registered in epoch 1, sits in epoch 2, is judged at its end, on probation from epoch 4 on."""
    newcomer, owner = candidate_keys(1), key(1)
    grower.grow([registration(newcomer, owner, 0)])
    grower.to(POLL)
    assert members(grower.chain.delegates_at(EPOCH + 1)) == {*(each.address for each in KEYS), newcomer.address}
    grower.to(EPOCH)
    assert grower.chain.head.block.extra_data == grower.chain.delegates_at(EPOCH + 1).root()
    before = grower.state()
    while grower.chain.head_number < 2 * EPOCH:
        others = [each for each in KEYS if each.address != newcomer.address]
        grower.grow(keys=others[grower.chain.head_number % len(others)])
    after = grower.state()
    identity = bytes.fromhex(owner.address[2:])
    place = [each.address for each in grower.chain.delegates_at(2 * EPOCH).members].index(newcomer.address)
    expected = EPOCH // 6 + (place < EPOCH % 6)
    lost = before.candidates[identity].self_stake - after.candidates[identity].self_stake
    assert lost == expected * STAKING.slash_per_block
    assert after.candidates[identity].last_unproductive == 2
    unjudged = dict(after.polls[3].ranking)[identity]
    assert unjudged == before.candidates[identity].votes, "epoch 3 was polled before epoch 2 was judged"
    grower.keys[newcomer.address] = newcomer
    grower.to(2 * EPOCH + POLL)
    state = grower.state()
    assert dict(state.polls[4].ranking)[identity] == state.candidates[identity].votes // 10, "on probation"


def test_rewards_are_earned_and_can_be_claimed(grower: Grower) -> None:
    grower.to(2 * EPOCH)
    owner = account_of(KEYS[0])
    produced = grower.chain.beneficiaries(EPOCH + 1, 2 * EPOCH).count(KEYS[0].address)
    share = STAKING.epoch_reward // len(KEYS)
    wanted = produced * STAKING.block_reward + share
    while grower.proposer().address == KEYS[0].address or grower.due().calls:
        grower.grow()
    view = grower.chain.view(grower.chain.head_number)
    had = view.balance(KEYS[0].address)
    claim = sign(owner, CHAIN_ID, grower.nonce(owner), to=STAKING_ADDRESS, data=encode_call("claim"))
    grower.grow([claim])
    gained = grower.chain.view(grower.chain.head_number).balance(KEYS[0].address) - had
    gas = grower.chain.block(grower.chain.head_number).receipts[0].cumulative_gas_used  # type: ignore[union-attr]
    assert wanted - gas * 10**11 <= gained < wanted


def test_base_fees_come_back_into_the_reward_pool(grower: Grower) -> None:
    grower.grow([sign(key(2), CHAIN_ID, 0, to=key(3).address, value=1)])
    paid = grower.chain.head.block
    before = grower.state().pool
    made = grower.grow().block
    fees = paid.base_fee_per_gas * paid.gas_used // GWEI
    assert fees > 0
    assert made.withdrawals == [(made.number, 0, STAKING_ADDRESS, fees)]
    assert grower.state().pool == before + fees * GWEI
    assert grower.grow().block.withdrawals == [], "a block without transactions pays nothing"


def test_sets_survive_a_restart_and_go_with_their_blocks(tmp_path: Path) -> None:
    chain = Blockchain(tmp_path / "chain", GENESIS)
    Grower(chain, KEYS).to(3 * EPOCH + POLL)
    sets = [chain.delegates_at(height) for height in range(1, 4 * EPOCH + 2)]
    chain.close()
    chain = Blockchain(tmp_path / "chain", None)
    assert [chain.delegates_at(height) for height in range(1, 4 * EPOCH + 2)] == sets
    with pytest.raises(StoreError, match="epoch 6"):
        chain.delegates_at(5 * EPOCH + 1)
    chain.rollback(3 * EPOCH + POLL - 1)
    with pytest.raises(StoreError, match="epoch 5"):
        chain.delegates_at(4 * EPOCH + 1)
    Grower(chain, KEYS).to(4 * EPOCH + 1)
    chain.close()


async def test_an_operator_without_coins_lets_its_turn_pass(tmp_path: Path) -> None:
    """It can vote, and propose blocks without system calls; where one is due, the next round's proposer makes it."""
    poor = [each.address for each in KEYS[:1]]
    chain = Blockchain(tmp_path / "chain", elections_genesis(KEYS, poor=poor, epoch=5))
    try:
        await decide(chain, KEYS, 26)
        made = {number: chain.block(number).block for number in range(1, 26)}  # type: ignore[union-attr]
        assert poor[0] in {each.beneficiary for each in made.values()}
        with_duty = [each for number, each in made.items() if number % 5 == 3]
        assert len(with_duty) == 5
        assert all(each.transactions and each.beneficiary != poor[0] for each in with_duty)
    finally:
        chain.close()


def test_who_cannot_pay_is_told_so(tmp_path: Path) -> None:
    chain = Blockchain(tmp_path / "chain", elections_genesis(KEYS, poor=[KEYS[0].address]))
    grower = Grower(chain, KEYS)
    grower.to(POLL - 1)
    due = grower.due(KEYS[0])
    assert due.calls
    with pytest.raises(DutyUndone, match="send it coins"):
        system_transactions(chain, KEYS[0].operator, due)
    chain.close()


# --- blocks that do not do their duty ---


def refused(grower: Grower, due: Duties, raw: list[bytes] | None = None) -> str:
    executed = grower.build(raw or [], due=due)
    with pytest.raises(BlockRefused) as error:
        execute(
            grower.chain, read_block(executed.block.encoded), grower.chain.delegates_at(grower.chain.head_number + 1)
        )
    assert error.value.reason == "rules"
    return str(error.value.args[1])


def test_a_poll_that_is_left_out_or_another_one(grower: Grower) -> None:
    grower.to(POLL - 1)
    due = grower.due()
    assert len(due.calls) == 1
    assert "must begin with 1 system calls" in refused(grower, replace(due, calls=()))
    seats = [Seat(each.address, each.address, 10**24, each.registration(0).key) for each in KEYS[:4]]
    other = encode_call("putPollResult", 2, [(s.candidate, s.operator, s.power, s.bls_key) for s in seats], [])
    assert "something else" in refused(grower, replace(due, calls=(other,)))
    assert "system call must be here" in _by_somebody_else(grower, due)


def _by_somebody_else(grower: Grower, due: Duties) -> str:
    """The call is right, its sender is not the block's beneficiary."""
    proposer = grower.proposer()
    other = next(each for each in KEYS if each.address != proposer.address)
    first = system_transactions(grower.chain, other.operator, due)
    executed = build_block(grower.chain, first, proposer.address, grower.chain.head.block.timestamp, due)
    delegates = grower.chain.delegates_at(grower.chain.head_number + 1)
    with pytest.raises(BlockRefused) as error:
        execute(grower.chain, read_block(executed.block.encoded), delegates)
    return str(error.value.args[1])


def test_a_system_call_that_fails(grower: Grower) -> None:
    """A user's call cannot take its place, and one without enough gas reverts."""
    grower.to(POLL - 1)
    due, proposer = grower.due(), grower.proposer()
    account = account_of(proposer)
    poor = sign(account, CHAIN_ID, grower.nonce(account), to=STAKING_ADDRESS, data=due.calls[0], gas=150_000)
    offered = [_native.Transaction.decode(poor)]
    executed = build_block(grower.chain, offered, proposer.address, grower.chain.head.block.timestamp, due)
    assert [each.status for each in executed.receipts] == [False]
    with pytest.raises(BlockRefused, match="system call failed"):
        execute(grower.chain, read_block(executed.block.encoded), grower.chain.delegates_at(POLL))


def test_nobody_else_can_make_a_system_call(grower: Grower) -> None:
    grower.to(POLL - 1)
    due = grower.due()
    stranger = key(4)
    call = sign(stranger, CHAIN_ID, 0, to=STAKING_ADDRESS, data=due.calls[0], gas=10_000_000)
    executed = grower.grow([call])
    assert [each.status for each in executed.receipts] == [True, False]


@pytest.mark.parametrize("wrong", ["left out", "twice", "more", "to another"])
def test_fees_that_are_paid_otherwise(wrong: str, grower: Grower) -> None:
    grower.grow([sign(key(2), CHAIN_ID, 0, to=key(3).address, value=1)])
    due = grower.due()
    ((index, validator, address, amount),) = due.withdrawals
    changed = {
        "left out": (),
        "twice": due.withdrawals * 2,
        "more": ((index, validator, address, amount + 1),),
        "to another": ((index, validator, KEYS[0].address, amount),),
    }[wrong]
    assert "withdrawals are" in refused(grower, replace(due, withdrawals=changed))


def test_another_set_than_was_elected(grower: Grower) -> None:
    newcomer = candidate_keys(2)
    grower.grow([registration(newcomer, key(1), 0)])
    grower.to(EPOCH - 1)
    due = grower.due()
    assert due.extra_data == grower.chain.delegates_at(EPOCH + 1).root()
    old = grower.chain.delegates_at(EPOCH).root()
    assert old != due.extra_data
    assert "extraData" in refused(grower, replace(due, extra_data=old))


def test_a_beneficiary_without_a_seat(grower: Grower) -> None:
    """Refused already by the header; at the end of an epoch nobody could even count its block."""
    grower.to(2 * EPOCH - 1)
    with pytest.raises(DutyUndone, match="has no seat"):
        grower.due(candidate_keys(3))


def test_check_duties_reads_only_the_block(grower: Grower) -> None:
    block = grower.build().block
    check_duties(block, grower.due())


# --- geneses ---


def test_a_genesis_whose_contract_has_other_numbers(tmp_path: Path) -> None:
    assert GENESIS.consensus is not None
    other = replace(GENESIS, consensus=replace(GENESIS.consensus, staking=replace(STAKING, block_reward=5 * IOTX)))
    with pytest.raises(GenesisInvalid, match="BLOCK_REWARD"):
        Blockchain(tmp_path / "chain", other)
    Blockchain(tmp_path / "chain", GENESIS).close()


@pytest.mark.parametrize("absent", [STAKING_ADDRESS, EVIDENCE_ADDRESS])
def test_a_genesis_without_its_contracts(tmp_path: Path, absent: bytes) -> None:
    alloc = {address: account for address, account in GENESIS.alloc.items() if address != absent}
    with pytest.raises(GenesisInvalid, match=absent.hex()):
        Blockchain(tmp_path / "chain", replace(GENESIS, alloc=alloc))


def test_a_block_that_is_too_small_for_a_poll(tmp_path: Path) -> None:
    with pytest.raises(GenesisInvalid, match="gasLimit"):
        Blockchain(tmp_path / "chain", replace(GENESIS, gas_limit=10_000_000))


def test_contracts_want_delegates_stakes_and_free_addresses() -> None:
    plain = replace(GENESIS, alloc={}, delegates=tuple(each.registration(400_000 * IOTX) for each in KEYS))
    assert with_contracts(plain).delegates[0].power > 400_000 * IOTX
    with pytest.raises(GenesisInvalid, match="delegates"):
        with_contracts(replace(plain, delegates=()))
    with pytest.raises(GenesisInvalid, match=KEYS[0].address.hex()):
        with_contracts(replace(plain, delegates=tuple(each.registration(399_999 * IOTX) for each in KEYS)))
    with pytest.raises(GenesisInvalid, match=STAKING_ADDRESS.hex()):
        with_contracts(replace(plain, alloc={STAKING_ADDRESS: GenesisAccount(balance=1)}))


def test_first_candidates_below_the_votes_of_a_delegate_are_not_elected(tmp_path: Path) -> None:
    """Nobody qualifies: the genesis' delegates go on, and the chain lives."""
    small = elections_genesis(KEYS, replace(STAKING, active_votes=10**9 * IOTX))
    chain = Blockchain(tmp_path / "chain", small)
    Grower(chain, KEYS).to(2 * EPOCH + 3)
    assert chain.delegates_at(2 * EPOCH + 1) == chain.delegates_at(1)
    chain.close()
