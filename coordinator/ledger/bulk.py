"""Many transitions at once, under the same table and the same guards as `store.move_task` and `store.move_attempt`.

Functions over a plain connection, for `one_hop.in_one_hop`: one SELECT that locks the rows, one guarded UPDATE and one
INSERT of events for all of them. What may not move is told, not raised, so that one stale report does not hold up the
others in its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Table, Update, bindparam, insert, select, update

from coordinator.ledger.tables import AttemptRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import (
    ATTEMPT_TRANSITIONS,
    CONFIRMING_TASK_STATES,
    TASK_TRANSITIONS,
    AttemptState,
    TaskState,
)
from verifier.errors import Conflict, NotFound

CHUNK = 500
"""Ids in one IN list; SQLite takes 32,766 parameters, older ones 999."""
Item = TypeVar("Item")
ATTEMPTS: Table = AttemptRow.__table__  # type: ignore[attr-defined]
TASKS: Table = TaskRow.__table__  # type: ignore[attr-defined]
EVENTS: Table = TaskEventRow.__table__  # type: ignore[attr-defined]

# Built once: to build a statement costs several times what it costs to run it on a few rows.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LOCKED_ATTEMPTS = (
    select(*(ATTEMPTS.c[name] for name in ("id", "fence", "state", "task_id", "kind", "prover_id")), TASKS.c.project_id)
    .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
    .where(ATTEMPTS.c.id.in_(_IDS))
    .order_by(ATTEMPTS.c.id)
    .with_for_update(of=ATTEMPTS)
)
_LOCKED_TASKS = (
    select(
        *(TASKS.c[name] for name in ("id", "state", "project_id", "next_fence", "confirm_kind", "confirmation")),
    )
    .where(TASKS.c.id.in_(_IDS))
    .order_by(TASKS.c.id)
    .with_for_update()
)
_ADD_EVENTS = insert(EVENTS)
_ADD_ATTEMPTS = insert(ATTEMPTS).returning(ATTEMPTS.c.id, ATTEMPTS.c.task_id, ATTEMPTS.c.fence)


@dataclass(frozen=True)
class AttemptMove:
    """A wish to move an attempt, and to set `values` in the same statement."""

    id: int
    fence: int
    target: AttemptState
    reason: str = ""
    code: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    source: AttemptState | None = None
    """The only state to move it from; unset for any from which the table has a way."""


@dataclass(frozen=True)
class TaskMove:
    """A wish to move a task, and to set `values` in the same statement."""

    id: str
    target: TaskState
    reason: str = ""
    code: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MovedAttempt:
    """An attempt that moved."""

    id: int
    fence: int
    task_id: str
    project_id: int
    kind: str
    prover_id: str
    source: AttemptState
    target: AttemptState


@dataclass(frozen=True)
class Refusal:
    """A wish that was not granted, and why: `Conflict` W3B-3001 or W3B-3002, or `NotFound` W3B-3003 or W3B-3004."""

    id: int | str
    error: Conflict | NotFound


@dataclass(frozen=True)
class Event:
    """A line of a task's timeline."""

    task_id: str
    project_id: int
    subject: str
    source: str
    target: str
    reason: str
    code: str = ""
    attempt_id: int | None = None


def chunks(items: Sequence[Item], size: int = CHUNK) -> Iterator[Sequence[Item]]:
    """The items, at most `size` at a time."""
    return (items[at : at + size] for at in range(0, len(items), size))


def add_events(connection: Connection, now: int, events: Iterable[Event]) -> None:
    """Write lines to the timelines, in this order."""
    rows = [
        {
            "task_id": event.task_id,
            "project_id": event.project_id,
            "attempt_id": event.attempt_id,
            "subject": event.subject,
            "source": str(event.source),
            "target": str(event.target),
            "reason": event.reason,
            "code": event.code,
            "at": now,
        }
        for event in events
    ]
    if rows:
        connection.execute(_ADD_EVENTS, rows)


