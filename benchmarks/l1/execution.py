"""Execution alone: the same transactions in this process, without RPC, mempool or disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from benchmarks.l1.workload import CHAIN_ID, COUNTER, FUNDS, GAS_LIMIT, SENDERS, Workload
from native import _native

BLOCK = 500
"""Transactions in a block; four such blocks a second are what a node on two cores is sent at most."""


@dataclass(frozen=True)
class ExecutionRates:
    """Transactions a CPU second; medians over the rounds."""

    decode: float
    """Reading the bytes and recovering the sender."""
    build: float
    """Executing a producer's blocks, all roots computed, and moving the head."""
    import_blocks: float
    """What a follower does with transactions that its mempool had: reading the block, executing, comparing every root.
    With others each costs a `decode` more: senders are recovered once a process."""


def measure(workload: Workload) -> ExecutionRates:
    """Two chains in step, one builds and one imports; the first round warms up."""
    maker, follower = _chain(), _chain()
    deployed = _build(maker, [_native.Transaction.decode(workload.deployment)])
    maker.append(deployed)
    follower.append(follower.import_block(deployed.block.encoded))
    decoded, built, imported = [], [], []
    for calls in workload.of_rounds:
        start = time.process_time()
        transactions = [_native.Transaction.decode(raw) for raw in calls]
        decoded.append((time.process_time() - start) / len(calls))
        start = time.process_time()
        blocks = _make(maker, transactions)
        built.append((time.process_time() - start) / len(calls))
        encoded = [each.block.encoded for each in blocks]
        start = time.process_time()
        for raw in encoded:
            follower.append(follower.import_block(raw))
        imported.append((time.process_time() - start) / len(calls))
        assert follower.head_hash == maker.head_hash
        assert all(receipt.status for each in blocks for receipt in each.receipts)
    counted = maker.view(maker.head_number).storage(bytes.fromhex(COUNTER[2:]), 0)
    assert counted == workload.rounds * workload.calls
    return ExecutionRates(1 / median(decoded[1:]), 1 / median(built[1:]), 1 / median(imported[1:]))


def _chain() -> _native.Chain:
    alloc: dict[bytes, tuple[int, int, bytes, list[tuple[int, int]]]] = {
        bytes.fromhex(sender.address[2:]): (FUNDS, 0, b"", []) for sender in SENDERS
    }
    chain, _ = _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=GAS_LIMIT, base_fee_per_gas=10**9, timestamp=1, extra_data=b"", alloc=alloc
    )
    return chain


def _make(chain: _native.Chain, transactions: list[_native.Transaction]) -> list[_native.ExecutedBlock]:
    blocks = []
    for first in range(0, len(transactions), BLOCK):
        blocks.append(_build(chain, transactions[first : first + BLOCK]))
        chain.append(blocks[-1])
    return blocks


def _build(chain: _native.Chain, transactions: list[_native.Transaction]) -> _native.ExecutedBlock:
    executed = chain.build(
        transactions,
        beneficiary=b"\xbe" * 20,
        timestamp=chain.head_number + 2,
        prev_randao=bytes(32),
        parent_beacon_block_root=bytes(32),
        extra_data=b"",
    )
    assert not any(executed.outcomes)
    return executed
