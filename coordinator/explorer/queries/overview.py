"""The overview: what is under way, how much and how fast, and what is stuck."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.explorer.access import Viewer
from coordinator.explorer.queries import tasks as task_lists
from coordinator.explorer.queries.provers import percentile
from coordinator.explorer.queries.tasks import TaskFilter
from coordinator.ledger.outbox_tables import OutboxTxRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.stages import STAGES, Step, stage_lengths
from coordinator.ledger.tables import AttemptRow, ProverRow, ReadingRow, StreamCursorRow, TaskEventRow, TaskRow
from coordinator.ledger.transitions import AttemptState, TaskState

MINUTE = 60_000
MINUTES = 60
"""How far back throughput goes."""
SAMPLE = 100
"""Newest FINAL tasks that the stage latencies are taken from."""
OLD_MS = 10 * MINUTE
"""A task under way for longer than this is listed under `what is stuck`."""


def _of(table: Any, *names: str) -> list[Any]:
    """Columns by name."""
    return [getattr(table, name) for name in names]


async def _per_minute(session: AsyncSession, query: Any, first: int) -> list[int]:
    found = {int(minute): int(count) for minute, count in (await session.exec(query)).all()}
    return [found.get(first + offset, 0) for offset in range(MINUTES)]


async def throughput(session: AsyncSession, viewer: Viewer, now: int) -> list[dict[str, int]]:
    """[{at, readings, final, failed}] of the last 60 minutes, oldest first, the running minute last."""
    first = now // MINUTE - MINUTES + 1
    start = first * MINUTE
    minute = (col(ReadingRow.received_at) // MINUTE).label("minute")
    readings: Any = (
        select(minute, func.count())
        .where(col(ReadingRow.received_at) >= start, *viewer.only(col(ReadingRow.project_id)))
        .group_by("minute")
    )

    def ended(targets: tuple[str, ...]) -> Any:
        at = (col(TaskEventRow.at) // MINUTE).label("minute")
        return (
            select(at, func.count())
            .where(
                TaskEventRow.subject == "task",
                col(TaskEventRow.target).in_(targets),
                col(TaskEventRow.at) >= start,
                *viewer.only(col(TaskEventRow.project_id)),
            )
            .group_by("minute")
        )

    taken = await _per_minute(session, readings, first)
    final = await _per_minute(session, ended((TaskState.FINAL,)), first)
    failed = await _per_minute(session, ended((TaskState.FAILED, TaskState.EXPIRED, TaskState.FROZEN)), first)
    return [
        {"at": (first + index) * MINUTE, "readings": taken[index], "final": final[index], "failed": failed[index]}
        for index in range(MINUTES)
    ]


async def stage_latencies(session: AsyncSession, viewer: Viewer) -> dict[str, Any]:
    """{sample, stages: [{name, meaning, p50_ms, p95_ms, share}], total_p50_ms, total_p95_ms, lags}.

    Of the newest 100 FINAL tasks; `lags` are [{task_id, at, ms}] from settled to final, oldest first.
    """
    rows = (
        await session.exec(
            select(TaskRow.id, TaskRow.first_reading_at)
            .where(TaskRow.state == TaskState.FINAL.value, *viewer.only(col(TaskRow.project_id)))
            .order_by(col(TaskRow.created_at).desc(), col(TaskRow.id).desc())
            .limit(SAMPLE)
        )
    ).all()
    ids = [task for task, _ in rows]
    verified: dict[str, int] = dict(
        (
            await session.exec(
                select(AttemptRow.task_id, AttemptRow.id).where(
                    col(AttemptRow.task_id).in_(ids), AttemptRow.state == AttemptState.VERIFIED.value
                )
            )
        ).all()  # type: ignore[arg-type]
    )
    steps: dict[str, list[Step]] = defaultdict(list)
    events = await session.exec(
        select(*_of(TaskEventRow, "task_id", "subject", "target", "attempt_id", "at"))
        .where(col(TaskEventRow.task_id).in_(ids))
        .order_by(col(TaskEventRow.id))
    )
    for task, *step in events:
        steps[task].append(Step(*step))
    measured = {task: stage_lengths(first, steps[task], verified.get(task)) for task, first in rows}
    whole = {task: lengths for task, lengths in measured.items() if len(lengths) == len(STAGES)}
    totals = [sum(each.values()) for each in whole.values()]
    return {
        "sample": len(whole),
        "stages": [_stage(name, why, [each[name] for each in whole.values()], sum(totals)) for name, why in STAGES],
        "total_p50_ms": statistics.median(totals) if totals else None,
        "total_p95_ms": percentile(totals, 0.95),
        "lags": [
            {"task_id": task, "at": steps[task][-1].at, "ms": lengths["finality"]}
            for task, lengths in reversed(list(whole.items())[:40])
        ],
    }


def _stage(name: str, meaning: str, values: list[float], whole: float) -> dict[str, Any]:
    share = sum(values) / whole if whole else 0.0
    p50 = statistics.median(values) if values else None
    return {"name": name, "meaning": meaning, "p50_ms": p50, "p95_ms": percentile(values, 0.95), "share": share}


async def stuck(session: AsyncSession, viewer: Viewer, now: int) -> dict[str, Any]:
    """What does not go on by itself: old tasks, recent failures, stopped intakes, refused transactions, dead webhooks."""
    names = ("id", "project_id", "state", "reason", "created_at")
    live: Any = (
        select(*_of(TaskRow, *names))
        .where(
            col(TaskRow.state).in_((TaskState.RECEIVED, TaskState.OPEN, TaskState.SATISFIED, TaskState.SETTLED)),
            col(TaskRow.created_at) < now - OLD_MS,
            *viewer.only(col(TaskRow.project_id)),
        )
        .order_by(col(TaskRow.created_at))
        .limit(5)
    )
    old = [dict(zip(names, row, strict=True)) for row in await session.exec(live)]
    bad = await task_lists.newest(session, viewer, TaskFilter(states=("FAILED", "EXPIRED", "FROZEN")), 5)
    intakes = await session.exec(
        select(StreamCursorRow)
        .where(col(StreamCursorRow.stopped_code) != "", *viewer.only(col(StreamCursorRow.project_id)))
        .limit(10)
    )
    found: dict[str, Any] = {
        "old": old,
        "failed": bad,
        "intakes": [
            {"project_id": each.project_id, "code": each.stopped_code, "reason": each.stopped_reason}
            for each in intakes
        ],
        "transactions": [],
        "endpoints": [],
        "dead_messages": 0,
    }
    if viewer.project_id is None:
        keys = ("id", "tx_hash", "purpose", "code", "reason")
        refused = await session.exec(
            select(*_of(OutboxTxRow, *keys)).where(OutboxTxRow.state == "QUEUED", OutboxTxRow.code != "").limit(5)
        )
        found["transactions"] = [dict(zip(keys, row, strict=True)) for row in refused]
    if viewer.can("webhooks:read"):
        found.update(await _webhooks(session, viewer))
    return found


async def _webhooks(session: AsyncSession, viewer: Viewer) -> dict[str, Any]:
    disabled = await session.exec(
        select(WebhookEndpointRow.id, WebhookEndpointRow.project_id, WebhookEndpointRow.disabled_reason)
        .where(
            col(WebhookEndpointRow.disabled).is_(True),
            WebhookEndpointRow.disabled_reason != "",
            *viewer.only(col(WebhookEndpointRow.project_id)),
        )
        .limit(5)
    )
    inner = (
        select(WebhookMessageRow.id)
        .where(WebhookMessageRow.state == "DEAD", *viewer.only(col(WebhookMessageRow.project_id)))
        .limit(task_lists.COUNTED)
        .subquery()
    )
    return {
        "endpoints": [{"id": number, "project_id": project, "reason": why} for number, project, why in disabled],
        "dead_messages": int((await session.exec(select(func.count()).select_from(inner))).one()),
    }


async def provers_by_status(session: AsyncSession) -> dict[str, int]:
    """How many provers are in each status."""
    rows = await session.exec(select(ProverRow.status, func.count()).group_by(col(ProverRow.status)))
    found = {status: int(count) for status, count in rows}
    return {status: found.get(status, 0) for status in ("BUSY", "IDLE", "OFFLINE")}
