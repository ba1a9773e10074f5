"""EIP-4895: what the chain pays after a block's transactions, against roots of an independent trie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from l1_assembly import counter_runtime, storer_runtime
from l1_independent import list_root, state_root
from l1_wallet import CHAIN_ID, sign

from l1.chain.blockchain import SNAPSHOT_INTERVAL, Blockchain, StoredBlock
from l1.chain.genesis import load_genesis
from l1.rpc.objects import block_object
from native import _native

Withdrawal = tuple[int, int, bytes, int]

GWEI = 10**9
UINT64 = 2**64 - 1
POOR = Account.from_key((3).to_bytes(32, "big"))
COUNTER = b"\x44" * 20
ADDRESSES = st.sampled_from([b"\x31" * 20, b"\x32" * 20, b"\x33" * 20, COUNTER])
WITHDRAWALS = st.lists(
    st.tuples(st.integers(0, UINT64), st.integers(0, UINT64), ADDRESSES, st.just(0) | st.integers(0, UINT64)),
    max_size=_native.MAX_WITHDRAWALS,
)


def fresh(**accounts: Any) -> tuple[_native.Chain, _native.Block]:
    """A chain with the counter contract and these accounts, named by hex addresses."""
    alloc: dict[bytes, Any] = {bytes.fromhex(address[1:]): account for address, account in accounts.items()}
    alloc[COUNTER] = (0, 1, counter_runtime(), [(0, 41)])
    return _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=60_000_000, base_fee_per_gas=GWEI, timestamp=1, extra_data=b"", alloc=alloc
    )


def build(
    chain: _native.Chain, withdrawals: list[Withdrawal], transactions: list[_native.Transaction] | None = None
) -> _native.ExecutedBlock:
    """The next block."""
    return chain.build(
        transactions or [],
        beneficiary=bytes(20),
        timestamp=chain.head_number + 2,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=b"",
        withdrawals=withdrawals,
    )


def encoded(withdrawals: list[Withdrawal]) -> list[bytes]:
    """RLP of each: `[index, validator index, address, gwei]`."""
    return [rlp.encode(list(each)) for each in withdrawals]


def replaced(raw: bytes, withdrawals: Any) -> bytes:
    """A block's RLP with another list of withdrawals in its body."""
    header, transactions, ommers, _ = rlp.decode(raw)
    return bytes(rlp.encode([header, transactions, ommers, withdrawals]))


@settings(max_examples=60, deadline=None)
@given(first=WITHDRAWALS, second=WITHDRAWALS)
def test_balances_and_roots_equal_an_independent_computation(first: list[Withdrawal], second: list[Withdrawal]) -> None:
    """Two blocks: the root of the withdrawals, and the state's root over accounts that were read and those predicted."""
    chain, _ = fresh()
    before = chain.view(0)
    balances: dict[bytes, int] = {}
    for withdrawals in (first, second):
        executed = build(chain, withdrawals)
        assert executed.block.withdrawals == withdrawals
        assert executed.block.withdrawals_root == list_root(encoded(withdrawals))
        chain.append(chain.import_block(executed.block.encoded))
        for _, _, address, gwei in withdrawals:
            balances[address] = balances.get(address, 0) + gwei * GWEI
    view = chain.view(2)
    accounts: dict[bytes, Any] = {a: (0, wei, b"", {}) for a, wei in balances.items() if wei and a != COUNTER}
    accounts[COUNTER] = (1, balances.get(COUNTER, 0), counter_runtime(), {0: 41})
    for system in ("0000F90827F1C53a10cb7A02335B175320002935", "000F3df6D732807Ef1319fB7B8bB8522d0Beac02"):
        raw = bytes.fromhex(system)
        accounts[raw] = (1, 0, before.code(raw), dict(view.storage_of(raw)))
    assert view.state_root == state_root(accounts)


