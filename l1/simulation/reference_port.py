"""The rule of iotex-core c6012964, weaknesses and all, behind the surface of our driver: what ours is compared with.

A port of `consensus/consensusfsm/fsm.go` and of `consensus/scheme/rolldpos/`, written from its rules. Kept on purpose:

1. `roundctx.go`, ReadyToCommit, looks an endorser up by address in a map whose keys are public keys. It never finds one,
   so a delegate that sent COMMIT takes part in the next round like any other.
2. `rolldposctx.go`, NewProposalEndorsement, endorses every valid block, also while locked on another; the proof that
   comes with a proposal is looked at only when somebody else built the block (CheckBlockProposer).
3. An endorsement signs a block's hash, a topic and a time. Here the round stands for the time; neither chain nor height
   is signed (`Unbound`).
4. A vote is sent before anything is written. And after a restart nothing that was written is used: the first round is
   made for height 0 (rolldposctx.go, Start), so UpdateRound takes the chain's next height for a new one and cleans up
   the endorsements that were just loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from l1.consensus import effects
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import Certify
from l1.consensus.effects import Effect
from l1.consensus.log import Entry
from l1.consensus.machine import NIL, NO_ROUND, Phase, RoundStarted, State, TimedOut, Topic
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.parameters import Parameters
from l1.consensus.schedule import phase_ends, proposer_index, round_at
from l1.simulation.blocks import decode
from l1.simulation.signatures import Ledger, SetOf

UNMATCHED_INTERVAL: Final = 100
"""How often an event that fits no transition is tried again, in ms (consensus_ttl.go, UnmatchedEventInterval)."""
UNMATCHED_TTL: Final = 1_500
"""How long, in ms (consensus_ttl.go, UnmatchedEventTTL of Wake)."""
_ENDORSED: Final = (Topic.PROPOSAL, Topic.COMMIT)
_LOCKED: Final = (Topic.LOCK, Topic.COMMIT)


class _Event(NamedTuple):
    """fsm.go: what transitions are looked up by."""

    what: Proposal | Vote | TimedOut
    since: int
    """When it came."""


class Unbound(Ledger):
    """Signatures that bind a delegate, a block, a topic and a time (endorsement.go): no chain and no height."""

    def __init__(self, set_of: SetOf) -> None:
        super().__init__(set_of)
        self._signed: set[tuple[int, Topic, bytes, bytes]] = set()

    def sign_vote(self, vote: Vote) -> Vote:
        """See Scheme."""
        self._signed.add((*vote[1:4], self._signer(vote.height, vote.delegate)))
        return vote

    def of_other_chain(self, vote: Vote) -> Vote:
        """See Scheme."""
        return self.sign_vote(vote)

    def vote_holds(self, vote: Vote) -> bool:
        """See Scheme."""
        known = vote.signature == b"" and vote.delegate < len(self._set_of(vote.height))
        return known and (*vote[1:4], self._signer(vote.height, vote.delegate)) in self._signed

    def certificate_holds(self, certificate: Certificate) -> bool:
        """A footer's COMMIT endorsements, or a proof's, of which each may be PROPOSAL or COMMIT, of any time."""
        topics = (Topic.COMMIT,) if certificate.topic is Topic.COMMIT else _ENDORSED
        signed = {who for _, topic, block_hash, who in self._signed if topic in topics and block_hash == certificate[3]}
        return signed.issuperset(self._signer(certificate.height, each) for each in certificate.signer_indices())

    def _signer(self, height: int, seat: int) -> bytes:
        """Address of a seat's holder: an endorsement names its endorser by key."""
        return self._set_of(height).members[seat].address


