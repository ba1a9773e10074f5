"""Readings and windows: what came, in which window it is, what is missing, and what was refused."""

from __future__ import annotations

from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.ledger.tables import (
    DeadLetterRow,
    DeviceCursorRow,
    GapRow,
    ReadingRow,
    TaskRow,
)
from verifier.errors import W3bstreamError
from verifier.reading import Reading

PAGE_SIZE = 100
GAPS_SHOWN = 200
LETTERS_SHOWN = 50
STRIPS_SHOWN = 64
_COLUMNS = ("position", "version", "device", "sequence", "timestamp", "received_at", "task_id")


def _value(wire: bytes) -> str:
    """The payload as a number where it is the four bytes of one, else in hex; never more than 64 characters."""
    try:
        payload = Reading.from_wire(wire).payload
    except W3bstreamError:
        return ""
    return str(int.from_bytes(payload, "big", signed=True)) if len(payload) == 4 else "0x" + payload.hex()[:64]


def _lines(rows: Any) -> list[dict[str, Any]]:
    return [
        {**dict(zip(_COLUMNS, row[:-1], strict=True)), "value": _value(row[-1]), "bytes": len(row[-1])} for row in rows
    ]


def _select(*conditions: Any) -> Any:
    columns: list[Any] = [*(getattr(ReadingRow, name) for name in _COLUMNS), ReadingRow.wire]
    query: Any = select(*columns)
    return query.where(*conditions)


async def reading_page(session: AsyncSession, project_id: int, device: str, token: str) -> dict[str, Any]:
    """{readings, next_page}: newest first, of one device if it is named. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer readings", project_id, device)
    cursor = read_token(scope, token, (int,))
    order = col(ReadingRow.sequence) if device else col(ReadingRow.position)
    conditions = [col(ReadingRow.project_id) == project_id]
    if device:
        conditions.append(col(ReadingRow.device) == device)
    if cursor is not None:
        conditions.append(order < cursor[0])
    rows = (await session.exec(_select(*conditions).order_by(order.desc()).limit(PAGE_SIZE + 1))).all()
    lines = _lines(rows[:PAGE_SIZE])
    key = "sequence" if device else "position"
    more = len(rows) > PAGE_SIZE
    return {"readings": lines, "next_page": make_token(scope, (lines[-1][key],)) if more else ""}


async def in_window(session: AsyncSession, task: TaskRow, token: str) -> dict[str, Any]:
    """{readings, next_page} of one window, in stream order. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer window", task.id)
    cursor = read_token(scope, token, (int,))
    conditions = [
        col(ReadingRow.project_id) == task.project_id,
        col(ReadingRow.position) >= task.window_start,
        col(ReadingRow.position) < task.window_end,
    ]
    if cursor is not None:
        conditions.append(col(ReadingRow.position) > cursor[0])
    query = _select(*conditions).order_by(col(ReadingRow.position)).limit(PAGE_SIZE + 1)
    rows = (await session.exec(query)).all()
    lines = _lines(rows[:PAGE_SIZE])
    more = len(rows) > PAGE_SIZE
    return {"readings": lines, "next_page": make_token(scope, (lines[-1]["position"],)) if more else ""}


async def window_at(session: AsyncSession, project_id: int, start: int) -> TaskRow | None:
    """The task of the window that begins at a stream position."""
    rows = await session.exec(
        select(TaskRow)
        .where(TaskRow.project_id == project_id, TaskRow.window_start == start)
        .order_by(col(TaskRow.version).desc())
        .limit(1)
    )
    return rows.first()


async def letters_between(session: AsyncSession, project_id: int, start: int, end: int) -> list[dict[str, Any]]:
    """Refused messages at stream positions from `start` below `end`, in order; at most 50."""
    rows = await session.exec(
        select(DeadLetterRow)
        .where(
            DeadLetterRow.project_id == project_id,
            col(DeadLetterRow.position) >= start,
            col(DeadLetterRow.position) < end,
        )
        .order_by(col(DeadLetterRow.position))
        .limit(LETTERS_SHOWN)
    )
    return [row.model_dump(exclude={"wire", "project_id"}) for row in rows]


