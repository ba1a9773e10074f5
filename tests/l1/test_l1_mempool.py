"""Mempool rules, without a node: order, gaps, replacement, limits, eviction, balances."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l1_wallet import CHAIN_ID, key, sign

from l1.chain.mempool import Mempool, MempoolLimits, MempoolRefused
from native import _native

BASE_FEE = 10**9
TARGET = "0x" + "99" * 20


def raw_address(number: int) -> bytes:
    return bytes.fromhex(key(number).address[2:])


@pytest.fixture(scope="module")
def chain() -> _native.Chain:
    alloc: dict[bytes, Any] = {raw_address(number): (10**20, 0, b"", []) for number in range(1, 10)}
    alloc[raw_address(5)] = (10**20, 0, b"\x00", [])
    return _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=30_000_000, base_fee_per_gas=BASE_FEE, timestamp=1, extra_data=b"", alloc=alloc
    )[0]


@pytest.fixture(scope="module")
def view(chain: _native.Chain) -> _native.StateView:
    return chain.view(0)


def tx(number: int, nonce: int, tip: int = 10**9, **fields: Any) -> _native.Transaction:
    fees = {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * BASE_FEE + tip}
    return _native.Transaction.decode(
        sign(key(number), CHAIN_ID, nonce, **{"to": TARGET, "gas": 21_000, **fees, **fields})
    )


def order(pool: Mempool) -> list[tuple[bytes, int]]:
    return [(item.sender, item.nonce) for item in pool.executable(BASE_FEE, 100)]


def test_best_tip_first_but_each_sender_in_nonce_order(view: _native.StateView) -> None:
    pool = Mempool()
    for item in [tx(1, 0, 5), tx(1, 1, 90), tx(2, 0, 50), tx(3, 0, 50), tx(2, 1, 1)]:
        pool.add(item, view)
    assert order(pool) == [(raw_address(n), i) for n, i in [(2, 0), (3, 0), (1, 0), (1, 1), (2, 1)]]


def test_a_gap_queues_until_it_is_filled(view: _native.StateView) -> None:
    pool = Mempool()
    pool.add(tx(1, 2), view)
    pool.add(tx(1, 1), view)
    assert (pool.status(), order(pool), pool.next_nonce(raw_address(1), 0)) == ((0, 2), [], 0)
    pool.add(tx(1, 0), view)
    assert (pool.status(), pool.next_nonce(raw_address(1), 0)) == ((3, 0), 3)
    pool.remove(tx(1, 1).hash)
    assert (pool.status(), pool.next_nonce(raw_address(1), 0)) == ((1, 1), 1)


def test_replacement_needs_ten_percent_on_both_fees(view: _native.StateView) -> None:
    pool = Mempool()
    old = tx(1, 0, 1000, maxFeePerGas=20 * BASE_FEE)
    pool.add(old, view)
    for cap, tip in [(20 * BASE_FEE, 2000), (22 * BASE_FEE, 1099), (22 * BASE_FEE - 1, 1100)]:
        with pytest.raises(MempoolRefused, match="replacement transaction underpriced"):
            pool.add(tx(1, 0, tip, maxFeePerGas=cap), view)
    with pytest.raises(MempoolRefused, match="already known"):
        pool.add(old, view)
    new = tx(1, 0, 1100, maxFeePerGas=22 * BASE_FEE)
    pool.add(new, view)
    assert (pool.get(old.hash), len(pool), pool.status()) == (None, 1, (1, 0))
    assert [item.hash for item in pool.executable(BASE_FEE, 9)] == [new.hash]


def test_all_of_a_sender_must_be_covered(view: _native.StateView) -> None:
    pool = Mempool()
    pool.add(tx(1, 0, value=6 * 10**19), view)
    with pytest.raises(MempoolRefused, match=r"insufficient funds for gas \* price \+ value.*overshot"):
        pool.add(tx(1, 1, value=6 * 10**19), view)
    pool.add(tx(1, 1, value=10**19), view)


def test_fee_cap_below_the_base_fee_waits(view: _native.StateView) -> None:
    pool = Mempool()
    pool.add(tx(1, 0, 1, maxFeePerGas=BASE_FEE // 2), view)
    pool.add(tx(1, 1), view)
    assert order(pool) == []
    assert len(pool.executable(BASE_FEE // 4, 10)) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"gas": 16_777_217}, "gas limit too high"),
        ({"data": b"\x01" * 1000, "gas": 30_000}, "intrinsic gas too low|floor data gas"),
        ({"data": b"\x01" * 1000, "gas": 60_000}, "floor data gas"),
        ({"data": b"\x01" * 140_000, "gas": 16_000_000}, "oversized data"),
        ({"to": "", "data": b"\x01" * 49_153, "gas": 10_000_000}, "max initcode size exceeded"),
        ({"maxPriorityFeePerGas": 0}, "underpriced: gas tip cap 0"),
        ({"maxPriorityFeePerGas": 10**12}, "max priority fee per gas higher than max fee per gas"),
        ({"value": 10**21}, "insufficient funds"),
        ({"chainId": 1}, "invalid chain id"),
    ],
)
def test_invalid_transactions(view: _native.StateView, fields: dict[str, Any], words: str) -> None:
    pool = Mempool()
    with pytest.raises(MempoolRefused, match=words):
        pool.add(tx(1, 0, **fields), view)
    assert len(pool) == 0


def test_the_last_nonce_is_never_used(view: _native.StateView) -> None:
    with pytest.raises(MempoolRefused, match="nonce has max value"):
        Mempool().add(tx(1, 2**64 - 1), view)


def test_a_contract_account_cannot_send(view: _native.StateView) -> None:
    with pytest.raises(MempoolRefused, match="sender not an eoa"):
        Mempool().add(tx(5, 0), view)


def test_limits_and_eviction_of_the_lowest_tip(view: _native.StateView) -> None:
    pool = Mempool(MempoolLimits(transactions=3, queued_per_account=2))
    pool.add(tx(1, 5), view)
    pool.add(tx(1, 6), view)
    with pytest.raises(MempoolRefused, match="account queue is full"):
        pool.add(tx(1, 7), view)
    pool.add(tx(2, 0, 100), view)
    with pytest.raises(MempoolRefused, match="txpool is full"):
        pool.add(tx(3, 0, 100), view)
    pool.add(tx(3, 0, 101), view)
    assert (len(pool), pool.get(tx(2, 0, 100).hash)) == (3, None)


def test_mined_transactions_leave_and_the_rest_moves_up(chain: _native.Chain) -> None:
    pool = Mempool()
    before = chain.view(0)
    for item in [tx(7, 0), tx(7, 1), tx(7, 2), tx(8, 0)]:
        pool.add(item, before)
    executed = chain.build(
        [tx(7, 0), tx(7, 1)],
        beneficiary=bytes(20),
        timestamp=2,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=b"",
    )
    after = chain.view_of(executed)
    pool.advance(executed.block.transactions, after)
    assert sorted(order(pool)) == sorted([(raw_address(7), 2), (raw_address(8), 0)])
    with pytest.raises(MempoolRefused, match="nonce too low: next nonce 2, tx nonce 1"):
        pool.add(tx(7, 1, 10**10), after)


_POOL = {
    (number, nonce, tip): tx(number, nonce, tip) for number in (1, 2, 3) for nonce in range(5) for tip in (10, 20, 40)
}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(sorted(_POOL))), max_size=40))
def test_pending_is_always_gapless_and_counted(view: _native.StateView, steps: list[tuple[bool, Any]]) -> None:
    """Whatever is added, replaced and removed: executables are each sender's gapless run from the account's nonce, and
    the counters agree with a recount."""
    pool = Mempool(MempoolLimits(transactions=9))
    for add, name in steps:
        if add:
            try:
                pool.add(_POOL[name], view)
            except MempoolRefused:
                assert pool.get(_POOL[name].hash) is not None or len(pool) <= 9
        else:
            pool.remove(_POOL[name].hash)
        held = [item for item in _POOL.values() if pool.get(item.hash) is not None]
        nonces = {number: {item.nonce for item in held if item.sender == raw_address(number)} for number in (1, 2, 3)}
        runs = {n: next(i for i in range(6) if i not in have) for n, have in nonces.items()}
        assert len(held) == len(pool) == sum(len(have) for have in nonces.values()) <= 9
        assert sorted(order(pool)) == sorted((raw_address(n), i) for n, run in runs.items() for i in range(run))
        assert pool.status() == (sum(runs.values()), len(pool) - sum(runs.values()))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(sorted(_POOL))), max_size=80), st.integers(1, 6))
def test_what_goes_is_the_cheapest_of_the_senders_last(
    view: _native.StateView, steps: list[tuple[int, Any]], limit: int
) -> None:
    """A full pool gives up the lowest tip, the newest of those, among each sender's highest nonce, and nothing else."""
    pool = Mempool(MempoolLimits(transactions=limit))
    held: list[_native.Transaction] = []
    for kind, name in steps:
        item = _POOL[name]
        if kind == 0:
            pool.remove(item.hash)
            held = [each for each in held if each.hash != item.hash]
            continue
        lasts = [
            max((each for each in held if each.sender == sender), key=lambda each: each.nonce)
            for sender in {each.sender for each in held}
        ]
        victim = min(lasts, key=lambda each: (each.max_priority_fee_per_gas, -held.index(each)), default=item)
        replaced = [each for each in held if (each.sender, each.nonce) == (item.sender, item.nonce)]
        is_full = len(held) == limit and not replaced
        try:
            pool.add(item, view)
        except MempoolRefused as error:
            if "txpool is full" in str(error):
                too_cheap = victim.max_priority_fee_per_gas >= item.max_priority_fee_per_gas
                assert is_full
                assert too_cheap or victim.sender == item.sender
        else:
            gone = [victim] if is_full else replaced
            held = [each for each in held if each not in gone] + [item]
        assert {each.hash for each in _POOL.values() if pool.get(each.hash)} == {each.hash for each in held}


def test_the_same_transaction_over_and_over_takes_no_memory(view: _native.StateView) -> None:
    pool = Mempool(MempoolLimits(transactions=2))
    pool.add(tx(2, 0, 50), view)
    again = tx(1, 0, 30)
    for _ in range(5_000):
        pool.add(again, view)
        pool.remove(again.hash)
    assert len(pool._lasts) < 2_000
    pool.add(again, view)
    pool.add(tx(3, 0, 40), view)
    assert (len(pool), pool.get(again.hash)) == (2, None)


def test_a_nonce_that_is_the_last_again_may_go_again(view: _native.StateView) -> None:
    pool = Mempool(MempoolLimits(transactions=2))
    pool.add(tx(1, 0, 10), view)
    pool.add(tx(1, 1, 40), view)
    with pytest.raises(MempoolRefused, match="txpool is full"):
        pool.add(tx(2, 0, 20), view)
    pool.remove(tx(1, 1, 40).hash)
    pool.add(tx(2, 0, 20), view)
    pool.add(tx(3, 0, 15), view)
    assert (len(pool), pool.get(tx(1, 0, 10).hash)) == (2, None)
