"""The host of one driver: a node's own clock, chain, log and peers around the pure consensus.

One task does everything that changes the driver or the chain, one thing after the other: what comes in waits in the
inbox. What the driver asks for is carried out in its order; an entry of the log is on disk before the vote that it tells
of is even signed.

A node without keys, or one that may not vote yet (`voting`), does the same and casts nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from l1.chain.blockchain import Blockchain, StoredBlock
from l1.chain.duties import DutyUndone
from l1.chain.mempool import Mempool
from l1.consensus import effects
from l1.consensus.certificate import CertificateError, check, footer, from_footer
from l1.consensus.driver import Driver
from l1.consensus.messages import Certificate, Proposal, Vote, domain_of
from l1.consensus.parameters import Parameters
from l1.nodes.candidates import Candidates
from l1.nodes.convictions import Convictions
from l1.nodes.gossip import Gossip
from l1.nodes.inbox import Inbox, Item
from l1.nodes.intake import Intake
from l1.nodes.keys import DelegateKeys
from l1.nodes.proposing import propose
from l1.nodes.reporting import Reporter
from l1.nodes.signatures import Signatures
from l1.nodes.snapshots import SnapshotServer
from l1.nodes.sync import Sync
from l1.nodes.validation import BlockRefused, execute, read_block
from l1.nodes.voting import VotingRight
from l1.nodes.wire import Decided, GetBlock, Kind, encode_get_blocks
from native import _native

BATCH: Final = 512
"""Votes whose signatures are checked together."""
_AHEAD: Final = 2_048  # messages of the next height that are kept until it begins

log = logging.getLogger(__name__)


class Halted(RuntimeError):
    """The node cannot go on; the message says why."""


@dataclass(frozen=True)
class DelegateSettings:
    """What is the node's own choice."""

    parameters: Parameters
    """Times, the same on every node of a chain."""
    data_dir: Path
    """Where the log of votes is."""
    vote_from: int | None = None
    """With a new log: vote from this height on, and do not wait until the others have decided one."""


