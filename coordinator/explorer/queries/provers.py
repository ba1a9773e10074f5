"""Provers: their status over time, their attempts, how often they succeed and how fast."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.ledger.tables import AttemptRow, ProverEventRow, ProverRow, TaskRow
from coordinator.ledger.transitions import LEASED_ATTEMPT_STATES, AttemptState

PROVERS_SHOWN = 200
EVENTS_READ = 500
"""Changes of status that one strip is drawn from."""
SAMPLE = 200
"""Newest attempts that times and rates are taken from."""
PAGE_SIZE = 50
_GOOD = (AttemptState.PROVED, AttemptState.POSTED, AttemptState.VERIFIED)
_FAILED = (AttemptState.LOST, AttemptState.REJECTED)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of them lie; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


async def strip(session: AsyncSession, row: ProverRow, start: int, end: int) -> list[dict[str, Any]]:
    """[{status, from_at, to_at, reason}] of the prover's status between two times, oldest first."""
    before = (
        await session.exec(
            select(ProverEventRow)
            .where(ProverEventRow.prover_id == row.id, col(ProverEventRow.at) <= start)
            .order_by(col(ProverEventRow.at).desc(), col(ProverEventRow.id).desc())
            .limit(1)
        )
    ).first()
    inside = await session.exec(
        select(ProverEventRow)
        .where(ProverEventRow.prover_id == row.id, col(ProverEventRow.at) > start)
        .order_by(col(ProverEventRow.at).desc(), col(ProverEventRow.id).desc())
        .limit(EVENTS_READ)
    )
    events = [each for each in (before, *reversed(inside.all())) if each is not None]
    if not events:
        since = max(start, min(row.created_at, end))
        return [{"status": row.status, "from_at": since, "to_at": end, "reason": ""}]
    parts: list[dict[str, Any]] = []
    for index, each in enumerate(events):
        until = events[index + 1].at if index + 1 < len(events) else end
        part: dict[str, Any] = {
            "status": each.status,
            "from_at": max(start, each.at),
            "to_at": min(until, end),
            "reason": each.reason,
        }
        if parts and parts[-1]["status"] == each.status:
            parts[-1]["to_at"] = part["to_at"]
        elif part["to_at"] > part["from_at"]:
            parts.append(part)
    return parts


async def _counts(session: AsyncSession, ids: Sequence[str]) -> dict[tuple[str, str], int]:
    rows = await session.exec(
        select(AttemptRow.prover_id, AttemptRow.state, func.count())
        .where(col(AttemptRow.prover_id).in_(ids))
        .group_by(col(AttemptRow.prover_id), col(AttemptRow.state))
    )
    return {(prover, state): int(count) for prover, state, count in rows}


async def _leased(session: AsyncSession, viewer: Viewer, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    rows = await session.exec(
        select(AttemptRow.prover_id, AttemptRow.task_id, AttemptRow.stage, AttemptRow.progress)
        .join(TaskRow, col(TaskRow.id) == col(AttemptRow.task_id))
        .where(
            col(AttemptRow.state).in_(sorted(LEASED_ATTEMPT_STATES)),
            col(AttemptRow.prover_id).in_(ids),
            *viewer.only(col(TaskRow.project_id)),
        )
    )
    return {prover: {"task_id": task, "stage": stage, "progress": done} for prover, task, stage, done in rows}


def line(row: ProverRow) -> dict[str, Any]:
    """A prover as pages show it."""
    return row.model_dump(exclude={"register_tx"})


async def listed(session: AsyncSession, viewer: Viewer, start: int, end: int) -> list[dict[str, Any]]:
    """Every prover with its strip from `start` to `end`, its work and its record; at most 200, by id."""
    rows = (await session.exec(select(ProverRow).order_by(col(ProverRow.id)).limit(PROVERS_SHOWN))).all()
    ids = [row.id for row in rows]
    counts, leased = await _counts(session, ids), await _leased(session, viewer, ids)
    return [
        {
            **line(row),
            "work": leased.get(row.id),
            "good": sum(counts.get((row.id, state), 0) for state in _GOOD),
            "failed": sum(counts.get((row.id, state), 0) for state in _FAILED),
            "strip": await strip(session, row, start, end),
        }
        for row in rows
    ]


async def figures(session: AsyncSession, prover_id: str) -> dict[str, Any]:
    """{good, failed, success, p50_seconds, p95_seconds, sample}: success and times of the newest 200 attempts."""
    rows = (
        await session.exec(
            select(AttemptRow.state, col(AttemptRow.seconds))
            .where(AttemptRow.prover_id == prover_id)
            .order_by(col(AttemptRow.id).desc())
            .limit(SAMPLE)
        )
    ).all()
    good = sum(state in _GOOD for state, _ in rows)
    failed = sum(state in _FAILED for state, _ in rows)
    times = [sum(seconds.values()) for state, seconds in rows if state in _GOOD and seconds]
    return {
        "sample": len(rows),
        "good": good,
        "failed": failed,
        "success": good / (good + failed) if good + failed else None,
        "p50_seconds": statistics.median(times) if times else None,
        "p95_seconds": percentile(times, 0.95),
    }


async def attempt_page(session: AsyncSession, viewer: Viewer, prover_id: str, token: str) -> dict[str, Any]:
    """{attempts, next_page} of a prover, newest first. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer attempts", prover_id, viewer.project_id)
    cursor = read_token(scope, token, (int,))
    names = ("id", "task_id", "fence", "hedge", "state", "stage", "progress", "seconds", "code", "reason", "created_at")
    columns: list[Any] = [*(getattr(AttemptRow, name) for name in names), AttemptRow.updated_at, TaskRow.project_id]
    query: Any = select(*columns)
    query = query.join(TaskRow, and_(col(TaskRow.id) == col(AttemptRow.task_id))).where(
        col(AttemptRow.prover_id) == prover_id, *viewer.only(col(TaskRow.project_id))
    )
    if cursor is not None:
        query = query.where(col(AttemptRow.id) < cursor[0])
    rows = (await session.exec(query.order_by(col(AttemptRow.id).desc()).limit(PAGE_SIZE + 1))).all()
    keys = (*names, "updated_at", "project_id")
    lines = [dict(zip(keys, row, strict=True)) for row in rows[:PAGE_SIZE]]
    return {"attempts": lines, "next_page": make_token(scope, (lines[-1]["id"],)) if len(rows) > PAGE_SIZE else ""}


async def events_of(session: AsyncSession, prover_id: str, limit: int = 50) -> list[dict[str, Any]]:
    """The newest changes of a prover's status."""
    rows = await session.exec(
        select(ProverEventRow)
        .where(ProverEventRow.prover_id == prover_id)
        .order_by(col(ProverEventRow.at).desc(), col(ProverEventRow.id).desc())
        .limit(limit)
    )
    return [each.model_dump(exclude={"prover_id"}) for each in rows]
