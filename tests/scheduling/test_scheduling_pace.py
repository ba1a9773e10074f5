"""Pace and hedging: depths, percentiles, and properties of `hedges` over any fleet and any set of running attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.scheduling.hedge import Running, hedge_room, hedges
from coordinator.scheduling.pace import Pace, percentile, queue_depth
from coordinator.scheduling.policy import plan
from coordinator.scheduling.retry import counted_losses
from coordinator.scheduling.values import History, Limits, OpenTask, Prover, ProverStatus

NOW = 1_000_000
LIMITS = Limits(hedge_share=0.25)
KINDS = ("zkp.groth16", "tee.sgx")
PROGRAMS = {kind: f"0x{number}" for number, kind in enumerate(KINDS)}


def open_task(name: str, kind: str, deadline_at: int = NOW + 1_000_000) -> OpenTask:
    return OpenTask(name, 1, (kind,), 1, deadline_at, program_ids=PROGRAMS)


@st.composite
def running_attempts(draw: st.DrawFn) -> list[Running]:
    made = []
    for number in range(draw(st.integers(0, 10))):
        kind = draw(st.sampled_from(KINDS))
        made.append(
            Running(
                open_task(f"0x{draw(st.integers(0, 6))}", kind, NOW + draw(st.integers(-10, 100_000))),
                kind,
                PROGRAMS[kind],
                f"p{number}",
                draw(st.integers(0, 50_000)),
                is_hedge=draw(st.booleans()),
            )
        )
    return made


provers = st.lists(
    st.builds(
        Prover,
        id=st.integers(0, 14).map(lambda number: f"p{number}"),
        kind=st.sampled_from(KINDS),
        status=st.sampled_from(ProverStatus),
        draining=st.booleans(),
        idle_since=st.integers(0, NOW),
        held=st.integers(0, 2),
        depth=st.integers(1, 4),
    ),
    max_size=8,
    unique_by=lambda prover: prover.id,
)
long_after = st.dictionaries(st.sampled_from([(k, PROGRAMS[k]) for k in KINDS]), st.integers(1, 30_000))
hedged = st.frozensets(st.tuples(st.sampled_from(["0x1", "0x2"]), st.sampled_from(KINDS)))


@given(running_attempts(), provers, long_after, hedged)
def test_a_hedge_is_only_made_where_every_rule_allows_it(
    running: list[Running], fleet: list[Prover], late: dict[tuple[str, str], int], had: frozenset[tuple[str, str]]
) -> None:
    made = hedges(NOW, running, fleet, late, had, limits=LIMITS)
    by_id = {prover.id: prover for prover in fleet}
    assert len(made) <= hedge_room(running, LIMITS)
    assert len({lease.prover_id for lease in made}) == len(made)
    assert len({(lease.task_id, lease.kind) for lease in made}) == len(made)
    for lease in made:
        prover = by_id[lease.prover_id]
        assert lease.is_hedge
        assert (lease.task_id, lease.kind) not in had
        assert prover.status is ProverStatus.IDLE
        assert not prover.draining
        assert prover.held == 0
        assert prover.kind == lease.kind
        first = [
            each
            for each in running
            if (each.task.id, each.kind) == (lease.task_id, lease.kind)
            and not each.is_hedge
            and each.prover_id != lease.prover_id
            and each.running_ms > late.get((each.kind, each.program_id), each.running_ms)
        ]
        assert first, "beside an attempt of another prover that takes longer than p95"
        assert first[0].task.deadline_at > NOW
        assert lease.program_id == PROGRAMS[lease.kind]


@given(running_attempts())
def test_hedges_never_go_over_their_share_and_one_is_always_allowed(running: list[Running]) -> None:
    live = sum(each.is_hedge for each in running)
    assert hedge_room(running, replace(LIMITS, hedge_share=0)) == 0
    room = hedge_room(running, LIMITS)
    assert room >= 0
    assert room + live <= max(1, live, int(0.25 * len(running)))
    if not live:
        assert room >= 1


def test_the_attempt_that_is_longest_over_its_expectation_goes_first() -> None:
    running = [
        Running(open_task("0x1", KINDS[0]), KINDS[0], PROGRAMS[KINDS[0]], "a", 9_000),
        Running(open_task("0x2", KINDS[0]), KINDS[0], PROGRAMS[KINDS[0]], "b", 20_000),
    ]
    idle = [Prover("c", KINDS[0], ProverStatus.IDLE)]
    (lease,) = hedges(NOW, running, idle, {(KINDS[0], PROGRAMS[KINDS[0]]): 5_000}, frozenset(), limits=LIMITS)
    assert (lease.task_id, lease.prover_id) == ("0x2", "c")


def test_the_holder_itself_is_no_second_prover() -> None:
    running = [Running(open_task("0x1", KINDS[0]), KINDS[0], PROGRAMS[KINDS[0]], "a", 9_000)]
    idle = [Prover("a", KINDS[0], ProverStatus.IDLE)]
    assert not hedges(NOW, running, idle, {(KINDS[0], PROGRAMS[KINDS[0]]): 5_000}, frozenset(), limits=LIMITS)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300), st.floats(0, 1))
def test_a_percentile_is_a_sample_with_its_share_at_or_below(samples: list[int], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(each <= found for each in samples) >= share * len(samples) - 1e-6
    assert percentile(samples, 1.0) == max(samples)


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.95)


def test_p95_needs_samples_enough_and_has_a_floor() -> None:
    pace = Pace(Limits(hedge_samples=20, hedge_floor_ms=3_000))
    program = (KINDS[0], PROGRAMS[KINDS[0]])
    for number in range(19):
        pace.note(program, 100 * number)
    assert not pace.long_after()
    pace.note(program, 10)
    assert pace.long_after() == {program: 3_000}
    for _ in range(300):
        pace.note(program, 8_000)
    assert pace.long_after() == {program: 8_000}


@given(st.floats(1e-7, 1e4))
def test_a_worker_holds_no_more_than_its_share_of_measured_work(seconds: float) -> None:
    depth = queue_depth(seconds, LIMITS)
    assert 1 <= depth <= LIMITS.queue_most
    assert depth == 1 or depth * seconds * 1000 <= LIMITS.queue_ms * 1.001


def test_the_slowest_program_of_a_kind_sets_the_depth_and_an_unknown_one_is_not_tiny() -> None:
    pace = Pace(LIMITS)
    assert pace.depth(KINDS[0]) == 1
    for _ in range(40):
        pace.note((KINDS[0], "0xa"), 5, 0.0099)
    assert pace.depth(KINDS[0]) == 10
    pace.note((KINDS[0], "0xb"), 300, 0.3)
    assert pace.depth(KINDS[0]) == 1
    assert pace.depth(KINDS[1]) == 1


@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_tiny_tasks_fill_the_room_evenly(count: int, depths: list[int]) -> None:
    fleet = [Prover(f"p{n}", KINDS[0], ProverStatus.IDLE, depth=depth) for n, depth in enumerate(depths)]
    tasks = [open_task(f"0x{n:02}", KINDS[0]) for n in range(count)]
    leases = plan(NOW, tasks, fleet, History(), LIMITS)
    given_to = [sum(lease.prover_id == prover.id for lease in leases) for prover in fleet]
    assert len(leases) == min(count, sum(depths))
    assert all(had <= prover.depth for had, prover in zip(given_to, fleet, strict=True))
    unfilled = [had for had, prover in zip(given_to, fleet, strict=True) if had < prover.depth]
    assert not unfilled or max(given_to) - min(unfilled) <= 1


@given(st.integers(0, 100), st.integers(0, 100))
def test_interruptions_are_free_only_up_to_their_bound(lost: int, interrupted: int) -> None:
    counted = counted_losses(lost, interrupted, LIMITS)
    assert counted >= lost
    assert (counted == lost) is (interrupted <= LIMITS.interruption_cap)
    assert counted_losses(lost, interrupted + 1, LIMITS) <= counted + 1
