"""What the ledger says now, read once a round and handed to the policy as values.

Every query here goes by an index on live states and looks at no more rows than there is work for: its cost does not
grow with what was done before, nor with how many tasks wait. Functions over a plain connection (`ledger.one_hop`).
Statements are built once: to build a small one again costs several times what it costs to run it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, bindparam, case, func, or_, select

from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS, chunks
from coordinator.ledger.confirmation import is_awaited, is_confirming
from coordinator.ledger.outbox_tables import OutboxTxRow
from coordinator.ledger.tables import ProjectRow, ProverRow
from coordinator.ledger.transitions import (
    LEASED_ATTEMPT_STATES,
    LIVE_ATTEMPT_STATES,
    TERMINAL_TASK_STATES,
    AttemptState,
    TaskState,
)
from coordinator.scheduling.retry import counted_losses, is_exhausted
from coordinator.scheduling.values import Limits
from verifier.assurance import Proven

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


CONFIRMS = is_confirming(ATTEMPTS.c.kind)
"""An attempt's condition that it is the second stage's, and its task's first one is through."""


class LeasedAttempt(NamedTuple):
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
    confirms: bool = False
    """Whether it is of the kind that confirms its task, whose result stands; `task_deadline_at` is then the time by
    which it should be confirmed."""


_LEASED_ATTEMPTS = (
    select(
        *(ATTEMPTS.c[name] for name in LEASED_COLUMNS),
        TASKS.c.project_id,
        TASKS.c.state.label("task_state"),
        case((CONFIRMS, TASKS.c.confirm_by), else_=TASKS.c.deadline_at).label("task_deadline_at"),
        case((CONFIRMS, 1), else_=0).label("confirms"),
        OUTBOX.c.state.label("assign_state"),
        OUTBOX.c.code.label("assign_code"),
        OUTBOX.c.reason.label("assign_reason"),
    )
    .join(TASKS, TASKS.c.id == ATTEMPTS.c.task_id)
    .outerjoin(OUTBOX, OUTBOX.c.id == ATTEMPTS.c.assign_tx)
    .where(ATTEMPTS.c.state.in_(LEASED))
    .order_by(ATTEMPTS.c.id)
)


def leased_attempts(connection: Connection) -> list[LeasedAttempt]:
    """Every attempt that is ASSIGNED or PROVING, oldest first."""
    rows = connection.execute(_LEASED_ATTEMPTS)
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
            confirms=bool(row.confirms),
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
    address: str = ""
    operator: str = ""

    @property
    def parties(self) -> frozenset[str]:
        """Who stands behind its proofs, in lower case; nobody where it names no operator."""
        return Proven("", "", prover=self.address, operator=self.operator).parties()


_PROVER_RECORDS = select(
    *(PROVERS.c[name] for name in ("id", "status", "draining", "heartbeat_at", "trust", "node", "address", "operator")),
    OUTBOX.c.state.label("registration"),
).outerjoin(OUTBOX, OUTBOX.c.id == PROVERS.c.register_tx)


def prover_records(connection: Connection) -> dict[str, ProverRecord]:
    """Every prover by id."""
    rows = connection.execute(_PROVER_RECORDS)
    return {
        row.id: ProverRecord(
            row.id,
            row.status,
            row.draining,
            row.heartbeat_at,
            row.trust,
            row.node,
            row.registration or "",
            row.address,
            row.operator,
        )
        for row in rows
    }


_OPERATORS = select(PROVERS.c.id, PROVERS.c.operator).where(PROVERS.c.id.in_(bindparam("ids", expanding=True)))


def operators_of(connection: Connection, provers: Sequence[str]) -> dict[str, str]:
    """The operator of each of these provers as it was registered, by prover id; empty where none was named."""
    found: dict[str, str] = {}
    for some in chunks(sorted(set(provers))):
        found.update((row.id, row.operator) for row in connection.execute(_OPERATORS, {"ids": some}))
    return found


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


_OVERDUE = select(TASKS.c.id).where(
    TASKS.c.state.in_((TaskState.RECEIVED.value, TaskState.OPEN.value)), TASKS.c.deadline_at <= bindparam("now")
)


def overdue_tasks(connection: Connection, now: int) -> list[str]:
    """Tasks whose deadline passed before their assurance was reached."""
    return list(connection.execute(_OVERDUE, {"now": now}).scalars())


_UNCONFIRMED = select(TASKS.c.id).where(
    is_awaited(),
    TASKS.c.confirm_by <= bindparam("now"),
    TASKS.c.state.not_in((TaskState.RECEIVED.value, TaskState.OPEN.value)),
)


def unconfirmed_tasks(connection: Connection, now: int) -> list[str]:
    """Tasks with a result that nothing has confirmed in time."""
    return list(connection.execute(_UNCONFIRMED, {"now": now}).scalars())


