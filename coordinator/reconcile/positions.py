"""Stream ↔ ledger: every position below a project's cursor is exactly one of reading, dead letter, or a hole of the
stream itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.stream import StreamState
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow
from coordinator.reconcile.report import Break, InvariantReport

CHUNK = 20_000
"""Positions that are held in memory at a time."""
MOST_HOLES = 2_000
"""Positions without a row for which the stream is asked; further ones are said to be left out."""
SAMPLES = 16
"""Messages that are compared byte for byte."""


class StreamView(Protocol):
    """What is asked of a DA layer; `coordinator.intake.stream.DaStream` is one."""

    async def state(self, project_id: int) -> StreamState | None:
        """What the project's stream holds, or None when there is none."""

    async def message_at(self, project_id: int, position: int) -> bytes | None:
        """The message at a position, or None when it is not held."""


@dataclass(frozen=True)
class _Held:
    """The stream, and what it held when it was looked at."""

    stream: StreamView
    state: StreamState | None
    end: int
    """First position that the ledger has not read."""

    def is_ours(self, report: InvariantReport, project_id: int) -> bool:
        """Whether it reaches as far as the ledger has read."""
        if self.end == 1 or (self.state is not None and self.state.last >= self.end - 1):
            return True
        what = "is gone" if self.state is None else f"ends at position {self.state.last}"
        message = f"the ledger has read up to position {self.end - 1}, but the stream {what}"
        report.add(Break("W3B-5023", f"project {project_id}", message, project_id))
        return False


async def check_positions(ledger: Ledger, report: InvariantReport, project_id: int, stream: StreamView | None) -> None:
    """Compare one project. Parameters: `stream` None compares the ledger's side alone. Raises Unavailable (W3B-1008)."""
    async with ledger.reading() as session:
        cursor = await session.get(StreamCursorRow, project_id)
        if cursor is None:
            return
        end = cursor.next_position
        first = await _first(session, project_id)
        report.checked["positions"] += end - 1
        await _twice(session, report, project_id)
        missing = [] if await _counted(session, project_id, end) == end - 1 else await _holes(session, project_id, end)
    held = None if stream is None else _Held(stream, await stream.state(project_id), end)
    if held is not None and not held.is_ours(report, project_id):
        return
    await _judge_holes(report, project_id, [each for each in missing if each >= first], held)
    if held is not None and held.state is not None:
        await _compare_bytes(ledger, report, project_id, held)


async def _first(session: AsyncSession, project_id: int) -> int:
    """The lowest position with a row: the stream may have begun later than 1."""
    lowest = []
    for table in (ReadingRow, DeadLetterRow):
        query: Any = select(func.min(table.position)).where(col(table.project_id) == project_id)
        lowest.append((await session.exec(query)).one())
    return min((each for each in lowest if each is not None), default=1)


async def _counted(session: AsyncSession, project_id: int, end: int) -> int:
    count = 0
    for table in (ReadingRow, DeadLetterRow):
        query: Any = select(func.count()).where(col(table.project_id) == project_id, col(table.position) < end)
        count += int((await session.exec(query)).one())
    return count


async def _twice(session: AsyncSession, report: InvariantReport, project_id: int) -> None:
    both = await session.exec(
        select(ReadingRow.position)
        .join(
            DeadLetterRow,
            (col(DeadLetterRow.project_id) == col(ReadingRow.project_id))
            & (col(DeadLetterRow.position) == col(ReadingRow.position)),
        )
        .where(ReadingRow.project_id == project_id)
    )
    for position in both:
        subject = f"project {project_id} position {position}"
        report.add(Break("W3B-5021", subject, "it is a reading and a dead letter", project_id))
    repeated = await session.exec(
        select(ReadingRow.device, ReadingRow.sequence, func.count())
        .where(ReadingRow.project_id == project_id)
        .group_by(col(ReadingRow.device), col(ReadingRow.sequence))
        .having(func.count() > 1)
    )
    for device, sequence, count in repeated:
        subject = f"project {project_id} device {device} sequence {sequence}"
        report.add(Break("W3B-5021", subject, f"it was accepted {count} times", project_id))


async def _chunks(session: AsyncSession, project_id: int, end: int) -> AsyncIterator[tuple[int, int, set[int]]]:
    for start in range(1, end, CHUNK):
        until = min(start + CHUNK, end)
        held: set[int] = set()
        for table in (ReadingRow, DeadLetterRow):
            found = await session.exec(
                select(table.position).where(
                    col(table.project_id) == project_id,
                    col(table.position) >= start,
                    col(table.position) < until,
                )
            )
            held.update(found.all())
        yield start, until, held


async def _holes(session: AsyncSession, project_id: int, end: int) -> list[int]:
    missing: list[int] = []
    async for start, until, held in _chunks(session, project_id, end):
        if len(held) < until - start:
            missing += [position for position in range(start, until) if position not in held]
    return missing


async def _judge_holes(report: InvariantReport, project_id: int, lost: list[int], held: _Held | None) -> None:
    """A position that the stream itself does not have is a hole; so is what lies before its beginning."""
    for count, position in enumerate(lost):
        subject = f"project {project_id} position {position}"
        if count >= MOST_HOLES:
            report.left_out[f"project {project_id}: holes"] = f"{len(lost) - count} positions were not looked up"
            return
        if held is None or held.state is None:
            report.add(Break("W3B-5020", subject, "it has no row", project_id))
        elif position < held.state.first:
            message = f"it has no row, and the stream, which begins at {held.state.first}, cannot say what it was"
            report.add(Break("W3B-5020", subject, message, project_id))
        elif await held.stream.message_at(project_id, position) is not None:
            report.add(Break("W3B-5020", subject, "it has no row, and the stream holds a message there", project_id))
        else:
            report.checked["holes"] += 1


async def _compare_bytes(ledger: Ledger, report: InvariantReport, project_id: int, held: _Held) -> None:
    """A sample over all that both hold: the same message at the same position."""
    assert held.state is not None
    low, high = max(held.state.first, 1), min(held.state.last, held.end - 1)
    for position in sorted({low + (high - low) * step // (SAMPLES - 1) for step in range(SAMPLES)}):
        if position > high:
            return
        key = (project_id, position)
        async with ledger.reading() as session:
            reading, refused = await session.get(ReadingRow, key), await session.get(DeadLetterRow, key)
        row = reading or refused
        if row is None:
            continue
        found = await held.stream.message_at(project_id, position)
        report.checked["messages"] += 1
        if found is not None and found[: len(row.wire)] != row.wire:
            message = "the stream holds another message there than the ledger has read"
            report.add(Break("W3B-5023", f"project {project_id} position {position}", message, project_id))
