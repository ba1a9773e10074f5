"""The ledger as it stands: what waits, where, and for how long. One consistent read a scrape."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from prometheus_client.metrics_core import Metric as Family
from sqlalchemy import Connection, Table, Text, cast, exists, func, select
from sqlalchemy.exc import SQLAlchemyError

from coordinator.intake.batch_rows import ACCEPTED, MISSING
from coordinator.ledger.bulk import ATTEMPTS, TASKS
from coordinator.ledger.control_tables import LeadershipRow
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.tables import IntakeCountRow, ProverRow, StreamCursorRow
from coordinator.ledger.transitions import LIVE_ATTEMPT_STATES, TaskState
from coordinator.observability.families import Labels, family, summed
from verifier.errors import W3bstreamError

PROVERS: Table = ProverRow.__table__  # type: ignore[attr-defined]
COUNTS: Table = IntakeCountRow.__table__  # type: ignore[attr-defined]
CURSORS: Table = StreamCursorRow.__table__  # type: ignore[attr-defined]
OUTBOX: Table = OutboxTxRow.__table__  # type: ignore[attr-defined]
MESSAGES: Table = WebhookMessageRow.__table__  # type: ignore[attr-defined]
ENDPOINTS: Table = WebhookEndpointRow.__table__  # type: ignore[attr-defined]
LEADERSHIP: Table = LeadershipRow.__table__  # type: ignore[attr-defined]
LEDGER_ERRORS = (W3bstreamError, SQLAlchemyError)
"""What a look at the ledger may raise; SQLite's own errors have no code."""
NOT_FINAL = ("QUEUED", "SENT", "MINED", "SAFE", "REFUSED")
"""Steps of the ladder that a transaction is counted in; FINAL ones are told by the task states."""


def read_standing(connection: Connection, now: int, *, by_project: bool = False) -> list[Family]:
    """Every family of `catalogue.STANDING`. `now` is the ledger's clock, milliseconds."""
    return [
        *_tasks(connection, now),
        *_provers(connection),
        *_intake(connection, now, by_project),
        *_outbox(connection, now),
        *_webhooks(connection, now),
        _terms(connection),
    ]


def ledger_problem(error: Exception) -> tuple[str, str]:
    """(code, reason) of one of `LEDGER_ERRORS`; never the statement, whose values may be anybody's."""
    if isinstance(error, W3bstreamError):
        return error.code, error.message
    cause = getattr(error, "orig", None) or error
    return "W3B-8020", f"{type(cause).__name__}: {cause}"[:300]


def waiting_kinds(connection: Connection) -> dict[tuple[str, ...], tuple[int, int]]:
    """OPEN tasks that no prover works on: (how many, when the oldest was made) by the kinds that may prove them."""
    live = exists().where(ATTEMPTS.c.task_id == TASKS.c.id, ATTEMPTS.c.state.in_(sorted(LIVE_ATTEMPT_STATES)))
    kinds = cast(TASKS.c.kinds, Text)
    rows = connection.execute(
        select(kinds, func.count(), func.min(TASKS.c.created_at))
        .where(TASKS.c.state == TaskState.OPEN.value, ~live)
        .group_by(kinds)
    )
    return {tuple(json.loads(names)): (count, oldest) for names, count, oldest in rows}


def _seconds(now: int, since: int | None) -> float:
    return 0.0 if since is None else max(0, now - since) / 1000


def _tasks(connection: Connection, now: int) -> list[Family]:
    states = dict.fromkeys(((state.value,) for state in TaskState), 0.0)
    for state, count in connection.execute(select(TASKS.c.state, func.count()).group_by(TASKS.c.state)):
        states[(state,)] = count
    waiting: dict[Labels, float] = {}
    oldest: dict[Labels, float] = {}
    for kinds, (count, since) in waiting_kinds(connection).items():
        label = (",".join(sorted(kinds)),)
        waiting[label] = waiting.get(label, 0) + count
        oldest[label] = max(oldest.get(label, 0), _seconds(now, since))
    return [
        family("w3bstream_tasks", states),
        family("w3bstream_queue_tasks", waiting),
        family("w3bstream_queue_oldest_seconds", oldest),
    ]


