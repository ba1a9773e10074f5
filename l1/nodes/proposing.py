"""A delegate's next block: its duties first, then what waits in the mempool."""

from __future__ import annotations

import asyncio
import time

from l1.chain.blockchain import Blockchain
from l1.chain.duties import check_done, check_duties, duties, system_transactions
from l1.chain.mempool import Mempool
from l1.chain.producer import MAX_OFFERED, build_block, drop_refused
from l1.nodes.keys import DelegateKeys
from native import _native


async def propose(chain: Blockchain, mempool: Mempool, keys: DelegateKeys) -> _native.ExecutedBlock:
    """A block on the head, which does not move; what cannot be executed leaves the mempool.

    Raises
    ------
    DutyUndone
        When this delegate cannot make the system calls that the block needs.
    """
    due = await asyncio.to_thread(duties, chain, keys.address)
    first = system_transactions(chain, keys.operator, due)
    offered = mempool.executable(chain.next_base_fee, MAX_OFFERED)
    now = int(time.time())
    executed = await asyncio.to_thread(build_block, chain, [*first, *offered], keys.address, now, due)
    drop_refused(mempool, offered, executed.outcomes[len(first) :])
    check_duties(executed.block, due)
    check_done(executed, due)
    return executed
