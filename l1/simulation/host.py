"""An honest delegate: a driver with a disk, a clock, a chain and links, as a real node would be around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from l1.consensus import effects
from l1.consensus.effects import Effect
from l1.consensus.log import Entry
from l1.consensus.messages import Certificate, Decision, Message, Proposal, Vote
from l1.consensus.parameters import Pacing
from l1.simulation.blocks import GENESIS_HASH, NOBODY, Block, BlockError, decode, hash_of
from l1.simulation.disk import Disk
from l1.simulation.fault import Fault
from l1.simulation.plan import START, Crash, Moment

if TYPE_CHECKING:
    from l1.simulation.world import World

AHEAD = 64
"""Messages of the next height that are kept from each sender."""
EARLY = 1_000
"""A proposal whose block is from further in the future, in ms, waits until it is not."""
ANSWER_EVERY = 300
"""Between two answers to one sender that fell behind, and between two questions, in ms."""
WATCH_EVERY = 2_500
"""Who has no seat says so often how far it is, in ms. Who has one sends its votes again; the silence of all who have none
would keep a delegate behind that has missed the end of a height, and that the next one needs."""


class AskDecision(NamedTuple):
    """Which block was decided at this height?"""

    height: int


class AskBlock(NamedTuple):
    """Who has this block?"""

    height: int
    block_hash: bytes


class BlockFound(NamedTuple):
    """The answer."""

    height: int
    block: bytes


Sent = Message | AskDecision | AskBlock | BlockFound
"""What links carry."""


class PowerFailure(Exception):
    """The delegate stops here."""


class Host:
    """One delegate. A block is in its chain whole or not at all; its log is what `Disk` makes of it."""

    watched = True
    """Whether the checker holds it to the rules."""

    def __init__(self, world: World, number: int) -> None:
        plan = world.plan
        self.world = world
        self.number = number
        """Which delegate of the run it is: its place on the network."""
        self.chain: list[tuple[bytes, Decision]] = []
        """(hash, decision) of height 1 and on."""
        self.height = 1
        """The height that it is deciding."""
        self.seat: int | None = None
        """Its index in the set of that height; None where it only watches."""
        self.disk = Disk()
        self.up = False
        self.refused: dict[str, int] = {}
        """How many messages were not taken, by reason."""
        self.peers = [each for each in range(len(plan.powers)) if each != number]
        self._offset = plan.skews[number] if plan.skews else 0
        self._drift = plan.drifts[number] if plan.drifts else 0
        self._incarnation = 0
        self._armed: Crash | None = None
        self._queue: deque[Effect] = deque()
        self._busy = False
        self._salt = 0

    # --- time ---

    def now(self) -> int:
        """What its clock shows, in ms."""
        now = self.world.now
        return now + self._offset + (now - START) * self._drift // 1_000_000

    def _moment(self, shown: int) -> int:
        """When its clock shows a time, or now if it has shown it."""
        guess = START + (shown - self._offset - START) * 1_000_000 // (1_000_000 + self._drift)
        while guess + self._offset + (guess - START) * self._drift // 1_000_000 < shown:
            guess += 1
        return max(guess, self.world.now)

    # --- life ---

    @property
    def head(self) -> bytes:
        """Hash of its chain's last block."""
        return self.chain[-1][0] if self.chain else GENESIS_HASH

    def start(self) -> None:
        """Switch on, with what is on the disk."""
        self.up = True
        self._incarnation += 1
        self._queue.clear()
        self._ahead: dict[int, list[Sent]] = {}
        self._answered: dict[int, int] = {}
        self._asked = -ANSWER_EVERY
        self.driver = self.world.new_driver(self.number)
        self._powered(self._start_height, self.disk.recover())

    def fail(self, crash: Crash) -> None:
        """Lose power, now or at the moment that the crash names."""
        if not self.up or crash.moment is not Moment.AT_ONCE:
            self._armed = crash
        else:
            self._stop(crash)

    def disarm(self) -> None:
        """No power failure is to come."""
        self._armed = None

    def _stop(self, crash: Crash) -> None:
        self.up = False
        self._armed = None
        self._queue.clear()
        self.world.note(b"down", self.number)
        self.world.happened[Fault.CRASH] += 1
        self.world.happened[crash.moment] += 1
        self.world.later(crash.down, self.start)

    def _start_height(self, entries: Sequence[Entry] = ()) -> None:
        height = self.height
        assert all(each.height <= height for each in entries), "it votes at a height once its parent is in the chain"
        self._wanted: set[bytes] = set()
        elected = self.world.electorates.at(height)
        self.seat = elected.seats.get(self.number)
        if self.seat is None:
            self.world.later(WATCH_EVERY, self._watch, self._incarnation, height)
        now = self.now()
        self.perform(self.driver.start_height(height, elected.delegates, self._last(now), now, entries))
        for sender, messages in sorted(self._ahead.items()):
            for message in messages:
                self.world.soon(self.receive, sender, message)
        self._ahead.clear()

    def _watch(self, incarnation: int, height: int) -> None:
        """Ask who knows what was decided."""
        if self.up and incarnation == self._incarnation and height == self.height:
            self.world.send(self.number, self.peers, AskDecision(height))
            self.world.later(WATCH_EVERY, self._watch, incarnation, height)

    def _last(self, now: int) -> int:
        """When the block before was built. Events: no clock that is ahead makes others wait."""
        built = decode(self.chain[-1][1].block).time if self.chain else START
        return built if self.world.plan.parameters.timing.pacing is Pacing.CLOCK else min(built, now)

    # --- what comes in ---

    def receive(self, sender: int, message: Sent) -> None:
        """Take a message from a link."""
        if not self.up:
            return
        if type(message) is not Vote or message.height != self.height:
            self._powered(self._take, sender, message)
        elif self.world.scheme.vote_holds(message):
            wanted = self.driver.on_vote(message, self.now())
            if wanted:
                self._powered(self.perform, wanted)
        else:
            self.refuse("signature")

    def _powered(self, do: Callable[..., None], *given: object) -> None:
        try:
            do(*given)
        except PowerFailure:
            assert self._armed is not None, "no power failure comes unplanned"
            self._stop(self._armed)

    def _take(self, sender: int, message: Sent) -> None:
        height = message.certificate.height if isinstance(message, Decision) else message.height
        if height != self.height or isinstance(message, AskDecision):
            self._elsewhere(sender, message, height)
        else:
            self._here(sender, message)

    def _here(self, sender: int, message: Sent) -> None:
        match message:
            case Proposal():
                self._on_proposal(sender, message)
            case Certificate() if self.world.scheme.certificate_holds(message):
                self.perform(self.driver.on_certificate(message, self.now()))
            case Decision():
                self._on_decision(sender, message)
            case AskBlock(block_hash=block_hash):
                held = self.driver.block(block_hash)
                if held is not None:
                    self.world.send(self.number, (sender,), BlockFound(self.height, held))
            case BlockFound(block=raw):
                self._on_block(raw)
            case _:
                self.refuse("signature")

    def _on_proposal(self, sender: int, proposal: Proposal) -> None:
        scheme = self.world.scheme
        proof = proposal.proof
        if not scheme.proposal_holds(proposal) or not (proof is None or scheme.certificate_holds(proof)):
            self.refuse("signature")
            return
        block = self._block(proposal.block, proposal.block_hash)
        if block is None:
            self.refuse("hash")
            return
        early = block.time - EARLY - self.now()
        if early > 0 and sender != self.number:
            if early < 10 * self.world.plan.parameters.timing.interval:
                self.world.at(self._moment(block.time - EARLY), self.receive, sender, proposal)
            self.refuse("early")
            return
        self.perform(self.driver.on_proposal(proposal, self.now(), valid=self.accepts(block)))

    def _on_decision(self, sender: int, decision: Decision) -> None:
        certificate = decision.certificate
        block = self._block(decision.block, certificate.block_hash)
        if block is None or not self.world.scheme.certificate_holds(certificate):
            self.refuse("signature")
            return
        height = self.height
        valid = self.accepts(block)
        self.perform(self.driver.on_decision(decision, certificate.block_hash, self.now(), valid=valid))
        if self.up and self.height > height:
            self.world.send(self.number, (sender,), AskDecision(self.height))

    def _on_block(self, raw: bytes) -> None:
        block_hash = hash_of(raw)
        block = self._block(raw, block_hash)
        if block is not None and block_hash in self._wanted:
            self._wanted.discard(block_hash)
            self.perform(self.driver.on_block(block_hash, raw, self.now(), valid=self.accepts(block)))

    def _elsewhere(self, sender: int, message: Sent, height: int) -> None:
        """What belongs to another height: help who is behind, keep a little of what is ahead, ask when behind."""
        now = self.world.now
        if height < self.height:
            due = self._answered.get(sender, -ANSWER_EVERY) + ANSWER_EVERY <= now
            if type(message) is AskDecision or (due and type(message) not in (Decision, BlockFound)):
                self._answered[sender] = now
                self.world.send(self.number, (sender,), self.chain[height - 1][1])
            return
        kept = self._ahead.setdefault(sender, [])
        if height == self.height + 1 and len(kept) < AHEAD and type(message) is not AskDecision:
            kept.append(message)
        elif height > self.height and self._asked + ANSWER_EVERY <= now:
            self._asked = now
            self.world.send(self.number, (sender,), AskDecision(self.height))

    def timer(self, incarnation: int, due: effects.SetTimer) -> None:
        """A timer has run out."""
        if incarnation == self._incarnation and self.up and due.height == self.height:
            self._powered(self._ring, due)

    def _ring(self, due: effects.SetTimer) -> None:
        self.perform(self.driver.on_timer(due.height, due.what, self.now()))

    def refuse(self, reason: str) -> None:
        """Count a message that was not taken."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    # --- the application ---

    def accepts(self, block: Block) -> bool:
        """Whether a block may follow the chain's head: the same for every delegate, at any time."""
        height = self.height
        after = decode(self.chain[-1][1].block).time if self.chain else START
        timing = self.world.plan.parameters.timing
        on_grid = timing.pacing is Pacing.EVENT or (block.time - after) % timing.interval == 0
        return on_grid and block.follows(self.head, height, after)

    def build(self, height: int, round_: int, *, salt: int = 0, sound: bool = True) -> bytes:
        """A block on the head."""
        after = decode(self.chain[-1][1].block).time if self.chain else START
        timing = self.world.plan.parameters.timing
        time = max(self.now(), after + 1)
        if timing.pacing is Pacing.CLOCK:
            time = after + (round_ + 1) * timing.interval
        seat = self.world.electorates.at(height).seats.get(self.number, NOBODY)
        return Block(height, self.head, seat, time, sound, salt).encode()

    def _block(self, raw: bytes, block_hash: bytes) -> Block | None:
        """The block, if it is one and its hash is this."""
        try:
            return decode(raw) if hash_of(raw) == block_hash else None
        except BlockError:
            return None

    # --- what goes out ---

    def perform(self, wanted: Sequence[Effect]) -> None:
        """Carry out effects, and those that come of them."""
        if not wanted:
            return
        queue = self._queue
        queue.extend(wanted)
        if self._busy:
            return
        self._busy = True
        try:
            while queue:
                self._carry_out(queue.popleft())
        finally:
            self._busy = False
            queue.clear()

    def _then(self, wanted: Sequence[Effect]) -> None:
        if self.world.plan.depth_first:
            self._queue.extendleft(reversed(wanted))
        else:
            self._queue.extend(wanted)

    def _carry_out(self, effect: Effect) -> None:
        driver = self.driver
        match effect:
            case effects.SetTimer(at=at):
                self.world.at(self._moment(at), self.timer, self._incarnation, effect)
            case effects.Record(entry=entry):
                self._record(entry)
            case effects.SignVote(vote=vote):
                signed = self.world.scheme.sign_vote(vote)
                if self.watched:
                    self.world.checker.cast(self, signed)
                self._then(driver.on_vote(signed, self.now()))
                self.emit(signed)
            case effects.SignProposal(proposal=proposal):
                made = self.world.scheme.sign_proposal(proposal)
                if self.watched:
                    self.world.checker.proposed(self, made)
                self._then(driver.on_proposal(made, self.now(), valid=True))
                self.emit(made)
            case effects.Send(message=message):
                self.emit(message)
            case effects.Build(height=height, round=round_):
                self._salt += 1
                raw = self.build(height, round_, salt=self._salt)
                self._then(driver.on_built(height, round_, hash_of(raw), raw, self.now()))
            case effects.Fetch(height=height, block_hash=block_hash):
                self._wanted.add(block_hash)
                self.emit(AskBlock(height, block_hash))
            case effects.Decided():
                self._decide(effect)
            case effects.Convict(evidence=(first, _)) if self.watched:
                self.world.checker.convicted(self, first.height, first.delegate)
            case effects.Refused(reason=reason):
                self.refuse(reason)

    def _record(self, entry: Entry) -> None:
        armed = self._armed
        if armed is not None and armed.moment is Moment.BEFORE_WRITE:
            raise PowerFailure
        if armed is not None and armed.moment is Moment.TORN_WRITE:
            self.world.happened[Fault.TEAR] += 1
            self.disk.tear(entry, armed.kept)
            raise PowerFailure
        self.disk.append(entry)
        if armed is not None and armed.moment is Moment.AFTER_WRITE:
            raise PowerFailure

    def _decide(self, decided: effects.Decided) -> None:
        if decided.height != self.height:
            return
        moment = None if self._armed is None else self._armed.moment
        if self.watched:
            self.world.checker.decided(self, decided)
        if moment is Moment.BEFORE_COMMIT:
            raise PowerFailure
        self.chain.append((decided.block_hash, Decision(decided.certificate, decided.block)))
        self.height += 1
        self.world.note(b"decided", self.number, decided.height, decided.round, decided.block_hash)
        if moment is Moment.AFTER_COMMIT or (moment is Moment.WHILE_ROTATING and self.disk.full):
            raise PowerFailure
        self.disk.decided()
        self._queue.clear()
        self._start_height()

    def emit(self, message: Sent) -> None:
        """Send a message to all others."""
        world = self.world
        world.emitted(self.number, message)
        armed = self._armed
        if armed is not None and armed.moment is Moment.WHILE_SENDING and type(message) is Vote:
            world.send(self.number, [peer for peer in self.peers if world.rng.random() < armed.kept], message)
            raise PowerFailure
        world.send(self.number, self.peers, message)