class ReferencePort:
    """One delegate of iotex-core, with the surface of `l1.consensus.driver.Driver`."""

    def __init__(self, parameters: Parameters, address: bytes | None, certify: Certify) -> None:
        self._parameters = parameters
        self._timing = parameters.timing
        self._address = address
        self._certify = certify
        self._out: list[Effect] = []
        self.state = State(0, phase=Phase.DECIDED)
        """Height, round, state of the FSM, and the lock."""

    def start_height(
        self, height: int, delegates: DelegateSet, last: int, now: int, entries: Sequence[Entry] = ()
    ) -> Sequence[Effect]:
        """roundcalculator.go, UpdateRound at a new height: nothing is left of what was known (weakness 4)."""
        self.index = None if self._address is None else delegates.index_of(self._address)
        self._delegates = delegates
        self._last = last
        self._start = 0
        self._waiting: list[_Event] = []
        self._blocks: dict[bytes, bytes] = {}
        self._endorsers: dict[bytes, dict[int, dict[Topic, Vote]]] = {}
        self._proof: Certificate | None = None
        self._minted: tuple[int, bytes, bytes] | None = None
        self.state = State(height)
        self._prepare(now)
        return self._taken()

    # --- rolldpos.go, HandleConsensusMsg ---

    def on_vote(self, vote: Vote, now: int) -> Sequence[Effect]:
        """An endorsement whose signature holds."""
        if vote.height == self.state.height and vote.delegate < len(self._delegates):
            self._handle(_Event(vote, now), now)
        return self._taken()

    def on_proposal(self, proposal: Proposal, now: int, *, valid: bool) -> Sequence[Effect]:
        """A proposal whose signatures hold. `valid` is what ValidateBlock says."""
        if not self._proposer_is_right(proposal):
            return [effects.Refused("proposer", proposal.delegate)]
        if valid:
            self._handle(_Event(proposal, now), now)
        return self._taken()

    def on_certificate(self, certificate: Certificate, now: int) -> Sequence[Effect]:
        """There is no such message."""
        return []

    def on_block(self, block_hash: bytes, block: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Blocks are never asked for by their hash (roundctx.go, AddVoteEndorsement, leaves it to be done)."""
        return []

    def on_decision(self, decision: Decision, block_hash: bytes, now: int, *, valid: bool) -> Sequence[Effect]:
        """Block sync: rolldpos.go, ValidateBlockFooter."""
        certificate = decision.certificate
        enough = self._is_majority(len(certificate.signer_indices()))
        if not valid or certificate.topic is not Topic.COMMIT or certificate.block_hash != block_hash or not enough:
            return [effects.Refused("power", -1)]
        self._commit(certificate, decision.block)
        return self._taken()

    def block(self, block_hash: bytes) -> bytes | None:
        """Nobody asks for one."""
        return self._blocks.get(block_hash)

    def on_built(self, height: int, round_: int, block_hash: bytes, block: bytes, now: int) -> Sequence[Effect]:
        """rolldposctx.go, mintNewBlock."""
        if (height, round_) == self.state[:2]:
            self._minted = (round_, block_hash, block)
            self._propose(block_hash, block, NO_ROUND, None)
        return self._taken()

    def on_timer(self, height: int, what: TimedOut | RoundStarted | effects.ResendDue, now: int) -> Sequence[Effect]:
        """A round's start, a phase's end, or another try for events that fitted nowhere."""
        if height != self.state.height or self.state.phase is Phase.DECIDED:
            return []
        match what:
            case RoundStarted():
                self._prepare(now)
            case TimedOut():
                self._handle(_Event(what, now), now)
            case effects.ResendDue():
                waiting, self._waiting = self._waiting, []
                for event in waiting:
                    self._handle(event, now)
        return self._taken()

    def _proposer_is_right(self, proposal: Proposal) -> bool:
        """rolldposctx.go, CheckBlockProposer."""
        if proposal.height != self.state.height or proposal.delegate != self._proposer(proposal.round):
            return False
        block = decode(proposal.block)
        built_in = (block.time - self._last) // self._timing.interval - 1
        if block.producer != self._proposer(built_in):
            return False
        if block.producer == proposal.delegate:
            return True
        proof = proposal.proof
        return (
            proof is not None
            and proof.block_hash == proposal.block_hash
            and self._is_majority(len(proof.signer_indices()))
        )

    # --- fsm.go ---

    def _handle(self, event: _Event, now: int) -> None:
        """fsm.go, handle: drop what is stale, keep what is early or fits nowhere, do the rest."""
        state, what = self.state, event.what
        if state.phase is Phase.DECIDED:
            return
        commit = isinstance(what, Vote) and what.topic is Topic.COMMIT
        if what.round < state.round and not commit:
            return
        if what.round > state.round or not self._transition(what, now):
            late = now - event.since > UNMATCHED_TTL and what.round <= state.round
            if not late:
                self._wait(event, now)

    def _wait(self, event: _Event, now: int) -> None:
        if not self._waiting:
            again = effects.ResendDue(self.state.round)
            self._out.append(effects.SetTimer(now + UNMATCHED_INTERVAL, self.state.height, again))
        self._waiting.append(event)

    def _transition(self, what: Proposal | Vote | TimedOut, now: int) -> bool:
        """fsm.go, NewConsensusFSM: the table. False when it has nothing for the event in this state."""
        match self.state.phase, what:
            case Phase.ACCEPT_BLOCK_PROPOSAL, Proposal():
                self._receive_block(what)
            case Phase.ACCEPT_BLOCK_PROPOSAL, TimedOut(phase=Phase.ACCEPT_BLOCK_PROPOSAL):
                self._vote(Topic.PROPOSAL, self.state.locked_hash)
                self._go(Phase.ACCEPT_PROPOSAL_ENDORSEMENT)
            case Phase.ACCEPT_PROPOSAL_ENDORSEMENT, Vote(topic=Topic.PROPOSAL | Topic.COMMIT):
                self._receive_proposal_endorsement(what)
            case Phase.ACCEPT_PROPOSAL_ENDORSEMENT, TimedOut(phase=Phase.ACCEPT_PROPOSAL_ENDORSEMENT):
                self._go(Phase.ACCEPT_LOCK_ENDORSEMENT)
            case Phase.ACCEPT_LOCK_ENDORSEMENT, Vote(topic=Topic.PROPOSAL):
                self._receive_proposal_endorsement(what)
            case Phase.ACCEPT_LOCK_ENDORSEMENT, Vote():
                if self._add(what, _LOCKED) and what.block_hash != NIL:
                    self._vote(Topic.COMMIT, what.block_hash)
                    self._go(Phase.ACCEPT_PRECOMMIT_ENDORSEMENT)
            case Phase.ACCEPT_LOCK_ENDORSEMENT, TimedOut(phase=Phase.ACCEPT_LOCK_ENDORSEMENT):
                self._prepare(now)
            case Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, Vote(topic=Topic.COMMIT):
                self._receive_commit(what)
            case Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, TimedOut(phase=Phase.ACCEPT_PRECOMMIT_ENDORSEMENT):
                self._prepare(now)
            case _:
                return False
        return True

    def _prepare(self, now: int) -> None:
        """fsm.go, prepare, and roundcalculator.go, UpdateRound at the same height."""
        state = self.state
        if state.round == NO_ROUND or now >= self._start:
            round_, self._start = round_at(max(now, self._last + 1), self._last, self._timing)
            self._clean_up(round_)
            self.state = state = state._replace(round=round_)
        self._go(Phase.PREPARE)
        if now < self._start:
            self._out.append(effects.SetTimer(self._start, state.height, RoundStarted(state.round)))
            return
        # Nothing is ready to commit, whatever was sent: weakness 1.
        self._go(Phase.ACCEPT_BLOCK_PROPOSAL)
        self._offer(state.round)
        for phase in tuple(Phase)[Phase.ACCEPT_BLOCK_PROPOSAL : Phase.DECIDED]:
            at = phase_ends(phase, state.round, self._start, now, self._timing)
            self._out.append(effects.SetTimer(max(now, at), state.height, TimedOut(phase, state.round)))

    def _offer(self, round_: int) -> None:
        """rolldposctx.go, Proposal: the locked block with the proof of the lock, else a fresh one."""
        if self.index is None or self._proposer(round_) != self.index:
            return
        locked = self.state.locked_hash
        if locked != NIL:
            self._propose(locked, self._blocks[locked], self.state.locked_round, self._proof)
        elif self._minted is not None:
            self._propose(self._minted[1], self._minted[2], NO_ROUND, None)
        else:
            self._out.append(effects.Build(self.state.height, round_))

    def _receive_block(self, proposal: Proposal) -> None:
        """rolldposctx.go, NewProposalEndorsement: the lock is not asked (weakness 2)."""
        self._blocks[proposal.block_hash] = proposal.block
        self._vote(Topic.PROPOSAL, proposal.block_hash)
        self._go(Phase.ACCEPT_PROPOSAL_ENDORSEMENT)

    def _receive_proposal_endorsement(self, vote: Vote) -> None:
        """rolldposctx.go, NewLockEndorsement."""
        if self._add(vote, _ENDORSED) and vote.block_hash != NIL:
            self._vote(Topic.LOCK, vote.block_hash)
            self._go(Phase.ACCEPT_LOCK_ENDORSEMENT)

    def _receive_commit(self, vote: Vote) -> None:
        """rolldposctx.go, Commit."""
        if self._add(vote, (Topic.COMMIT,)) and vote.block_hash != NIL:
            votes = [held[Topic.COMMIT] for held in self._of(vote.block_hash) if Topic.COMMIT in held]
            alike = [each._replace(round=vote.round) for each in votes]
            self._commit(self._certify(alike, self._delegates), self._blocks[vote.block_hash])

    # --- roundctx.go and endorsementmanager.go ---

    def _add(self, vote: Vote, topics: Sequence[Topic]) -> bool:
        """roundctx.go, AddVoteEndorsement; then whether a majority stands behind the block on one of the topics."""
        block_hash = vote.block_hash
        if block_hash != NIL and block_hash not in self._blocks:
            return False
        held = self._endorsers.setdefault(block_hash, {}).setdefault(vote.delegate, {})
        earlier = held.get(vote.topic)
        if earlier is not None and earlier.round > vote.round:
            return False
        held[vote.topic] = vote
        if vote.topic is not Topic.LOCK and NIL in (block_hash, self.state.locked_hash):
            self._lock(block_hash)
        return self._is_majority(self._count(block_hash, topics))

    def _lock(self, block_hash: bytes) -> None:
        """A majority for a block locks it; one for nothing unlocks."""
        if not self._is_majority(self._count(block_hash, _ENDORSED)):
            return
        self._proof = None
        if block_hash == NIL:
            self.state = self.state._replace(locked_round=NO_ROUND, locked_hash=NIL)
            return
        votes = [Vote(vote.height, self.state.round, Topic.PROPOSAL, *vote[3:]) for vote in self._any_of(block_hash)]
        self._proof = self._certify(votes, self._delegates)
        self.state = self.state._replace(locked_round=self.state.round, locked_hash=block_hash)

    def _clean_up(self, round_: int) -> None:
        """endorsementmanager.go, Cleanup: PROPOSAL and LOCK of rounds before go, COMMIT stays."""
        for by_endorser in self._endorsers.values():
            for held in by_endorser.values():
                for topic in [of for of, vote in held.items() if of is not Topic.COMMIT and vote.round < round_]:
                    del held[topic]
        if self._minted is not None and self._minted[0] < round_:
            self._minted = None

    def _of(self, block_hash: bytes) -> Iterable[dict[Topic, Vote]]:
        return self._endorsers.get(block_hash, {}).values()

    def _any_of(self, block_hash: bytes) -> list[Vote]:
        found = (next((held[topic] for topic in _ENDORSED if topic in held), None) for held in self._of(block_hash))
        return [each for each in found if each is not None]

    def _count(self, block_hash: bytes, topics: Sequence[Topic]) -> int:
        return sum(any(topic in held for topic in topics) for held in self._of(block_hash))

    def _is_majority(self, count: int) -> bool:
        """roundctx.go, isMajority: more than two thirds, by head."""
        return 3 * count > 2 * len(self._delegates)

    # --- what is to be done ---

    def _commit(self, certificate: Certificate, block: bytes) -> None:
        height, round_, _, block_hash = certificate[:4]
        self._go(Phase.DECIDED)
        self._out.append(effects.Send(Decision(certificate, block)))
        self._out.append(effects.Decided(height, round_, block_hash, block, certificate))

    def _vote(self, topic: Topic, block_hash: bytes) -> None:
        if self.index is not None:
            vote = Vote(self.state.height, self.state.round, topic, block_hash, self.index)
            self._out.append(effects.SignVote(vote))

    def _propose(self, block_hash: bytes, block: bytes, valid_round: int, proof: Certificate | None) -> None:
        if self.index is not None:
            height, round_ = self.state[:2]
            made = Proposal(height, round_, block_hash, self.index, valid_round, proof, block)
            self._out.append(effects.SignProposal(made))

    def _go(self, phase: Phase) -> None:
        self.state = self.state._replace(phase=phase)

    def _proposer(self, round_: int) -> int:
        return proposer_index(self.state.height, round_, len(self._delegates), self._parameters)

    def _taken(self) -> Sequence[Effect]:
        out, self._out = self._out, []
        return out
