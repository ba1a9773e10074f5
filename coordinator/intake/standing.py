"""What the ledger knows before a batch: the cursor, the versions, and the sequences that it could repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, select

from coordinator.intake.batch import Cursor, said
from coordinator.intake.sequences import SequenceBook, could_repeat
from coordinator.intake.windows import OpenWindow
from coordinator.ledger.bulk import chunks
from coordinator.ledger.tables import DeviceCursorRow, ProjectVersionRow, ReadingRow, StreamCursorRow

CURSORS: Table = StreamCursorRow.__table__  # type: ignore[attr-defined]
VERSIONS: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]
READINGS: Table = ReadingRow.__table__  # type: ignore[attr-defined]
DEVICES: Table = DeviceCursorRow.__table__  # type: ignore[attr-defined]

# Built once: to build a statement costs several times what it costs to run it (`ledger.prepared`).
_OF: BindParameter[Any] = bindparam("of_project")
_CURSOR = select(CURSORS).where(CURSORS.c.project_id == _OF)
_VERSIONS = (
    select(VERSIONS.c.version, VERSIONS.c.first_position)
    .where(VERSIONS.c.project_id == _OF)
    .order_by(VERSIONS.c.version.desc())
    .limit(1)
)
_NEWEST = _VERSIONS.where(VERSIONS.c.state == "PUBLISHED")
_ENTERED = _VERSIONS.where(VERSIONS.c.first_position > 0)
_LAST = select(DEVICES.c.device, DEVICES.c.last_sequence).where(
    DEVICES.c.project_id == _OF, DEVICES.c.device.in_(bindparam("devices", expanding=True))
)


def read_cursor(connection: Connection, project_id: int) -> Cursor:
    """The project's cursor; the beginning of the stream where there is none yet."""
    row = connection.execute(_CURSOR, {"of_project": project_id}).first()
    if row is None:
        return Cursor(OpenWindow(1, 1))
    return Cursor(OpenWindow(row.window_start, row.next_position, row.window_opened_at, row.open_count), row.flush_to)


def read_standing(connection: Connection, project_id: int) -> tuple[Cursor, tuple[int, int] | None, int | None]:
    """The cursor; the newest published version with its first position (0 until it is entered), None before the first;
    and the version that the open window belongs to, None before the first was entered."""
    of = {"of_project": project_id}
    published, begun = connection.execute(_NEWEST, of).first(), connection.execute(_ENTERED, of).first()
    return (
        read_cursor(connection, project_id),
        None if published is None else (published.version, published.first_position),
        None if begun is None else begun.version,
    )


def read_book(
    connection: Connection, project_id: int, wanted: Mapping[bytes, Collection[int]], before: int | None = None
) -> SequenceBook:
    """What is known of these devices' sequences; `before` leaves out readings at that stream position and after it."""
    book = SequenceBook({}, {})
    for some in chunks(sorted(wanted)):
        names = [f"0x{device.hex()}" for device in some]
        rows = connection.execute(_LAST, {"of_project": project_id, "devices": names})
        book.last |= {bytes.fromhex(row.device[2:]): row.last_sequence for row in rows}
    for device, sequences in wanted.items():
        for some_numbers in chunks([each for each in sequences if could_repeat(book.last, device, each)]):
            known = connection.execute(
                select(READINGS.c.sequence, READINGS.c.wire).where(
                    READINGS.c.project_id == project_id,
                    READINGS.c.device == f"0x{device.hex()}",
                    READINGS.c.sequence.in_(some_numbers),
                    *(() if before is None else (READINGS.c.position < before,)),
                )
            )
            book.known |= {(device, row.sequence): said(row.wire) for row in known}
    return book
