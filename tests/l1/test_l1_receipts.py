"""One receipt or transaction of a block is the same as among all of them, and says whose it is."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from l1_assembly import counter_runtime
from l1_wallet import CHAIN_ID, sign

from l1.chain.blockchain import StoredBlock
from l1.rpc.objects import log_objects, receipt_object, receipt_objects
from native import _native

COUNTER, NOBODY = b"\x44" * 20, b"\x45" * 20
SENDERS = [Account.from_key(number.to_bytes(32, "big")) for number in (1, 2, 3)]
KINDS = st.sampled_from(["counts", "pays", "reverts"])


def block_of(kinds: list[str]) -> tuple[_native.ExecutedBlock, list[bytes]]:
    """A block: calls that log once, transfers that log nothing, calls that revert. With who sent each."""
    alloc: dict[bytes, Any] = {bytes.fromhex(sender.address[2:]): (10**24, 0, b"", []) for sender in SENDERS}
    alloc[COUNTER] = (0, 1, counter_runtime(), [])
    chain, _ = _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=60_000_000, base_fee_per_gas=10**9, timestamp=1, extra_data=b"", alloc=alloc
    )
    transactions, senders = [], []
    for position, kind in enumerate(kinds):
        nonce, turn = divmod(position, len(SENDERS))
        to, value = (NOBODY, 1) if kind == "pays" else (COUNTER, int(kind == "reverts"))
        raw = sign(SENDERS[turn], CHAIN_ID, nonce, to="0x" + to.hex(), value=value)
        transactions.append(_native.Transaction.decode(raw))
        senders.append(bytes.fromhex(SENDERS[turn].address[2:]))
    executed = chain.build(
        transactions,
        beneficiary=bytes(20),
        timestamp=2,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=b"",
    )
    assert executed.outcomes == [None] * len(kinds)
    return executed, senders


@settings(max_examples=40, deadline=None)
@given(st.lists(KINDS, max_size=25))
def test_each_receipt_stands_alone(kinds: list[str]) -> None:
    """As executed, and as read back from a store: gas of its own, logs numbered through the block."""
    executed, senders = block_of(kinds)
    read = StoredBlock(_native.Block.decode(executed.block.encoded), _native.decode_receipts(executed.encoded_receipts))
    for stored in (StoredBlock(executed.block, executed.receipts), read):
        objects = [receipt_object(stored, position) for position in range(len(kinds))]
        assert objects == receipt_objects(stored)
        assert [int(each["status"], 16) for each in objects] == [int(kind != "reverts") for kind in kinds]
        assert [bytes.fromhex(each["from"][2:]) for each in objects] == senders
        spent = [int(each["gasUsed"], 16) for each in objects]
        assert list(accumulate(spent)) == [receipt.cumulative_gas_used for receipt in stored.receipts]
        assert sum(spent) == stored.block.gas_used
        logs = [log for each in objects for log in each["logs"]]
        assert logs == log_objects(stored)
        assert [int(log["logIndex"], 16) for log in logs] == list(range(kinds.count("counts")))
        assert [log["transactionHash"] for log in logs] == [
            each["transactionHash"] for each, kind in zip(objects, kinds, strict=True) if kind == "counts"
        ]


def test_one_transaction_of_a_block() -> None:
    block = block_of(["counts", "pays", "pays"])[0].block
    assert block.transaction_count == 3
    assert [block.transaction(position).hash for position in range(3)] == [each.hash for each in block.transactions]
    with pytest.raises(IndexError, match="the block has 3 transactions"):
        block.transaction(3)
    with pytest.raises(OverflowError):
        block.transaction(-1)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_known_sender_is_not_that_of_a_changed_transaction(place: int, bit: int) -> None:
    """Senders are remembered by hash: whatever bit is changed, nobody else's transaction becomes the sender's."""
    raw = bytearray(sign(SENDERS[0], CHAIN_ID, 0, to="0x" + COUNTER.hex()))
    known = _native.Transaction.decode(bytes(raw))
    again = _native.Transaction.decode(bytes(raw))
    assert known.sender == again.sender == bytes.fromhex(SENDERS[0].address[2:])
    raw[place % len(raw)] ^= 1 << bit
    try:
        changed = _native.Transaction.decode(bytes(raw))
    except _native.TransactionRefused:
        return
    assert changed.hash != known.hash
    assert changed.sender != known.sender
