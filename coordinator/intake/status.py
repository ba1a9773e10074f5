"""What the API and the explorer ask of the intake: its figures, its dead letters, and a flush."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import DeadLetterRow, GapRow, ProjectRow, ReadingRow, StreamCursorRow
from verifier.errors import NotFound

GAPS_SHOWN = 100
DUPLICATE = "W3B-1005"


@dataclass(frozen=True)
class GapStats:
    """A jump in a device's sequence numbers."""

    device: str
    first_missing: int
    last_missing: int
    missing: int
    """How many are still missing."""


@dataclass(frozen=True)
class IntakeStats:
    """How a project's intake stands."""

    project_id: int
    accepted: int
    """Readings accepted."""
    refused: dict[str, int]
    """Dead letters by code, duplicates included."""
    duplicates: int
    """Readings that repeated a sequence (W3B-1005)."""
    missing: int
    """Sequence numbers that were jumped over and have not come."""
    gaps: tuple[GapStats, ...]
    """The newest 100 gaps with something missing."""
    next_position: int
    """First stream position not yet taken."""
    window_start: int
    """First position of the open window."""
    open_readings: int
    """Accepted readings in the open window."""
    window_opened_at: int | None
    """When its first reading arrived, milliseconds; None while it is empty."""
    paused: bool


async def _require_project(session: AsyncSession, project_id: int) -> ProjectRow:
    project = await session.get(ProjectRow, project_id)
    if project is None:
        raise NotFound("W3B-2002", f"there is no project {project_id}", field="project_id")
    return project


async def stats(session: AsyncSession, project_id: int) -> IntakeStats:
    """The project's figures. Raises NotFound (W3B-2002)."""
    project = await _require_project(session, project_id)
    cursor = await session.get(StreamCursorRow, project_id) or StreamCursorRow(project_id=project_id)
    counting: Any = select(func.count()).select_from(ReadingRow).where(col(ReadingRow.project_id) == project_id)
    accepted = (await session.exec(counting)).one()
    by_code: Any = (
        select(DeadLetterRow.code, func.count())
        .where(col(DeadLetterRow.project_id) == project_id)
        .group_by(col(DeadLetterRow.code))
    )
    refused: dict[str, int] = dict((await session.exec(by_code)).all())
    missing: Any = select(func.coalesce(func.sum(GapRow.missing), 0)).where(col(GapRow.project_id) == project_id)
    gaps = await session.exec(
        select(GapRow)
        .where(GapRow.project_id == project_id, GapRow.missing > 0)
        .order_by(col(GapRow.id).desc())
        .limit(GAPS_SHOWN)
    )
    return IntakeStats(
        project_id,
        int(accepted),
        refused,
        refused.get(DUPLICATE, 0),
        int((await session.exec(missing)).one()),
        tuple(GapStats(row.device, row.first_missing, row.last_missing, row.missing) for row in gaps),
        cursor.next_position,
        cursor.window_start,
        cursor.open_count,
        cursor.window_opened_at,
        project.state == "PAUSED",
    )


async def request_flush(session: AsyncSession, project_id: int, up_to: int) -> None:
    """Ask that everything below stream position `up_to` be closed into windows as soon as it was taken.

    The larger of two requests holds. Raises NotFound (W3B-2002).
    """
    await _require_project(session, project_id)
    row = await session.get(StreamCursorRow, project_id, populate_existing=True)
    if row is None:
        row = StreamCursorRow(project_id=project_id)
    row.flush_to = max(row.flush_to, up_to)
    session.add(row)
    await session.flush()


async def dead_letters(
    session: AsyncSession, project_id: int, *, before: int | None = None, limit: int = 50
) -> list[DeadLetterRow]:
    """Refused messages, newest first, at positions below `before`; at most `limit`, 1 to 200."""
    query = select(DeadLetterRow).where(DeadLetterRow.project_id == project_id)
    if before is not None:
        query = query.where(DeadLetterRow.position < before)
    query = query.order_by(col(DeadLetterRow.position).desc()).limit(max(1, min(limit, 200)))
    return list(await session.exec(query))