def _provers(connection: Connection) -> list[Family]:
    query = select(PROVERS.c.kind, PROVERS.c.status, func.count()).group_by(PROVERS.c.kind, PROVERS.c.status)
    found = {(kind, status): count for kind, status, count in connection.execute(query)}
    kinds = {kind for kind, _ in found}
    full = {(kind, status): found.get((kind, status), 0.0) for kind in kinds for status in ("IDLE", "BUSY", "OFFLINE")}
    return [family("w3bstream_provers", full)]


def _intake(connection: Connection, now: int, by_project: bool) -> list[Family]:
    def label(project_id: int, *before: str) -> Labels:
        return (*before, str(project_id)) if by_project else before

    def told(name: str, values: dict[Labels, float]) -> Family:
        return family(name, values, by_project=by_project)

    counts = connection.execute(select(COUNTS.c.project_id, COUNTS.c.name, COUNTS.c.total)).all()
    cursors = connection.execute(
        select(CURSORS.c.project_id, CURSORS.c.open_count, CURSORS.c.window_opened_at, CURSORS.c.stopped_code)
    ).all()
    ages: defaultdict[Labels, float] = defaultdict(float)
    for row in cursors:
        if row.open_count:
            of = label(row.project_id)
            ages[of] = max(ages[of], _seconds(now, row.window_opened_at))
    nothing: dict[Labels, float] = {} if by_project else {(): 0.0}
    return [
        told(
            "w3bstream_readings_accepted_total",
            nothing | summed((label(each.project_id), each.total) for each in counts if each.name == ACCEPTED),
        ),
        told(
            "w3bstream_readings_refused_total",
            summed((label(each.project_id, each.name), each.total) for each in counts if each.name.startswith("W3B-")),
        ),
        told(
            "w3bstream_readings_missing",
            nothing | summed((label(each.project_id), each.total) for each in counts if each.name == MISSING),
        ),
        told(
            "w3bstream_windows_open",
            nothing | summed((label(row.project_id), 1) for row in cursors if row.open_count),
        ),
        told("w3bstream_window_open_seconds", nothing | dict(ages)),
        family("w3bstream_intake_stopped", summed(((row.stopped_code,), 1) for row in cursors if row.stopped_code)),
    ]


def _outbox(connection: Connection, now: int) -> list[Family]:
    query = (
        select(OUTBOX.c.purpose, OUTBOX.c.state, func.count(), func.min(OUTBOX.c.created_at))
        .where(OUTBOX.c.state.in_(NOT_FINAL))
        .group_by(OUTBOX.c.purpose, OUTBOX.c.state)
    )
    counts: dict[Labels, float] = {}
    oldest = dict.fromkeys(((state,) for state in NOT_FINAL[:-1]), 0.0)
    for purpose, state, count, since in connection.execute(query):
        counts[purpose, state] = count
        if state != "REFUSED":
            oldest[(state,)] = max(oldest[(state,)], _seconds(now, since))
    return [family("w3bstream_outbox_transactions", counts), family("w3bstream_outbox_oldest_seconds", oldest)]


def _webhooks(connection: Connection, now: int) -> list[Family]:
    def messages(state: str, what: Any) -> Any:
        return connection.execute(select(what).where(MESSAGES.c.state == state)).scalar_one()

    oldest = connection.execute(
        select(func.min(MESSAGES.c.created_at))
        .join(ENDPOINTS, ENDPOINTS.c.id == MESSAGES.c.endpoint_id)
        .where(MESSAGES.c.state == "PENDING", ENDPOINTS.c.disabled.is_(False))
    ).scalar_one()
    endpoints = {("enabled",): 0.0, ("disabled",): 0.0}
    for disabled, count in connection.execute(
        select(ENDPOINTS.c.disabled, func.count()).group_by(ENDPOINTS.c.disabled)
    ):
        endpoints[("disabled" if disabled else "enabled",)] = count
    return [
        family(
            "w3bstream_webhook_messages",
            {(state,): messages(state, func.count(MESSAGES.c.id)) for state in ("PENDING", "DEAD")},
        ),
        family("w3bstream_webhook_oldest_seconds", {(): _seconds(now, oldest)}),
        family("w3bstream_webhook_endpoints", endpoints),
    ]


def _terms(connection: Connection) -> Family:
    terms = connection.execute(select(func.max(LEADERSHIP.c.fence))).scalar_one()
    return family("w3bstream_leader_terms_total", {(): terms or 0})
