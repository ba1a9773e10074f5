"""Clocks that jump: no lease is lost or kept for it, and a deadline is believed to have passed only after a while."""

from __future__ import annotations

import pytest
from dispatch_world import FAST, Chain, World, background
from hypothesis import given
from hypothesis import strategies as st

from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.leases import LeaseBook
from coordinator.dispatch.timekeeping import PATIENCE_MS, TOLERANCE_MS, Leap, Timekeeper
from coordinator.scheduling.policy import is_due
from coordinator.scheduling.values import Limits, OpenTask

HOUR = 3_600_000


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall = 1_000_000_000
        self.steady = 5_000

    def go(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.steady += milliseconds

    def keeper(self) -> Timekeeper:
        return Timekeeper(lambda: self.wall, lambda: self.steady)


def test_a_jump_ahead_is_believed_only_when_it_stands() -> None:
    hands = Hands()
    keeper = hands.keeper()
    before = keeper.now()
    hands.wall += HOUR
    assert keeper.now() == before
    hands.go(PATIENCE_MS - 1)
    assert keeper.now() == before + PATIENCE_MS - 1
    hands.go(1)
    assert keeper.now() == before + PATIENCE_MS + HOUR


def test_a_clock_that_is_behind_is_followed_at_once_and_back_again() -> None:
    hands = Hands()
    keeper = hands.keeper()
    before = keeper.now()
    hands.wall -= HOUR
    assert keeper.now() == before - HOUR
    hands.go(PATIENCE_MS - 1)
    assert keeper.now() == before - HOUR + PATIENCE_MS - 1
    hands.wall += HOUR
    assert keeper.now() == before + PATIENCE_MS - 1


def test_a_clock_that_is_set_wrong_and_right_again_has_changed_nothing() -> None:
    hands = Hands()
    keeper = hands.keeper()
    before = keeper.now()
    for _ in range(10):
        hands.wall += HOUR
        hands.go(PATIENCE_MS // 2)
        keeper.now()
        hands.wall -= HOUR
        hands.go(PATIENCE_MS // 2)
        keeper.now()
    assert keeper.now() == before + 10 * PATIENCE_MS


@given(st.lists(st.tuples(st.integers(0, 60_000), st.integers(-TOLERANCE_MS, TOLERANCE_MS)), max_size=20))
def test_a_slewed_clock_is_followed(steps: list[tuple[int, int]]) -> None:
    hands = Hands()
    keeper = hands.keeper()
    for milliseconds, slew in steps:
        hands.go(milliseconds)
        hands.wall += slew
        assert keeper.now() == hands.wall


@pytest.mark.parametrize("jump", [TOLERANCE_MS + 1, HOUR])
def test_a_leap_ahead_is_told_until_it_is_taken(jump: int) -> None:
    hands = Hands()
    keeper = hands.keeper()
    hands.go(10)
    assert keeper.leap() is None
    before = hands.wall
    hands.wall += jump
    leap = keeper.leap()
    assert leap == keeper.leap() == Leap(before, jump)
    keeper.taken(leap)
    hands.go(10)
    assert keeper.leap() is None


def test_a_clock_that_was_behind_leaps_when_it_is_set_right() -> None:
    hands = Hands()
    keeper = hands.keeper()
    hands.wall -= HOUR
    assert keeper.leap() is None
    hands.go(5)
    written = hands.wall
    hands.wall += HOUR
    assert keeper.leap() == Leap(written, HOUR)


def test_a_clock_that_is_slewed_does_not_leap() -> None:
    hands = Hands()
    keeper = hands.keeper()
    for _ in range(100):
        hands.go(500)
        hands.wall += TOLERANCE_MS
        assert keeper.leap() is None


def test_a_lease_runs_by_the_steady_clock_alone() -> None:
    book = LeaseBook(Limits(lease_ms=1_000, attempt_ms=5_000))
    book.begin(1, 2_000)
    assert not book.is_over(1, 1_999)
    assert book.is_over(1, 2_000)
    assert not book.is_over(2, 1_000_000), "one that is not known begins now"
    assert book.is_over(2, 1_001_000)


def test_a_lease_is_never_renewed_past_the_attempts_longest_time() -> None:
    book = LeaseBook(Limits(lease_ms=1_000, attempt_ms=5_000))
    book.start(1, 10_000, 100_000)
    for now in range(10_000, 20_000, 500):
        book.renew(1, now, 100_000)
    assert book.is_over(1, 15_000)
    assert not book.is_over(1, 14_999)
    assert book.running_ms(1, 12_000) == 2_000


def test_a_backoff_that_a_clock_set_back_made_long_is_over() -> None:
    task = OpenTask("0x1", 1, ("k",), 1, deadline_at=10 * HOUR, next_attempt_at=5 * HOUR)
    assert is_due(1_000, task, Limits())
    assert not is_due(5 * HOUR - 10, task, Limits())


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_jump_of_the_coordinators_clock_loses_no_lease(world: World, jump: int) -> None:
    offset = 0
    plain = world.ledger.clock

    def clock() -> int:
        return plain() + offset

    world.ledger.clock = clock
    world.behave("hang")
    dispatcher = world.dispatcher(InlinePool(clock), FAST)
    async with background(Chain(world.ledger).run()), background(dispatcher.run()):
        name = await world.task()

        async def is_proving() -> bool:
            return await world.states(name) == ["PROVING"]

        await world.until(is_proving)
        offset = jump
        await dispatcher.round()
        await dispatcher.round()
        assert await world.states(name) == ["PROVING"]
        assert (await world.get_task(name)).state == "OPEN"
        (world.programs["test.hash"].folder / "go").touch()
        await world.reach(name, "SATISFIED")
        assert await world.states(name) == ["PROVED"]
        await dispatcher.stop()


async def test_no_task_expires_because_a_clock_that_was_behind_is_set_right(world: World) -> None:
    offset, plain = 0, world.ledger.clock

    def clock() -> int:
        return plain() + offset

    world.ledger.clock = clock
    dispatcher = world.dispatcher(InlinePool(clock), FAST)
    await dispatcher.round()
    offset = -100 * HOUR
    name = await world.task()
    written = (await world.get_task(name)).deadline_at
    await dispatcher.round()
    offset = 0
    assert written < clock()
    await dispatcher.round()
    task = await world.get_task(name)
    assert task.state in ("RECEIVED", "OPEN")
    assert abs(task.deadline_at - written - 100 * HOUR) <= TOLERANCE_MS, "by how far it was behind"
