"""Matching: which task goes to which prover, as one pure function.

Rules, in this order:
1. Only an Idle prover that is not draining, of a kind that the task wants, gets a lease; one lease a prover.
2. A task waits for `next_attempt_at`, ends at `deadline_at`, and has at most `attempt_cap` lost attempts.
3. Among projects the one with the fewest leases goes first, then the one that was served longest ago: ten thousand
   tasks of one project cannot hold back another's only one.
4. Within a project the earliest deadline goes first.
5. The prover that was idle longest takes it; one that failed this task before only when no other is idle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from coordinator.scheduling.assurance import wanted_kinds
from coordinator.scheduling.retry import is_exhausted
from coordinator.scheduling.values import History, Lease, Limits, OpenTask, Prover, ProverStatus


def is_due(now: int, task: OpenTask, limits: Limits) -> bool:
    """Whether the task may be given to a prover now."""
    return task.next_attempt_at <= now < task.deadline_at and not is_exhausted(task.attempts_used, limits)


def choose_prover(task_id: str, idle: Sequence[Prover], history: History) -> Prover:
    """The best of the idle provers (one or more) of a kind: rule 5."""
    failed = history.failed_by.get(task_id, ())

    def rank(prover: Prover) -> tuple[int, int, str]:
        last_failure = len(failed) - failed[::-1].index(prover.id) if prover.id in failed else 0
        return last_failure, prover.idle_since, prover.id

    return min(idle, key=rank)


def lease_for(now: int, task: OpenTask, prover: Prover, limits: Limits) -> Lease:
    """The lease with its two times; the deadline never lies after the task's."""
    deadline = min(task.deadline_at, now + limits.attempt_ms + limits.settle_ms)
    return Lease(
        task_id=task.id,
        project_id=task.project_id,
        kind=prover.kind,
        prover_id=prover.id,
        expires_at=min(deadline, now + limits.lease_ms),
        deadline_at=deadline,
    )


def _idle_by_kind(provers: Iterable[Prover]) -> dict[str, list[Prover]]:
    idle: dict[str, list[Prover]] = defaultdict(list)
    for prover in provers:
        if prover.status is ProverStatus.IDLE and not prover.draining:
            idle[prover.kind].append(prover)
    return idle


def _startable(task: OpenTask, live: frozenset[str], idle: dict[str, list[Prover]]) -> str | None:
    """The first wanted kind that an idle prover has."""
    kinds, missing = wanted_kinds(task.kinds, task.threshold, live)
    return next((kind for kind in kinds if idle.get(kind)), None) if missing else None


class _Queue:
    """One project's due tasks, earliest deadline first."""

    def __init__(self, tasks: Iterable[OpenTask]) -> None:
        self._tasks = sorted(tasks, key=lambda task: (task.deadline_at, task.id))
        self._live = {task.id: task.live_kinds for task in self._tasks}

    def next(self, idle: dict[str, list[Prover]]) -> tuple[OpenTask, str] | None:
        """The first task with a kind to start, and the kind; the kind counts as live from then on."""
        for task in self._tasks:
            kind = _startable(task, self._live[task.id], idle)
            if kind is not None:
                self._live[task.id] |= {kind}
                return task, kind
        return None


def plan(
    now: int, tasks: Iterable[OpenTask], provers: Iterable[Prover], history: History, limits: Limits
) -> list[Lease]:
    """The leases to give now. Deterministic: the same values give the same leases, in the order of their choice."""
    idle = _idle_by_kind(provers)
    by_project: dict[int, list[OpenTask]] = defaultdict(list)
    for task in tasks:
        if is_due(now, task, limits):
            by_project[task.project_id].append(task)
    queues = {project: _Queue(due) for project, due in by_project.items()}
    in_flight = {project: history.in_flight.get(project, 0) for project in queues}
    leases: list[Lease] = []
    while queues and any(idle.values()):
        project = min(queues, key=lambda each: (in_flight[each], history.served_at.get(each, 0), each))
        found = queues[project].next(idle)
        if found is None:
            del queues[
                project
            ]  # idle provers only become fewer: what cannot start now cannot start later in this round
            continue
        task, kind = found
        prover = choose_prover(task.id, idle[kind], history)
        idle[kind].remove(prover)
        in_flight[project] += 1
        leases.append(lease_for(now, task, prover, limits))
    return leases
