"""The tasks that wait for provers, as the policy takes them, read once a round.

Every query here goes by an index on live states and looks at no more rows than there is work for (`snapshot.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, func, literal, or_, select, tuple_

from coordinator.dispatch.snapshot import LIVE, LOST, PROJECTS, PROVEN, operators_of
from coordinator.dispatch.version_terms import Terms, VersionBook
from coordinator.ledger.bulk import ATTEMPTS, TASKS, chunks
from coordinator.ledger.confirmation import is_awaited, wants_confirmation
from coordinator.ledger.transitions import TaskState
from coordinator.scheduling.values import Limits, OpenTask
from verifier.assurance import Proven

QUEUE_DEPTH = 256
"""Tasks of one project version that a round looks at, earliest deadline first: enough to fill the provers, few enough
that ten thousand waiting tasks cost nothing."""


def waiting_tasks(
    connection: Connection, now: int, limits: Limits, book: VersionBook, depth: int = QUEUE_DEPTH
) -> tuple[list[OpenTask], dict[str, tuple[str, ...]], bool]:
    """OPEN tasks that are due and have fewer live kinds than they need, those that wait for the proof that confirms
    them, and who failed each, the latest last.

    A paused project's tasks wait: the chain would refuse their assignments. At most `depth` of each project version,
    earliest deadline first: those of one version want the same kinds. The last value says whether there may be more.
    """
    rows: list[tuple[Any, Terms]] = []
    has_more = False
    for stage, queue in ((_OPEN_VERSIONS, _due), (_AWAITED_VERSIONS, _unconfirmed)):
        for project_id, version in _versions(connection, stage):
            terms = book.terms(connection, project_id, version)
            asked = {"project_id": project_id, "version": version, "now": now, "depth": depth}
            found = queue(connection, {**asked, **_limited(now, limits)}, terms)
            has_more |= len(found) == depth
            rows += [(row, terms) for row in found]
    past = _past_attempts(connection, [row.id for row, _ in rows])
    parties = _live_parties(connection, past, [row.id for row, terms in rows if terms.form.get("independent")])
    tasks = [_open_task(row, terms, past.live[row.id], parties.get(row.id, frozenset())) for row, terms in rows]
    return tasks, {task_id: tuple(provers) for task_id, provers in past.failed_by.items()}, has_more


def _open_task(row: Any, terms: Terms, live: Mapping[str, bool], parties: frozenset[str]) -> OpenTask:
    kinds = tuple(kind for kind in row.kinds if kind in terms.program_ids)
    policy = terms.policy(kinds, row.threshold)
    if row.confirms:
        return OpenTask(
            id=row.id,
            project_id=row.project_id,
            kinds=(policy.confirm,),
            threshold=1,
            deadline_at=row.deadline_at,
            next_attempt_at=row.next_attempt_at,
            attempts_used=row.attempts_used,
            program_ids=terms.program_ids,
            independent=policy.independent,
            live_parties=parties,
            confirms=True,
        )
    return OpenTask(
        id=row.id,
        project_id=row.project_id,
        kinds=tuple(kind for kind in kinds if kind != policy.confirm),
        threshold=row.threshold,
        deadline_at=row.deadline_at,
        next_attempt_at=row.next_attempt_at,
        attempts_used=row.attempts_used,
        live_kinds=frozenset(live),
        program_ids=terms.program_ids,
        proven_kinds=frozenset(kind for kind, proven in live.items() if proven),
        fallback=policy.fallback,
        risk_at=row.deadline_at - terms.risk_ms,
        independent=policy.independent,
        live_parties=parties,
    )


def _version_queries(wanted: ColumnElement[bool]) -> tuple[Select[Any], Select[Any]]:
    """The first (project, version) with such tasks, and the one after another."""
    first = (
        select(TASKS.c.project_id, TASKS.c.version, PROJECTS.c.state)
        .join(PROJECTS, PROJECTS.c.id == TASKS.c.project_id)
        .where(wanted)
        .order_by(TASKS.c.project_id, TASKS.c.version)
        .limit(1)
    )
    after = tuple_(bindparam("project_id", type_=Integer), bindparam("version", type_=Integer))
    return first, first.where(tuple_(TASKS.c.project_id, TASKS.c.version) > after)


_OPEN_VERSIONS = _version_queries(TASKS.c.state == TaskState.OPEN.value)
_AWAITED_VERSIONS = _version_queries(is_awaited())


def _versions(connection: Connection, queries: tuple[Select[Any], Select[Any]]) -> Iterator[tuple[int, int]]:
    """(project, version) with tasks of a stage whose project is ACTIVE: one look into the index for each."""
    first, following = queries
    row = connection.execute(first).first()
    while row is not None:
        if row.state == "ACTIVE":
            yield row.project_id, row.version
        row = connection.execute(following, {"project_id": row.project_id, "version": row.version}).first()


_LIVE_KINDS = (
    select(func.count(ATTEMPTS.c.kind.distinct()))
    .where(ATTEMPTS.c.task_id == TASKS.c.id, ATTEMPTS.c.state.in_(LIVE), ATTEMPTS.c.kind != TASKS.c.confirm_kind)
    .correlate(TASKS)
    .scalar_subquery()
)
_DUE_COLUMNS = ("id", "project_id", "kinds", "threshold", "deadline_at", "next_attempt_at", "attempts_used")
_STARTED_FALLBACK = (
    select(ATTEMPTS.c.id)
    .where(ATTEMPTS.c.task_id == TASKS.c.id, ATTEMPTS.c.state.in_(LIVE), ATTEMPTS.c.kind == bindparam("fallback"))
    .correlate(TASKS)
    .exists()
)
_WANTS_MORE = TASKS.c.threshold > _LIVE_KINDS
_WANTS_FALLBACK = (
    or_(TASKS.c.deadline_at <= bindparam("risky"), TASKS.c.attempts_used >= bindparam("cap") - 1) & ~_STARTED_FALLBACK
)


def _due_query(wants: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*(TASKS.c[name] for name in _DUE_COLUMNS), literal(False).label("confirms"))
        .where(
            TASKS.c.state == TaskState.OPEN.value,
            TASKS.c.project_id == bindparam("project_id"),
            TASKS.c.version == bindparam("version"),
            TASKS.c.deadline_at > bindparam("now"),
            # Further ahead than any backoff: the clock was set back since.
            or_(TASKS.c.next_attempt_at <= bindparam("now"), TASKS.c.next_attempt_at > bindparam("latest")),
            TASKS.c.attempts_used < bindparam("cap"),
            wants,
        )
        .order_by(TASKS.c.deadline_at, TASKS.c.id)
        .limit(bindparam("depth", type_=Integer))
    )


_DUE = _due_query(_WANTS_MORE)
_DUE_OR_AT_RISK = _due_query(or_(_WANTS_MORE, _WANTS_FALLBACK))
"""What stands in is started beside attempts that are under way."""


_STARTED_CONFIRMATION = (
    select(ATTEMPTS.c.id)
    .where(ATTEMPTS.c.task_id == TASKS.c.id, ATTEMPTS.c.state.in_(LIVE), ATTEMPTS.c.kind == TASKS.c.confirm_kind)
    .correlate(TASKS)
    .exists()
)
_UNCONFIRMED = (
    select(
        *(TASKS.c[name] for name in ("id", "project_id", "kinds", "threshold")),
        TASKS.c.confirm_by.label("deadline_at"),
        TASKS.c.confirm_next_at.label("next_attempt_at"),
        TASKS.c.confirm_attempts_used.label("attempts_used"),
        literal(True).label("confirms"),
    )
    .where(
        wants_confirmation(),
        TASKS.c.project_id == bindparam("project_id"),
        TASKS.c.version == bindparam("version"),
        TASKS.c.confirm_by > bindparam("now"),
        or_(TASKS.c.confirm_next_at <= bindparam("now"), TASKS.c.confirm_next_at > bindparam("latest")),
        TASKS.c.confirm_attempts_used < bindparam("cap"),
        ~_STARTED_CONFIRMATION,
    )
    .order_by(TASKS.c.confirm_by, TASKS.c.id)
    .limit(bindparam("depth", type_=Integer))
)
"""In the order of the index `ix_task_awaited`. A task that has such an attempt wants no other one."""


def _unconfirmed(connection: Connection, asked: Mapping[str, int], _terms: Terms) -> Sequence[Any]:
    """One version's tasks that may get an attempt of their confirming kind now."""
    return connection.execute(_UNCONFIRMED, asked).all()


