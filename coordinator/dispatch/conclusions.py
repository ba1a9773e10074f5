"""What new proofs mean for their tasks, many at once: the assurance that is reached, and the rivals that are not needed.

Functions over a plain connection. What is rare (two different outputs, a task at its retry cap) is left to `attempts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from coordinator.dispatch.snapshot import LEASED, PROVEN, operators_of
from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.bulk import (
    ATTEMPTS,
    TASKS,
    AttemptMove,
    MovedAttempt,
    TaskMove,
    chunks,
    move_attempts,
    move_tasks,
)
from coordinator.ledger.confirmation import awaited
from coordinator.ledger.transitions import AttemptState, TaskState
from coordinator.scheduling.retry import is_exhausted
from coordinator.scheduling.values import Limits
from verifier.assurance import Assurance, Judgement, Proven, Verdict, judge

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_TASK_COLUMNS = (
    *("id", "state", "project_id", "version", "kinds", "threshold", "attempts_used"),
    *("confirm_kind", "confirm_within", "confirmation"),
)
_TASKS = (
    select(*(TASKS.c[name] for name in _TASK_COLUMNS))
    .where(TASKS.c.id.in_(_IDS))
    .order_by(TASKS.c.id)
    .with_for_update()
)
_PROOF_COLUMNS = ("id", "fence", "task_id", "kind", "output", "public_output", "prover_id", "prover_address")
_PROOFS = (
    select(*(ATTEMPTS.c[name] for name in _PROOF_COLUMNS))
    .where(ATTEMPTS.c.task_id.in_(_IDS), ATTEMPTS.c.state.in_(PROVEN))
    .order_by(ATTEMPTS.c.proved_at, ATTEMPTS.c.id)
)
_RIVALS = (
    select(*(ATTEMPTS.c[name] for name in ("id", "fence", "task_id", "kind")), TASKS.c.confirm_kind)
    .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
    .where(ATTEMPTS.c.task_id.in_(_IDS), ATTEMPTS.c.state.in_(LEASED))
)


@dataclass(frozen=True)
class Left:
    """Tasks that need a closer look."""

    conflicting: tuple[str, ...] = ()
    """Two different outputs are proven."""
    exhausted: tuple[str, ...] = ()
    """Not satisfied yet, and no attempt is left."""


def conclude(
    connection: Connection, now: int, proven: Sequence[MovedAttempt], limits: Limits, book: VersionBook
) -> Left:
    """Move OPEN tasks with proofs enough to SATISFIED, and end the attempts that lost: every leased one of a satisfied
    task but those that are to confirm it, and every leased one of a kind that is proven now."""
    ids = list(dict.fromkeys(each.task_id for each in proven))
    tasks = _tasks(connection, ids)
    proofs = _proofs(connection, ids)
    satisfied: list[TaskMove] = []
    conflicting, exhausted = [], []
    for task_id in ids:
        task = tasks[task_id]
        policy = book.terms(connection, task.project_id, task.version).policy(task.kinds, task.threshold)
        found = judge(policy, _as_proven(connection, policy, proofs[task_id]))
        if found.verdict is Verdict.CONFLICT:
            conflicting.append(task_id)
        elif task.state == TaskState.OPEN.value and found.verdict is Verdict.SATISFIED:
            public_output = next(row.public_output for row in proofs[task_id] if row.output == found.output)
            values = {"output": found.output, "public_output": public_output, **awaited(task, now)}
            satisfied.append(TaskMove(task_id, TaskState.SATISFIED, stood_in(policy, found), values=values))
        elif task.state == TaskState.OPEN.value and is_exhausted(task.attempts_used, limits):
            exhausted.append(task_id)
    ended, _ = move_tasks(connection, now, satisfied)
    _end_doubles(connection, now, proven, proofs)
    _end_rivals(connection, now, frozenset(ended), frozenset((each.task_id, each.kind) for each in proven))
    return Left(tuple(conflicting), tuple(exhausted))


def stood_in(policy: Assurance, found: Judgement) -> str:
    """What a task's timeline says of a result that rests on the kind after `else`, and of one that is to be confirmed;
    empty for any other."""
    said = []
    if policy.fallback in found.kinds:
        said.append(f"{policy.fallback} stood in, for the deadline was at risk")
    if policy.confirm:
        said.append(f"{policy.confirm} is to confirm it within {policy.confirm_within} s")
    return "; ".join(("assurance reached", *said)) if said else ""


def _as_proven(connection: Connection, policy: Assurance, rows: Sequence[Any]) -> list[Proven]:
    """One task's proofs as the judge takes them."""
    operators = operators_of(connection, [row.prover_id for row in rows]) if policy.independent else {}
    return [
        Proven(row.kind, row.output, prover=row.prover_address, operator=operators.get(row.prover_id, ""))
        for row in rows
    ]


def _tasks(connection: Connection, ids: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in chunks(ids):
        found.update({row.id: row for row in connection.execute(_TASKS, {"ids": some})})
    return found


def _proofs(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for some in chunks(ids):
        for row in connection.execute(_PROOFS, {"ids": some}):
            found[row.task_id].append(row)
    return found


def _end_doubles(
    connection: Connection, now: int, proven: Sequence[MovedAttempt], proofs: Mapping[str, list[Any]]
) -> None:
    """One proof a kind: where an attempt and its hedge were reported together, the first report wins. Proofs of two
    outputs both stay, as evidence."""
    moves = []
    for at, each in enumerate(proven):
        if len(proofs[each.task_id]) == 1:
            continue
        output = next(row.output for row in proofs[each.task_id] if row.id == each.id)
        rivals = {row.id for row in proofs[each.task_id] if row.kind == each.kind and row.output == output} - {each.id}
        if rivals - {later.id for later in proven[at + 1 :]}:
            moves.append(AttemptMove(each.id, each.fence, AttemptState.SUPERSEDED, "another attempt won"))
    move_attempts(connection, now, moves)


def _end_rivals(connection: Connection, now: int, satisfied: frozenset[str], kinds: frozenset[tuple[str, str]]) -> None:
    moves = []
    for some in chunks(sorted({task_id for task_id, _ in kinds})):
        for row in connection.execute(_RIVALS, {"ids": some}):
            is_over = row.task_id in satisfied and row.kind != row.confirm_kind
            if is_over or (row.task_id, row.kind) in kinds:
                reason = "another attempt won"
                moves.append(AttemptMove(row.id, row.fence, AttemptState.SUPERSEDED, reason))
    move_attempts(connection, now, moves)