@given(paid=WITHDRAWALS.filter(bool), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_block_whose_withdrawals_were_changed_is_refused(paid: list[Withdrawal], data: st.DataObject) -> None:
    """Dropped, repeated, reordered or altered in one field: the root does not fit, whatever the balances would be."""
    chain, _ = fresh()
    raw = build(chain, paid).block.encoded
    place = data.draw(st.integers(0, len(paid) - 1))
    index, validator, address, gwei = paid[place]
    altered = data.draw(
        st.sampled_from(
            [
                ((index + 1) % 2**64, validator, address, gwei),
                (index, (validator + 1) % 2**64, address, gwei),
                (index, validator, bytes(19) + b"\x01", gwei),
                (index, validator, address, (gwei + 1) % 2**64),
            ]
        )
    )
    forgeries = [paid[:place] + paid[place + 1 :], [*paid[:place], altered, *paid[place + 1 :]]]
    forgeries += [[paid[place], *paid]] if len(paid) < _native.MAX_WITHDRAWALS else []
    forgeries += [list(reversed(paid))] if paid != list(reversed(paid)) else []
    for forged in forgeries:
        with pytest.raises(_native.ExecutionRefused, match="withdrawalsRoot"):
            chain.import_block(replaced(raw, [list(each) for each in forged]))
    assert chain.import_block(replaced(raw, [list(each) for each in paid])).block.hash == _native.Block.decode(raw).hash


def test_nobody_spends_a_withdrawal_in_its_own_block_and_no_code_runs() -> None:
    chain, _ = fresh()
    address = bytes.fromhex(POOR.address[2:])
    raw = sign(POOR, CHAIN_ID, 0, to="0x" + COUNTER.hex(), maxFeePerGas=2 * GWEI, maxPriorityFeePerGas=0)
    transaction = _native.Transaction.decode(raw)
    paid: list[Withdrawal] = [(0, 5, address, 10**9), (1, 5, COUNTER, 1)]
    executed = build(chain, paid, [transaction])
    assert executed.outcomes[0] is not None
    assert "insufficient funds" in executed.outcomes[0]
    assert not executed.receipts
    chain.append(executed)
    assert chain.view(1).storage(COUNTER, 0) == 41
    assert chain.view(1).balance(address) == 10**18
    following = build(chain, [], [transaction])
    assert following.outcomes == [None]
    assert following.receipts[0].status
    assert chain.view_of(following).storage(COUNTER, 0) == 42


def test_limits_and_malformed_withdrawals_are_refused() -> None:
    chain, genesis = fresh(x3131313131313131313131313131313131313131=(2**256 - 1, 0, b"", []))
    assert genesis.withdrawals == []
    full, one = b"\x31" * 20, b"\x32" * 20
    sixteen: list[Withdrawal] = [(number, 0, one, 1) for number in range(16)]
    raw = build(chain, sixteen).block.encoded
    with pytest.raises(_native.ExecutionRefused, match="17 withdrawals, the limit is 16"):
        build(chain, [*sixteen, (16, 0, one, 1)])
    with pytest.raises(_native.ExecutionRefused, match="17 withdrawals, the limit is 16"):
        chain.import_block(replaced(raw, [list(each) for each in [*sixteen, sixteen[0]]]))
    with pytest.raises(_native.ExecutionRefused, match="withdrawal 9 would take the balance of 0x31"):
        build(chain, [(9, 0, full, 1)])
    with pytest.raises(ValueError, match="an address has 20 bytes, not 19"):
        build(chain, [(0, 0, bytes(19), 1)])
    for wrong in ([(2**64, 0, one, 1)], [(0, -1, one, 1)], [(0, 0, one, 2**64)]):
        with pytest.raises(OverflowError):
            build(chain, wrong)
    for malformed in ([[1, 2, one]], [[1, 2, bytes(19), 4]], [[b"\x00", 2, one, 4]], [[2**64, 2, one, 4]], b""):
        with pytest.raises(_native.ExecutionRefused, match="encoding is invalid"):
            chain.import_block(replaced(raw, malformed))
    header, transactions, ommers, _ = rlp.decode(raw)
    with pytest.raises(_native.ExecutionRefused, match="withdrawals must be a list"):
        chain.import_block(rlp.encode([header, transactions, ommers]))


def test_a_zero_amount_makes_no_account_and_removes_an_empty_one() -> None:
    chain, _ = fresh(x3131313131313131313131313131313131313131=(0, 0, b"", []))
    empty, absent = b"\x31" * 20, b"\x32" * 20
    for account in (empty, absent):
        view = chain.view_of(build(chain, [(0, 0, account, 0)]))
        known: dict[bytes, Any] = {COUNTER: (1, 0, counter_runtime(), {0: 41})}
        known |= {} if account == empty else {empty: (0, 0, b"", {})}
        for system in ("0000F90827F1C53a10cb7A02335B175320002935", "000F3df6D732807Ef1319fB7B8bB8522d0Beac02"):
            raw = bytes.fromhex(system)
            known[raw] = (1, 0, view.code(raw), dict(view.storage_of(raw)))
        assert view.state_root == state_root(known)


def test_a_snapshot_keeps_balances_and_a_replay_pays_again() -> None:
    """Restart of a node: a state from a snapshot, then blocks imported from their bytes."""
    chain, genesis = fresh()
    headers = [genesis.header]
    blocks = []
    for number in range(1, 7):
        paid: list[Withdrawal] = [(number, 0, b"\x31" * 20, number), (number, 1, COUNTER, 10 * number)]
        executed = build(chain, paid)
        chain.append(executed)
        headers.append(executed.block.header)
        blocks.append(executed.block.encoded)
    again = chain.restore(headers[:4], chain.view(3).snapshot())
    assert again.view(3).balance(b"\x31" * 20) == 6 * GWEI
    for raw in blocks[3:]:
        again.append(again.import_block(raw))
    assert again.head_hash == chain.head_hash
    assert again.view(6).balance(COUNTER) == 210 * GWEI
    assert again.view(6).storage_of(COUNTER) == [(0, 41)]


def test_a_node_that_restarts_keeps_them(tmp_path: Path, genesis_path: Path) -> None:
    """Blocks with withdrawals go through the store, a snapshot and the replay after it."""
    genesis = load_genesis(genesis_path)
    maker, _ = genesis.executor()
    chain = Blockchain(tmp_path, genesis)
    last = SNAPSHOT_INTERVAL + _native.STATE_HISTORY + 2
    for number in range(1, last + 1):
        executed = build(maker, [(number, 1, b"\x31" * 20, 1), (number, 2, b"\x32" * 20, number)])
        maker.append(executed)
        chain.commit(chain.import_block(executed.block.encoded))
    head, paid = chain.head_hash, chain.head.block.withdrawals
    chain.close()
    again = Blockchain(tmp_path, None)
    assert (again.head_hash, again.head.block.withdrawals) == (head, paid)
    assert paid == [(last, 1, b"\x31" * 20, 1), (last, 2, b"\x32" * 20, last)]
    assert again.view(last).balance(b"\x31" * 20) == last * GWEI
    assert again.view(last).balance(b"\x32" * 20) == last * (last + 1) // 2 * GWEI
    stored = again.block(5)
    assert stored is not None
    assert stored.block.withdrawals == [(5, 1, b"\x31" * 20, 1), (5, 2, b"\x32" * 20, 5)]
    again.close()


def test_a_block_object_shows_them() -> None:
    chain, _ = fresh()
    executed = build(chain, [(18, 3, b"\x31" * 20, 255), (19, 3, b"\x32" * 20, 0)])
    shown = block_object(StoredBlock(executed.block, executed.receipts), full=False)
    assert shown["withdrawalsRoot"] == "0x" + list_root(encoded(executed.block.withdrawals)).hex()
    assert shown["withdrawals"] == [
        {"index": "0x12", "validatorIndex": "0x3", "address": "0x" + "31" * 20, "amount": "0xff"},
        {"index": "0x13", "validatorIndex": "0x3", "address": "0x" + "32" * 20, "amount": "0x0"},
    ]
    assert shown["size"] == hex(len(executed.block.encoded))


@settings(max_examples=40, deadline=None)
@given(writes=st.lists(st.tuples(st.integers(0, 20) | st.integers(0, 2**256 - 1), st.integers(0, 3)), max_size=40))
def test_a_whole_storage_is_read_as_it_was_written(writes: list[tuple[int, int]]) -> None:
    """`StateView.storage_of`: ascending, zeros left out, after writes, overwrites and removals by transactions."""
    rich, storer = Account.from_key((1).to_bytes(32, "big")), b"\x55" * 20
    alloc: dict[bytes, Any] = {bytes.fromhex(rich.address[2:]): (10**24, 0, b"", [])}
    alloc[storer] = (0, 1, storer_runtime(), [(7, 9), (2**255, 1), (8, 0)])
    chain, genesis = _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=60_000_000, base_fee_per_gas=GWEI, timestamp=1, extra_data=b"", alloc=alloc
    )
    expected = {7: 9, 2**255: 1}
    batch = []
    for nonce, (slot, value) in enumerate(writes):
        data = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
        batch.append(_native.Transaction.decode(sign(rich, CHAIN_ID, nonce, to="0x" + storer.hex(), data=data)))
        expected[slot] = value
    executed = build(chain, [], batch)
    assert executed.outcomes == [None] * len(batch)
    chain.append(executed)
    view = chain.view(1)
    assert view.storage_of(storer) == sorted((slot, value) for slot, value in expected.items() if value)
    assert view.storage_of(b"\x56" * 20) == []
    restored = chain.restore([genesis.header, executed.block.header], view.snapshot())
    assert restored.view(1).storage_of(storer) == view.storage_of(storer)
    with pytest.raises(ValueError, match="20 bytes"):
        view.storage_of(b"\x01")