def move_attempts(
    connection: Connection, now: int, moves: Sequence[AttemptMove]
) -> tuple[list[MovedAttempt], list[Refusal]]:
    """Move attempts, each under its own fence; returns those that moved, in order, and those that may not.

    An attempt named twice moves once: the second wish is judged by the state that the first one leaves.
    """
    if not moves:
        return [], []
    found = _attempts(connection, [move.id for move in moves])
    states = {row.id: AttemptState(row.state) for row in found.values()}
    moved: list[MovedAttempt] = []
    refused: list[Refusal] = []
    events: list[Event] = []
    rows: list[dict[str, Any]] = []
    for move in moves:
        row = found.get(move.id)
        why = _attempt_refusal(move, row, states.get(move.id))
        if why is not None:
            refused.append(Refusal(move.id, why))
            continue
        assert row is not None
        source = states[move.id]
        states[move.id] = move.target
        reason = move.reason or ATTEMPT_TRANSITIONS[source][move.target]
        values = {"state": move.target.value, "updated_at": now, "code": move.code, "reason": reason, **move.values}
        rows.append({"b_id": move.id, "b_fence": move.fence, "b_state": source.value, **_prefixed(values)})
        kind, prover_id = row.kind, row.prover_id
        moved.append(
            MovedAttempt(move.id, move.fence, row.task_id, row.project_id, kind, prover_id, source, move.target)
        )
        events.append(
            Event(row.task_id, row.project_id, "attempt", source.value, move.target.value, reason, move.code, move.id)
        )
    _update(connection, ATTEMPTS, ("id", "fence", "state"), rows)
    add_events(connection, now, events)
    return moved, refused


