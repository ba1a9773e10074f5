"""The machine of one height: what must hold of every run, an oracle of the paper's lock rule, and every row of RULES."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.machine import (
    NIL,
    NO_ROUND,
    RULES,
    Cast,
    Decide,
    Info,
    Input,
    NextRound,
    Output,
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

A, B, C = (bytes([letter]) * 32 for letter in b"ABC")
HASHES = st.sampled_from([NIL, A, B, C])
ROUNDS = st.integers(0, 3)
WAITING = st.sampled_from([each for each in Phase if each not in (Phase.PREPARE, Phase.DECIDED)])
INPUTS = st.one_of(
    st.builds(RoundStarted, ROUNDS),
    st.builds(ProposalSeen, ROUNDS, HASHES, st.booleans(), st.integers(NO_ROUND, 3)),
    st.builds(QuorumSeen, st.sampled_from(Topic), ROUNDS, HASHES),
    st.builds(TimedOut, WAITING, ROUNDS),
)
RUNS = st.lists(st.tuples(st.builds(Info, st.booleans()), INPUTS), max_size=60)


def replay(run: list[tuple[Info, Input]]) -> list[tuple[State, Info, Input, State, tuple[Output, ...]]]:
    """Every step of a run: the state before, what came, the state after and what was to be done."""
    state, steps = State(height=1), []
    for info, given_ in run:
        after, outputs = apply(state, info, given_)
        steps.append((state, info, given_, after, outputs))
        state = after
    return steps


@given(RUNS)
def test_the_same_inputs_give_the_same_run_and_change_no_argument(run: list[tuple[Info, Input]]) -> None:
    assert replay(run) == replay(run)
    for before, info, given_, after, outputs in replay(run):
        assert isinstance(hash((before, info, given_, after, outputs)), int)
        assert apply(before, info, given_) == (after, outputs)


@given(RUNS)
def test_a_decision_is_the_last_word(run: list[tuple[Info, Input]]) -> None:
    decided = [output for *_, outputs in replay(run) for output in outputs if isinstance(output, Decide)]
    assert len(decided) <= 1
    for before, _, _, after, outputs in replay(run):
        if before.phase is Phase.DECIDED:
            assert (after, outputs) == (before, ())
        if any(isinstance(each, Decide) for each in outputs):
            assert after.phase is Phase.DECIDED


@given(RUNS)
def test_rounds_and_locks_never_fall(run: list[tuple[Info, Input]]) -> None:
    for before, _, _, after, _ in replay(run):
        assert after.height == before.height
        assert after.round >= before.round
        assert after.locked_round >= before.locked_round
        assert after.valid_round >= before.valid_round
        assert after.committed_round >= before.committed_round
        assert (after.locked_round == NO_ROUND) == (after.locked_hash == NIL)
        assert (after.valid_round == NO_ROUND) == (after.valid_hash == NIL)
        assert (after.committed_round == NO_ROUND) == (after.committed_hash == NIL)
        assert after.valid_round >= after.locked_round, "who is locked can show why"
        if after.round == before.round and after.phase < before.phase:
            assert after.phase is Phase.PREPARE


@given(RUNS)
def test_one_round_and_topic_has_one_vote(run: list[tuple[Info, Input]]) -> None:
    cast = [output for *_, outputs in replay(run) for output in outputs if isinstance(output, Cast)]
    assert len({(each.topic, each.round) for each in cast}) == len(cast)
    for before, _, _, after, outputs in replay(run):
        for each in outputs:
            if isinstance(each, Cast):
                assert each.round == after.round or each.topic is Topic.COMMIT
                assert each.round <= after.round
                assert before.phase is not Phase.DECIDED


@given(RUNS)
def test_commit_is_cast_for_one_block_a_height(run: list[tuple[Info, Input]]) -> None:
    """Rule 4."""
    cast = [output for *_, outputs in replay(run) for output in outputs if isinstance(output, Cast)]
    committed = {each.block_hash for each in cast if each.topic is Topic.COMMIT}
    assert len(committed) <= 1
    assert NIL not in committed


@given(RUNS)
def test_every_deadline_is_of_the_phase_that_was_entered(run: list[tuple[Info, Input]]) -> None:
    for before, _, _, after, outputs in replay(run):
        scheduled = [each for each in outputs if isinstance(each, Schedule)]
        entered = (after.round, after.phase) != (before.round, before.phase)
        if entered and after.phase not in (Phase.PREPARE, Phase.DECIDED):
            assert scheduled == [Schedule(after.phase, after.round)], "without a deadline a delegate is stuck"
        else:
            assert scheduled in ([], [Schedule(after.phase, after.round)])
        if entered and after.phase is Phase.PREPARE:
            assert NextRound(after.round + 1) in outputs


@dataclass
class PaperLock:
    """Algorithm 1 of arXiv:1807.04938v3 as far as lockedValue and lockedRound go, kept from what was sent and seen.

    Written from the paper: L22 to L33 say what is prevoted, L36 to L43 when a value is locked. A COMMIT vote is not in
    the paper; to cast it, a delegate must have seen a quorum of precommits, and locks what they are for.
    """

    round: int = NO_ROUND
    value: bytes = NIL
    seen: set[QuorumSeen] = field(default_factory=set)

    def prevote(self, proposal: ProposalSeen) -> bytes:
        """What a correct process prevotes: line 23 (valid(v) and (lockedRound = -1 or lockedValue = v)), or line 29
        (valid(v) and (lockedRound <= vr or lockedValue = v)) where 2f + 1 prevotes of round vr >= 0 were shown."""
        if not proposal.valid or proposal.block_hash == NIL:
            return NIL
        if self.value == proposal.block_hash:
            return proposal.block_hash
        if proposal.valid_round == NO_ROUND:
            return proposal.block_hash if self.round == NO_ROUND else NIL
        return proposal.block_hash if self.round <= proposal.valid_round else NIL

    def sent(self, cast: Cast) -> None:
        """Line 38 and 39: a precommit for a value locks it; so does what a COMMIT vote rests on, unless it is older."""
        locks = cast.topic in (Topic.LOCK, Topic.COMMIT) and cast.block_hash != NIL
        if locks and cast.round >= self.round:
            self.round, self.value = cast.round, cast.block_hash


@given(RUNS)
def test_the_lock_rule_is_the_papers(run: list[tuple[Info, Input]]) -> None:
    oracle = PaperLock()
    for before, _, given_, after, outputs in replay(run):
        for each in outputs:
            if not isinstance(each, Cast):
                continue
            if each.topic is Topic.PROPOSAL:
                wanted = oracle.prevote(given_) if isinstance(given_, ProposalSeen) else NIL
                assert each.block_hash == wanted
            elif each.block_hash != NIL:
                asked = Topic.PROPOSAL if each.topic is Topic.LOCK else Topic.LOCK
                assert given_ == QuorumSeen(asked, each.round, each.block_hash), "a vote rests on a quorum"
            oracle.sent(each)
        assert (after.locked_round, after.locked_hash) == (oracle.round, oracle.value)
        assert before.locked_round <= after.locked_round


# --- every row of the table: where it fires, what it does, and where it does not ---

IDLE = State(1)
ABP = State(1, 2, Phase.ACCEPT_BLOCK_PROPOSAL)
APE = ABP._replace(phase=Phase.ACCEPT_PROPOSAL_ENDORSEMENT)
ALE = ABP._replace(phase=Phase.ACCEPT_LOCK_ENDORSEMENT)
APC = ABP._replace(phase=Phase.ACCEPT_PRECOMMIT_ENDORSEMENT)
DECIDED = ABP._replace(phase=Phase.DECIDED)
PREPARE = ABP._replace(phase=Phase.PREPARE)
LOCKED = {"locked_round": 1, "locked_hash": A, "valid_round": 1, "valid_hash": A}
MINE, OTHERS = Info(proposer=True), Info()


def cast_proposal(block_hash: bytes) -> tuple[Output, ...]:
    return (Cast(Topic.PROPOSAL, 2, block_hash), Schedule(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 2))


def cast_lock(block_hash: bytes) -> tuple[Output, ...]:
    return (Cast(Topic.LOCK, 2, block_hash), Schedule(Phase.ACCEPT_LOCK_ENDORSEMENT, 2))


def cast_commit(round_: int, block_hash: bytes) -> tuple[Output, ...]:
    here = (Schedule(Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, 2),) if round_ == 2 else ()
    return (Cast(Topic.COMMIT, round_, block_hash), *here)


WAIT_3 = Schedule(Phase.ACCEPT_BLOCK_PROPOSAL, 3)
Case = tuple[State, Info, Input, tuple[Output, ...]]
FIRES: dict[tuple[type, int], list[Case]] = {
    (RoundStarted, 0): [
        (PREPARE, OTHERS, RoundStarted(3), (WAIT_3,)),
        (IDLE, OTHERS, RoundStarted(3), (WAIT_3,)),
        (APC, OTHERS, RoundStarted(3), (WAIT_3,)),
        (PREPARE, MINE, RoundStarted(3), (WAIT_3, Propose(3, NIL, NO_ROUND))),
        (PREPARE._replace(**LOCKED), MINE, RoundStarted(3), (WAIT_3, Propose(3, A, 1))),
    ],
    (ProposalSeen, 0): [
        (ABP, OTHERS, ProposalSeen(2, A, True), cast_proposal(A)),
        (ABP, OTHERS, ProposalSeen(2, A, False), cast_proposal(NIL)),
        (ABP, OTHERS, ProposalSeen(2, NIL, True), cast_proposal(NIL)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, A, True), cast_proposal(A)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, A, False), cast_proposal(NIL)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, B, True), cast_proposal(NIL)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, B, True, 0), cast_proposal(NIL)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, B, True, 1), cast_proposal(B)),
        (ABP._replace(**LOCKED), OTHERS, ProposalSeen(2, B, False, 1), cast_proposal(NIL)),
    ],
    (QuorumSeen, 0): [
        (each, OTHERS, QuorumSeen(Topic.COMMIT, round_, A), (Decide(round_, A),))
        for each, round_ in product((IDLE, PREPARE, ABP, APE, ALE, APC, APC._replace(**LOCKED)), (0, 2, 9))
    ],
    (QuorumSeen, 1): [
        *[(each, OTHERS, QuorumSeen(Topic.LOCK, 2, A), cast_commit(2, A)) for each in (PREPARE, ABP, APE, ALE, APC)],
        *[(each, OTHERS, QuorumSeen(Topic.LOCK, 1, A), cast_commit(1, A)) for each in (PREPARE, ABP, APE, ALE, APC)],
        (ALE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.LOCK, 2, B), cast_commit(2, B)),
        (ALE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.LOCK, 0, A), cast_commit(0, A)),
        (ALE._replace(committed_round=1, committed_hash=A), OTHERS, QuorumSeen(Topic.LOCK, 2, A), cast_commit(2, A)),
    ],
    (QuorumSeen, 2): [
        (APE, OTHERS, QuorumSeen(Topic.PROPOSAL, 2, A), cast_lock(A)),
        (APE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.PROPOSAL, 2, B), cast_lock(B)),
    ],
    (QuorumSeen, 3): [
        *[(each, OTHERS, QuorumSeen(Topic.PROPOSAL, 2, B), ()) for each in (PREPARE, ABP, ALE, APC)],
        *[(each._replace(**LOCKED), OTHERS, QuorumSeen(Topic.PROPOSAL, 2, B), ()) for each in (PREPARE, ABP, ALE, APC)],
        *[(each, OTHERS, QuorumSeen(Topic.PROPOSAL, 1, B), ()) for each in (PREPARE, ABP, APE, ALE, APC)],
    ],
    (QuorumSeen, 4): [
        (APE, OTHERS, QuorumSeen(Topic.PROPOSAL, 2, NIL), cast_lock(NIL)),
        (APE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.PROPOSAL, 2, NIL), cast_lock(NIL)),
    ],
    (TimedOut, 0): [
        (ABP, OTHERS, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 2), cast_proposal(NIL)),
        (ABP._replace(**LOCKED), OTHERS, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 2), cast_proposal(NIL)),
    ],
    (TimedOut, 1): [(APE, OTHERS, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 2), cast_lock(NIL))],
    (TimedOut, 2): [
        (ALE, OTHERS, TimedOut(Phase.ACCEPT_LOCK_ENDORSEMENT, 2), (NextRound(3),)),
        (APC, OTHERS, TimedOut(Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, 2), (NextRound(3),)),
    ],
}
HOLDS_STILL: dict[tuple[type, int], list[tuple[State, Input]]] = {
    (RoundStarted, 0): [(ABP, RoundStarted(2)), (ABP, RoundStarted(1)), (DECIDED, RoundStarted(3))],
    (ProposalSeen, 0): [
        *[(each, ProposalSeen(2, A, True)) for each in (PREPARE, APE, ALE, APC, DECIDED)],
        *[(ABP, ProposalSeen(round_, A, True)) for round_ in (1, 3)],
        *[(ABP, ProposalSeen(2, A, True, valid_round)) for valid_round in (2, 3)],
    ],
    (QuorumSeen, 0): [
        (DECIDED, QuorumSeen(Topic.COMMIT, 2, A)),
        *[(each, QuorumSeen(Topic.COMMIT, 2, NIL)) for each in (ABP, APE, ALE, APC)],
    ],
    (QuorumSeen, 1): [
        (DECIDED, QuorumSeen(Topic.LOCK, 2, A)),
        (ALE, QuorumSeen(Topic.LOCK, 3, A)),
        (APC._replace(committed_round=2, committed_hash=A), QuorumSeen(Topic.LOCK, 2, A)),
        (APC._replace(committed_round=2, committed_hash=A), QuorumSeen(Topic.LOCK, 1, A)),
        (ALE._replace(committed_round=1, committed_hash=A), QuorumSeen(Topic.LOCK, 2, B)),
        (ALE._replace(**LOCKED), QuorumSeen(Topic.LOCK, 0, B)),
    ],
    (QuorumSeen, 2): [(DECIDED, QuorumSeen(Topic.PROPOSAL, 2, A)), (APE, QuorumSeen(Topic.PROPOSAL, 3, A))],
    (QuorumSeen, 3): [
        *[(each, QuorumSeen(Topic.PROPOSAL, 3, A)) for each in (PREPARE, ABP, APE, ALE, APC)],
        *[(each._replace(**LOCKED), QuorumSeen(Topic.PROPOSAL, 1, B)) for each in (PREPARE, ABP, APE, ALE, APC)],
        (DECIDED, QuorumSeen(Topic.PROPOSAL, 2, A)),
    ],
    (QuorumSeen, 4): [
        *[(each, QuorumSeen(Topic.PROPOSAL, 2, NIL)) for each in (PREPARE, ABP, ALE, APC, DECIDED)],
        *[(APE, QuorumSeen(Topic.PROPOSAL, round_, NIL)) for round_ in (1, 3)],
    ],
    (TimedOut, 0): [
        *[(each, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 2)) for each in (PREPARE, APE, ALE, APC, DECIDED)],
        *[(ABP, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, round_)) for round_ in (1, 3)],
    ],
    (TimedOut, 1): [
        *[(each, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 2)) for each in (PREPARE, ABP, ALE, APC, DECIDED)],
        *[(APE, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, round_)) for round_ in (1, 3)],
    ],
    (TimedOut, 2): [
        (ALE, TimedOut(Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, 2)),
        (APC, TimedOut(Phase.ACCEPT_LOCK_ENDORSEMENT, 2)),
        (ALE, TimedOut(Phase.ACCEPT_LOCK_ENDORSEMENT, 1)),
        (DECIDED, TimedOut(Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, 2)),
    ],
}
ROWS = [(kind, place) for kind, rules in RULES.items() for place in range(len(rules))]


def fired(state: State, info: Info, given_: Input) -> int | None:
    """Which row of its input's rules is taken."""
    fitting = (
        place
        for place, rule in enumerate(RULES[type(given_)])
        if state.phase in rule.phases and rule.guard(state, info, given_)
    )
    return next(fitting, None)


