"""What the ledger knows before a batch: the cursor, the versions, and the sequences that it could repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, Table, select

from coordinator.intake.batch import Cursor, said
from coordinator.intake.sequences import SequenceBook, could_repeat
from coordinator.intake.windows import OpenWindow
from coordinator.ledger.bulk import chunks
from coordinator.ledger.tables import DeviceCursorRow, ProjectVersionRow, ReadingRow, StreamCursorRow

CURSORS: Table = StreamCursorRow.__table__  # type: ignore[attr-defined]
VERSIONS: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]
READINGS: Table = ReadingRow.__table__  # type: ignore[attr-defined]
DEVICES: Table = DeviceCursorRow.__table__  # type: ignore[attr-defined]


def read_cursor(connection: Connection, project_id: int) -> Cursor:
    """The project's cursor; the beginning of the stream where there is none yet."""
    row = connection.execute(select(CURSORS).where(CURSORS.c.project_id == project_id)).first()
    if row is None:
        return Cursor(OpenWindow(1, 1))
    return Cursor(OpenWindow(row.window_start, row.next_position, row.window_opened_at, row.open_count), row.flush_to)


def read_standing(connection: Connection, project_id: int) -> tuple[Cursor, tuple[int, int] | None, int | None]:
    """The cursor; the newest published version with its first position (0 until it is entered), None before the first;
    and the version that the open window belongs to, None before the first was entered."""
    query = select(VERSIONS.c.version, VERSIONS.c.first_position).where(VERSIONS.c.project_id == project_id)
    newest = query.where(VERSIONS.c.state == "PUBLISHED").order_by(VERSIONS.c.version.desc()).limit(1)
    entered = query.where(VERSIONS.c.first_position > 0).order_by(VERSIONS.c.version.desc()).limit(1)
    published, begun = connection.execute(newest).first(), connection.execute(entered).first()
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
        rows = connection.execute(
            select(DEVICES.c.device, DEVICES.c.last_sequence).where(
                DEVICES.c.project_id == project_id, DEVICES.c.device.in_([f"0x{device.hex()}" for device in some])
            )
        )
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
