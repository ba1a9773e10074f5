"""Blocks that may become the next: what was proposed or fetched for the present height, each executed once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from l1.chain.blockchain import Blockchain
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import MAX_PROPOSALS, ROUND_WINDOW
from l1.consensus.messages import Proposal
from l1.consensus.parameters import Parameters
from l1.consensus.schedule import proposer_index
from l1.nodes.validation import AHEAD_SECONDS, BlockRefused, execute
from native import _native

log = logging.getLogger(__name__)


class Candidates:
    """The candidates of one height after the other."""

    def __init__(self, chain: Blockchain, parameters: Parameters) -> None:
        self._chain = chain
        self._delegates: DelegateSet
        self._parameters = parameters
        self._executed: dict[bytes, _native.ExecutedBlock | None] = {}
        self._tried: dict[int, set[bytes]] = {}
        self._seen_at: dict[bytes, int] = {}
        self._ever: set[bytes] = set()

    def start_height(self, delegates: DelegateSet) -> None:
        """Forget all: a height begins, which this set decides."""
        self._delegates = delegates
        self._executed.clear()
        self._tried.clear()
        self._seen_at.clear()
        self._ever.clear()

    def seen(self, block_hash: bytes, now: int) -> None:
        """A proposal of the block came at this time, ms."""
        self._seen_at.setdefault(block_hash, now)

    def seen_at(self, block_hash: bytes) -> int | None:
        """When the block was first proposed here, ms; None when it came in another way."""
        return self._seen_at.get(block_hash)

    def reason_against(self, proposal: Proposal, block: _native.Block, round_: int) -> str | None:
        """What speaks against a proposal though its signature holds, in a round: none of it is its sender's fault."""
        count = len(self._delegates)
        if proposal.delegate != proposer_index(proposal.height, proposal.round, count, self._parameters):
            return "proposer"
        if proposal.proof is None and block.beneficiary != self._delegates.members[proposal.delegate].address:
            return "beneficiary"
        if block.timestamp > time.time() + AHEAD_SECONDS:
            return "early"
        if abs(proposal.round - round_) > ROUND_WINDOW:
            return "round"
        # Each costs an execution, before the driver can say that it has enough of them.
        tried = self._tried.setdefault(proposal.round, set())
        if block.hash not in tried and len(tried) >= MAX_PROPOSALS:
            return "proposals"
        tried.add(block.hash)
        return None

    def built(self, executed: _native.ExecutedBlock) -> None:
        """Take a block that this node has built."""
        self._executed[executed.block.hash] = executed

    def tried(self, block_hash: bytes) -> bool:
        """Whether the block was executed at this height, valid or not."""
        return block_hash in self._ever

    def keep(self, held: Callable[[bytes], bool]) -> None:
        """Let go of executed blocks that nobody holds any more; whoever needs one again has it executed again."""
        for block_hash in [each for each in self._executed if not held(each)]:
            del self._executed[block_hash]

    def executed(self, block_hash: bytes) -> _native.ExecutedBlock | None:
        """A block that may follow the head, executed."""
        return self._executed.get(block_hash)

    async def may_follow(self, block: _native.Block) -> bool:
        """Whether a block may follow the head. Raises BlockRefused `body`: the sender changed it."""
        self._ever.add(block.hash)
        if block.hash not in self._executed:
            try:
                self._executed[block.hash] = await asyncio.to_thread(execute, self._chain, block, self._delegates)
            except BlockRefused as error:
                if error.reason == "body":
                    raise
                log.warning("block 0x%s is invalid: %s", block.hash.hex(), error.args[1])
                self._executed[block.hash] = None
        return self._executed[block.hash] is not None