async def letter_page(session: AsyncSession, project_id: int, token: str) -> dict[str, Any]:
    """{letters, next_letters}: refused messages, newest first. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer letters", project_id)
    cursor = read_token(scope, token, (int,))
    query = select(DeadLetterRow).where(DeadLetterRow.project_id == project_id)
    if cursor is not None:
        query = query.where(col(DeadLetterRow.position) < cursor[0])
    query = query.order_by(col(DeadLetterRow.position).desc()).limit(LETTERS_SHOWN + 1)
    rows = (await session.exec(query)).all()
    lines = [row.model_dump(exclude={"wire", "project_id"}) for row in rows[:LETTERS_SHOWN]]
    more = len(rows) > LETTERS_SHOWN
    return {"letters": lines, "next_letters": make_token(scope, (lines[-1]["position"],)) if more else ""}


async def gaps(session: AsyncSession, project_id: int, device: str = "") -> list[dict[str, Any]]:
    """The newest gaps with something missing."""
    query = select(GapRow).where(GapRow.project_id == project_id, col(GapRow.missing) > 0)
    if device:
        query = query.where(GapRow.device == device)
    rows = await session.exec(query.order_by(col(GapRow.id).desc()).limit(GAPS_SHOWN))
    return [row.model_dump(exclude={"project_id"}) for row in rows]


async def strips(session: AsyncSession, project_id: int, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """[{device, last_sequence, gaps: [{first, last, missing}]}]: a strip of sequence numbers for each device, those
    with gaps first."""
    cursors = (
        await session.exec(
            select(DeviceCursorRow.device, DeviceCursorRow.last_sequence)
            .where(DeviceCursorRow.project_id == project_id)
            .order_by(col(DeviceCursorRow.device))
            .limit(1024)
        )
    ).all()
    by_device: dict[str, list[dict[str, int]]] = {}
    for gap in found:
        part = {"first": gap["first_missing"], "last": gap["last_missing"], "missing": gap["missing"]}
        by_device.setdefault(gap["device"], []).append(part)
    lines = [{"device": each, "last_sequence": last, "gaps": by_device.get(each, [])} for each, last in cursors]
    return sorted(lines, key=lambda line: (not line["gaps"], str(line["device"])))[:STRIPS_SHOWN]


async def window_page(session: AsyncSession, viewer: Viewer, project_id: int | None, token: str) -> dict[str, Any]:
    """{windows, next_page}: closed windows with their completeness, newest first. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer windows", project_id, viewer.project_id)
    cursor = read_token(scope, token, (int, str))
    names = (
        "id",
        "project_id",
        "version",
        "window_start",
        "window_end",
        "count",
        "missing",
        "duplicates",
        "late",
        "reordered",
        "state",
        "first_reading_at",
        "created_at",
    )
    conditions = viewer.only(col(TaskRow.project_id))
    if project_id is not None:
        conditions.append(col(TaskRow.project_id) == project_id)
    if cursor is not None:
        at, number = cursor
        created, key = col(TaskRow.created_at), col(TaskRow.id)
        conditions.append((created < at) | ((created == at) & (key < number)))
    query: Any = select(*(getattr(TaskRow, name) for name in names)).where(*conditions)
    query = query.order_by(col(TaskRow.created_at).desc(), col(TaskRow.id).desc()).limit(51)
    rows = (await session.exec(query)).all()
    lines = [dict(zip(names, row, strict=True)) for row in rows[:50]]
    last = (lines[-1]["created_at"], lines[-1]["id"]) if len(rows) > 50 else None
    return {"windows": lines, "next_page": make_token(scope, last) if last else ""}


async def device_count(session: AsyncSession, project_id: int, device: str) -> int:
    """Accepted readings of a device."""
    counting: Any = (
        select(func.count())
        .select_from(ReadingRow)
        .where(col(ReadingRow.project_id) == project_id, col(ReadingRow.device) == device)
    )
    return int((await session.exec(counting)).one())