class Delegate:
    """One node's part in the consensus."""

    def __init__(
        self, chain: Blockchain, mempool: Mempool, keys: DelegateKeys | None, settings: DelegateSettings
    ) -> None:
        """Raises WalError when the log of votes cannot be used.

        `gossip.network` must be set before `run`.
        """
        self._chain = chain
        self._mempool = mempool
        self._keys = keys
        self._settings = settings
        self._timing = settings.parameters.timing
        self.delegates = chain.delegates_at(chain.head_number + 1)
        """Who decides the present height, in proposer order."""
        genesis = chain.block(0)
        assert genesis is not None, "a chain has a block 0"
        self.domain = domain_of(chain.chain_id, genesis.block.hash)
        """What every signature of the chain binds."""
        self.gossip = Gossip(chain, self._timing.resend or self._timing.interval)
        """What it says to its peers."""
        self.convictions = Convictions(settings.data_dir)
        """Who contradicted himself."""
        self.refused: Counter[str] = Counter()
        """Messages with a good signature that the rules do not take, by reason."""
        self._address = None if keys is None else keys.address
        self._key = b"" if keys is None else keys.voting.public_key().to_bytes()
        self._reporter = None if keys is None else Reporter(chain, mempool, keys)
        self._signatures = Signatures(self.domain)
        self._driver = Driver(settings.parameters, None, self._signatures.certify)
        self._inbox = Inbox()
        self._sync = Sync()
        self._candidates = Candidates(chain, settings.parameters)
        self.snapshots = SnapshotServer(chain, settings.parameters)
        """What answers who begins at a snapshot."""
        self.intake = Intake(self, self.gossip, chain, mempool, self._inbox)
        """What takes the network's frames."""
        self._voting = VotingRight(settings.data_dir, self.domain, self._address)
        self._effects: deque[effects.Effect] = deque()
        self._timers: list[tuple[int, int, effects.SetTimer]] = []
        self._order = itertools.count()
        self._building: effects.Build | None = None
        self._ahead: deque[Item] = deque(maxlen=_AHEAD)
        self._wanted: set[bytes] = set()
        self._proposed_at = _now() - self._timing.interval

    @property
    def height(self) -> int:
        """The height that is being decided."""
        return self._chain.head_number + 1

    @property
    def round(self) -> int:
        """The round that it is in."""
        return self._driver.state.round

    @property
    def votes(self) -> bool:
        """Whether it may vote at the present height: it has a seat, with its own key, and a log that reaches back."""
        if self._address is None or not self._voting.at(self.height):
            return False
        index = self.delegates.index_of(self._address)
        return index is not None and self.delegates.members[index].key == self._key

    def wake(self) -> None:
        """Say that the mempool, or what is known of a peer, changed."""
        self._inbox.filled.set()

    async def run(self) -> None:
        """Take part until cancelled. A block that is being written is finished first.

        Raises
        ------
        Halted
            When two thirds decided what does not execute here.
        OSError
            When the log cannot be written.
        """
        self._start_height()
        if self._reporter is not None:
            for each in self.convictions.stored():
                self._reporter.add(each)
        try:
            while True:
                await self._step()
        finally:
            self._voting.close()

    async def _begin_log(self) -> None:
        """Start a log once it is known from which height on nothing was voted before."""
        if not self._voting.undecided:
            return
        first = self._settings.vote_from
        if first is None:
            told = [each.head for each in self.intake.told]
            first = self._voting.first_vote(self._chain.head_number, told, self.delegates)
        if first is None:
            return
        await asyncio.to_thread(self._voting.begin, first)
        again = list(self.gossip.shelf.values())
        self._start_height()
        for item in again:
            self._inbox.again(item)

    # --- heights ---

    def _start_height(self) -> None:
        self._effects.clear()
        self._timers.clear()
        self._wanted.clear()
        self.gossip.shelf.clear()
        self._building = None
        height, now = self.height, _now()
        self.delegates = self._chain.delegates_at(height)
        self.gossip.network.delegates = frozenset(each.address for each in self.delegates.members)
        entries = self._voting.entries(height)
        self._candidates.start_height(self.delegates)
        address = self._address if self.votes else None
        self._driver = Driver(self._settings.parameters, address, self._signatures.certify)
        self._effects.extend(self._driver.start_height(height, self.delegates, self._proposed_at, now, entries))
        ahead = [each for each in self._ahead if _height(each) >= height]
        self._ahead.clear()
        for item in ahead:
            self._inbox.again(item)

    async def _step(self) -> None:
        """Do one thing: what is due, what the driver wants, what came in, a block; and wait when there is nothing."""
        now = _now()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            self._effects.extend(self._driver.on_timer(timer.height, timer.what, now))
        self._ask(now)
        if self._effects:
            await self._carry_out(self._effects.popleft())
        elif self._building is not None and now >= self._build_due(self._building):
            await self._build(self._building)
        elif self._inbox:
            await self._take_in()
        else:
            await self._begin_log()
            await self._wait()

    async def _wait(self) -> None:
        """Until something comes in, or is due."""
        if self._effects or self._inbox:
            return
        due = [self.gossip.status_due]
        due += [self._timers[0][0]] if self._timers else []
        due += [self._build_due(self._building)] if self._building is not None else []
        look = self._sync.next_look(_now())
        due += [] if look is None else [look]
        self._inbox.filled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(1, min(due) - _now()) / 1000):
                await self._inbox.filled.wait()

    def _ask(self, now: int) -> None:
        """Ask for blocks when others have more, and say how far this chain goes."""
        silent = self._sync.overdue(now)
        if silent is not None:
            silent.head = self._chain.head_number
            self.gossip.network.refuse(silent, "unanswered", "it says it has blocks, and does not send them")
        question = self._sync.question(self.gossip.network.peers, self._chain.head_number, now)
        if question is not None:
            question.peer.send(Kind.GET_BLOCKS, encode_get_blocks(question.asked))
        if now >= self.gossip.status_due:
            self.gossip.tell(now)

    # --- what comes in ---

    async def _take_in(self) -> None:
        votes = self._inbox.take_votes(BATCH)
        if votes:
            await self._on_votes(votes)
            return
        item = self._inbox.take()
        try:
            match item.content:
                case list():
                    await self._on_blocks(item, item.content)
                case bytes():
                    await self._on_block(item, item.content)
                case Proposal() | Certificate() if self._is_now(item):
                    await self._on_message(item, item.content)
        except BlockRefused as error:
            self.gossip.refuse(item, error.reason, error.args[1])
        except CertificateError as error:
            self.gossip.refuse(item, "certificate" if isinstance(item.content, list) else "signature", error.args[1])

    def _is_now(self, item: Item) -> bool:
        """Whether a message is of this height; one of the next is kept until then, others are of no use."""
        height = _height(item)
        if height == self.height + 1:
            self._ahead.append(item)
        return height == self.height

    async def _on_votes(self, items: Sequence[Item]) -> None:
        now = [each for each in items if self._is_now(each)]
        held = await asyncio.to_thread(self._signatures.check, [_vote(each) for each in now], self.delegates)
        for item, holds in zip(now, held, strict=True):
            if not holds:
                self.gossip.refuse(item, "signature", "the vote is not signed by the delegate that it names")
                continue
            self._hand_over(item, self._driver.on_vote(_vote(item), _now()))

    async def _on_message(self, item: Item, message: Proposal | Certificate) -> None:
        if isinstance(message, Certificate):
            await asyncio.to_thread(check, message, self.delegates, self.domain)
            self._hand_over(item, self._driver.on_certificate(message, _now()))
            return
        if not await asyncio.to_thread(self._signatures.check_proposal, message, self.delegates):
            self.gossip.refuse(item, "signature", "the proposal is not signed by the delegate that it names")
            return
        if message.proof is not None:
            await asyncio.to_thread(check, message.proof, self.delegates, self.domain)
        arrived = _now()
        block = read_block(message.block, message.block_hash)
        if reason := self._candidates.reason_against(message, block, self.round):
            self.refused[reason] += 1
            log.info("a proposal of delegate %d is not taken: %s", message.delegate, reason)
            return
        self._candidates.seen(block.hash, arrived)
        # A block that the driver does not keep is not executed either: it is asked for when its round comes.
        valid = self._driver.wants_block(message) and await self._candidates.may_follow(block)
        self._hand_over(item, self._driver.on_proposal(message, _now(), valid=valid))
        self._candidates.keep(lambda block_hash: self._driver.block(block_hash) is not None)

    async def _on_block(self, item: Item, raw: bytes) -> None:
        block = read_block(raw)
        if block.hash not in self._wanted:
            if not self._candidates.tried(block.hash):
                self.gossip.refuse(item, "unasked", "a block that nobody asked for")
            return
        valid = await self._candidates.may_follow(block)
        self._wanted.discard(block.hash)
        self._effects.extend(self._driver.on_block(block.hash, raw, _now(), valid=valid))

    async def _on_blocks(self, item: Item, blocks: Sequence[Decided]) -> None:
        """Decided blocks that were asked for: each is checked by its certificate, executed and committed."""
        peer = item.peer
        if peer is None or self._sync.answered(peer) is None:
            self.gossip.refuse(item, "unasked", "blocks that nobody asked for")
            return
        before = self._chain.head_number
        try:
            for each in blocks:
                await self._append(each)
        finally:
            if self._chain.head_number > before:
                self._proposed_at = _now() - self._timing.interval
                self._start_height()
                self.gossip.tell(_now())
            elif peer.head > self._chain.head_number:
                peer.head = self._chain.head_number
                self.gossip.refuse(item, "unanswered", "it says it has blocks, and does not send them")

    async def _append(self, decided: Decided) -> None:
        block = read_block(decided.block)
        if block.number <= self._chain.head_number:
            return
        if block.number != self.height:
            raise BlockRefused("body", f"block {block.number} where {self.height} was asked for")
        # One answer may go on from one epoch into the next.
        delegates = self._chain.delegates_at(block.number)
        certificate = from_footer(decided.footer, block.number, block.hash)
        await asyncio.to_thread(check, certificate, delegates, self.domain)
        try:
            executed = await asyncio.to_thread(execute, self._chain, block, delegates)
        except BlockRefused as error:
            if error.reason == "body":
                raise
            raise Halted(
                f"block {block.number} (0x{block.hash.hex()}) was decided by two thirds and does not execute here: "
                f"{error.args[1]}. This program's rules are not the network's: install the release that it runs"
            ) from error
        await self._commit(executed, certificate)

    def _hand_over(self, item: Item, wanted: Sequence[effects.Effect]) -> None:
        """Carry out what a message leads to, and send it on, unless it is of no use to anybody."""
        self._effects.extend(wanted)
        useless = any(isinstance(each, effects.Refused) for each in wanted)
        convicts = [each for each in wanted if isinstance(each, effects.Convict)]
        known = any(self.convictions.knows(each, self.delegates) for each in convicts)
        if not useless and not known:
            content = item.content
            self.gossip.pass_on(item, keep=not isinstance(content, Proposal) or self._driver.wants_block(content))

    # --- what the driver wants ---

    async def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Record(entry=entry):
                await asyncio.to_thread(self._voting.append, entry)
            case effects.SignVote() | effects.SignProposal():
                await self._sign(effect)
            case effects.Send(message=message):
                self.gossip.send(message)
            case effects.Build():
                self._building = effect
            case effects.SetTimer():
                heapq.heappush(self._timers, (effect.at, next(self._order), effect))
            case effects.Fetch():
                await self._fetch(effect)
            case effects.Decided():
                await self._decide(effect)
            case effects.Convict():
                self._convict(effect)
            case effects.Refused(reason=reason):
                self.refused[reason] += 1

    def _convict(self, effect: effects.Convict) -> None:
        conviction = self.convictions.add(effect, self.delegates)
        if conviction is not None and self._reporter is not None:
            self._reporter.add(conviction)

    async def _sign(self, effect: effects.SignVote | effects.SignProposal) -> None:
        assert self._keys is not None, "who has no keys casts nothing"
        message = effect.vote if isinstance(effect, effects.SignVote) else effect.proposal
        signature = await asyncio.to_thread(self._keys.voting.sign, message.digest(self.domain))
        if isinstance(message, Vote):
            vote = message._replace(signature=signature)
            self._signatures.made(vote)
            self.gossip.send(vote)
            self._effects.extend(self._driver.on_vote(vote, _now()))
        else:
            proposal = message._replace(signature=signature)
            self._candidates.seen(proposal.block_hash, _now())
            self.gossip.send(proposal)
            self._effects.extend(self._driver.on_proposal(proposal, _now(), valid=True))

    def _build_due(self, build: effects.Build) -> int:
        """When to build: at once when there is work, else when the idle time, which the first round has, is over."""
        return 0 if build.round or self._mempool.status()[0] else self._proposed_at + self._timing.idle

    async def _build(self, build: effects.Build) -> None:
        self._building = None
        assert self._keys is not None, "who has no keys builds nothing"
        try:
            executed = await propose(self._chain, self._mempool, self._keys)
        except DutyUndone as error:
            log.critical("this delegate cannot propose block %d: %s", build.height, error)
            return
        block = executed.block
        self._candidates.built(executed)
        self._effects.extend(self._driver.on_built(build.height, build.round, block.hash, block.encoded, _now()))

    async def _fetch(self, fetch: effects.Fetch) -> None:
        executed = self._candidates.executed(fetch.block_hash)
        if executed is not None:
            raw = executed.block.encoded
            self._effects.extend(self._driver.on_block(fetch.block_hash, raw, _now(), valid=True))
            return
        self._wanted.add(fetch.block_hash)
        self.gossip.ask_for(GetBlock(fetch.height, fetch.block_hash))

    async def _decide(self, decided: effects.Decided) -> None:
        if decided.height != self.height:
            return
        if not await self._candidates.may_follow(read_block(decided.block)):
            raise Halted(f"block {decided.height} (0x{decided.block_hash.hex()}) was taken as valid and is not")
        executed = self._candidates.executed(decided.block_hash)
        assert executed is not None, "it may follow"
        began = self._candidates.seen_at(decided.block_hash)
        await self._commit(executed, decided.certificate)
        self._proposed_at = _now() - self._timing.interval if began is None else began
        self._start_height()
        self.gossip.tell(_now())

    async def _commit(self, executed: _native.ExecutedBlock, certificate: Certificate) -> None:
        commit = asyncio.ensure_future(self._commit_whole(executed, certificate))
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await commit
            raise

    async def _commit_whole(self, executed: _native.ExecutedBlock, certificate: Certificate) -> StoredBlock:
        stored = await asyncio.to_thread(self._chain.commit, executed, certificate)
        await asyncio.to_thread(self._voting.decided, stored.block.number)
        self._mempool.advance(stored.block.transactions, self._chain.view(stored.block.number))
        self._chain.announce(stored)
        if self._reporter is not None:
            self._reporter.look()
        return stored

    def candidate(self, block_hash: bytes) -> bytes | None:
        """A block of the present height, encoded."""
        return self._driver.block(block_hash)

    def decided_block(self, number: int) -> Decided | None:
        """A block of the chain with its footer, for a peer that is behind."""
        stored, certificate = self._chain.block(number), self._chain.certificate(number)
        return None if stored is None or certificate is None else Decided(stored.block.encoded, footer(certificate))


def _height(item: Item) -> int:
    assert isinstance(item.content, Vote | Proposal | Certificate)
    return item.content.height


def _vote(item: Item) -> Vote:
    assert isinstance(item.content, Vote)
    return item.content


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
