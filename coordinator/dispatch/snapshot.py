"""What the ledger says now, read once a round and handed to the policy as values.

Every query here goes by an index on live states and looks at no more rows than there is work for: its cost does not
grow with what was done before, nor with how many tasks wait. Functions over a plain connection (`ledger.one_hop`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, or_, select, tuple_

from coordinator.dispatch.version_terms import VersionBook
from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS, chunks
from coordinator.ledger.tables import OutboxTxRow, ProjectRow, ProverRow
from coordinator.ledger.transitions import (
    LEASED_ATTEMPT_STATES,
    LIVE_ATTEMPT_STATES,
    TERMINAL_TASK_STATES,
    AttemptState,
    TaskState,
)
from coordinator.scheduling.retry import counted_losses, is_exhausted
from coordinator.scheduling.values import Limits, OpenTask

QUEUE_DEPTH = 256
"""Tasks of one project version that a round looks at, earliest deadline first: enough to fill the provers, few enough
that ten thousand waiting tasks cost nothing."""

LIVE = sorted(LIVE_ATTEMPT_STATES)
LEASED = sorted(LEASED_ATTEMPT_STATES)
LOST = (AttemptState.LOST.value, AttemptState.REJECTED.value)
PROVEN = (AttemptState.PROVED.value, AttemptState.POSTED.value, AttemptState.VERIFIED.value)
ENDED = sorted(TERMINAL_TASK_STATES)
LEASED_COLUMNS = (
    "id",
    "task_id",
    "kind",
    "program_id",
    "prover_id",
    "fence",
    "hedge",
    "state",
    "lease_expires_at",
    "deadline_at",
    "started_at",
    "stage",
    "progress",
)
INTERRUPTED = "W3B-3081"
"""Code of a LOST attempt that the coordinator itself broke off."""
OUTBOX: Table = OutboxTxRow.__table__  # type: ignore[attr-defined]
PROJECTS: Table = ProjectRow.__table__  # type: ignore[attr-defined]
PROVERS: Table = ProverRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class LeasedAttempt:
    """An attempt that keeps a prover Busy, with its task's state and its assignment's transaction."""

    id: int
    task_id: str
    project_id: int
    kind: str
    program_id: str
    prover_id: str
    fence: int
    is_hedge: bool
    state: AttemptState
    lease_expires_at: int
    deadline_at: int
    started_at: int | None
    stage: str
    progress: float
    task_state: TaskState
    task_deadline_at: int
    assign_state: str
    """State of the outbox transaction that records the assignment; empty before there is one."""
    assign_code: str
    assign_reason: str


def leased_attempts(connection: Connection) -> list[LeasedAttempt]:
    """Every attempt that is ASSIGNED or PROVING, oldest first."""
    rows = connection.execute(
        select(
            *(ATTEMPTS.c[name] for name in LEASED_COLUMNS),
            TASKS.c.project_id,
            TASKS.c.state.label("task_state"),
            TASKS.c.deadline_at.label("task_deadline_at"),
            OUTBOX.c.state.label("assign_state"),
            OUTBOX.c.code.label("assign_code"),
            OUTBOX.c.reason.label("assign_reason"),
        )
        .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
        .outerjoin(OUTBOX, OUTBOX.c.id == ATTEMPTS.c.assign_tx)
        .where(ATTEMPTS.c.state.in_(LEASED))
        .order_by(ATTEMPTS.c.id)
    )
    return [
        LeasedAttempt(
            id=row.id,
            task_id=row.task_id,
            project_id=row.project_id,
            kind=row.kind,
            program_id=row.program_id,
            prover_id=row.prover_id,
            fence=row.fence,
            is_hedge=row.hedge,
            state=AttemptState(row.state),
            lease_expires_at=row.lease_expires_at,
            deadline_at=row.deadline_at,
            started_at=row.started_at,
            stage=row.stage,
            progress=row.progress,
            task_state=TaskState(row.task_state),
            task_deadline_at=row.task_deadline_at,
            assign_state=row.assign_state or "",
            assign_code=row.assign_code or "",
            assign_reason=row.assign_reason or "",
        )
        for row in rows
    ]


@dataclass(frozen=True)
class ProverRecord:
    """A prover's row, with the state of its registration's transaction."""

    id: str
    status: str
    draining: bool
    heartbeat_at: int
    trust: str
    node: str
    registration: str


def prover_records(connection: Connection) -> dict[str, ProverRecord]:
    """Every prover by id."""
    names = ("id", "status", "draining", "heartbeat_at", "trust", "node")
    rows = connection.execute(
        select(*(PROVERS.c[name] for name in names), OUTBOX.c.state.label("registration")).outerjoin(
            OUTBOX, OUTBOX.c.id == PROVERS.c.register_tx
        )
    )
    return {
        row.id: ProverRecord(
            row.id, row.status, row.draining, row.heartbeat_at, row.trust, row.node, row.registration or ""
        )
        for row in rows
    }


def waiting_tasks(
    connection: Connection, now: int, limits: Limits, book: VersionBook, depth: int = QUEUE_DEPTH
) -> tuple[list[OpenTask], dict[str, tuple[str, ...]], bool]:
    """OPEN tasks that are due and have fewer live kinds than they need, and who failed each, the latest last.

    A paused project's tasks wait: the chain would refuse their assignments. At most `depth` of each project version,
    earliest deadline first: those of one version want the same kinds. The last value says whether there may be more.
    """
    rows: list[tuple[Any, Mapping[str, str]]] = []
    has_more = False
    for project_id, version in _open_versions(connection):
        found = _due(connection, now, limits, (project_id, version), depth)
        has_more |= len(found) == depth
        programs = book.terms(connection, project_id, version).program_ids if found else {}
        rows += [(row, programs) for row in found]
    live, failed_by = _past_attempts(connection, [row.id for row, _ in rows])
    tasks = [
        OpenTask(
            id=row.id,
            project_id=row.project_id,
            kinds=tuple(kind for kind in row.kinds if kind in programs),
            threshold=row.threshold,
            deadline_at=row.deadline_at,
            next_attempt_at=row.next_attempt_at,
            attempts_used=row.attempts_used,
            live_kinds=frozenset(live.get(row.id, ())),
            program_ids=programs,
        )
        for row, programs in rows
    ]
    return tasks, failed_by, has_more


def _open_versions(connection: Connection) -> Iterator[tuple[int, int]]:
    """(project, version) with OPEN tasks whose project is ACTIVE: one look into the index for each."""
    place = tuple_(TASKS.c.project_id, TASKS.c.version)
    first = (
        select(TASKS.c.project_id, TASKS.c.version, PROJECTS.c.state)
        .join(PROJECTS, PROJECTS.c.id == TASKS.c.project_id)
        .where(TASKS.c.state == TaskState.OPEN.value)
        .order_by(TASKS.c.project_id, TASKS.c.version)
        .limit(1)
    )
    row = connection.execute(first).first()
    while row is not None:
        if row.state == "ACTIVE":
            yield row.project_id, row.version
        row = connection.execute(first.where(place > tuple_(row.project_id, row.version))).first()


def _due(connection: Connection, now: int, limits: Limits, version: tuple[int, int], depth: int) -> Sequence[Any]:
    """One version's tasks that may get an attempt now, in the order of the index `ix_task_queue`."""
    live = (
        select(func.count(ATTEMPTS.c.kind.distinct()))
        .where(ATTEMPTS.c.task_id == TASKS.c.id, ATTEMPTS.c.state.in_(LIVE))
        .correlate(TASKS)
        .scalar_subquery()
    )
    names = ("id", "project_id", "kinds", "threshold", "deadline_at", "next_attempt_at", "attempts_used")
    return connection.execute(
        select(*(TASKS.c[name] for name in names))
        .where(
            TASKS.c.state == TaskState.OPEN.value,
            TASKS.c.project_id == version[0],
            TASKS.c.version == version[1],
            TASKS.c.deadline_at > now,
            # Further ahead than any backoff: the clock was set back since.
            or_(TASKS.c.next_attempt_at <= now, TASKS.c.next_attempt_at > now + limits.backoff_most_ms),
            TASKS.c.attempts_used < limits.attempt_cap,
            live < TASKS.c.threshold,
        )
        .order_by(TASKS.c.deadline_at, TASKS.c.id)
        .limit(depth)
    ).all()