def _attempts(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    """The attempts with their projects, locked until the transaction ends."""
    found: dict[int, Any] = {}
    for some in chunks(sorted(set(ids))):
        found.update({row.id: row for row in connection.execute(_LOCKED_ATTEMPTS, {"ids": some})})
    return found


def _attempt_refusal(move: AttemptMove, row: Any, state: AttemptState | None) -> Conflict | NotFound | None:
    if row is None or state is None:
        return NotFound("W3B-3004", f"there is no attempt {move.id}", field="attempt_id")
    if row.fence != move.fence:
        return Conflict("W3B-3002", f"attempt {move.id} has fence {row.fence}, not {move.fence}", field="fence")
    if move.target not in ATTEMPT_TRANSITIONS[state] or move.source not in (None, state):
        return Conflict("W3B-3001", f"attempt {move.id} is {state}; it cannot become {move.target}", field="state")
    return None


def move_tasks(connection: Connection, now: int, moves: Sequence[TaskMove]) -> tuple[list[str], list[Refusal]]:
    """Move tasks; returns the ids that moved, in order, and those that may not. Each task may be named once."""
    if not moves:
        return [], []
    states: dict[str, tuple[TaskState, int]] = {}
    for some in chunks(sorted({move.id for move in moves})):
        rows = connection.execute(_LOCKED_TASKS, {"ids": some})
        states.update({row.id: (TaskState(row.state), row.project_id) for row in rows})
    moved: list[str] = []
    refused: list[Refusal] = []
    events: list[Event] = []
    updates: list[dict[str, Any]] = []
    for move in moves:
        if move.id not in states:
            refused.append(Refusal(move.id, NotFound("W3B-3003", f"there is no task {move.id}", field="task_id")))
            continue
        source, project_id = states[move.id]
        if move.target not in TASK_TRANSITIONS[source]:
            why = Conflict("W3B-3001", f"task {move.id} is {source}; it cannot become {move.target}", field="state")
            refused.append(Refusal(move.id, why))
            continue
        reason = move.reason or TASK_TRANSITIONS[source][move.target]
        values = {"state": move.target.value, "updated_at": now, "code": move.code, "reason": reason, **move.values}
        updates.append({"b_id": move.id, "b_state": source.value, **_prefixed(values)})
        moved.append(move.id)
        events.append(Event(move.id, project_id, "task", source.value, move.target.value, reason, move.code))
    _update(connection, TASKS, ("id", "state"), updates)
    add_events(connection, now, events)
    return moved, refused


def _prefixed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter names that no column has: SQLAlchemy keeps the columns' own for itself."""
    return {f"v_{name}": value for name, value in values.items()}


def _update(connection: Connection, table: Table, guard: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    """Update every row. Raises Conflict (W3B-3001) when a guard failed, which the locks rule out; the transaction is
    then rolled back as a whole."""
    missed = _execute(connection, table, guard, rows)
    if missed:
        raise Conflict("W3B-3001", f"{missed} rows moved meanwhile", field="state")


def _execute(connection: Connection, table: Table, guard: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> int:
    """One UPDATE for each set of columns, over all rows that set it; returns how many rows the guard kept out (0 where
    the driver does not count)."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_columns[tuple(sorted(name for name in row if name.startswith("v_")))].append(row)
    missed = 0
    for names, some in by_columns.items():
        done = connection.execute(_guarded_update(table, guard, names), some)
        missed += len(some) - done.rowcount if done.rowcount >= 0 else 0
    return missed


@lru_cache(maxsize=256)
def _guarded_update(table: Table, guard: tuple[str, ...], names: tuple[str, ...]) -> Update:
    """UPDATE that sets the columns `v_…` where the columns of `guard` are the parameters `b_…`."""
    kept = (table.c[name] == bindparam(f"b_{name}") for name in guard)
    values = {name[2:]: bindparam(name, type_=table.c[name[2:]].type) for name in names}
    return update(table).where(*kept).values(values)


@dataclass(frozen=True)
class NewAttempt:
    """An attempt to record: ASSIGNED, under the task's next fence."""

    task_id: str
    project_id: int
    kind: str
    program_id: str
    prover_id: str
    prover_address: str
    lease_expires_at: int
    deadline_at: int
    hedge: bool = False
    reason: str = ""


def add_attempts(
    connection: Connection, now: int, wanted: Sequence[NewAttempt]
) -> tuple[list[tuple[NewAttempt, int, int]], list[Refusal]]:
    """Record attempts of OPEN tasks, and of the confirming kind those of tasks that wait for it; returns (attempt, its
    id, its fence) for each, and the tasks that take none.

    A task may be named more than once: its attempts get one fence after the other.
    """
    if not wanted:
        return [], []
    fences: dict[str, int] = {}
    states: dict[str, Any] = {}
    for some in chunks(sorted({attempt.task_id for attempt in wanted})):
        for row in connection.execute(_LOCKED_TASKS, {"ids": some}):
            fences[row.id], states[row.id] = row.next_fence, row
    first = dict(fences)
    refused = [
        Refusal(
            attempt.task_id,
            Conflict(
                "W3B-3001",
                f"task {attempt.task_id} is {_state(states.get(attempt.task_id))} and takes no attempt",
                field="state",
            ),
        )
        for attempt in wanted
        if not _takes(states.get(attempt.task_id), attempt.kind)
    ]
    taken: dict[tuple[str, int], NewAttempt] = {}
    for attempt in wanted:
        if _takes(states.get(attempt.task_id), attempt.kind):
            taken[attempt.task_id, fences[attempt.task_id]] = attempt
            fences[attempt.task_id] += 1
    if not taken:
        return [], refused
    _take_fences(connection, first, fences)
    rows = [_attempt_values(now, fence, attempt) for (_, fence), attempt in taken.items()]
    made = connection.execute(_ADD_ATTEMPTS, rows)
    ids = {(row.task_id, row.fence): row.id for row in made}
    add_events(
        connection,
        now,
        [
            Event(
                attempt.task_id,
                attempt.project_id,
                "attempt",
                "",
                AttemptState.ASSIGNED.value,
                attempt.reason or f"leased to {attempt.prover_id}",
                attempt_id=ids[key],
            )
            for key, attempt in taken.items()
        ],
    )
    return [(attempt, ids[key], key[1]) for key, attempt in taken.items()], refused


def _takes(task: Any, kind: str) -> bool:
    """Whether a task takes an attempt of the kind now."""
    if task is None or task.state == TaskState.OPEN.value:
        return task is not None
    return task.confirmation == "AWAITED" and kind == task.confirm_kind and task.state in CONFIRMING_TASK_STATES


def _state(task: Any) -> str:
    return "gone" if task is None else str(task.state)


def _take_fences(connection: Connection, first: Mapping[str, int], after: Mapping[str, int]) -> None:
    rows = [
        {"b_id": task_id, "b_next_fence": first[task_id], "v_next_fence": fence}
        for task_id, fence in after.items()
        if fence != first[task_id]
    ]
    _update(connection, TASKS, ("id", "next_fence"), rows)


def _attempt_values(now: int, fence: int, attempt: NewAttempt) -> dict[str, Any]:
    return {
        "task_id": attempt.task_id,
        "kind": attempt.kind,
        "program_id": attempt.program_id,
        "prover_id": attempt.prover_id,
        "prover_address": attempt.prover_address,
        "fence": fence,
        "hedge": attempt.hedge,
        "state": AttemptState.ASSIGNED.value,
        "lease_expires_at": attempt.lease_expires_at,
        "heartbeat_at": now,
        "deadline_at": attempt.deadline_at,
        "stage": "",
        "progress": 0.0,
        "output": "",
        "session_key": "",
        "seconds": {},
        "code": "",
        "reason": "",
        "created_at": now,
        "updated_at": now,
    }


def set_attempts(connection: Connection, rows: Sequence[tuple[int, int, AttemptState, Mapping[str, Any]]]) -> None:
    """Set values of attempts that stay in their state: (id, fence, state, values); one that left it is left alone."""
    _execute(
        connection,
        ATTEMPTS,
        ("id", "fence", "state"),
        [{"b_id": at, "b_fence": fence, "b_state": state.value, **_prefixed(v)} for at, fence, state, v in rows],
    )
