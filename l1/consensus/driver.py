"""One delegate at one height: the state machine, fed with facts as messages and timers make them true.

The driver turns what is held (`proposals`), what quorums say (`quorums`) and what has taken too long (`deadlines`) into
the machine's inputs, and the machine's outputs into effects for its host. It trusts its host with signatures only: what
comes in has a valid one. Power, places, proposers and proofs are checked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from l1.consensus import effects
from l1.consensus.deadlines import Deadlines
from l1.consensus.delegates import DelegateSet
from l1.consensus.effects import Effect
from l1.consensus.log import Entry, Held, Proposed, Voted, state_of
from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    Cast,
    Decide,
    Info,
    Input,
    NextRound,
    Phase,
    ProposalSeen,
    Propose,
    QuorumSeen,
    RoundStarted,
    Schedule,
    State,
    TimedOut,
    Topic,
    apply,
)
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.parameters import Pacing, Parameters
from l1.consensus.proposals import MAX_PROPOSALS, Block, Proposals, reason_against
from l1.consensus.quorums import ROUND_WINDOW, Certify, Quorums
from l1.consensus.schedule import proposer_index
from l1.consensus.tally import Equivocation

__all__ = ["MAX_PROPOSALS", "ROUND_WINDOW", "Certify", "Driver"]

_NOTHING: Final[Sequence[Effect]] = ()
_PROPOSER: Final = Info(proposer=True)
_OTHER: Final = Info()


class Driver:
    """Decides one height after the other. Not thread-safe; times are integer milliseconds of one clock."""

    def __init__(self, parameters: Parameters, address: bytes | None, certify: Certify) -> None:
        """
        Parameters
        ----------
        address
            The delegate's operator address; None for one who only watches.
        certify
            `certificate.certify`: makes the certificate of a quorum's votes.
        """
        self._parameters = parameters
        self._address = address
        self._certify = certify
        self._out: list[Effect] = []
        self._proposals = Proposals(0, ())
        self.state = State(0, phase=Phase.DECIDED)
        """What the delegate remembers of the height."""

    def start_height(
        self, height: int, delegates: DelegateSet, last: int, now: int, entries: Sequence[Entry] = ()
    ) -> Sequence[Effect]:
        """Begin a height.

        Parameters
        ----------
        last
            When the block before was proposed (CLOCK: the grid's point before that; see `schedule.grid`).
        entries
            The write-ahead log, when the delegate comes back; empty else.
        """
        self.delegates = delegates
        self._seats = len(delegates)
        self.index = None if self._address is None else delegates.index_of(self._address)
        self.state = state_of(height, entries)
        self._proposals = Proposals(height, entries)
        self._quorums = Quorums(height, delegates, self._certify, entries)
        self._tally = self._quorums.tally
        self._voted = {
            (each.round, each.topic): each.block_hash
            for each in entries
            if isinstance(each, Voted) and each.height == height
        }
        self._proposed = {each.round: each for each in entries if isinstance(each, Proposed) and each.height == height}
        self._held = {each.round for each in entries if isinstance(each, Held) and each.height == height}
        self._signed: dict[tuple[int, Topic], Vote] = {}
        self._fetching: set[bytes] = set()
        self._deadlines = Deadlines(self._parameters.timing, self._tally, last, now)
        if self.state.committed_round != NO_ROUND:
            # The machine casts it once, and nobody may have heard it: the others may need it to decide.
            self._sign(Topic.COMMIT, self.state.committed_round, self.state.committed_hash)
        self._set_round(*self._deadlines.first_round(self.state.round, now), now)
        return self._take(now)

    def on_vote(self, vote: Vote, now: int) -> Sequence[Effect]:
        """Count a vote whose signature holds."""
        state = self.state
        if vote.height != state.height or vote.delegate >= self._seats:
            reason = "height" if vote.height != state.height else "delegate"
            return [effects.Refused(reason, vote.delegate)]
        beyond = vote.round - state.round
        if abs(beyond) > ROUND_WINDOW:
            if beyond < 0:
                return [effects.Refused("round", vote.delegate)]
            self._tally.reach(vote)
            return self._take(now)
        counted = self._tally.add(vote)
        if vote.delegate == self.index:
            self._signed.setdefault((vote.round, vote.topic), vote)
        if counted is False and beyond <= 0 and not self._deadlines.is_past(vote):
            return _NOTHING
        if isinstance(counted, Equivocation):
            return [effects.Convict(counted)]
        return self._take(now)

    def on_proposal(self, proposal: Proposal, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a proposal whose signature and proof's signature hold, and whose block hashes to `block_hash`.

        `valid` says whether that block may follow the head; the first word on a block counts. Where `wants_block` says
        no, the block is not kept and `valid` of no account: a host need not execute it.
        """
        if reason := self._reason_against(proposal):
            return [effects.Refused(reason, proposal.delegate)]
        if self._proposals.knows(proposal) and self._proposals.block(proposal.block_hash) is not None:
            return _NOTHING
        if not self._proposals.add(proposal, self.state.round, valid=valid):
            return [effects.Refused("round", proposal.delegate)]
        if proposal.proof is not None:
            self._quorums.show(proposal.proof, self.state.round)
        first = self._proposals.of(proposal.round)[0]
        if proposal.block_hash != first.block_hash:
            self._out.append(effects.Convict((first, proposal._replace(block=b""))))
        return self._take(now)

    def on_block(self, block_hash: bytes, block: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a block that was asked for."""
        self._fetching.discard(block_hash)
        self._proposals.hold(block_hash, block, valid=valid)
        return self._take(now)

    def on_built(self, height: int, round_: int, block_hash: bytes, block: bytes, now: int) -> Sequence[Effect]:
        """Propose the block that `Build` asked for, unless the round is over."""
        state = self.state
        if (
            (height, round_) == (state.height, state.round)
            and round_ not in self._proposed
            and state.phase == Phase.ACCEPT_BLOCK_PROPOSAL
        ):
            self._propose(round_, block_hash, NO_ROUND, block)
        return self._take(now)

    def on_certificate(self, certificate: Certificate, now: int) -> Sequence[Effect]:
        """Take a quorum that another has seen; its signature holds."""
        if reason := self._quorums.reason_against(certificate):
            return [effects.Refused(reason, -1)]
        self._quorums.show(certificate, self.state.round)
        return self._take(now)

    def on_decision(self, decision: Decision, block_hash: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a final block; its certificate's signature holds, `block_hash` is the hash of its block."""
        certificate = decision.certificate
        if certificate.topic != Topic.COMMIT or certificate.block_hash != block_hash or block_hash == NIL:
            return [effects.Refused("hash", -1)]
        if reason := self._quorums.reason_against(certificate):
            return [effects.Refused(reason, -1)]
        self._proposals.hold(block_hash, decision.block, valid=valid)
        self._quorums.show(certificate, self.state.round)
        return self._take(now)

    def on_timer(self, height: int, what: TimedOut | RoundStarted | effects.ResendDue, now: int) -> Sequence[Effect]:
        """A timer that `SetTimer` asked for is due."""
        if height != self.state.height or self.state.phase == Phase.DECIDED:
            return _NOTHING
        match what:
            case effects.ResendDue(round=round_):
                if round_ == self.state.round:
                    self._resend(now)
            case TimedOut() | RoundStarted():
                locked = isinstance(what, TimedOut) and what.phase == Phase.ACCEPT_LOCK_ENDORSEMENT == self.state.phase
                if locked and self._parameters.timing.pacing is Pacing.CLOCK:
                    self._show_lock()
                self._apply(what, now)
        return self._take(now)

    def wants_block(self, proposal: Proposal) -> bool:
        """Whether the block of a proposal would be held: that of a round far ahead is asked for when the round comes."""
        return self._proposals.wants_block(proposal, self.state.round)

    def block(self, block_hash: bytes) -> bytes | None:
        """A block that is held, for whoever asks for it."""
        held = self._proposals.block(block_hash)
        return None if held is None else held.body

    # --- facts to inputs ---

    def _take(self, now: int) -> Sequence[Effect]:
        """Feed the machine whatever is true and changes something, and hand out what is to be done."""
        while self.state.phase != Phase.DECIDED:
            if not any(self._apply(fact, now) for fact in self._facts()):
                break
        self._arm(now)
        out, self._out = self._out, []
        return out

    def _facts(self) -> Iterator[Input]:
        """What may change the state, the most telling first. Each is true; the machine knows whether it matters."""
        state = self.state
        for round_, block_hash in self._quorums.on(Topic.COMMIT):
            if self._holds(block_hash):
                yield QuorumSeen(Topic.COMMIT, round_, block_hash)
        for round_, block_hash in self._quorums.on(Topic.LOCK):
            if state.committed_round < round_ <= state.round and self._holds(block_hash):
                yield QuorumSeen(Topic.LOCK, round_, block_hash)
        joined = self._tally.joined_round(state.round)
        if joined is not None:
            yield RoundStarted(joined)
        endorsed = [each for each in self._quorums.on(Topic.PROPOSAL) if each[0] <= state.round]
        for round_, block_hash in endorsed[:1]:
            if self._holds(block_hash):
                yield QuorumSeen(Topic.PROPOSAL, round_, block_hash)
        if state.phase == Phase.ACCEPT_BLOCK_PROPOSAL:
            for proposal in self._proposals.of(state.round)[:1]:
                if block := self._block(proposal.block_hash):
                    yield ProposalSeen(state.round, proposal.block_hash, block.valid, proposal.valid_round)
        if state.phase != Phase.PREPARE and self._quorums.at(state.round, Topic.PROPOSAL) == NIL:
            yield QuorumSeen(Topic.PROPOSAL, state.round, NIL)

    def _apply(self, given: Input, now: int) -> bool:
        """Whether the input changed anything."""
        before = self.state
        proposer = isinstance(given, RoundStarted) and self._proposer(given.round) == self.index
        self.state, outputs = apply(before, _PROPOSER if proposer else _OTHER, given)
        if self.state.round != before.round:
            self._enter_round(now)
        for output in outputs:
            match output:
                case Cast():
                    self._cast(output)
                case Schedule():
                    self._deadlines.wait(output)
                case Propose():
                    self._propose_again(output)
                case NextRound():
                    self._set_round(output.round, self._deadlines.start_of(output.round, now), now)
                case Decide():
                    self._decide(output)
        self._arm(now)
        return bool(outputs) or self.state != before

    def _block(self, block_hash: bytes) -> Block | None:
        """The block if it is here; asks for it else."""
        block = self._proposals.block(block_hash)
        if block is None and block_hash not in self._fetching:
            self._fetching.add(block_hash)
            self._out.append(effects.Fetch(self.state.height, block_hash))
        return block

    def _holds(self, block_hash: bytes) -> bool:
        """Whether the block is here and valid; asks for one that is not here."""
        block = self._block(block_hash)
        return block is not None and block.valid

    def _reason_against(self, proposal: Proposal) -> str | None:
        state = self.state
        if proposal.height == state.height and abs(proposal.round - state.round) > ROUND_WINDOW:
            return "round"
        reason = reason_against(proposal, state.height, self.delegates, self._parameters)
        if reason is None and proposal.proof is not None:
            return self._quorums.reason_against(proposal.proof)
        return reason

    # --- outputs to effects ---

    def _set_round(self, round_: int, at: int, now: int) -> None:
        if at <= now:
            self._apply(RoundStarted(round_), now)
        else:
            self._out.append(effects.SetTimer(at, self.state.height, RoundStarted(round_)))

    def _enter_round(self, now: int) -> None:
        round_ = self.state.round
        self._deadlines.enter(round_, now)
        self._resend_later(now)
        if round_ > 0:
            self._forget(round_ - ROUND_WINDOW)

    def _forget(self, before: int) -> None:
        """Let go of rounds before this one, and of blocks of later ones that nothing speaks for."""
        state = self.state
        if before > 0:
            self._quorums.forget(before, state)
            commit = (state.committed_round, Topic.COMMIT)
            self._signed = {
                place: each for place, each in self._signed.items() if place[0] >= before or place == commit
            }
            self._voted = {place: each for place, each in self._voted.items() if place[0] >= before}
            self._proposed = {round_: each for round_, each in self._proposed.items() if round_ >= before}
        endorsed = {block_hash for topic in Topic for _, block_hash in self._quorums.on(topic)}
        locked = {state.valid_hash, state.locked_hash, state.committed_hash}
        self._proposals.forget(before, state.round, endorsed | locked)

    def _arm(self, now: int) -> None:
        """Set the deadline of the phase, when it is known."""
        deadline = self._deadlines.due(self.state.round, now)
        if deadline is None:
            return
        phase, round_, at = deadline
        if phase == Phase.ACCEPT_LOCK_ENDORSEMENT and self._parameters.timing.pacing is Pacing.EVENT:
            self._show_lock()
        self._out.append(effects.SetTimer(at, self.state.height, TimedOut(phase, round_)))

    def _show_lock(self) -> None:
        """Send the proof of what was locked in this round, when the round looks as if it will not commit.

        Else one faulty delegate could let one honest delegate a round see a quorum, by sending its vote to that one only:
        nobody else could propose what that one would endorse, round after round. The paper rests on gossip here (the
        lemma that what one correct process receives, all do).
        """
        state = self.state
        if state.valid_round == state.round and (proof := self._quorums.proof(state.valid_round, state.valid_hash)):
            self._out.append(effects.Send(proof))

    def _cast(self, cast: Cast) -> None:
        """Cast a vote, or again the one that was cast here before a restart."""
        if self.index is None:
            return
        place = (cast.round, cast.topic)
        block_hash = self._voted.get(place, cast.block_hash)
        if place not in self._voted:
            if block_hash != NIL and cast.topic != Topic.PROPOSAL and cast.round not in self._held:
                self._hold(cast, block_hash)
            self._voted[place] = block_hash
            self._out.append(effects.Record(Voted(self.state.height, cast.round, cast.topic, block_hash)))
        self._sign(cast.topic, cast.round, block_hash)

    def _sign(self, topic: Topic, round_: int, block_hash: bytes) -> None:
        """Sign a vote that the log has."""
        if self.index is not None:
            self._out.append(effects.SignVote(Vote(self.state.height, round_, topic, block_hash, self.index)))

    def _hold(self, cast: Cast, block_hash: bytes) -> None:
        """Keep what a LOCK vote rests on, or a COMMIT vote in whose round there was none: a restart is locked by it."""
        proof = self._quorums.certificate(cast.round, Topic(cast.topic - 1), block_hash)
        self._quorums.keep(proof)
        self._held.add(cast.round)
        self._out.append(effects.Record(Held(self.state.height, cast.round, block_hash, proof, self._body(block_hash))))

    def _propose_again(self, output: Propose) -> None:
        """Propose the block that a quorum endorsed, or ask for a fresh one."""
        earlier = self._proposed.get(output.round)
        if earlier is not None:
            self._propose(earlier.round, earlier.block_hash, earlier.valid_round, earlier.block)
        elif output.valid_round == NO_ROUND:
            self._out.append(effects.Build(self.state.height, output.round))
        elif self._holds(output.block_hash):
            self._propose(output.round, output.block_hash, output.valid_round, self._body(output.block_hash))

    def _propose(self, round_: int, block_hash: bytes, valid_round: int, block: bytes) -> None:
        if self.index is None:
            return
        height = self.state.height
        proof = None
        if valid_round != NO_ROUND:
            proof = self._quorums.proof(valid_round, block_hash)
            if proof is None:
                return
        if round_ not in self._proposed:
            entry = Proposed(height, round_, block_hash, valid_round, block)
            self._proposed[round_] = entry
            self._out.append(effects.Record(entry))
        proposal = Proposal(height, round_, block_hash, self.index, valid_round, proof, block)
        self._out.append(effects.SignProposal(proposal))

    def _resend(self, now: int) -> None:
        """Send again what the others may have lost: this round's messages, the newest COMMIT, and the newest proof."""
        state = self.state
        places = [(state.round, topic) for topic in Topic]
        if state.committed_round not in (NO_ROUND, state.round):
            places.append((state.committed_round, Topic.COMMIT))
        for proposal in self._proposals.of(state.round)[:1]:
            if proposal.delegate == self.index and (whole := self._proposals.whole(proposal)):
                self._out.append(effects.Send(whole))
        self._out += [effects.Send(self._signed[place]) for place in places if place in self._signed]
        if state.valid_round not in (NO_ROUND, state.round):
            proof = self._quorums.proof(state.valid_round, state.valid_hash)
            self._out += [] if proof is None else [effects.Send(proof)]
        self._fetching.clear()
        self._resend_later(now)
        self._arm(now)

    def _resend_later(self, now: int) -> None:
        again = effects.ResendDue(self.state.round)
        self._out.append(effects.SetTimer(self._deadlines.resend_at(now), self.state.height, again))

    def _decide(self, output: Decide) -> None:
        height, block_hash = self.state.height, output.block_hash
        certificate = self._quorums.certificate(output.round, Topic.COMMIT, block_hash)
        self._out.append(effects.Decided(height, output.round, block_hash, self._body(block_hash), certificate))

    def _body(self, block_hash: bytes) -> bytes:
        """A block that is held."""
        block = self._proposals.block(block_hash)
        assert block is not None, "only blocks that are held are endorsed, proposed and decided"
        return block.body

    def _proposer(self, round_: int) -> int:
        return proposer_index(self.state.height, round_, self._seats, self._parameters)