def _limited(now: int, limits: Limits) -> dict[str, int]:
    return {"latest": now + limits.backoff_most_ms, "cap": limits.attempt_cap}


def _due(connection: Connection, asked: Mapping[str, int], terms: Terms) -> Sequence[Any]:
    """One version's tasks that may get an attempt now, in the order of the index `ix_task_queue`."""
    fallback = terms.form.get("else", "")
    if not fallback:
        return connection.execute(_DUE, asked).all()
    risky = {"fallback": fallback, "risky": asked["now"] + terms.risk_ms}
    return connection.execute(_DUE_OR_AT_RISK, {**asked, **risky}).all()


_PAST_ATTEMPTS = (
    select(*(ATTEMPTS.c[name] for name in ("task_id", "kind", "prover_id", "prover_address", "state")))
    .where(ATTEMPTS.c.task_id.in_(bindparam("ids", expanding=True)))
    .order_by(ATTEMPTS.c.id)
)


@dataclass(frozen=True)
class _Past:
    """What was tried for tasks, by task."""

    live: Mapping[str, dict[str, bool]]
    """By live kind: whether it is proven."""
    provers: Mapping[str, set[tuple[str, str]]]
    """(id, address) of the provers of live attempts."""
    failed_by: Mapping[str, list[str]]
    """Provers that lost or failed an attempt, the latest last."""


