"""What closing windows lack (docs/reference/encodings.md §2.1), counted from the stream and nothing else.

The order of arrival is the order of stream positions, so the same stream and the same bounds give the same numbers,
however the messages were batched and whoever counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.windows import Closing, OpenWindow
from coordinator.ledger.tables import DeadLetterRow, ReadingRow
from verifier.completeness import MOST_DUPLICATES
from verifier.reading import Reading

DUPLICATE = "W3B-1005"
"""Code of a dead letter that repeats an accepted reading."""
EQUIVOCATION = "W3B-1050"
"""Code of a dead letter under the number of an accepted reading that says something else."""
REPEATS = (DUPLICATE, EQUIVOCATION)
"""Both repeat an accepted reading's device and sequence."""

Placed = tuple[int, Reading]
"""An accepted reading at its stream position."""


@dataclass
class WindowRows:
    """What the ledger holds of the open window."""

    readings: list[Placed] = field(default_factory=list)
    duplicates: int = 0
    """Dead letters in it that repeat a reading."""
    highest: dict[bytes, int | None] = field(default_factory=dict)
    """For each device in `readings`: its highest sequence before the window, None where it had sent nothing."""


async def load_window_rows(session: AsyncSession, project_id: int, window: OpenWindow) -> WindowRows:
    """What was taken of `window` so far."""
    if window.start == window.next_position:
        return WindowRows()
    duplicates = await session.exec(
        select(func.count()).where(
            col(DeadLetterRow.project_id) == project_id,
            col(DeadLetterRow.position) >= window.start,
            col(DeadLetterRow.position) < window.next_position,
            col(DeadLetterRow.code).in_(REPEATS),
        )
    )
    inside = (
        col(ReadingRow.project_id) == project_id,
        col(ReadingRow.position) >= window.start,
        col(ReadingRow.position) < window.next_position,
    )
    rows = await session.exec(
        select(ReadingRow.position, ReadingRow.wire).where(*inside).order_by(col(ReadingRow.position))
    )
    devices = select(ReadingRow.device).where(*inside).distinct().subquery()
    earlier = aliased(ReadingRow)
    # Down the index of (project, device, sequence): it passes over what the open window holds, and stops.
    highest = (
        select(earlier.sequence)
        .where(
            earlier.project_id == project_id,
            earlier.device == devices.c.device,
            earlier.position < window.start,
        )
        .order_by(col(earlier.sequence).desc())
        .limit(1)
        .scalar_subquery()
    )
    marks = await session.exec(select(devices.c.device, highest))
    return WindowRows(
        [(position, Reading.from_wire(wire)) for position, wire in rows],
        duplicates.one(),
        {bytes.fromhex(device.removeprefix("0x")): sequence for device, sequence in marks},
    )


@dataclass(frozen=True)
class Arrivals:
    """How one window's messages arrived."""

    readings: tuple[Reading, ...]
    """The accepted ones, in stream order."""
    duplicates: int
    late: int
    reordered: int

    @property
    def behind(self) -> tuple[int, int, int]:
        """(duplicates, late, reordered)."""
        return self.duplicates, self.late, self.reordered


def count_arrivals(
    closings: Sequence[Closing],
    rows: WindowRows,
    accepted: Iterable[Placed],
    repeated: Sequence[int],
    highest: Mapping[bytes, int],
) -> list[Arrivals]:
    """For each window that closes, how its messages arrived.

    Parameters: `closings` in stream order, the first one begins with the window of `rows`; `accepted` readings and
    `repeated` positions of duplicates that the ledger does not hold yet, in stream order, and `highest` each of their
    devices' highest sequence before them.
    """
    placed = [*rows.readings, *accepted]
    marks: dict[bytes, int | None] = {**highest, **rows.highest}
    counted = []
    for index, closing in enumerate(closings):
        inside = [reading for position, reading in placed if closing.start <= position < closing.end]
        late, reordered = _behind(inside, marks)
        duplicates = sum(closing.start <= position < closing.end for position in repeated)
        duplicates = min(duplicates + (rows.duplicates if index == 0 else 0), MOST_DUPLICATES)
        counted.append(Arrivals(tuple(inside), duplicates, late, reordered))
    return counted


def _behind(readings: Sequence[Reading], marks: dict[bytes, int | None]) -> tuple[int, int]:
    """(late, reordered) of one window; `marks`, each device's highest sequence so far, moves past the window."""
    late = reordered = 0
    at_start: dict[bytes, int | None] = {}
    for reading in readings:
        mark = marks.get(reading.device)
        start = at_start.setdefault(reading.device, mark)
        if mark is not None and reading.sequence < mark:
            reordered += 1
            late += start is not None and reading.sequence < start
        else:
            marks[reading.device] = reading.sequence
    return late, reordered