def _past_attempts(
    connection: Connection, ids: Sequence[str]
) -> tuple[dict[str, set[str]], dict[str, tuple[str, ...]]]:
    """Live kinds and failed provers of the tasks."""
    live: dict[str, set[str]] = defaultdict(set)
    failed: dict[str, list[str]] = defaultdict(list)
    for some in chunks(ids):
        rows = connection.execute(
            select(ATTEMPTS.c.task_id, ATTEMPTS.c.kind, ATTEMPTS.c.prover_id, ATTEMPTS.c.state)
            .where(ATTEMPTS.c.task_id.in_(some))
            .order_by(ATTEMPTS.c.id)
        )
        for task_id, kind, prover_id, state in rows:
            if state in LIVE:
                live[task_id].add(kind)
            elif state in LOST:
                failed[task_id].append(prover_id)
    return live, {task_id: tuple(provers) for task_id, provers in failed.items()}


def hedged(connection: Connection, tasks: Sequence[str]) -> frozenset[tuple[str, str]]:
    """(task, kind) of these tasks that have had a hedge."""
    rows = connection.execute(
        select(ATTEMPTS.c.task_id, ATTEMPTS.c.kind).where(ATTEMPTS.c.task_id.in_(tasks), ATTEMPTS.c.hedge)
    )
    return frozenset((task_id, kind) for task_id, kind in rows)


