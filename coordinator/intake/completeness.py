"""What closing windows lack (docs/reference/encodings.md §2.1), counted from the stream and nothing else.

The order of arrival is the order of stream positions, so the same stream and the same bounds give the same numbers,
however the messages were batched and whoever counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select

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
READINGS: Table = ReadingRow.__table__  # type: ignore[attr-defined]
LETTERS: Table = DeadLetterRow.__table__  # type: ignore[attr-defined]


def _inside(table: Table) -> tuple[ColumnElement[bool], ...]:
    position = table.c.position
    return table.c.project_id == bindparam("of_project"), position >= bindparam("start"), position < bindparam("end")


def _highest() -> Select[Any]:
    """Each device of the window with its highest sequence before it."""
    devices = select(READINGS.c.device).where(*_inside(READINGS)).distinct().subquery()
    earlier = READINGS.alias()
    # Down the index of (project, device, sequence): it passes over what the open window holds, and stops.
    highest = (
        select(earlier.c.sequence)
        .where(
            earlier.c.project_id == bindparam("of_project"),
            earlier.c.device == devices.c.device,
            earlier.c.position < bindparam("start"),
        )
        .order_by(earlier.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(devices.c.device, highest)


# Built once: to build a statement costs several times what it costs to run it (`ledger.prepared`).
_TAKEN = select(READINGS.c.position, READINGS.c.wire).where(*_inside(READINGS)).order_by(READINGS.c.position)
_REPEATED = select(func.count()).where(*_inside(LETTERS), LETTERS.c.code.in_(REPEATS))
_HIGHEST = _highest()

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


def load_window_rows(connection: Connection, project_id: int, window: OpenWindow) -> WindowRows:
    """What was taken of `window` so far."""
    of = {"of_project": project_id, "start": window.start, "end": window.next_position}
    return WindowRows(
        [(position, Reading.from_wire(wire)) for position, wire in connection.execute(_TAKEN, of)],
        connection.execute(_REPEATED, of).scalar() or 0,
        {bytes.fromhex(name.removeprefix("0x")): highest for name, highest in connection.execute(_HIGHEST, of)},
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
    positions = [position for position, _ in placed]
    marks: dict[bytes, int | None] = {**highest, **rows.highest}
    counted = []
    for index, closing in enumerate(closings):
        first, end = bisect_left(positions, closing.start), bisect_left(positions, closing.end)
        inside = [reading for _, reading in placed[first:end]]
        late, reordered = _behind(inside, marks)
        duplicates = bisect_left(repeated, closing.end) - bisect_left(repeated, closing.start)
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
