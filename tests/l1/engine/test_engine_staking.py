"""A chain with elections, rewards and governance, made by our executor, is the same chain on geth."""

from __future__ import annotations

from pathlib import Path

from engine_world import COUNTER, SENDERS, genesis, signed

from l1.chain.blockchain import Blockchain
from l1.chain.duties import check_done, check_duties, duties, system_transactions
from l1.chain.producer import build_block
from l1.chain.system_contracts import with_request_contracts
from l1.engine.geth import GethExecutor
from l1.engine.process import GethProcess, GethSettings
from l1.nodes.devnet_genesis import with_devnet
from l1.nodes.keys import devnet_keys
from l1.staking.contract import STAKING_ADDRESS

EPOCH = 4


def test_blocks_with_system_calls_are_the_same_on_geth(geth: Path, tmp_path: Path) -> None:
    """System calls without a tip before the users' transactions, base fees paid back as withdrawals, over four epochs."""
    first = with_request_contracts(with_devnet(genesis(), tmp_path, 4, EPOCH))
    keys = devnet_keys(tmp_path, 4)
    chain = Blockchain(tmp_path, first)
    calls = 0
    with GethProcess(first, GethSettings(geth, tmp_path / "geth")) as process:
        executor = GethExecutor(process.engine)
        for height in range(1, 4 * EPOCH + 1):
            proposer = keys[height % len(keys)]
            due = duties(chain, proposer.address)
            own = system_transactions(chain, proposer.operator, due)
            users = [signed(SENDERS[index], height - 1, to=COUNTER) for index in range(3)]
            executed = build_block(chain, [*own, *users], proposer.address, chain.head.block.timestamp + 1, due)
            check_duties(executed.block, due)
            check_done(executed, due)
            assert executed.outcomes == [None] * (len(own) + 3)
            calls += len(own)
            theirs = executor.import_block(executed.block.encoded)
            assert theirs.block.hash == executed.block.hash
            assert theirs.encoded_receipts == executed.encoded_receipts
            executor.append(theirs)
            chain.commit(executed)
            ours, other = chain.view(height), executor.view(height)
            assert ours.balance(STAKING_ADDRESS) == other.balance(STAKING_ADDRESS)
    assert calls >= 4
    assert chain.delegates_at(4 * EPOCH + 1)
    chain.close()
