"""An embedded chain with many delegates in one process: the whole protocol, over a network that is a queue.

Every delegate is a driver of its own that sees only what the others send. They share the executor (a block is executed
once) and the store; a block is on disk, with its certificate, before anybody outside hears of it. No delegate keeps a
log of its votes: none leaves the process, and a decided block is the only thing that can outlive it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from l1.chain.blockchain import Blockchain, StoredBlock
from l1.chain.duties import DutyUndone
from l1.chain.mempool import Mempool
from l1.chain.producer import ProducerSettings
from l1.consensus import effects
from l1.consensus.driver import Driver
from l1.consensus.messages import Certificate, Message, Proposal, Vote, domain_of
from l1.consensus.parameters import DEVNET, Parameters
from l1.nodes.keys import DelegateKeys, held
from l1.nodes.proposing import propose
from l1.nodes.signatures import Signatures
from native import _native

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outgoing:
    """A message on its way to every delegate."""

    message: Message


class Devnet:
    """All delegates of one chain on one event loop."""

    def __init__(
        self, chain: Blockchain, mempool: Mempool, keys: Sequence[DelegateKeys], settings: ProducerSettings
    ) -> None:
        """Raises KeysError when the keys are not those of the genesis' delegates."""
        held(chain.genesis.delegates, keys)
        self._chain = chain
        self._mempool = mempool
        self._keys = tuple(keys)
        self._parameters = _parameters(settings, chain)
        self._idle_ms = self._parameters.timing.idle
        self._delegates = chain.delegates_at(chain.head_number + 1)
        genesis = chain.block(0)
        assert genesis is not None, "a chain has a block 0"
        self._domain = domain_of(chain.chain_id, genesis.block.hash)
        self._signatures = Signatures(self._domain)
        self._drivers = [Driver(self._parameters, each.address, self._signatures.certify) for each in keys]
        self._work = asyncio.Event()
        self._timers: list[tuple[int, int, int, effects.SetTimer]] = []
        self._order = itertools.count()
        self._outgoing: deque[_Outgoing] = deque()
        self._to_sign: list[tuple[int, Vote | Proposal]] = []
        self._building: list[tuple[int, effects.Build]] = []
        self._built: dict[bytes, _native.ExecutedBlock] = {}
        self._decided: effects.Decided | None = None
        self._proposed_at = 0

    def wake(self) -> None:
        """Say that the mempool changed."""
        self._work.set()

    async def run(self) -> None:
        """Decide one block after the other until cancelled. A decided block is committed and announced first."""
        self._proposed_at = _now() - self._parameters.timing.interval
        while True:
            self._start_height()
            while self._decided is None:
                await self._step()
            commit = asyncio.ensure_future(self._commit(self._decided))
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                await commit
                raise
            self._decided = None

    def _start_height(self) -> None:
        self._timers.clear()
        self._outgoing.clear()
        self._to_sign.clear()
        self._building.clear()
        self._built.clear()
        height, now = self._chain.head_number + 1, _now()
        self._delegates = self._chain.delegates_at(height)
        for index, driver in enumerate(self._drivers):
            self._follow(index, driver.start_height(height, self._delegates, self._proposed_at, now))

    async def _step(self) -> None:
        """Sign what is to be signed, deliver what was sent, and only then wait: for work, or for a timer."""
        if self._to_sign:
            batch, self._to_sign = self._to_sign, []
            for message in await asyncio.to_thread(self._sign, batch):
                self._outgoing.append(_Outgoing(message))
        elif self._outgoing:
            self._deliver(self._outgoing.popleft().message)
        elif self._building and (self._work.is_set() or self._is_idle_over()):
            await self._build(*self._building.pop())
        else:
            await self._wait()

    def _is_idle_over(self) -> bool:
        return _now() >= self._proposed_at + self._idle_ms

    async def _wait(self) -> None:
        """Until a block can be built or the next timer is due, and then for what is due."""
        due = self._timers[0][0]
        if self._building:
            due = min(due, self._proposed_at + self._idle_ms)
        seconds = max(0, due - _now()) / 1000
        if self._building:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), seconds)
        else:
            await asyncio.sleep(seconds)
        now = _now()
        while self._timers and self._timers[0][0] <= now:
            _, _, index, timer = heapq.heappop(self._timers)
            self._follow(index, self._drivers[index].on_timer(timer.height, timer.what, now))

    async def _build(self, index: int, build: effects.Build) -> None:
        now = _now()
        self._work.clear()
        try:
            executed = await propose(self._chain, self._mempool, self._keys[index])
        except DutyUndone as error:
            log.critical("a delegate cannot propose", extra={"height": build.height, "reason": str(error)})
            return
        if not executed.block.transactions and not self._is_idle_over():
            self._building.append((index, build))
            return
        self._proposed_at = now
        block = executed.block
        self._built[block.hash] = executed
        self._follow(index, self._drivers[index].on_built(build.height, build.round, block.hash, block.encoded, _now()))

    def _sign(self, batch: list[tuple[int, Vote | Proposal]]) -> list[Vote | Proposal]:
        signed: list[Vote | Proposal] = []
        for index, message in batch:
            signature = self._keys[index].voting.sign(message.digest(self._domain))
            complete = message._replace(signature=signature)
            if isinstance(complete, Vote):
                self._signatures.made(complete)
            signed.append(complete)
        return signed

    def _deliver(self, message: Message) -> None:
        now = _now()
        for index, driver in enumerate(self._drivers):
            match message:
                case Vote():
                    self._follow(index, driver.on_vote(message, now))
                case Proposal():
                    valid = message.block_hash in self._built
                    self._follow(index, driver.on_proposal(message, now, valid=valid))
                case Certificate():
                    self._follow(index, driver.on_certificate(message, now))

    def _follow(self, index: int, wanted: Sequence[effects.Effect]) -> None:
        for effect in wanted:
            match effect:
                case effects.SignVote(vote=vote):
                    self._to_sign.append((index, vote))
                case effects.SignProposal(proposal=proposal):
                    self._to_sign.append((index, proposal))
                case effects.Send(message=message):
                    self._outgoing.append(_Outgoing(message))
                case effects.Build():
                    self._building = [(index, effect)]
                case effects.SetTimer():
                    heapq.heappush(self._timers, (effect.at, next(self._order), index, effect))
                case effects.Decided():
                    self._decided = self._decided or effect
                case effects.Refused() | effects.Convict():
                    log.warning("a delegate of this process misbehaved", extra={"effect": repr(effect)})
                case effects.Record() | effects.Fetch():
                    # Every block that a delegate here may hear of was built here, and no vote leaves the process.
                    log.debug("nothing to do", extra={"effect": type(effect).__name__})

    async def _commit(self, decided: effects.Decided) -> StoredBlock:
        executed = self._built[decided.block_hash]
        stored = await asyncio.to_thread(self._chain.commit, executed, decided.certificate)
        self._mempool.advance(stored.block.transactions, self._chain.view(stored.block.number))
        self._chain.announce(stored)
        if self._mempool.status()[0]:
            self._work.set()
        return stored


def _parameters(settings: ProducerSettings, chain: Blockchain) -> Parameters:
    """DEVNET with the node's block times, which are its own affair, and the chain's epochs."""
    rules = chain.genesis.consensus
    timing = replace(
        DEVNET.timing,
        interval=max(1, round(settings.min_interval * 1000)),
        idle=round(settings.idle_interval * 1000),
    )
    epoch = DEVNET.blocks_per_epoch if rules is None else rules.blocks_per_epoch
    return replace(DEVNET, timing=timing, blocks_per_epoch=epoch)


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