def _past_attempts(connection: Connection, ids: Sequence[str]) -> _Past:
    found = _Past(defaultdict(dict), defaultdict(set), defaultdict(list))
    for some in chunks(ids):
        for task_id, kind, prover_id, address, state in connection.execute(_PAST_ATTEMPTS, {"ids": some}):
            if state in LIVE:
                found.provers[task_id].add((prover_id, address))
                found.live[task_id][kind] = state in PROVEN or found.live[task_id].get(kind, False)
            elif state in LOST:
                found.failed_by[task_id].append(prover_id)
    return found


def _live_parties(connection: Connection, past: _Past, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """Who stands behind the live attempts of these tasks."""
    if not ids:
        return {}
    operators = operators_of(connection, [prover for task_id in ids for prover, _ in past.provers[task_id]])
    nobody: frozenset[str] = frozenset()
    return {
        task_id: nobody.union(
            *(
                Proven("", "", prover=address, operator=operators.get(prover, "")).parties()
                for prover, address in past.provers[task_id]
            )
        )
        for task_id in ids
    }


def unhedged(connection: Connection, book: VersionBook, tasks: Sequence[str]) -> frozenset[tuple[str, str]]:
    """(task, kind) of those of these tasks whose proofs must come from independent operators: a second prover of a kind
    would keep its operator from the task's other kinds."""
    rows = connection.execute(
        select(*(TASKS.c[name] for name in ("id", "project_id", "version", "kinds"))).where(TASKS.c.id.in_(tasks))
    )
    return frozenset(
        (row.id, kind)
        for row in rows.all()
        if book.terms(connection, row.project_id, row.version).form.get("independent")
        for kind in row.kinds
    )
