"""A fork takes more than a third of the power, and its two certificates name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l1.consensus.certificate import bitmap_of
from l1.consensus.machine import Topic
from l1.consensus.messages import Certificate
from l1.simulation.accountability import convicted
from l1.simulation.fork import force
from l1.simulation.signatures import delegates_of


@pytest.mark.parametrize("count", [4, 7, 10])
def test_a_forced_fork_convicts_more_than_a_third_and_nobody_honest(count: int) -> None:
    """Byzantine delegates with more than a third of the power let two sides decide two blocks."""
    forks = [fork for fork in (force(seed, count) for seed in range(5)) if fork is not None]
    assert len(forks) >= 4
    for world, first, second in forks:
        elected = world.electorates.at(first.height)
        guilty = convicted(first, second, elected.delegates)
        assert guilty <= elected.byzantine
        assert 3 * elected.delegates.power_of(guilty) > elected.delegates.total
        assert {violation.rule for violation in world.checker.violations} == {"agreement"}


@pytest.mark.parametrize("count", [7, 10])
def test_where_sets_change_a_fork_convicts_more_than_a_third_of_the_set_of_its_height(count: int) -> None:
    """Not of everybody, nor of another epoch's set: the certificates name seats, and the height says whose they are."""
    forks = [fork for fork in (force(seed, count, churn=True) for seed in range(8)) if fork is not None]
    assert len(forks) >= 6
    assert len({first.height for _, first, _ in forks}) > 3
    smaller = reseated = 0
    for world, first, second in forks:
        assert first.height == second.height
        elected = world.electorates.at(first.height)
        guilty = convicted(first, second, elected.delegates)
        assert {elected.holders[seat] for seat in guilty} <= set(world.plan.byzantine)
        assert 3 * elected.delegates.power_of(guilty) > elected.delegates.total
        assert {violation.rule for violation in world.checker.violations} == {"agreement"}
        smaller += len(elected.holders) < count
        earlier = [world.electorates.at(height) for height in range(1, first.height)]
        reseated += any(not guilty <= each.byzantine for each in earlier)
    assert smaller >= 1
    assert reseated >= 1, "under another set's seats the same bits name honest delegates"


@given(st.lists(st.integers(1, 1_000), min_size=1, max_size=40), st.data())
def test_any_two_conflicting_quorums_share_more_than_a_third(powers: list[int], data: st.DataObject) -> None:
    """Whoever they are: it is arithmetic."""
    delegates = delegates_of(powers)
    quorums = []
    for _ in range(2):
        order = data.draw(st.permutations(range(len(powers))))
        signers: list[int] = []
        while delegates.power_of(signers) < delegates.quorum:
            signers.append(order[len(signers)])
        quorums.append(bitmap_of(signers, len(powers)))
    first = Certificate(1, 0, Topic.COMMIT, b"a" * 32, quorums[0], bytes(96))
    second = Certificate(1, 5, Topic.COMMIT, b"b" * 32, quorums[1], bytes(96))
    assert 3 * delegates.power_of(convicted(first, second, delegates)) > delegates.total


@pytest.mark.parametrize(
    ("changed", "guilty"),
    [
        ({"block_hash": b"b" * 32}, {0, 1, 2}),
        ({"block_hash": b"b" * 32, "round": 4}, {0, 1, 2}),
        ({"block_hash": b"b" * 32, "signers": b"\x0e"}, {1, 2}),
        ({"round": 4}, set()),
        ({"block_hash": b"b" * 32, "height": 2}, set()),
        ({"block_hash": b"b" * 32, "topic": Topic.LOCK}, set()),
    ],
)
def test_what_conflicts(changed: dict[str, object], guilty: set[int]) -> None:
    """Two blocks of one height: COMMIT in any rounds. One block twice, or other heights or topics, is no conflict."""
    first = Certificate(1, 0, Topic.COMMIT, b"a" * 32, b"\x07", bytes(96))
    assert convicted(first, first._replace(**changed), delegates_of((1,) * 4)) == guilty  # type: ignore[arg-type]


def test_votes_of_two_rounds_conflict_for_commit_only() -> None:
    """An honest delegate may leave a lock when it is shown a later quorum."""
    first = Certificate(1, 0, Topic.LOCK, b"a" * 32, b"\x07", bytes(96))
    assert convicted(first, first._replace(block_hash=b"b" * 32, round=1), delegates_of((1,) * 4)) == set()
    assert convicted(first, first._replace(block_hash=b"b" * 32), delegates_of((1,) * 4)) == {0, 1, 2}
