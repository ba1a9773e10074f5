"""Matching: properties of `plan` over any fleet and any queue, and simulated rounds in which nobody starves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.scheduling.policy import choose_prover, plan
from coordinator.scheduling.values import History, Limits, OpenTask, Prover, ProverStatus

KINDS = ("zkp.groth16", "tee.sgx", "test.hash")
LIMITS = Limits()
NOW = 1_000_000


@st.composite
def open_tasks(draw: st.DrawFn) -> list[OpenTask]:
    tasks = []
    for number in range(draw(st.integers(0, 12))):
        kinds = tuple(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True)))
        tasks.append(
            OpenTask(
                id=f"0x{number:02x}",
                project_id=draw(st.integers(1, 4)),
                kinds=kinds,
                threshold=draw(st.integers(1, len(kinds))),
                deadline_at=NOW + draw(st.integers(-5_000, 2_000_000)),
                next_attempt_at=NOW + draw(st.integers(-5_000, 5_000)),
                attempts_used=draw(st.integers(0, 7)),
                live_kinds=frozenset(draw(st.sets(st.sampled_from(KINDS), max_size=2))),
            )
        )
    return tasks


@st.composite
def fleets(draw: st.DrawFn) -> list[Prover]:
    return [
        Prover(
            id=f"p{number}",
            kind=draw(st.sampled_from(KINDS)),
            status=draw(st.sampled_from(ProverStatus)),
            draining=draw(st.booleans()),
            idle_since=draw(st.integers(0, NOW)),
        )
        for number in range(draw(st.integers(0, 10)))
    ]


histories = st.builds(
    History,
    in_flight=st.dictionaries(st.integers(1, 4), st.integers(0, 5)),
    served_at=st.dictionaries(st.integers(1, 4), st.integers(0, NOW)),
    failed_by=st.dictionaries(
        st.sampled_from(["0x00", "0x01", "0x02"]), st.lists(st.sampled_from(["p0", "p1", "p2"]), max_size=3).map(tuple)
    ),
)


@given(open_tasks(), fleets(), histories)
def test_a_lease_is_only_given_where_every_rule_allows_it(
    tasks: list[OpenTask], fleet: list[Prover], history: History
) -> None:
    leases = plan(NOW, tasks, fleet, history, LIMITS)
    by_id = {prover.id: prover for prover in fleet}
    task_of = {task.id: task for task in tasks}
    assert len({lease.prover_id for lease in leases}) == len(leases), "one lease a prover"
    assert len({(lease.task_id, lease.kind) for lease in leases}) == len(leases), "one attempt a kind"
    for lease in leases:
        prover, task = by_id[lease.prover_id], task_of[lease.task_id]
        assert prover.status is ProverStatus.IDLE
        assert not prover.draining
        assert prover.kind == lease.kind
        assert lease.kind in task.kinds
        assert lease.kind not in task.live_kinds
        assert task.attempts_used < LIMITS.attempt_cap
        assert task.next_attempt_at <= NOW < task.deadline_at
        assert NOW < lease.expires_at <= NOW + LIMITS.lease_ms
        assert lease.expires_at <= lease.deadline_at <= task.deadline_at
    for task in tasks:
        started = sum(lease.task_id == task.id for lease in leases)
        assert started <= max(0, task.threshold - len(task.live_kinds & set(task.kinds)))


@given(open_tasks(), fleets(), histories)
def test_no_prover_is_idle_while_a_task_could_use_it(
    tasks: list[OpenTask], fleet: list[Prover], history: History
) -> None:
    leases = plan(NOW, tasks, fleet, history, LIMITS)
    taken = {lease.prover_id for lease in leases}
    spare = {p.kind for p in fleet if p.status is ProverStatus.IDLE and not p.draining and p.id not in taken}
    for task in tasks:
        if task.attempts_used >= LIMITS.attempt_cap or not task.next_attempt_at <= NOW < task.deadline_at:
            continue
        live = task.live_kinds | {lease.kind for lease in leases if lease.task_id == task.id}
        if len(live & set(task.kinds)) < task.threshold:
            assert not (spare & (set(task.kinds) - live))


@given(open_tasks(), fleets(), histories, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_what_it_is_told(
    tasks: list[OpenTask], fleet: list[Prover], history: History, random: object
) -> None:
    expected = plan(NOW, tasks, fleet, history, LIMITS)
    mixed_tasks, mixed_fleet = list(tasks), list(fleet)
    random.shuffle(mixed_tasks)  # type: ignore[attr-defined]
    random.shuffle(mixed_fleet)  # type: ignore[attr-defined]
    assert plan(NOW, mixed_tasks, mixed_fleet, history, LIMITS) == expected


@settings(max_examples=40, deadline=None)
@given(
    queue=st.dictionaries(st.integers(1, 5), st.integers(1, 60), min_size=1),
    provers=st.integers(1, 4),
)
def test_no_project_starves_over_simulated_rounds(queue: dict[int, int], provers: int) -> None:
    """With p projects waiting, each is served at least once in any p leases in a row."""
    fleet = [Prover(f"p{n}", KINDS[0], ProverStatus.IDLE) for n in range(provers)]
    waiting = [
        OpenTask(f"{project:02}-{n:03}", project, KINDS[:1], 1, NOW * 2)
        for project, count in queue.items()
        for n in range(count)
    ]
    served_at: dict[int, int] = {}
    order = []
    now = NOW
    while waiting:
        now += 1
        leases = plan(now, waiting, fleet, History(served_at=dict(served_at)), LIMITS)
        assert len(leases) == min(provers, len(waiting))
        for lease in leases:
            served_at[lease.project_id] = now
            order.append(lease.project_id)
        gone = {lease.task_id for lease in leases}
        waiting = [task for task in waiting if task.id not in gone]
    left = Counter(queue)
    for at, project in enumerate(order):
        open_projects = [each for each in left if left[each] > 0]
        window = order[at : at + len(open_projects) + provers]
        if min(left[each] for each in open_projects) > len(window):
            assert set(open_projects) <= set(window)
        left[project] -= 1
    assert not +left


def test_ten_thousand_tasks_do_not_hold_back_one() -> None:
    tasks = [OpenTask(f"a{n:05}", 1, KINDS[:1], 1, NOW + 1_000 + n) for n in range(10_000)]
    tasks.append(OpenTask("b", 2, KINDS[:1], 1, NOW + 900_000))
    fleet = [Prover("p0", KINDS[0], ProverStatus.IDLE), Prover("p1", KINDS[0], ProverStatus.IDLE)]
    leases = plan(NOW, tasks, fleet, History(), LIMITS)
    assert [lease.task_id for lease in leases] == ["a00000", "b"]
    busy = History(in_flight={1: 3}, served_at={1: NOW - 1, 2: NOW})
    assert plan(NOW, tasks, fleet[:1], busy, LIMITS)[0].task_id == "b"


def test_the_earliest_deadline_goes_first_within_a_project() -> None:
    tasks = [OpenTask(name, 1, KINDS[:1], 1, NOW + due) for name, due in (("late", 900), ("soon", 100), ("mid", 500))]
    fleet = [Prover(f"p{n}", KINDS[0], ProverStatus.IDLE) for n in range(2)]
    assert [lease.task_id for lease in plan(NOW, tasks, fleet, History(), LIMITS)] == ["soon", "mid"]


@pytest.mark.parametrize(
    ("failed", "chosen"),
    [
        ((), "p1"),
        (("p1",), "p2"),
        (("p2",), "p1"),
        (("p1", "p2"), "p1"),
        (("p2", "p1"), "p2"),
        (("p1", "p2", "p1"), "p2"),
    ],
)
def test_a_prover_that_failed_the_task_takes_it_only_when_no_other_is_idle(
    failed: tuple[str, ...], chosen: str
) -> None:
    idle = [
        Prover("p1", KINDS[0], ProverStatus.IDLE, idle_since=1),
        Prover("p2", KINDS[0], ProverStatus.IDLE, idle_since=2),
    ]
    assert choose_prover("t", idle, History(failed_by={"t": failed})).id == chosen


def test_two_of_three_kinds_start_two_at_once_and_the_third_only_after_a_loss() -> None:
    task = OpenTask("t", 1, KINDS, 2, NOW + 1_000_000)
    fleet = [Prover(f"p-{kind}", kind, ProverStatus.IDLE) for kind in KINDS]
    first = plan(NOW, [task], fleet, History(), LIMITS)
    assert [lease.kind for lease in first] == list(KINDS[:2])
    under_way = replace(task, live_kinds=frozenset(KINDS[:2]))
    assert plan(NOW, [under_way], fleet[2:], History(), LIMITS) == []
    lost_one = replace(task, live_kinds=frozenset(KINDS[:1]), attempts_used=1)
    assert [lease.kind for lease in plan(NOW, [lost_one], fleet[2:], History(), LIMITS)] == [KINDS[2]]


def test_an_attempt_that_confirms_may_end_late_and_never_begin_late() -> None:
    fleet = [Prover("p0", KINDS[0], ProverStatus.IDLE)]
    task = OpenTask("0x00", 1, KINDS[:1], 1, NOW + 100)
    (first,) = plan(NOW, [task], fleet, History(), LIMITS)
    (second,) = plan(NOW, [replace(task, confirms=True)], fleet, History(), LIMITS)
    assert (first.deadline_at, second.deadline_at) == (NOW + 100, NOW + 100 + LIMITS.settle_ms)
    assert plan(NOW + 100, [replace(task, confirms=True)], fleet, History(), LIMITS) == []