@dataclass(frozen=True)
class Accounts:
    """What other rooms' transitions leave to the dispatch."""

    proven: tuple[str, ...] = ()
    """OPEN tasks with a proof that no settlement has taken up: their assurance may be reached."""
    lost: tuple[str, ...] = ()
    """OPEN tasks whose lost attempts are more than they count, or too many: the settlement rejected a proof, say."""
    dropped: tuple[tuple[int, int, str], ...] = ()
    """(attempt id, fence, task state) of verified proofs that were not sent before their task ended."""
    unconfirmed: tuple[str, ...] = ()
    """Tasks that await their confirmation whose lost attempts at it are more than they count, or too many."""


_LATEST_EVENT = select(func.max(EVENTS.c.id))
_MOVED_TASKS = select(EVENTS.c.task_id).where(
    EVENTS.c.id > bindparam("after"),
    EVENTS.c.id <= bindparam("up_to"),
    or_(
        (EVENTS.c.subject == "attempt") & EVENTS.c.target.in_(LOST),
        (EVENTS.c.subject == "task") & EVENTS.c.target.in_((TaskState.OPEN.value, *ENDED)),
    ),
)


def latest_event(connection: Connection) -> int:
    """The newest line of any timeline."""
    return connection.execute(_LATEST_EVENT).scalar() or 0


def moved_tasks(connection: Connection, after: int, up_to: int) -> list[str]:
    """Tasks whose timelines, from event `after` on, tell of something that may leave an account to settle."""
    return list(dict.fromkeys(connection.execute(_MOVED_TASKS, {"after": after, "up_to": up_to}).scalars()))


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
        tuple(task for each in found for task in each.unconfirmed),
    )


@cache
def _account_queries(*, of_some: bool) -> tuple[Select[Any], Select[Any], Select[Any], Select[Any]]:
    """What is proven, dropped, lost, and lost of the second stage, of all tasks or of those in the parameter `ids`."""
    asked = (TASKS.c.id.in_(bindparam("ids", expanding=True)),) if of_some else ()
    joined = TASKS.join(ATTEMPTS, TASKS.c.id == ATTEMPTS.c.task_id)
    is_open = TASKS.c.state == TaskState.OPEN.value
    unsent = ATTEMPTS.c.state.in_((AttemptState.PROVED.value, AttemptState.POSTED.value))
    is_proved = ATTEMPTS.c.state == AttemptState.PROVED.value
    # With `coalesce` below no planner begins with all attempts that were ever lost, but with the tasks that wait.
    counted = (ATTEMPTS.c.state.in_(LOST), ATTEMPTS.c.fence >= TASKS.c.counted_from)
    is_second = ATTEMPTS.c.kind == TASKS.c.confirm_kind
    # The proof that confirms a result is sent however late, and where it shows another output, for the chain to see.
    is_evidence = is_second & or_(
        TASKS.c.state == TaskState.FINAL.value,
        (TASKS.c.state == TaskState.FROZEN.value) & (ATTEMPTS.c.output != TASKS.c.output),
    )
    return (
        select(TASKS.c.id).select_from(joined).where(is_open, unsent, *asked).distinct(),
        select(ATTEMPTS.c.id, ATTEMPTS.c.fence, TASKS.c.state)
        .select_from(joined)
        .where(is_proved, TASKS.c.state.in_(ENDED), ~is_evidence, *asked),
        select(TASKS.c.id, TASKS.c.attempts_used, ATTEMPTS.c.code)
        .select_from(joined)
        .where(is_open, ~is_second, *counted, *asked),
        select(TASKS.c.id, TASKS.c.confirm_attempts_used.label("attempts_used"), ATTEMPTS.c.code)
        .select_from(joined)
        .where(is_awaited(), is_second, func.coalesce(ATTEMPTS.c.state, "").in_(LOST), counted[1], *asked),
    )


def _accounts(connection: Connection, limits: Limits, only: Sequence[str] | None) -> Accounts:
    queries = _account_queries(of_some=only is not None)
    proven, dropped, lost, unconfirmed = (
        connection.execute(query, {} if only is None else {"ids": only}) for query in queries
    )
    return Accounts(
        tuple(proven.scalars()),
        _uncounted(lost, limits),
        tuple((row.id, row.fence, row.state) for row in dropped),
        _uncounted(unconfirmed, limits),
    )


def _uncounted(rows: Iterable[Any], limits: Limits) -> tuple[str, ...]:
    """The tasks whose lost attempts (id, attempts_used, code) are other than counted, or too many."""
    losses: dict[tuple[str, int], list[str]] = defaultdict(list)
    for row in rows:
        losses[row.id, row.attempts_used].append(row.code)
    return tuple(
        task_id
        for (task_id, used), codes in losses.items()
        if (count := count_losses(codes, limits)) != used or is_exhausted(count, limits)
    )


def count_losses(codes: Sequence[str], limits: Limits) -> int:
    """How many of a task's lost attempts, by their codes, count against the cap."""
    interrupted = sum(code == INTERRUPTED for code in codes)
    return counted_losses(len(codes) - interrupted, interrupted, limits)