def row_id(row: tuple[type, int]) -> str:
    return f"{row[0].__name__}-{RULES[row[0]][row[1]].what[:40]}"


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_row_fires_and_does_what_it_says(row: tuple[type, int]) -> None:
    for state, info, given_, outputs in FIRES[row]:
        assert fired(state, info, given_) == row[1], (state, given_)
        assert apply(state, info, given_).outputs == outputs, (state, given_)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_a_row_does_not_fire_elsewhere(row: tuple[type, int]) -> None:
    for state, given_ in HOLDS_STILL[row]:
        assert fired(state, OTHERS, given_) is None, (state, given_)
        assert apply(state, OTHERS, given_) == (state, ())


def test_the_states_that_rows_lead_to() -> None:
    locked = apply(APE, OTHERS, QuorumSeen(Topic.PROPOSAL, 2, A)).state
    assert locked == State(1, 2, Phase.ACCEPT_LOCK_ENDORSEMENT, 2, A, 2, A)
    committed = apply(locked, OTHERS, QuorumSeen(Topic.LOCK, 2, A)).state
    assert committed == State(1, 2, Phase.ACCEPT_PRECOMMIT_ENDORSEMENT, 2, A, 2, A, 2, A)
    remembered = apply(ALE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.PROPOSAL, 2, B)).state
    assert remembered == State(1, 2, Phase.ACCEPT_LOCK_ENDORSEMENT, 1, A, 2, B)
    remembered = apply(PREPARE, OTHERS, QuorumSeen(Topic.PROPOSAL, 1, B)).state
    assert remembered == PREPARE._replace(valid_round=1, valid_hash=B), "no lock, and the phase stays"
    nothing = apply(APE._replace(**LOCKED), OTHERS, QuorumSeen(Topic.PROPOSAL, 2, NIL)).state
    assert nothing == ALE._replace(**LOCKED), "a quorum for nil unlocks nothing"
    unlocked_late = apply(ABP, OTHERS, QuorumSeen(Topic.LOCK, 1, B)).state
    assert unlocked_late == State(1, 2, Phase.ACCEPT_BLOCK_PROPOSAL, 1, B, 1, B, 1, B), "the round goes on"


@given(st.sampled_from([PREPARE, ABP, APE, ALE, APC]), ROUNDS)
def test_a_quorum_for_nil_of_lock_votes_leaves_the_round_to_its_deadline(state: State, round_: int) -> None:
    assert apply(state, OTHERS, QuorumSeen(Topic.LOCK, round_, NIL)) == (state, ())


@given(st.sampled_from([PREPARE, ABP, APE, ALE, APC]), st.sampled_from([Topic.PROPOSAL, Topic.LOCK]), HASHES)
def test_a_quorum_of_a_later_round_changes_nothing_yet(state: State, topic: Topic, block_hash: bytes) -> None:
    assert apply(state, OTHERS, QuorumSeen(topic, 3, block_hash)) == (state, ())


@given(RUNS, INPUTS)
def test_being_the_proposer_only_adds_a_proposal(run: list[tuple[Info, Input]], given_: Input) -> None:
    steps = replay(run)
    state = steps[-1][3] if steps else State(1)
    mine, others = apply(state, MINE, given_), apply(state, OTHERS, given_)
    assert mine.state == others.state
    assert tuple(each for each in mine.outputs if not isinstance(each, Propose)) == others.outputs
