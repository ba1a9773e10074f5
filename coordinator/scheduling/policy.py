"""Matching: which task goes to which prover, as one pure function.

Rules, in this order:
1. Only a prover that is there, not draining, with room, of a kind that the task wants, gets a lease. It has room for one
   lease, or for several where its tasks are measured to be tiny (`pace.py`).
2. A task waits for `next_attempt_at`, ends at `deadline_at`, and has at most `attempt_cap` lost attempts.
3. Among projects the one with the fewest leases goes first, then the one that was served longest ago: ten thousand
   tasks of one project cannot hold back another's only one.
4. Within a project the earliest deadline goes first.
5. Where the project wants independent operators, nobody who stands behind a proof or an attempt of the task gets
   another one. The kind that a project names after `else` is given out only when the deadline is at risk, and the one
   that confirms only when the result stands: such a task waits once more, for that kind alone (`OpenTask.confirms`).
6. The prover with the fewest leases takes it, among those the one that was idle longest; one that failed this task
   before only when no other has room.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from coordinator.scheduling.assurance import Live, may_count, wanted_kinds
from coordinator.scheduling.retry import is_exhausted
from coordinator.scheduling.values import History, Lease, Limits, OpenTask, Prover


def is_due(now: int, task: OpenTask, limits: Limits) -> bool:
    """Whether the task may be given to a prover now. A wait longer than the longest backoff was written by a clock that
    was set back since: it is over."""
    waits = 0 < task.next_attempt_at - now <= limits.backoff_most_ms
    return not waits and now < task.deadline_at and not is_exhausted(task.attempts_used, limits)


def choose_prover(
    task_id: str, provers: Sequence[Prover], history: History, given: Mapping[str, int] | None = None
) -> Prover:
    """The best of the provers with room (one or more) of a kind: rule 6. `given` counts leases given just now."""
    failed = history.failed_by.get(task_id, ())
    new = given or {}

    def rank(prover: Prover) -> tuple[int, int, int, str]:
        last_failure = len(failed) - failed[::-1].index(prover.id) if prover.id in failed else 0
        return last_failure, prover.held + new.get(prover.id, 0), prover.idle_since, prover.id

    return min(provers, key=rank)


def lease_for(now: int, task: OpenTask, prover: Prover, limits: Limits, *, is_hedge: bool = False) -> Lease:
    """The lease with its two times; the deadline never lies after the task's, or as much as a settlement takes after
    that of a proof which confirms."""
    last = task.deadline_at + limits.settle_ms if task.confirms else task.deadline_at
    deadline = min(last, now + limits.attempt_ms + limits.settle_ms)
    return Lease(
        task_id=task.id,
        project_id=task.project_id,
        kind=prover.kind,
        prover_id=prover.id,
        expires_at=min(deadline, now + limits.lease_ms),
        deadline_at=deadline,
        program_id=task.program_ids.get(prover.kind, ""),
        is_hedge=is_hedge,
        stands_in=prover.kind == task.fallback,
    )


class _Room:
    """The provers with room by kind, while leases are given."""

    def __init__(self, provers: Iterable[Prover]) -> None:
        self.by_kind: dict[str, list[Prover]] = defaultdict(list)
        self._given: Counter[str] = Counter()
        for prover in provers:
            if prover.room > 0:
                self.by_kind[prover.kind].append(prover)

    def __bool__(self) -> bool:
        return any(self.by_kind.values())

    def take(self, task_id: str, provers: Sequence[Prover], history: History) -> Prover:
        """The best of these provers of one kind, with one place less."""
        prover = choose_prover(task_id, provers, history, self._given)
        self._given[prover.id] += 1
        if self._given[prover.id] >= prover.room:
            self.by_kind[prover.kind].remove(prover)
        return prover


class _Queue:
    """One project's due tasks, earliest deadline first."""

    def __init__(self, tasks: Iterable[OpenTask], now: int, limits: Limits) -> None:
        self._tasks = sorted(tasks, key=lambda task: (task.deadline_at, task.id))
        self._live = {task.id: Live(task.live_kinds, task.live_parties) for task in self._tasks}
        self._now = now
        self._limits = limits

    def next(self, by_kind: Mapping[str, list[Prover]]) -> tuple[OpenTask, Sequence[Prover]] | None:
        """The first task with a kind to start, and the provers that may take it; `note` who does."""
        for at, task in enumerate(self._tasks):
            live = self._live[task.id]
            kinds, missing = wanted_kinds(self._now, task, live.kinds, self._limits)
            for kind in kinds if missing else ():
                if provers := may_count(task, live, by_kind.get(kind, ())):
                    if missing == 1:
                        del self._tasks[: at + 1]  # those before it cannot start in this round: room only becomes less
                    return task, provers
        return None

    def note(self, task: OpenTask, prover: Prover) -> None:
        """The task's kind is live from now on, with whom stands behind the prover."""
        self._live[task.id] = self._live[task.id].with_lease(prover.kind, prover)


def plan(
    now: int, tasks: Iterable[OpenTask], provers: Iterable[Prover], history: History, limits: Limits
) -> list[Lease]:
    """The leases to give now. Deterministic: the same values give the same leases, in the order of their choice."""
    room = _Room(provers)
    by_project: dict[int, list[OpenTask]] = defaultdict(list)
    for task in tasks:
        if is_due(now, task, limits):
            by_project[task.project_id].append(task)
    queues = {project: _Queue(due, now, limits) for project, due in by_project.items()}
    in_flight = {project: history.in_flight.get(project, 0) for project in queues}
    leases: list[Lease] = []
    while queues and room:
        project = min(queues, key=lambda each: (in_flight[each], history.served_at.get(each, 0), each))
        found = queues[project].next(room.by_kind)
        if found is None:
            del queues[project]  # room only becomes less: what cannot start now cannot start later in this round
            continue
        task, provers_for_it = found
        in_flight[project] += 1
        prover = room.take(task.id, provers_for_it, history)
        queues[project].note(task, prover)
        leases.append(lease_for(now, task, prover, limits))
    return leases
