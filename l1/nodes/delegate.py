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
from l1.chain.genesis_delegates import delegate_set
from l1.chain.mempool import Mempool
from l1.chain.producer import MAX_OFFERED, build_block
from l1.consensus import effects
from l1.consensus.certificate import CertificateError, check, footer, from_footer
from l1.consensus.driver import Driver
from l1.consensus.messages import Certificate, Message, Proposal, Vote, domain_of, encode
from l1.consensus.parameters import Parameters
from l1.nodes.candidates import Candidates
from l1.nodes.convictions import Convictions
from l1.nodes.inbox import Inbox, Item
from l1.nodes.intake import Intake
from l1.nodes.keys import DelegateKeys
from l1.nodes.network import Network
from l1.nodes.signatures import Signatures
from l1.nodes.sync import Sync
from l1.nodes.validation import BlockRefused, execute, read_block
from l1.nodes.voting import VotingRight
from l1.nodes.wire import Decided, GetBlock, Kind, Status, encode_get_block, encode_get_blocks, encode_status
from native import _native

STATUS_MS: Final = 5_000
"""A node says how far it is after each block, and at least this often: a peer that is silent for long is gone."""
BATCH: Final = 512
"""Votes whose signatures are checked together."""
SHELF: Final = 2_048
"""Messages of the present height, the newest, that are kept for peers that come late: fewer than one may send at once."""

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

        `network` must be set before `run`.
        """
        self._chain = chain
        self._mempool = mempool
        self._keys = keys
        self._settings = settings
        self._timing = settings.parameters.timing
        self.delegates = delegate_set(chain.genesis.delegates)
        """Who decides, in proposer order."""
        genesis = chain.block(0)
        assert genesis is not None, "a chain has a block 0"
        self.domain = domain_of(chain.chain_id, genesis.block.hash)
        """What every signature of the chain binds."""
        self.network: Network
        """The connections; set once."""
        self.convictions = Convictions(settings.data_dir, self.delegates)
        """Who contradicted himself."""
        self.refused: Counter[str] = Counter()
        """Messages with a good signature that the rules do not take, by reason."""
        self._address = None if keys is None else keys.address
        self._signatures = Signatures(self.domain)
        self._inbox = Inbox()
        self._sync = Sync()
        self._candidates = Candidates(chain, self.delegates, settings.parameters)
        self.intake = Intake(self, chain, mempool, self._inbox, self._timing.resend or self._timing.interval)
        """What takes the network's frames."""
        self._voting = VotingRight(settings.data_dir, self.domain, self._address, self.delegates)
        self._effects: deque[effects.Effect] = deque()
        self._timers: list[tuple[int, int, effects.SetTimer]] = []
        self._order = itertools.count()
        self._building: effects.Build | None = None
        self._ahead: deque[Item] = deque(maxlen=16 * len(self.delegates))
        self._wanted: set[bytes] = set()
        self._proposed_at = _now() - self._timing.interval
        self._status_due = 0
        self.shelf: dict[bytes, Item] = {}
        """Messages of the present height that were taken."""

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
        """Whether it may vote at the present height."""
        return self._voting.at(self.height)

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
            first = self._voting.first_vote(self._chain.head_number, [each.head for each in self.intake.told])
        if first is None:
            return
        await asyncio.to_thread(self._voting.begin, first)
        again = list(self.shelf.values())
        self._start_height()
        for item in again:
            self._inbox.again(item)

    # --- heights ---

    def _start_height(self) -> None:
        self._effects.clear()
        self._timers.clear()
        self._wanted.clear()
        self.shelf.clear()
        self._building = None
        height, now = self.height, _now()
        entries = self._voting.entries(height)
        self._candidates.start_height(entries)
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
        due = [self._status_due]
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
            self.network.refuse(silent, "unanswered", "it says it has blocks, and does not send them")
        question = self._sync.question(self.network.peers, self._chain.head_number, now)
        if question is not None:
            question.peer.send(Kind.GET_BLOCKS, encode_get_blocks(question.asked))
        if now >= self._status_due:
            self._tell()

    def _tell(self) -> None:
        self._status_due = _now() + STATUS_MS
        self.network.broadcast(Kind.STATUS, encode_status(self.status()))

    def status(self) -> Status:
        """How far this chain goes."""
        return Status(self._chain.head_number, self._chain.head_hash)

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
            self._refuse(item, error.reason, error.args[1])
        except CertificateError as error:
            self._refuse(item, "certificate" if isinstance(item.content, list) else "signature", error.args[1])

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
                self._refuse(item, "signature", "the vote is not signed by the delegate that it names")
                continue
            self._hand_over(item, self._driver.on_vote(_vote(item), _now()))

    async def _on_message(self, item: Item, message: Proposal | Certificate) -> None:
        if isinstance(message, Certificate):
            await asyncio.to_thread(check, message, self.delegates, self.domain)
            self._hand_over(item, self._driver.on_certificate(message, _now()))
            return
        if not await asyncio.to_thread(self._signatures.check_proposal, message, self.delegates):
            self._refuse(item, "signature", "the proposal is not signed by the delegate that it names")
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
        valid = await self._candidates.may_follow(block)
        self._candidates.bodies[block.hash] = message.block
        self._hand_over(item, self._driver.on_proposal(message, _now(), valid=valid))

    async def _on_block(self, item: Item, raw: bytes) -> None:
        block = read_block(raw)
        if block.hash not in self._wanted:
            if block.hash not in self._candidates.bodies:
                self._refuse(item, "unasked", "a block that nobody asked for")
            return
        valid = await self._candidates.may_follow(block)
        self._wanted.discard(block.hash)
        self._candidates.bodies[block.hash] = raw
        self._effects.extend(self._driver.on_block(block.hash, raw, _now(), valid=valid))

    async def _on_blocks(self, item: Item, blocks: Sequence[Decided]) -> None:
        """Decided blocks that were asked for: each is checked by its certificate, executed and committed."""
        peer = item.peer
        if peer is None or self._sync.answered(peer) is None:
            self._refuse(item, "unasked", "blocks that nobody asked for")
            return
        before = self._chain.head_number
        try:
            for each in blocks:
                await self._append(each)
        finally:
            if self._chain.head_number > before:
                self._proposed_at = _now() - self._timing.interval
                self._start_height()
                self._tell()
            elif peer.head > self._chain.head_number:
                peer.head = self._chain.head_number
                self._refuse(item, "unanswered", "it says it has blocks, and does not send them")

    async def _append(self, decided: Decided) -> None:
        block = read_block(decided.block)
        if block.number <= self._chain.head_number:
            return
        if block.number != self.height:
            raise BlockRefused("body", f"block {block.number} where {self.height} was asked for")
        certificate = from_footer(decided.footer, block.number, block.hash)
        await asyncio.to_thread(check, certificate, self.delegates, self.domain)
        try:
            executed = await asyncio.to_thread(execute, self._chain, block, self.delegates)
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
        known = any(isinstance(each, effects.Convict) and self.convictions.knows(each) for each in wanted)
        if not useless and not known:
            self.pass_on(item)

    def pass_on(self, item: Item) -> None:
        """Send a message of the present height to all but its sender, and keep it for those that come late."""
        self.intake.seen.mark(item.raw)
        self.shelf[item.raw] = item
        while len(self.shelf) > SHELF:
            del self.shelf[next(iter(self.shelf))]
        self.network.broadcast(item.kind, item.raw, but=item.peer)

    def _refuse(self, item: Item, reason: str, text: str) -> None:
        if item.peer is not None:
            self.network.refuse(item.peer, reason, text)

    # --- what the driver wants ---

    async def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Record(entry=entry):
                await asyncio.to_thread(self._voting.append, entry)
            case effects.SignVote() | effects.SignProposal():
                await self._sign(effect)
            case effects.Send(message=message):
                self.pass_on(_own(message))
            case effects.Build():
                self._building = effect
            case effects.SetTimer():
                heapq.heappush(self._timers, (effect.at, next(self._order), effect))
            case effects.Fetch():
                await self._fetch(effect)
            case effects.Decided():
                await self._decide(effect)
            case effects.Convict():
                self.convictions.add(effect)
            case effects.Refused(reason=reason):
                self.refused[reason] += 1

    async def _sign(self, effect: effects.SignVote | effects.SignProposal) -> None:
        assert self._keys is not None, "who has no keys casts nothing"
        message = effect.vote if isinstance(effect, effects.SignVote) else effect.proposal
        signature = await asyncio.to_thread(self._keys.voting.sign, message.digest(self.domain))
        if isinstance(message, Vote):
            vote = message._replace(signature=signature)
            self._signatures.made(vote)
            self.pass_on(_own(vote))
            self._effects.extend(self._driver.on_vote(vote, _now()))
        else:
            proposal = message._replace(signature=signature)
            self._candidates.seen(proposal.block_hash, _now())
            self._candidates.bodies[proposal.block_hash] = proposal.block
            self.pass_on(_own(proposal))
            self._effects.extend(self._driver.on_proposal(proposal, _now(), valid=True))

    def _build_due(self, build: effects.Build) -> int:
        """When to build: at once when there is work, else when the idle time, which the first round has, is over."""
        return 0 if build.round or self._mempool.status()[0] else self._proposed_at + self._timing.idle

    async def _build(self, build: effects.Build) -> None:
        self._building = None
        assert self._address is not None, "who has no keys builds nothing"
        offered = self._mempool.executable(self._chain.next_base_fee, MAX_OFFERED)
        executed = await asyncio.to_thread(
            build_block, self._chain, offered, self._address, int(time.time()), self.delegates.root()
        )
        for transaction, outcome in zip(offered, executed.outcomes, strict=True):
            if outcome:
                log.info("transaction 0x%s is dropped: %s", transaction.hash.hex(), outcome)
                self._mempool.remove(transaction.hash)
        block = executed.block
        self._candidates.built(executed)
        self._effects.extend(self._driver.on_built(build.height, build.round, block.hash, block.encoded, _now()))

    async def _fetch(self, fetch: effects.Fetch) -> None:
        raw = self._candidates.bodies.get(fetch.block_hash)
        if raw is not None:
            valid = await self._candidates.may_follow(read_block(raw))
            self._effects.extend(self._driver.on_block(fetch.block_hash, raw, _now(), valid=valid))
            return
        self._wanted.add(fetch.block_hash)
        self.network.broadcast(Kind.GET_BLOCK, encode_get_block(GetBlock(fetch.height, fetch.block_hash)))

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
        self._tell()

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
        return stored

    def candidate(self, block_hash: bytes) -> bytes | None:
        """A block of the present height, encoded."""
        return self._candidates.bodies.get(block_hash)

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


def _own(message: Message) -> Item:
    assert isinstance(message, Vote | Proposal | Certificate), "decisions are blocks with footers here"
    kind = Kind.BLOCK_MESSAGE if isinstance(message, Proposal) else Kind.VOTE
    return Item(None, kind, encode(message), message)


def _now() -> int:
    return time.monotonic_ns() // 1_000_000
