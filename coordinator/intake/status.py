"""What the API and the explorer ask of the intake: its figures, its dead letters, and a flush."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.batch_rows import ACCEPTED, MISSING
from coordinator.intake.completeness import DUPLICATE
from coordinator.ledger.tables import DeadLetterRow, GapRow, IntakeCountRow, ProjectRow, StreamCursorRow
from verifier.errors import NotFound

GAPS_SHOWN = 100


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
    """Dead letters ever by code, duplicates included, those that are not kept any more too."""
    duplicates: int
    """Readings that repeated a sequence (W3B-1005)."""
    missing: int
    """Sequence numbers that were jumped over and have not come; 2^63-1 stands for that many or more."""
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
    stopped_code: str = ""
    """Error code of why it stands still; empty when it does not."""
    stopped_reason: str = ""


async def _require_project(session: AsyncSession, project_id: int) -> ProjectRow:
    project = await session.get(ProjectRow, project_id)
    if project is None:
        raise NotFound("W3B-2002", f"there is no project {project_id}", field="project_id")
    return project


async def stats(session: AsyncSession, project_id: int) -> IntakeStats:
    """The project's figures, from its running counts. Raises NotFound (W3B-2002)."""
    project = await _require_project(session, project_id)
    cursor = await session.get(StreamCursorRow, project_id) or StreamCursorRow(project_id=project_id)
    counted = await session.exec(
        select(IntakeCountRow.name, IntakeCountRow.total).where(IntakeCountRow.project_id == project_id)
    )
    totals = dict(counted.all())
    missing = totals.get(MISSING, 0)
    refused = {name: total for name, total in totals.items() if name.startswith("W3B-")}
    return IntakeStats(
        project_id,
        totals.get(ACCEPTED, 0),
        refused,
        refused.get(DUPLICATE, 0),
        missing,
        await _open_gaps(session, project_id) if missing else (),
        cursor.next_position,
        cursor.window_start,
        cursor.open_count,
        cursor.window_opened_at,
        project.state == "PAUSED",
        cursor.stopped_code,
        cursor.stopped_reason,
    )


async def _open_gaps(session: AsyncSession, project_id: int) -> tuple[GapStats, ...]:
    gaps = await session.exec(
        select(GapRow)
        .where(GapRow.project_id == project_id, GapRow.missing > 0)
        .order_by(col(GapRow.id).desc())
        .limit(GAPS_SHOWN)
    )
    return tuple(GapStats(row.device, row.first_missing, row.last_missing, row.missing) for row in gaps)


async def note_stopped(session: AsyncSession, project_id: int, code: str, reason: str) -> None:
    """Write down why the project's intake stands still; an empty code says that it goes on."""
    done = await session.exec(
        update(StreamCursorRow)
        .where(
            col(StreamCursorRow.project_id) == project_id,
            or_(col(StreamCursorRow.stopped_code) != code, col(StreamCursorRow.stopped_reason) != reason),
        )
        .values(stopped_code=code, stopped_reason=reason)
    )
    if code and not done.rowcount and await session.get(StreamCursorRow, project_id) is None:
        session.add(StreamCursorRow(project_id=project_id, stopped_code=code, stopped_reason=reason))


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
