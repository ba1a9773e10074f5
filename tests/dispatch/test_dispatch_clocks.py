"""Clocks that jump: no lease is lost or kept for it, and a deadline is believed to have passed only after a while."""

from __future__ import annotations

import pytest
from dispatch_world import FAST, Chain, World, background
from hypothesis import given
from hypothesis import strategies as st

from coordinator.dispatch.inline_pool import InlinePool
from coordinator.dispatch.leases import LeaseBook
from coordinator.dispatch.timekeeping import PATIENCE_MS, TOLERANCE_MS, Timekeeper
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


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_is_believed_only_when_it_stands(jump: int) -> None:
    hands = Hands()
    keeper = hands.keeper()
    before = keeper.now()
    hands.wall += jump
    assert keeper.now() == before
    hands.go(PATIENCE_MS - 1)
    assert keeper.now() == before + PATIENCE_MS - 1
    hands.go(1)
    assert keeper.now() == before + PATIENCE_MS + jump


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