def finished_attempts(connection: Connection, most: int) -> list[tuple[str, str, int]]:
    """(kind, program id, milliseconds from start to proof) of the latest proofs, oldest first."""
    rows = connection.execute(
        select(ATTEMPTS.c.kind, ATTEMPTS.c.program_id, ATTEMPTS.c.proved_at - ATTEMPTS.c.started_at)
        .where(ATTEMPTS.c.proved_at.is_not(None), ATTEMPTS.c.started_at.is_not(None))
        .order_by(ATTEMPTS.c.id.desc())
        .limit(most)
    )
    return [(kind, program_id, max(0, whole)) for kind, program_id, whole in reversed(rows.all())]


def overdue_tasks(connection: Connection, now: int) -> list[str]:
    """Tasks whose deadline passed before their assurance was reached."""
    states = (TaskState.RECEIVED.value, TaskState.OPEN.value)
    query = select(TASKS.c.id).where(TASKS.c.state.in_(states), TASKS.c.deadline_at <= now)
    return list(connection.execute(query).scalars())


@dataclass(frozen=True)
class Accounts:
    """What other rooms' transitions leave to the dispatch."""

    proven: tuple[str, ...] = ()
    """OPEN tasks with a proof that no settlement has taken up: their assurance may be reached."""
    lost: tuple[str, ...] = ()
    """OPEN tasks whose lost attempts are more than they count, or too many: the settlement rejected a proof, say."""
    dropped: tuple[tuple[int, int, str], ...] = ()
    """(attempt id, fence, task state) of verified proofs that were not sent before their task ended."""


def latest_event(connection: Connection) -> int:
    """The newest line of any timeline."""
    return connection.execute(select(func.max(EVENTS.c.id))).scalar() or 0


def moved_tasks(connection: Connection, after: int, up_to: int) -> list[str]:
    """Tasks whose timelines, from event `after` on, tell of something that may leave an account to settle."""
    by_attempt = (EVENTS.c.subject == "attempt") & EVENTS.c.target.in_(LOST)
    by_task = (EVENTS.c.subject == "task") & EVENTS.c.target.in_((TaskState.OPEN.value, *ENDED))
    query = select(EVENTS.c.task_id).where(EVENTS.c.id > after, EVENTS.c.id <= up_to, or_(by_attempt, by_task))
    return list(dict.fromkeys(connection.execute(query).scalars()))


def accounts(connection: Connection, limits: Limits, only: Sequence[str] | None = None) -> Accounts:
    """The accounts of these tasks, or of all."""
    if only is not None and not only:
        return Accounts()
    parts = [None] if only is None else list(chunks(only))
    found = [_accounts(connection, limits, part) for part in parts]
    return Accounts(
        tuple(task for each in found for task in each.proven),
        tuple(task for each in found for task in each.lost),
        tuple(proof for each in found for proof in each.dropped),
    )


def _accounts(connection: Connection, limits: Limits, only: Sequence[str] | None) -> Accounts:
    asked = () if only is None else (TASKS.c.id.in_(only),)
    joined = TASKS.join(ATTEMPTS, TASKS.c.id == ATTEMPTS.c.task_id)
    is_open = TASKS.c.state == TaskState.OPEN.value
    unsent = ATTEMPTS.c.state.in_((AttemptState.PROVED.value, AttemptState.POSTED.value))
    proven = select(TASKS.c.id).select_from(joined).where(is_open, unsent, *asked).distinct()
    dropped = connection.execute(
        select(ATTEMPTS.c.id, ATTEMPTS.c.fence, TASKS.c.state)
        .select_from(joined)
        .where(ATTEMPTS.c.state == AttemptState.PROVED.value, TASKS.c.state.in_(ENDED), *asked)
    )
    losses: dict[tuple[str, int], list[str]] = defaultdict(list)
    lost = connection.execute(
        select(TASKS.c.id, TASKS.c.attempts_used, ATTEMPTS.c.code)
        .select_from(joined)
        .where(is_open, ATTEMPTS.c.state.in_(LOST), ATTEMPTS.c.fence >= TASKS.c.counted_from, *asked)
    )
    for row in lost:
        losses[row.id, row.attempts_used].append(row.code)
    return Accounts(
        tuple(connection.execute(proven).scalars()),
        tuple(
            task_id
            for (task_id, used), codes in losses.items()
            if (count := count_losses(codes, limits)) != used or is_exhausted(count, limits)
        ),
        tuple((row.id, row.fence, row.state) for row in dropped),
    )


def count_losses(codes: Sequence[str], limits: Limits) -> int:
    """How many of a task's lost attempts, by their codes, count against the cap."""
    interrupted = sum(code == INTERRUPTED for code in codes)
    return counted_losses(len(codes) - interrupted, interrupted, limits)
