"""One delegate at one height: the state machine, fed with facts as messages and timers make them true.

The driver keeps votes, proposals and blocks of the height, turns them into the machine's inputs, and the machine's
outputs into effects for its host. It trusts its host with signatures only: what comes in has a valid one. Power, places,
proposers and proofs are checked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from l1.consensus import effects
from l1.consensus.certificate import CertificateError, require_signers
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
from l1.consensus.schedule import next_round_start, phase_ends, proposer_index, round_at
from l1.consensus.tally import Equivocation, Tally

ROUND_WINDOW: Final = 64
"""Rounds before and after the present one whose votes are kept; bounds what a faulty delegate can make others hold."""
MAX_PROPOSALS: Final = 4
"""Proposals of one round that are kept: the first counts, the others are evidence and blocks that quorums may be for."""
_NOTHING: Final[Sequence[Effect]] = ()
_WAITS_FOR: Final = {Phase.ACCEPT_PROPOSAL_ENDORSEMENT: Topic.PROPOSAL, Phase.ACCEPT_LOCK_ENDORSEMENT: Topic.LOCK}

Certify = Callable[[Iterable[Vote], DelegateSet], Certificate]


class _Block(NamedTuple):
    body: bytes
    valid: bool


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
        self.index = None if self._address is None else delegates.index_of(self._address)
        self.state = state_of(height, entries)
        self._tally = Tally(delegates)
        self._proposals: dict[int, list[Proposal]] = {}
        self._blocks: dict[bytes, _Block] = {}
        self._shown: dict[tuple[int, Topic], Certificate] = {}
        self._voted = {
            (each.round, each.topic): each.block_hash
            for each in entries
            if isinstance(each, Voted) and each.height == height
        }
        self._proposed = {each.round: each for each in entries if isinstance(each, Proposed) and each.height == height}
        self._held = {each.round for each in entries if isinstance(each, Held) and each.height == height}
        self._signed: dict[tuple[int, Topic], Vote] = {}
        self._fetching: set[bytes] = set()
        self._pending: Schedule | None = None
        self._last = last
        self._round_start = now
        self._resume(height, entries)
        self._begin(now)
        return self._take(now)

    def on_vote(self, vote: Vote, now: int) -> Sequence[Effect]:
        """Count a vote whose signature holds."""
        state = self.state
        if vote.height != state.height or vote.delegate >= len(self.delegates):
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
        if counted is False and beyond <= 0 and not self._is_past(vote):
            return _NOTHING
        if isinstance(counted, Equivocation):
            return [effects.Convict(counted)]
        return self._take(now)

    def on_proposal(self, proposal: Proposal, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a proposal whose signature and proof's signature hold, and whose block hashes to `block_hash`.

        `valid` says whether that block may follow the head; the first word on a block counts.
        """
        if reason := self._reason_against(proposal):
            return [effects.Refused(reason, proposal.delegate)]
        held = self._proposals.setdefault(proposal.round, [])
        if any(proposal.block_hash == each.block_hash and proposal.valid_round == each.valid_round for each in held):
            return _NOTHING
        if len(held) >= MAX_PROPOSALS:
            return [effects.Refused("round", proposal.delegate)]
        held.append(proposal)
        self._blocks.setdefault(proposal.block_hash, _Block(proposal.block, valid))
        if proposal.proof is not None:
            self._show(proposal.proof)
        if proposal.block_hash != held[0].block_hash:
            self._out.append(effects.Convict((held[0], proposal)))
        return self._take(now)

    def on_block(self, block_hash: bytes, block: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a block that was asked for."""
        self._fetching.discard(block_hash)
        self._blocks.setdefault(block_hash, _Block(block, valid))
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
        if reason := self._reason_against_certificate(certificate):
            return [effects.Refused(reason, -1)]
        self._show(certificate)
        return self._take(now)

    def on_decision(self, decision: Decision, block_hash: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Take a final block; its certificate's signature holds, `block_hash` is the hash of its block."""
        certificate = decision.certificate
        if certificate.topic != Topic.COMMIT or certificate.block_hash != block_hash or block_hash == NIL:
            return [effects.Refused("hash", -1)]
        if reason := self._reason_against_certificate(certificate):
            return [effects.Refused(reason, -1)]
        self._blocks.setdefault(block_hash, _Block(decision.block, valid))
        self._show(certificate)
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
        for round_, block_hash in self._quorums(Topic.COMMIT):
            if self._holds(block_hash):
                yield QuorumSeen(Topic.COMMIT, round_, block_hash)
        for round_, block_hash in self._quorums(Topic.LOCK):
            if state.committed_round < round_ <= state.round and self._holds(block_hash):
                yield QuorumSeen(Topic.LOCK, round_, block_hash)
        joined = self._tally.joined_round(state.round)
        if joined is not None:
            yield RoundStarted(joined)
        endorsed = [each for each in self._quorums(Topic.PROPOSAL) if each[0] <= state.round]
        for round_, block_hash in endorsed[:1]:
            if self._holds(block_hash):
                yield QuorumSeen(Topic.PROPOSAL, round_, block_hash)
        if state.phase == Phase.PREPARE:
            return
        for proposal in self._proposals.get(state.round, ())[:1]:
            yield ProposalSeen(
                state.round, proposal.block_hash, self._blocks[proposal.block_hash].valid, proposal.valid_round
            )
        if self._quorum(state.round, Topic.PROPOSAL) == NIL:
            yield QuorumSeen(Topic.PROPOSAL, state.round, NIL)

    def _apply(self, given: Input, now: int) -> bool:
        """Whether the input changed anything."""
        before = self.state
        info = Info(isinstance(given, RoundStarted) and self._proposer(given.round) == self.index)
        self.state, outputs = apply(before, info, given)
        if self.state.round != before.round:
            self._enter_round(now)
        for output in outputs:
            match output:
                case Cast():
                    self._cast(output)
                case Schedule():
                    self._pending = output
                case Propose():
                    self._propose_again(output)
                case NextRound():
                    self._wait_for_round(output.round, now)
                case Decide():
                    self._decide(output)
        self._arm(now)
        return bool(outputs) or self.state != before

    def _quorum(self, round_: int, topic: Topic) -> bytes | None:
        counted = self._tally.quorum(round_, topic)
        if counted is None and (shown := self._shown.get((round_, topic))):
            return shown.block_hash
        return counted

    def _quorums(self, topic: Topic) -> list[tuple[int, bytes]]:
        """(round, block hash) of the quorums for blocks on a topic, the newest first."""
        shown = {round_: each.block_hash for (round_, of), each in self._shown.items() if of == topic}
        counted = dict(self._tally.rounds_with_quorum(topic))
        return sorted((shown | counted).items(), reverse=True)

    def _holds(self, block_hash: bytes) -> bool:
        """Whether the block is here and valid; asks for one that is not here."""
        block = self._blocks.get(block_hash)
        if block is None and block_hash not in self._fetching:
            self._fetching.add(block_hash)
            self._out.append(effects.Fetch(self.state.height, block_hash))
        return block is not None and block.valid

    def _show(self, certificate: Certificate) -> None:
        # What is decided counts from any round: a delegate that was cut off may have run far ahead of it alone.
        near = abs(certificate.round - self.state.round) <= ROUND_WINDOW or certificate.topic == Topic.COMMIT
        if certificate.block_hash != NIL and near:
            self._shown.setdefault((certificate.round, certificate.topic), certificate)

    def _is_past(self, vote: Vote) -> bool:
        """Whether a vote shows that its voter is beyond what a deadline waits for."""
        pending = self._pending
        return pending is not None and (vote.round, vote.topic) > (pending.round, _WAITS_FOR.get(pending.phase, 3))

    def _reason_against(self, proposal: Proposal) -> str | None:
        if proposal.height != self.state.height:
            return "height"
        if abs(proposal.round - self.state.round) > ROUND_WINDOW:
            return "round"
        if proposal.delegate != self._proposer(proposal.round):
            return "proposer"
        if proposal.block_hash == NIL:
            return "hash"
        if proposal.proof is None:
            return None if proposal.valid_round == NO_ROUND else "proof"
        return self._reason_against_proof(proposal, proposal.proof)

    def _reason_against_proof(self, proposal: Proposal, proof: Certificate) -> str | None:
        place = (proof.height, proof.round, proof.block_hash)
        wanted = (proposal.height, proposal.valid_round, proposal.block_hash)
        if place != wanted or proof.topic == Topic.COMMIT or proof.round >= proposal.round:
            return "proof"
        return self._reason_against_certificate(proof)

    def _reason_against_certificate(self, certificate: Certificate) -> str | None:
        if certificate.height != self.state.height:
            return "height"
        try:
            require_signers(certificate, self.delegates)
        except CertificateError as error:
            return error.reason
        return None

    # --- outputs to effects ---

    def _resume(self, height: int, entries: Sequence[Entry]) -> None:
        """Have back what the log kept of the height: blocks, and the proof for the one that is locked."""
        for entry in entries:
            if entry.height != height:
                continue
            if isinstance(entry, Held):
                self._blocks[entry.block_hash] = _Block(entry.block, valid=True)
                self._shown[entry.proof.round, entry.proof.topic] = entry.proof
            elif isinstance(entry, Proposed):
                self._blocks[entry.block_hash] = _Block(entry.block, valid=True)

    def _begin(self, now: int) -> None:
        timing = self._parameters.timing
        round_, at = 0, self._last + timing.interval
        if timing.pacing is Pacing.CLOCK:
            round_, at = round_at(max(now, self._last + 1), self._last, timing)
        self._set_round(max(round_, self.state.round + 1), at, now)

    def _wait_for_round(self, round_: int, now: int) -> None:
        self._set_round(round_, next_round_start(round_, self._last, now, self._parameters.timing), now)

    def _set_round(self, round_: int, at: int, now: int) -> None:
        if at <= now:
            self._apply(RoundStarted(round_), now)
        else:
            self._out.append(effects.SetTimer(at, self.state.height, RoundStarted(round_)))

    def _enter_round(self, now: int) -> None:
        timing = self._parameters.timing
        round_ = self.state.round
        self._pending = None
        self._round_start = next_round_start(round_, self._last, now, timing)
        self._out.append(
            effects.SetTimer(now + (timing.resend or timing.interval), self.state.height, effects.ResendDue(round_))
        )
        if round_ > ROUND_WINDOW:
            self._forget(round_ - ROUND_WINDOW)

    def _forget(self, before: int) -> None:
        """Let go of rounds before this one, but for what a lock, the newest proof or a decision rests on."""
        state = self.state
        if state.valid_round != NO_ROUND and (proof := self._proof(state.valid_round, state.valid_hash)):
            self._shown[proof.round, proof.topic] = proof
        self._tally.forget(before)
        kept = (state.valid_round, state.locked_round)
        self._shown = {
            place: each
            for place, each in self._shown.items()
            if place[0] >= before or place[0] in kept or place[1] == Topic.COMMIT
        }
        oldest_sent = min(before, state.committed_round)
        self._signed = {place: each for place, each in self._signed.items() if place[0] >= oldest_sent}
        self._voted = {place: each for place, each in self._voted.items() if place[0] >= before}
        self._proposed = {round_: each for round_, each in self._proposed.items() if round_ >= before}
        self._proposals = {round_: each for round_, each in self._proposals.items() if round_ >= before}
        wanted = {state.valid_hash, state.locked_hash, state.committed_hash}
        wanted |= {block_hash for topic in Topic for _, block_hash in self._quorums(topic)}
        wanted |= {proposal.block_hash for held in self._proposals.values() for proposal in held}
        self._blocks = {block_hash: block for block_hash, block in self._blocks.items() if block_hash in wanted}

    def _arm(self, now: int) -> None:
        """Set the deadline of the phase. With EVENT pacing, waiting for votes ends only after a quorum has voted
        anything (L34, L47): a minority cut off from the rest does not run through rounds."""
        pending, timing = self._pending, self._parameters.timing
        if pending is None or pending.round != self.state.round:
            return
        topic = _WAITS_FOR.get(pending.phase)
        if timing.pacing is Pacing.EVENT and topic is not None and not self._tally.passed(pending.round, topic):
            return
        self._pending = None
        if pending.phase == Phase.ACCEPT_LOCK_ENDORSEMENT and timing.pacing is Pacing.EVENT:
            self._show_lock()
        at = phase_ends(pending.phase, pending.round, self._round_start, now, timing)
        self._out.append(effects.SetTimer(at, self.state.height, TimedOut(pending.phase, pending.round)))

    def _show_lock(self) -> None:
        """Send the proof of what was locked in this round, when the round looks as if it will not commit.

        Else one faulty delegate could let one honest delegate a round see a quorum, by sending its vote to that one only:
        nobody else could propose what that one would endorse, round after round. The paper rests on gossip here (the
        lemma that what one correct process receives, all do).
        """
        state = self.state
        if state.valid_round == state.round and (proof := self._proof(state.valid_round, state.valid_hash)):
            self._out.append(effects.Send(proof))

    def _cast(self, cast: Cast) -> None:
        """Cast a vote, or again the one that was cast here before a restart."""
        if self.index is None:
            return
        place = (cast.round, cast.topic)
        block_hash = self._voted.get(place, cast.block_hash)
        height = self.state.height
        if place not in self._voted:
            if block_hash != NIL and cast.topic != Topic.PROPOSAL and cast.round not in self._held:
                self._hold(cast, block_hash)
            self._voted[place] = block_hash
            self._out.append(effects.Record(Voted(height, cast.round, cast.topic, block_hash)))
        self._out.append(effects.SignVote(Vote(height, cast.round, cast.topic, block_hash, self.index)))

    def _hold(self, cast: Cast, block_hash: bytes) -> None:
        """Keep what a LOCK vote rests on, or a COMMIT vote in whose round there was none: a restart is locked by it."""
        proof = self._certificate(cast.round, Topic(cast.topic - 1), block_hash)
        self._shown[proof.round, proof.topic] = proof
        self._held.add(cast.round)
        body = self._blocks[block_hash].body
        self._out.append(effects.Record(Held(self.state.height, cast.round, block_hash, proof, body)))

    def _certificate(self, round_: int, topic: Topic, block_hash: bytes) -> Certificate:
        shown = self._shown.get((round_, topic))
        if shown is not None and shown.block_hash == block_hash:
            return shown
        return self._certify(self._tally.votes_for(round_, topic, block_hash), self.delegates)

    def _propose_again(self, output: Propose) -> None:
        """Propose the block that a quorum endorsed, or ask for a fresh one."""
        earlier = self._proposed.get(output.round)
        if earlier is not None:
            self._propose(earlier.round, earlier.block_hash, earlier.valid_round, earlier.block)
        elif output.valid_round == NO_ROUND:
            self._out.append(effects.Build(self.state.height, output.round))
        elif self._holds(output.block_hash):
            self._propose(output.round, output.block_hash, output.valid_round, self._blocks[output.block_hash].body)

    def _propose(self, round_: int, block_hash: bytes, valid_round: int, block: bytes) -> None:
        if self.index is None:
            return
        height = self.state.height
        proof = None
        if valid_round != NO_ROUND:
            proof = self._proof(valid_round, block_hash)
            if proof is None:
                return
        if round_ not in self._proposed:
            entry = Proposed(height, round_, block_hash, valid_round, block)
            self._proposed[round_] = entry
            self._out.append(effects.Record(entry))
        proposal = Proposal(height, round_, block_hash, self.index, valid_round, proof, block)
        self._out.append(effects.SignProposal(proposal))

    def _proof(self, round_: int, block_hash: bytes) -> Certificate | None:
        """What shows that a quorum endorsed the block in that round: its PROPOSAL votes, or its LOCK votes."""
        for topic in (Topic.PROPOSAL, Topic.LOCK):
            if self._quorum(round_, topic) == block_hash:
                return self._certificate(round_, topic, block_hash)
        return None

    def _resend(self, now: int) -> None:
        """Send again what the others may have lost: this round's messages, the newest COMMIT, and the newest proof."""
        state = self.state
        places = [(state.round, topic) for topic in Topic]
        if state.committed_round not in (NO_ROUND, state.round):
            places.append((state.committed_round, Topic.COMMIT))
        mine = [each for each in self._proposals.get(state.round, ()) if each.delegate == self.index]
        self._out += [effects.Send(each) for each in mine[:1]]
        self._out += [effects.Send(self._signed[place]) for place in places if place in self._signed]
        if state.valid_round not in (NO_ROUND, state.round):
            proof = self._proof(state.valid_round, state.valid_hash)
            self._out += [] if proof is None else [effects.Send(proof)]
        self._fetching.clear()
        timing = self._parameters.timing
        again = now + (timing.resend or timing.interval)
        self._out.append(effects.SetTimer(again, state.height, effects.ResendDue(state.round)))
        self._arm(now)

    def _decide(self, output: Decide) -> None:
        height, block_hash = self.state.height, output.block_hash
        certificate = self._certificate(output.round, Topic.COMMIT, block_hash)
        body = self._blocks[block_hash].body
        self._out.append(effects.Decided(height, output.round, block_hash, body, certificate))

    def _proposer(self, round_: int) -> int:
        return proposer_index(self.state.height, round_, len(self.delegates), self._parameters)
