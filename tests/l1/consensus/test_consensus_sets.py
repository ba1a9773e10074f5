"""One driver through heights that different delegates decide: members, order and powers change, and nothing that was said
under one set counts under another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from consensus_world import CLOCK, EVENT, certify, delegate, hash_of
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus import effects
from l1.consensus.certificate import bitmap_of
from l1.consensus.delegates import DelegateSet
from l1.consensus.driver import Driver
from l1.consensus.effects import Effect
from l1.consensus.log import Held, Voted
from l1.consensus.machine import NIL, NO_ROUND, Phase, TimedOut, Topic
from l1.consensus.messages import Certificate, Decision, Proposal, Vote
from l1.consensus.parameters import Parameters
from l1.consensus.schedule import proposer_index

START = 1_000
BODY = b"a block"
BLOCK = hash_of(BODY)


def chosen(*numbers_and_powers: tuple[int, int]) -> DelegateSet:
    """The set of these delegates with these powers, in this order."""
    return DelegateSet(tuple(delegate(number, power) for number, power in numbers_and_powers))


FIRST = chosen((1, 1), (2, 1), (3, 1), (4, 1))
WITHOUT_3 = chosen((5, 2), (4, 2), (1, 2))
SHUFFLED = chosen((3, 7), (5, 1), (4, 2), (2, 3), (1, 4))


def address(number: int) -> bytes:
    return delegate(number).address


def begin(driver: Driver, height: int, of: DelegateSet) -> list[Effect]:
    return list(driver.start_height(height, of, 0, START))


def proposal(height: int, of: DelegateSet, parameters: Parameters = EVENT, round_: int = 0) -> Proposal:
    by = proposer_index(height, round_, len(of), parameters)
    return Proposal(height, round_, BLOCK, by, NO_ROUND, None, BODY)


def certificate(height: int, topic: Topic, of: DelegateSet, signers: Sequence[int] | None = None) -> Certificate:
    bitmap = bitmap_of(range(len(of)) if signers is None else signers, len(of))
    return Certificate(height, 0, topic, BLOCK, bitmap, bytes(96))


def decide(driver: Driver, height: int, of: DelegateSet, parameters: Parameters = EVENT) -> list[Effect]:
    """All messages of a height that goes by the book."""
    asked = list(driver.on_proposal(proposal(height, of, parameters), START, valid=True))
    for topic in Topic:
        for index in range(len(of)):
            asked += driver.on_vote(Vote(height, 0, topic, BLOCK, index), START)
    assert driver.state.phase is Phase.DECIDED
    return asked


def said(asked: Sequence[Effect]) -> list[tuple[Topic, int]]:
    """(topic, its index) of what it wants signed."""
    return [(each.vote.topic, each.vote.delegate) for each in asked if isinstance(each, effects.SignVote)]


@pytest.mark.parametrize("parameters", [EVENT, CLOCK], ids=["event", "clock"])
def test_a_delegate_votes_where_it_has_a_seat_and_watches_where_it_has_none(parameters: Parameters) -> None:
    """Delegate 3 has the third seat, then none, then the first: under each set it says what its seat is, or nothing."""
    driver = Driver(parameters, address(3), certify)
    for height, of, seat in ((1, FIRST, 2), (2, WITHOUT_3, None), (3, SHUFFLED, 0), (4, WITHOUT_3, None)):
        asked = begin(driver, height, of)
        assert driver.index == seat
        if seat == proposer_index(height, 0, len(of), parameters):
            assert effects.Build(height, 0) in asked
        asked += decide(driver, height, of, parameters)
        assert said(asked) == ([] if seat is None else [(topic, seat) for topic in Topic])
        assert seat is not None or not any(isinstance(each, effects.Record | effects.Build) for each in asked)
        (decided,) = [each for each in asked if isinstance(each, effects.Decided)]
        assert decided.height == height
        assert of.power_of(decided.certificate.signer_indices()) >= of.quorum


def test_a_watcher_goes_through_rounds_and_is_no_proposer() -> None:
    """In three rounds of WITHOUT_3 each member proposes once; delegate 3 is asked for nothing."""
    driver = Driver(EVENT, address(3), certify)
    asked = begin(driver, 2, WITHOUT_3)
    for round_ in range(3):
        asked += driver.on_timer(2, TimedOut(Phase.ACCEPT_BLOCK_PROPOSAL, round_), START)
        for index in range(len(WITHOUT_3)):
            asked += driver.on_vote(Vote(2, round_, Topic.PROPOSAL, NIL, index), START)
            asked += driver.on_vote(Vote(2, round_, Topic.LOCK, NIL, index), START)
        asked += driver.on_timer(2, TimedOut(Phase.ACCEPT_LOCK_ENDORSEMENT, round_), START)
        asked += driver.on_timer(2, effects.ResendDue(round_ + 1), START)
        assert driver.state.round == round_ + 1
    assert {type(each) for each in asked} == {effects.SetTimer}


def late(height: int, of: DelegateSet) -> list[Vote | Proposal | Certificate | Decision]:
    """Everything that was said at a height."""
    shown = [certificate(height, topic, of) for topic in Topic]
    votes = [Vote(height, 0, topic, BLOCK, index) for topic in Topic for index in range(len(of))]
    return [*votes, proposal(height, of), *shown, Decision(shown[-1], BODY)]


def take(driver: Driver, message: Vote | Proposal | Certificate | Decision) -> Sequence[Effect]:
    match message:
        case Vote():
            return driver.on_vote(message, START)
        case Proposal():
            return driver.on_proposal(message, START, valid=True)
        case Certificate():
            return driver.on_certificate(message, START)
        case Decision():
            return driver.on_decision(message, BLOCK, START, valid=True)


@pytest.mark.parametrize(("before", "after"), [(FIRST, SHUFFLED), (FIRST, WITHOUT_3), (WITHOUT_3, FIRST)])
def test_what_comes_late_is_of_another_height_and_counts_for_nothing(before: DelegateSet, after: DelegateSet) -> None:
    """All that decided height 1 comes again at height 2, where it would be a quorum if seats were mixed up."""
    driver = Driver(EVENT, address(4), certify)
    begin(driver, 1, before)
    decide(driver, 1, before)
    begin(driver, 2, after)
    state = driver.state
    for message in late(1, before):
        (refused,) = take(driver, message)
        assert isinstance(refused, effects.Refused)
        assert refused.reason == "height"
    assert driver.state == state
    assert not driver._proposals._blocks
    assert not driver._tally._ballots
    assert said(decide(driver, 2, after)) == [(topic, after.index_of(address(4))) for topic in Topic]


@pytest.mark.parametrize(
    ("signers", "seats", "reason"),
    [(range(4), 4, "power"), ((1, 2, 3), 5, "power"), (range(16), 16, "bitmap"), ((0, 4, 5), 6, "bitmap")],
    ids=["all-of-before", "three", "longer-bitmap", "beyond-the-set"],
)
def test_a_certificate_is_weighed_by_the_set_of_its_height(signers: Sequence[int], seats: int, reason: str) -> None:
    """Seats 0 to 3 were everybody at height 1; at height 2 the fifth one has 20 of 25."""
    driver = Driver(EVENT, address(3), certify)
    begin(driver, 2, chosen((3, 2), (5, 1), (4, 1), (2, 1), (1, 20)))
    shown = Certificate(2, 0, Topic.COMMIT, BLOCK, bitmap_of(signers, seats), bytes(96))
    assert driver.on_certificate(shown, START) == [effects.Refused(reason, -1)]
    assert driver.on_decision(Decision(shown, BODY), BLOCK, START, valid=True) == [effects.Refused(reason, -1)]
    assert driver.state.phase is not Phase.DECIDED


def test_a_seat_beyond_the_smaller_set_is_refused() -> None:
    driver = Driver(EVENT, address(1), certify)
    begin(driver, 1, FIRST)
    assert driver.on_vote(Vote(1, 0, Topic.PROPOSAL, BLOCK, 3), START) == ()
    begin(driver, 2, WITHOUT_3)
    assert driver.on_vote(Vote(2, 0, Topic.PROPOSAL, BLOCK, 3), START) == [effects.Refused("delegate", 3)]


def test_a_log_of_the_height_before_locks_nothing() -> None:
    """A crash between the block and the log's next entry: what was voted at height 1 says nothing of height 2."""
    entries = (
        Held(1, 0, BLOCK, certificate(1, Topic.PROPOSAL, FIRST), BODY),
        Voted(1, 0, Topic.LOCK, BLOCK),
        Voted(1, 0, Topic.COMMIT, BLOCK),
    )
    driver = Driver(EVENT, address(3), certify)
    asked = list(driver.start_height(2, SHUFFLED, 0, START, entries))
    assert (driver.state.locked_hash, driver.state.committed_hash, driver.state.round) == (NIL, NIL, 0)
    assert not said(asked)
    assert said(decide(driver, 2, SHUFFLED)) == [(topic, 0) for topic in Topic]


