"""One delegate's driver, fed by hand: what it refuses, what it follows, what it remembers, and what it lets go."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from consensus_world import CLOCK, EVENT, HEIGHT, certificate, certify, delegates, hash_of

from l1.consensus import effects
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import MAX_PROPOSALS, ROUND_WINDOW, Driver
from l1.consensus.effects import Effect
from l1.consensus.log import Entry, Held, Proposed, Voted
from l1.consensus.machine import NIL, NO_ROUND, Phase, RoundStarted, TimedOut, Topic
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.parameters import Parameters

FOUR = delegates(1, 1, 1, 1)
BODY_A, BODY_B, BODY_C = b"block A", b"block B", b"block C"
A, B, C = hash_of(BODY_A), hash_of(BODY_B), hash_of(BODY_C)
BODIES = {A: BODY_A, B: BODY_B, C: BODY_C}
START = 1_000
"""When round 0 starts."""


def begun(
    index: int | None = 2, *, of: DelegateSet = FOUR, parameters: Parameters = EVENT, entries: Sequence[Entry] = ()
) -> tuple[Driver, list[Effect]]:
    """A driver in its first round; in round 0 delegate 0 proposes, then 1, and so on."""
    driver = Driver(parameters, None if index is None else of.members[index].address, certify)
    asked = list(driver.start_height(HEIGHT, of, 0, START, entries))
    return driver, asked


def proposal(round_: int, block_hash: bytes, proof: Certificate | None = None) -> Proposal:
    valid_round = NO_ROUND if proof is None else proof.round
    return Proposal(HEIGHT, round_, block_hash, round_ % 4, valid_round, proof, BODIES.get(block_hash, b""))


def votes(driver: Driver, topic: Topic, round_: int, block_hash: bytes, *of: int, now: int = START) -> list[Effect]:
    """Votes come in."""
    asked: list[Effect] = []
    for index in of:
        asked += driver.on_vote(Vote(HEIGHT, round_, topic, block_hash, index), now)
    return asked


def cast(asked: Sequence[Effect]) -> list[tuple[Topic, int, bytes]]:
    """What it wants signed."""
    signed = [each.vote for each in asked if isinstance(each, effects.SignVote)]
    return [(each.topic, each.round, each.block_hash) for each in signed]


def held_blocks(driver: Driver) -> dict[bytes, bytes]:
    """The blocks that it holds, by hash."""
    return {block_hash: block.body for block_hash, block in driver._proposals._blocks.items()}


def of_kind(asked: Sequence[Effect], kind: type) -> list[Effect]:
    return [each for each in asked if isinstance(each, kind)]


def locked_on_a(index: int = 2) -> Driver:
    """A delegate that cast LOCK for A in round 0, and is in round 1, where delegate 1 proposes."""
    driver, _ = begun(index)
    driver.on_proposal(proposal(0, A), START, valid=True)
    asked = votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 2)
    assert cast(asked) == [(Topic.LOCK, 0, A)]
    driver.on_timer(HEIGHT, RoundStarted(1), START)
    assert (driver.state.round, driver.state.phase) == (1, Phase.ACCEPT_BLOCK_PROPOSAL)
    return driver


def test_a_height_is_decided_by_the_book() -> None:
    driver, asked = begun()
    assert not cast(asked)
    asked = list(driver.on_proposal(proposal(0, A), START, valid=True))
    assert cast(asked) == [(Topic.PROPOSAL, 0, A)]
    asked = votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 2)
    assert cast(asked) == [(Topic.LOCK, 0, A)]
    records = [each.entry for each in asked if isinstance(each, effects.Record)]
    assert [type(each) for each in records] == [Held, Voted], "the block and its proof before the vote"
    assert asked.index(of_kind(asked, effects.Record)[-1]) < asked.index(of_kind(asked, effects.SignVote)[0])
    assert cast(votes(driver, Topic.LOCK, 0, A, 0, 1, 2)) == [(Topic.COMMIT, 0, A)]
    asked = votes(driver, Topic.COMMIT, 0, A, 0, 1, 2)
    (decided,) = of_kind(asked, effects.Decided)
    assert isinstance(decided, effects.Decided)
    assert (decided.height, decided.round, decided.block_hash, decided.block) == (HEIGHT, 0, A, BODY_A)
    assert decided.certificate.signer_indices() == [0, 1, 2]
    assert votes(driver, Topic.COMMIT, 0, A, 3) == []


def test_every_vote_is_recorded_before_it_is_signed() -> None:
    driver, _ = begun()
    asked = list(driver.on_proposal(proposal(0, A), START, valid=True))
    asked += votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 2)
    asked += votes(driver, Topic.LOCK, 0, A, 0, 1, 2)
    recorded: set[tuple[int, Topic, bytes]] = set()
    signed = 0
    for each in asked:
        if isinstance(each, effects.Record) and isinstance(each.entry, Voted):
            recorded.add((each.entry.round, each.entry.topic, each.entry.block_hash))
        if isinstance(each, effects.SignVote):
            assert (each.vote.round, each.vote.topic, each.vote.block_hash) in recorded
            signed += 1
    assert signed == 3


# --- refusals ---


@pytest.mark.parametrize(
    ("vote", "reason"),
    [
        (Vote(HEIGHT + 1, 0, Topic.LOCK, A, 1), "height"),
        (Vote(HEIGHT - 1, 0, Topic.LOCK, A, 1), "height"),
        (Vote(HEIGHT, 0, Topic.LOCK, A, 4), "delegate"),
    ],
)
def test_votes_of_another_place_are_refused(vote: Vote, reason: str) -> None:
    driver, _ = begun()
    assert driver.on_vote(vote, START) == [effects.Refused(reason, vote.delegate)]


def test_votes_of_rounds_long_over_are_refused() -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, RoundStarted(ROUND_WINDOW + 1), START)
    assert driver.on_vote(Vote(HEIGHT, 0, Topic.LOCK, A, 1), START) == [effects.Refused("round", 1)]
    assert not driver.on_vote(Vote(HEIGHT, 1, Topic.LOCK, A, 1), START)


SHOWN = certificate(FOUR, 1, Topic.PROPOSAL, A)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (proposal(2, A)._replace(height=HEIGHT + 1), "height"),
        (proposal(2, A)._replace(round=ROUND_WINDOW + 3), "round"),
        (proposal(2, A)._replace(delegate=3), "proposer"),
        (proposal(2, NIL), "hash"),
        (proposal(2, A)._replace(valid_round=1), "proof"),
        (proposal(2, A, SHOWN)._replace(valid_round=NO_ROUND), "proof"),
        (proposal(2, A, SHOWN)._replace(valid_round=0), "proof"),
        (proposal(2, A, SHOWN._replace(height=HEIGHT + 1)), "proof"),
        (proposal(2, A, SHOWN._replace(block_hash=B)), "proof"),
        (proposal(2, A, SHOWN._replace(topic=Topic.COMMIT)), "proof"),
        (proposal(2, A, SHOWN._replace(round=2)), "proof"),
        (proposal(2, A, SHOWN._replace(round=3)), "proof"),
        (proposal(2, A, SHOWN._replace(signers=b"\x03")), "power"),
        (proposal(2, A, SHOWN._replace(signers=b"\x17")), "bitmap"),
        (proposal(2, A, SHOWN._replace(signers=b"\x0f\x00")), "bitmap"),
    ],
)
def test_proposals_are_refused_with_their_reason(refused: Proposal, reason: str) -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, RoundStarted(2), START)
    assert driver.on_proposal(refused, START, valid=True) == [effects.Refused(reason, refused.delegate)]
    assert driver.state.phase is Phase.ACCEPT_BLOCK_PROPOSAL


@pytest.mark.parametrize("topic", [Topic.PROPOSAL, Topic.LOCK])
def test_a_proposal_with_a_proof_is_taken(topic: Topic) -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, RoundStarted(2), START)
    asked = driver.on_proposal(proposal(2, A, SHOWN._replace(topic=topic)), START, valid=True)
    assert (Topic.PROPOSAL, 2, A) in cast(asked)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (SHOWN._replace(height=2), "height"),
        (SHOWN._replace(signers=b"\x03"), "power"),
        (SHOWN._replace(signers=b"\x1f"), "bitmap"),
        (SHOWN._replace(signers=b""), "bitmap"),
    ],
)
def test_certificates_are_refused_with_their_reason(shown: Certificate, reason: str) -> None:
    driver, _ = begun()
    assert driver.on_certificate(shown, START) == [effects.Refused(reason, -1)]
    decision = Decision(shown._replace(topic=Topic.COMMIT), BODY_A)
    assert driver.on_decision(decision, A, START, valid=True) == [effects.Refused(reason, -1)]
    assert held_blocks(driver) == {}, "a block whose certificate shows nothing is not kept"


@pytest.mark.parametrize(
    ("shown", "block_hash"),
    [(SHOWN, A), (SHOWN._replace(topic=Topic.LOCK), A), (SHOWN._replace(topic=Topic.COMMIT), B)],
)
def test_decisions_that_are_none_are_refused(shown: Certificate, block_hash: bytes) -> None:
    driver, _ = begun()
    assert driver.on_decision(Decision(shown, BODY_A), block_hash, START, valid=True) == [effects.Refused("hash", -1)]
    nothing = Decision(SHOWN._replace(topic=Topic.COMMIT, block_hash=NIL), b"")
    assert driver.on_decision(nothing, NIL, START, valid=True) == [effects.Refused("hash", -1)]


@pytest.mark.parametrize("round_", [0, 5, ROUND_WINDOW + 40, 30_000])
def test_a_decision_of_any_round_is_taken(round_: int) -> None:
    driver, _ = begun(parameters=CLOCK)
    shown = certificate(FOUR, round_, Topic.COMMIT, A, 0, 1, 3)
    (decided,) = driver.on_decision(Decision(shown, BODY_A), A, START, valid=True)
    assert isinstance(decided, effects.Decided)
    assert (decided.round, decided.certificate) == (round_, shown)


def test_timers_of_other_heights_are_passed_over() -> None:
    driver, _ = begun()
    assert driver.on_timer(HEIGHT + 1, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0), START) == ()
    assert driver.on_timer(HEIGHT - 1, RoundStarted(9), START) == ()
    assert driver.state.round == 0


# --- locks ---


def test_a_locked_delegate_refuses_another_block_and_takes_its_own() -> None:
    driver = locked_on_a()
    assert cast(driver.on_proposal(proposal(1, B), START, valid=True)) == [(Topic.PROPOSAL, 1, NIL)]
    driver = locked_on_a()
    assert cast(driver.on_proposal(proposal(1, A), START, valid=True)) == [(Topic.PROPOSAL, 1, A)]


def test_a_locked_delegate_follows_a_proof_no_older_than_its_lock() -> None:
    driver = locked_on_a()
    driver.on_timer(HEIGHT, RoundStarted(2), START)
    shown = certificate(FOUR, 1, Topic.PROPOSAL, B, 0, 1, 3)
    assert cast(driver.on_proposal(proposal(2, B, shown), START, valid=True)) == [(Topic.PROPOSAL, 2, B)]


def test_a_proof_older_than_the_lock_unlocks_nothing() -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, RoundStarted(1), START)
    driver.on_proposal(proposal(1, A), START, valid=True)
    assert cast(votes(driver, Topic.PROPOSAL, 1, A, 0, 1, 2)) == [(Topic.LOCK, 1, A)]
    driver.on_timer(HEIGHT, RoundStarted(2), START)
    shown = certificate(FOUR, 0, Topic.PROPOSAL, B, 0, 1, 3)
    assert cast(driver.on_proposal(proposal(2, B, shown), START, valid=True)) == [(Topic.PROPOSAL, 2, NIL)]


def test_a_quorum_for_nil_unlocks_nothing() -> None:
    driver = locked_on_a()
    driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 1), START)
    assert cast(votes(driver, Topic.PROPOSAL, 1, NIL, 0, 1, 3)) == [(Topic.LOCK, 1, NIL)]
    assert (driver.state.locked_round, driver.state.locked_hash) == (0, A)


def test_a_proposer_shows_why_it_proposes_again_and_locked_peers_endorse_it() -> None:
    """Delegate 1 is locked on A; it proposes in round 1, and delegate 2, locked too, takes it."""
    proposer, _ = begun(1)
    proposer.on_proposal(proposal(0, A), START, valid=True)
    votes(proposer, Topic.PROPOSAL, 0, A, 0, 1, 2)
    asked = proposer.on_timer(HEIGHT, RoundStarted(1), START)
    (signed,) = of_kind(asked, effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    again = signed.proposal
    assert (again.block_hash, again.valid_round, again.block) == (A, 0, BODY_A)
    assert again.proof is not None
    assert again.proof.signer_indices() == [0, 1, 2]
    assert not of_kind(asked, effects.Build)
    assert cast(locked_on_a().on_proposal(again, START, valid=True)) == [(Topic.PROPOSAL, 1, A)]


def test_an_invalid_block_is_endorsed_by_nobody() -> None:
    driver, _ = begun()
    assert cast(driver.on_proposal(proposal(0, A), START, valid=False)) == [(Topic.PROPOSAL, 0, NIL)]
    assert (Topic.LOCK, 0, A) not in cast(votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 3))


# --- what was missed ---


def test_more_than_a_third_in_a_later_round_take_a_delegate_along() -> None:
    driver, _ = begun()
    votes(driver, Topic.PROPOSAL, 5, NIL, 0)
    assert driver.state.round == 0, "one of four may be lying"
    votes(driver, Topic.LOCK, 7, NIL, 1)
    assert driver.state.round == 5, "two have left every round before"
    votes(driver, Topic.LOCK, ROUND_WINDOW + 90, NIL, 0, 1)
    assert driver.state.round == ROUND_WINDOW + 90, "also from farther away than votes are kept"


def test_a_quorum_for_a_block_that_is_not_here_asks_for_it() -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0), START)
    asked = votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 3)
    assert of_kind(asked, effects.Fetch) == [effects.Fetch(HEIGHT, A)]
    assert cast(driver.on_block(A, BODY_A, START, valid=True)) == [(Topic.LOCK, 0, A)]


def test_a_block_that_does_not_come_is_asked_for_again() -> None:
    driver, _ = begun()
    driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0), START)
    votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 3)
    asked = driver.on_timer(HEIGHT, effects.ResendDue(0), START + 400)
    assert of_kind(asked, effects.Fetch) == [effects.Fetch(HEIGHT, A)]


def test_of_two_proposals_the_one_that_a_quorum_endorsed_is_locked() -> None:
    """The proposer shows B to this delegate first, and A to the others."""
    driver, _ = begun()
    assert cast(driver.on_proposal(proposal(0, B), START, valid=True)) == [(Topic.PROPOSAL, 0, B)]
    asked = driver.on_proposal(proposal(0, A), START, valid=True)
    first, second = (proposal(0, each)._replace(block=b"") for each in (B, A))
    assert of_kind(asked, effects.Convict) == [effects.Convict((first, second))]
    assert cast(votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 3)) == [(Topic.LOCK, 0, A)]


def test_late_votes_of_an_older_round_commit_and_decide() -> None:
    driver = locked_on_a()
    driver.on_timer(HEIGHT, RoundStarted(3), START)
    assert cast(votes(driver, Topic.LOCK, 0, A, 0, 1, 3)) == [(Topic.COMMIT, 0, A)]
    (decided,) = of_kind(votes(driver, Topic.COMMIT, 0, A, 0, 1, 3), effects.Decided)
    assert isinstance(decided, effects.Decided)
    assert decided.round == 0


def test_certificates_stand_for_the_votes_that_were_missed() -> None:
    driver, _ = begun()
    driver.on_proposal(proposal(0, A), START, valid=True)
    lock = certificate(FOUR, 0, Topic.LOCK, A, 0, 1, 3)
    assert cast(driver.on_certificate(lock, START)) == [(Topic.COMMIT, 0, A)]
    (decided,) = of_kind(driver.on_certificate(lock._replace(topic=Topic.COMMIT), START), effects.Decided)
    assert isinstance(decided, effects.Decided)
    assert decided.certificate.signer_indices() == [0, 1, 3]


def test_what_may_be_lost_is_sent_again() -> None:
    driver, _ = begun()
    for vote in (Vote(HEIGHT, 0, Topic.PROPOSAL, A, 2), Vote(HEIGHT, 0, Topic.LOCK, A, 2)):
        driver.on_proposal(proposal(0, A), START, valid=True)
        driver.on_vote(vote, START)
    asked = driver.on_timer(HEIGHT, effects.ResendDue(0), START + 400)
    sent = [each.message for each in asked if isinstance(each, effects.Send)]
    assert sent == [Vote(HEIGHT, 0, Topic.PROPOSAL, A, 2), Vote(HEIGHT, 0, Topic.LOCK, A, 2)]
    timers = [each for each in asked if isinstance(each, effects.SetTimer)]
    assert timers == [effects.SetTimer(START + 800, HEIGHT, effects.ResendDue(0))]
    assert driver.on_timer(HEIGHT, effects.ResendDue(1), START + 400) == [], "of another round"


def test_the_newest_commit_and_the_newest_proof_are_sent_again_in_later_rounds() -> None:
    driver = locked_on_a()
    votes(driver, Topic.LOCK, 0, A, 0, 1, 3)
    commit = Vote(HEIGHT, 0, Topic.COMMIT, A, 2)
    driver.on_vote(commit, START)
    asked = driver.on_timer(HEIGHT, effects.ResendDue(1), START + 400)
    sent = [each.message for each in asked if isinstance(each, effects.Send)]
    assert commit in sent
    assert [each.topic for each in sent if isinstance(each, Certificate)] == [Topic.PROPOSAL]


def test_a_proposer_sends_its_proposal_again() -> None:
    driver, asked = begun(0)
    assert of_kind(asked, effects.Build) == [effects.Build(HEIGHT, 0)]
    (signed,) = of_kind(driver.on_built(HEIGHT, 0, A, BODY_A, START), effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    driver.on_proposal(signed.proposal, START, valid=True)
    asked = list(driver.on_timer(HEIGHT, effects.ResendDue(0), START + 400))
    assert effects.Send(signed.proposal) in asked


@pytest.mark.parametrize(("height", "round_"), [(HEIGHT, 1), (HEIGHT + 1, 0)])
def test_a_block_that_was_built_for_another_place_is_not_proposed(height: int, round_: int) -> None:
    driver, _ = begun(0)
    assert not of_kind(driver.on_built(height, round_, A, BODY_A, START), effects.SignProposal)
    driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0), START)
    assert not of_kind(driver.on_built(HEIGHT, 0, A, BODY_A, START), effects.SignProposal), "too late"


# --- deadlines ---


def deadlines(asked: Sequence[Effect]) -> list[TimedOut]:
    timers = [each.what for each in asked if isinstance(each, effects.SetTimer)]
    return [each for each in timers if isinstance(each, TimedOut)]


def test_by_events_a_deadline_waits_for_a_quorum_of_any_votes() -> None:
    driver, asked = begun()
    assert deadlines(asked) == [TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0)]
    assert deadlines(driver.on_proposal(proposal(0, A), START, valid=True)) == []
    assert deadlines(votes(driver, Topic.PROPOSAL, 0, A, 0, 2)) == []
    assert deadlines(votes(driver, Topic.PROPOSAL, 0, B, 3)) == [TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 0)]


def test_by_events_a_vote_from_beyond_counts_as_one_that_was_lost() -> None:
    driver, _ = begun()
    driver.on_proposal(proposal(0, A), START, valid=True)
    assert deadlines(votes(driver, Topic.PROPOSAL, 0, A, 0, 2)) == []
    assert deadlines(votes(driver, Topic.LOCK, 0, NIL, 3)) == [TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 0)]


def test_by_the_clock_a_deadline_is_the_rounds_start_and_the_times_of_its_phases() -> None:
    driver, asked = begun(parameters=CLOCK)
    timers = [each for each in asked if isinstance(each, effects.SetTimer)]
    assert effects.SetTimer(START + 300, HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 0)) in timers
    asked = list(driver.on_proposal(proposal(0, A), START + 10, valid=True))
    assert effects.SetTimer(START + 500, HEIGHT, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 0)) in asked


def test_a_round_by_the_clock_begins_on_the_grid() -> None:
    driver, _ = begun(parameters=CLOCK)
    asked: list[Effect] = []
    for phase, at in (
        (Phase.ACCEPT_BLOCK_PROPOSAL, 300),
        (Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 500),
        (Phase.ACCEPT_LOCK_ENDORSEMENT, 700),
    ):
        asked = list(driver.on_timer(HEIGHT, TimedOut(phase, 0), START + at))
    assert driver.state.phase is Phase.PREPARE
    assert asked[-1] == effects.SetTimer(2_000, HEIGHT, RoundStarted(1))
    driver.on_timer(HEIGHT, RoundStarted(1), 2_000)
    assert (driver.state.round, driver.state.phase) == (1, Phase.ACCEPT_BLOCK_PROPOSAL)


# --- those who only watch, and those who lie ---


@pytest.mark.parametrize("address", [None, b"\xee" * 20], ids=["nobody", "not-elected"])
def test_who_is_not_in_the_set_follows_and_says_nothing(address: bytes | None) -> None:
    driver = Driver(EVENT, address, certify)
    asked = list(driver.start_height(HEIGHT, FOUR, 0, START))
    asked += driver.on_proposal(proposal(0, A), START, valid=True)
    asked += votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 2)
    asked += votes(driver, Topic.LOCK, 0, A, 0, 1, 2)
    asked += driver.on_timer(HEIGHT, effects.ResendDue(0), START)
    asked += driver.on_built(HEIGHT, 0, B, BODY_B, START)
    assert {type(each) for each in asked} <= {effects.SetTimer, effects.Send}
    assert all(isinstance(each.message, Certificate) for each in asked if isinstance(each, effects.Send))
    (decided,) = votes(driver, Topic.COMMIT, 0, A, 0, 1, 2)
    assert isinstance(decided, effects.Decided)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Vote(HEIGHT, 0, Topic.PROPOSAL, A, 1), Vote(HEIGHT, 0, Topic.PROPOSAL, NIL, 1)),
        (Vote(HEIGHT, 0, Topic.LOCK, A, 1), Vote(HEIGHT, 0, Topic.LOCK, B, 1)),
        (Vote(HEIGHT, 0, Topic.COMMIT, A, 1), Vote(HEIGHT, 3, Topic.COMMIT, B, 1)),
    ],
)
def test_who_votes_twice_is_convicted(first: Vote, second: Vote) -> None:
    driver, _ = begun()
    driver.on_vote(first, START)
    (convict,) = driver.on_vote(second, START)
    assert isinstance(convict, effects.Convict)
    assert set(convict.evidence) == {first, second}


# --- restarts and bounds ---


def test_who_comes_back_says_what_it_said() -> None:
    entries = (
        Held(HEIGHT, 1, A, certificate(FOUR, 1, Topic.PROPOSAL, A), BODY_A),
        Voted(HEIGHT, 1, Topic.PROPOSAL, A),
        Voted(HEIGHT, 1, Topic.LOCK, A),
    )
    driver, _ = begun(3, entries=entries)
    assert driver.state.round == 1
    asked = list(driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, 1), START))
    said = [(Topic.PROPOSAL, 1, A), (Topic.LOCK, 1, A)]
    assert cast(asked) == said, "not nil, as the deadline would have it; the proof in the log is a quorum"
    assert not of_kind(asked, effects.Record)
    asked = list(driver.on_timer(HEIGHT, RoundStarted(3), START))
    (signed,) = of_kind(asked, effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    assert (signed.proposal.block_hash, signed.proposal.valid_round, signed.proposal.block) == (A, 1, BODY_A)


@pytest.mark.parametrize("last", [2, 4], ids=["in-its-round", "in-a-later-round"])
def test_who_comes_back_says_its_commit_again(last: int) -> None:
    """It may have died before anybody heard it, and the others may need it to decide."""
    entries = (
        Held(HEIGHT, 2, A, certificate(FOUR, 2, Topic.LOCK, A), BODY_A),
        Voted(HEIGHT, 2, Topic.COMMIT, A),
        Voted(HEIGHT, last, Topic.PROPOSAL, A),
    )
    driver, asked = begun(3, entries=entries)
    assert driver.state.round == last
    assert cast(asked) == [(Topic.COMMIT, 2, A)]
    assert not of_kind(asked, effects.Record), "the log has it"
    commit = Vote(HEIGHT, 2, Topic.COMMIT, A, 3)
    driver.on_vote(commit, START)
    assert effects.Send(commit) in driver.on_timer(HEIGHT, effects.ResendDue(last), START + 400)
    (decided,) = of_kind(votes(driver, Topic.COMMIT, 2, A, 0, 1), effects.Decided)
    assert isinstance(decided, effects.Decided)


def test_who_comes_back_without_a_seat_says_nothing_again() -> None:
    entries = (Voted(HEIGHT, 2, Topic.COMMIT, A),)
    driver = Driver(EVENT, b"\xee" * 20, certify)
    assert not cast(driver.start_height(HEIGHT, FOUR, 0, START, entries))


def test_a_proposer_that_comes_back_proposes_what_it_proposed() -> None:
    driver, asked = begun(0, entries=(Proposed(HEIGHT, 0, A, NO_ROUND, BODY_A),))
    (signed,) = of_kind(asked, effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    assert signed.proposal.block_hash == A
    assert not of_kind(asked, effects.Build)
    assert not of_kind(driver.on_built(HEIGHT, 0, B, BODY_B, START), effects.SignProposal)


def test_a_commit_without_a_lock_vote_keeps_its_block_for_the_way_back() -> None:
    """The PROPOSAL votes were lost, LOCK votes show their quorum. After a restart it is locked, and can show why."""
    driver, _ = begun(3)
    driver.on_proposal(proposal(0, A), START, valid=True)
    asked = votes(driver, Topic.LOCK, 0, A, 0, 1, 2)
    assert cast(asked) == [(Topic.COMMIT, 0, A)]
    entries = [each.entry for each in asked if isinstance(each, effects.Record)]
    assert [type(each) for each in entries] == [Held, Voted]
    again, _ = begun(3, entries=entries)
    assert (again.state.locked_round, again.state.committed_hash) == (0, A)
    (signed,) = of_kind(again.on_timer(HEIGHT, RoundStarted(3), START), effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    assert (signed.proposal.block_hash, signed.proposal.block) == (A, BODY_A)
    assert signed.proposal.proof is not None
    assert signed.proposal.proof.topic is Topic.LOCK


def test_entries_of_other_heights_are_passed_over() -> None:
    driver, _ = begun(0, entries=(Voted(HEIGHT + 1, 8, Topic.COMMIT, A), Proposed(HEIGHT + 1, 0, A, NO_ROUND, BODY_A)))
    assert driver.state.round == 0
    assert driver.state.committed_hash == NIL


def test_a_round_keeps_a_few_proposals() -> None:
    driver, _ = begun()
    hashes = [bytes([at]) * 32 for at in range(1, MAX_PROPOSALS + 3)]
    asked = [driver.on_proposal(proposal(0, each), START, valid=True) for each in hashes]
    assert [len(of_kind(each, effects.Convict)) for each in asked[:MAX_PROPOSALS]] == [0, 1, 1, 1]
    assert asked[MAX_PROPOSALS:] == [[effects.Refused("round", 0)]] * 2
    assert driver.on_proposal(proposal(0, hashes[0]), START, valid=True) == (), "twice the same is nothing new"


@pytest.mark.parametrize("present", [0, 5, ROUND_WINDOW + 8])
def test_a_proposer_that_floods_makes_nobody_hold_more_than_a_block_for_each_of_its_turns(present: int) -> None:
    """It proposes as many blocks as are taken in each of its turns, of rounds that are over, present, and to come."""
    driver, _ = begun()
    for round_ in range(1, present + 1):
        driver.on_timer(HEIGHT, RoundStarted(round_), START)
    turns = [each for each in range(1, present + ROUND_WINDOW + 1, 4) if abs(each - present) <= ROUND_WINDOW]
    taken = 0
    for round_ in turns:
        for at in range(MAX_PROPOSALS + 2):
            body = b"%d of round %d" % (at, round_)
            flood = Proposal(HEIGHT, round_, hash_of(body), round_ % 4, block=body)
            taken += effects.Refused("round", 1) not in driver.on_proposal(flood, START, valid=True)
    assert taken == MAX_PROPOSALS * len(turns), "what it signed is evidence, and kept"
    over = len([each for each in turns if each < present])
    near = MAX_PROPOSALS * len([each for each in turns if present <= each <= present + 1])
    assert near == MAX_PROPOSALS or present > ROUND_WINDOW
    assert len(held_blocks(driver)) == over + near
    driver.on_timer(HEIGHT, RoundStarted(present + 2), START)
    assert len(held_blocks(driver)) == len([each for each in turns if each in range(present - 62, present + 2)])


def test_a_block_of_a_round_far_ahead_is_asked_for_when_the_round_comes() -> None:
    driver, _ = begun()
    driver.on_proposal(proposal(5, A), START, valid=True)
    assert held_blocks(driver) == {}
    asked = votes(driver, Topic.PROPOSAL, 5, NIL, 0, 1)
    assert driver.state.round == 5
    assert of_kind(asked, effects.Fetch) == [effects.Fetch(HEIGHT, A)]
    assert cast(driver.on_block(A, BODY_A, START, valid=True)) == [(Topic.PROPOSAL, 5, A)]


def test_a_proposal_that_comes_again_brings_its_block() -> None:
    driver, _ = begun()
    driver.on_proposal(proposal(5, A), START, valid=True)
    votes(driver, Topic.PROPOSAL, 5, NIL, 0, 1)
    assert cast(driver.on_proposal(proposal(5, A), START, valid=True)) == [(Topic.PROPOSAL, 5, A)]
    assert driver.on_proposal(proposal(5, A), START, valid=True) == (), "and once only"


def test_a_second_block_of_a_round_that_is_over_is_asked_for_when_a_quorum_is_for_it() -> None:
    driver, _ = begun()
    driver.on_proposal(proposal(0, B), START, valid=True)
    driver.on_proposal(proposal(0, A), START, valid=True)
    driver.on_timer(HEIGHT, RoundStarted(1), START)
    assert held_blocks(driver) == {B: BODY_B}
    assert of_kind(votes(driver, Topic.LOCK, 0, A, 0, 1, 3), effects.Fetch) == [effects.Fetch(HEIGHT, A)]
    assert cast(driver.on_block(A, BODY_A, START, valid=True)) == [(Topic.COMMIT, 0, A)]


def test_blocks_that_a_quorum_is_for_are_held_whatever_their_round() -> None:
    """B is proposed first in round 0, and A is what the others commit to: late in round 70 that still decides."""
    driver, _ = begun()
    driver.on_proposal(proposal(0, B), START, valid=True)
    driver.on_proposal(proposal(0, A), START, valid=True)
    votes(driver, Topic.LOCK, 0, A, 0, 1, 3)
    for round_ in range(1, ROUND_WINDOW + 7):
        driver.on_timer(HEIGHT, RoundStarted(round_), START)
    assert held_blocks(driver) == {A: BODY_A}
    shown = certificate(FOUR, 0, Topic.COMMIT, A, 0, 1, 3)
    (decided,) = of_kind(driver.on_certificate(shown, START), effects.Decided)
    assert isinstance(decided, effects.Decided)
    assert decided.block == BODY_A


def test_votes_of_far_rounds_are_not_kept() -> None:
    driver, _ = begun()
    for round_ in range(ROUND_WINDOW + 1, ROUND_WINDOW + 1_000):
        driver.on_vote(Vote(HEIGHT, round_, Topic.LOCK, A, 1), START)
    assert driver.state.round == 0
    assert len(driver._tally._ballots) == 0


def test_a_long_height_takes_no_more_memory_and_forgets_no_lock() -> None:
    """A hundred rounds without a decision, each with a proposal: blocks are let go, the locked one and its proof stay."""
    driver = locked_on_a(3)
    kept = []
    for round_ in range(1, 2 * ROUND_WINDOW + 41):
        driver.on_timer(HEIGHT, RoundStarted(round_), START)
        body = b"block of round %d" % round_
        if round_ % 4 != 3:
            fresh = Proposal(HEIGHT, round_, hash_of(body), round_ % 4, block=body)
            driver.on_proposal(fresh, START, valid=True)
        kept.append(len(held_blocks(driver)))
    assert max(kept) <= ROUND_WINDOW + 3
    assert kept[-1] == kept[-4]
    assert len(driver._proposals._rounds) <= ROUND_WINDOW + 1
    asked = driver.on_timer(HEIGHT, RoundStarted(2 * ROUND_WINDOW + 43), START)
    (signed,) = of_kind(asked, effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    assert (signed.proposal.block_hash, signed.proposal.valid_round, signed.proposal.block) == (A, 0, BODY_A)


@pytest.mark.parametrize("commits", [False, True])
def test_its_own_votes_of_rounds_long_over_are_let_go_but_for_its_commit(commits: bool) -> None:
    driver = locked_on_a()
    if commits:
        votes(driver, Topic.LOCK, 0, A, 0, 1, 3)
        driver.on_vote(Vote(HEIGHT, 0, Topic.COMMIT, A, 2), START)
    for round_ in range(1, 2 * ROUND_WINDOW):
        driver.on_timer(HEIGHT, RoundStarted(round_), START)
        for topic in (Topic.PROPOSAL, Topic.LOCK):
            driver.on_vote(Vote(HEIGHT, round_, topic, NIL, 2), START)
    assert len(driver._signed) == 2 * (ROUND_WINDOW + 1) + commits
    asked = driver.on_timer(HEIGHT, effects.ResendDue(2 * ROUND_WINDOW - 1), START)
    sent = [each.message for each in asked if isinstance(each, effects.Send)]
    assert (Vote(HEIGHT, 0, Topic.COMMIT, A, 2) in sent) is commits


def test_a_proof_that_was_only_seen_is_kept_as_long_as_it_is_the_newest() -> None:
    """A block that a quorum endorsed too late to be locked: its proposer can still show it a hundred rounds after."""
    driver, _ = begun(3)
    driver.on_proposal(proposal(0, A), START, valid=True)
    driver.on_timer(HEIGHT, TimedOut(Phase.ACCEPT_PROPOSAL_ENDORSEMENT, 0), START)
    votes(driver, Topic.PROPOSAL, 0, A, 0, 1, 3)
    assert (driver.state.locked_round, driver.state.valid_round) == (NO_ROUND, 0)
    for round_ in range(1, 103):
        driver.on_timer(HEIGHT, RoundStarted(round_), START)
    (signed,) = of_kind(driver.on_timer(HEIGHT, RoundStarted(103), START), effects.SignProposal)
    assert isinstance(signed, effects.SignProposal)
    assert (signed.proposal.block_hash, signed.proposal.valid_round) == (A, 0)