SEATS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 50)), min_size=1, max_size=8, unique_by=lambda seat: seat[0]
)


@given(before=SEATS, after=SEATS, order=st.randoms(use_true_random=False))
def test_whatever_the_sets_are_a_height_is_decided_by_its_own(
    before: list[tuple[int, int]], after: list[tuple[int, int]], order: object
) -> None:
    """Votes of both heights come mixed; the driver decides with the vote that makes two thirds of the second set."""
    old, present = chosen(*before), chosen(*after)
    driver = Driver(EVENT, address(9), certify)
    begin(driver, 1, old)
    begin(driver, 2, present)
    driver.on_proposal(proposal(2, present), START, valid=True)
    said_now = [Vote(2, 0, Topic.COMMIT, BLOCK, index) for index in range(len(present))]
    mixed = [*said_now, *(Vote(1, 0, Topic.COMMIT, BLOCK, index) for index in range(len(old)))]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    power, signers = 0, []
    for vote in mixed:
        asked = driver.on_vote(vote, START)
        if vote.height == 1:
            assert asked == [effects.Refused("height", vote.delegate)]
            continue
        before_it = power
        power += present.powers[vote.delegate]
        signers.append(vote.delegate)
        decided = [each for each in asked if isinstance(each, effects.Decided)]
        assert bool(decided) == (before_it < present.quorum <= power)
        for each in decided:
            assert each.certificate.signer_indices() == sorted(signers)
    assert driver.state.phase is Phase.DECIDED
