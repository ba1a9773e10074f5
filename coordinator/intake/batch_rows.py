"""What a batch writes: the cursor, readings, dead letters, gaps, tasks and figures, in one open transaction.

Plain statements over many rows each, run on the database's own thread (`ledger.one_hop`): a batch of 512 readings is a
dozen statements, not a thousand round trips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BindParameter, Connection, Table, bindparam, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from coordinator.intake.batch import Batch
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.sequences import Gap
from coordinator.ledger.bulk import Event, add_events, chunks
from coordinator.ledger.tables import (
    DeadLetterRow,
    DeviceCursorRow,
    GapRow,
    IntakeCountRow,
    ProjectVersionRow,
    ReadingRow,
    StreamCursorRow,
    TaskRow,
)
from coordinator.ledger.transitions import TaskState

DEAD_LETTER_BYTES = 8192
"""Bytes of a refused message that are kept; the stream takes no longer one."""
DEAD_LETTERS_KEPT = 100_000
"""Dead letters of a project that are kept, the newest; older ones live on as a figure by code."""
DROP_AT = 1_000
"""So many too many are dropped together."""
ACCEPTED = "accepted"
MISSING = "missing"
DROPPED = "dropped"
LARGEST = (1 << 63) - 1

CURSORS: Table = StreamCursorRow.__table__  # type: ignore[attr-defined]
VERSIONS: Table = ProjectVersionRow.__table__  # type: ignore[attr-defined]
READINGS: Table = ReadingRow.__table__  # type: ignore[attr-defined]
LETTERS: Table = DeadLetterRow.__table__  # type: ignore[attr-defined]
GAPS: Table = GapRow.__table__  # type: ignore[attr-defined]
DEVICES: Table = DeviceCursorRow.__table__  # type: ignore[attr-defined]
COUNTS: Table = IntakeCountRow.__table__  # type: ignore[attr-defined]
TASKS: Table = TaskRow.__table__  # type: ignore[attr-defined]

# Built once: to build a statement costs several times what it costs to run it (`ledger.prepared`).
_OF: BindParameter[Any] = bindparam("of_project")
_MOVE_CURSOR = (
    update(CURSORS)
    .where(
        CURSORS.c.project_id == _OF,
        CURSORS.c.next_position == bindparam("planned_position"),
        CURSORS.c.window_start == bindparam("planned_start"),
        CURSORS.c.open_count == bindparam("planned_count"),
    )
    .values(
        next_position=bindparam("to_position"),
        window_start=bindparam("to_start"),
        window_opened_at=bindparam("to_opened_at"),
        open_count=bindparam("to_count"),
        flush_to=case((CURSORS.c.flush_to == bindparam("done"), 0), else_=CURSORS.c.flush_to),
    )
)
_ADD_TASKS = insert(TASKS)
_GIVE_TO_TASK = (
    update(READINGS)
    .where(
        READINGS.c.project_id == _OF,
        READINGS.c.position >= bindparam("first"),
        READINGS.c.position < bindparam("end"),
    )
    .values(task_id=bindparam("task"))
)
_ADD_READINGS = insert(READINGS)
_KNOWN_DEVICES = select(DEVICES.c.device).where(
    DEVICES.c.project_id == _OF, DEVICES.c.device.in_(bindparam("devices", expanding=True))
)
_MOVE_DEVICE = (
    update(DEVICES)
    .where(DEVICES.c.project_id == _OF, DEVICES.c.device == bindparam("of"))
    .values(last_sequence=bindparam("highest"))
)
_FIGURES = select(COUNTS.c.name, COUNTS.c.total).where(COUNTS.c.project_id == _OF)
_MOVE_FIGURE = (
    update(COUNTS)
    .where(COUNTS.c.project_id == _OF, COUNTS.c.name == bindparam("figure"))
    .values(total=bindparam("now"))
)


class CursorMovedError(Exception):
    """The ledger's cursor is not where the batch was planned: somebody else took the messages. Nothing was written."""


def received_at(message: StreamMessage, now: int) -> int:
    """When the message arrived, never later than now by our own clock."""
    return min(message.arrived_at, now)


def write_batch(connection: Connection, project_id: int, batch: Batch, now: int) -> None:
    """Write the batch. Raises CursorMovedError; the transaction is then the caller's to roll back."""
    _move_cursor(connection, project_id, batch)
    _enter_version(connection, project_id, batch)
    _add_tasks(connection, project_id, batch, now)
    _add_readings(connection, project_id, batch, now)
    _add_letters(connection, project_id, batch, now)
    _add_gaps(connection, project_id, batch.book.gaps, now)
    filled = _fill_gaps(connection, project_id, batch.book.late)
    _move_devices(connection, project_id, batch)
    codes = Counter(refusal.code for _, refusal in batch.refused)
    opened = sum(gap.missing for gap in batch.book.gaps)
    totals = _count(connection, project_id, {ACCEPTED: len(batch.accepted), MISSING: opened - filled, **codes})
    _drop_letters(connection, project_id, totals)


def _move_cursor(connection: Connection, project_id: int, batch: Batch) -> None:
    """Move the cursor from where the batch was planned, and from nowhere else."""
    before, after = batch.before.window, batch.after
    # A flush asked for after the batch was planned is not ours to tick off.
    done = batch.before.flush_to if batch.before.flush_to <= after.next_position else -1
    moved = connection.execute(
        _MOVE_CURSOR,
        {
            "of_project": project_id,
            "planned_position": before.next_position,
            "planned_start": before.start,
            "planned_count": before.count,
            "to_position": after.next_position,
            "to_start": after.start,
            "to_opened_at": after.opened_at,
            "to_count": after.count,
            "done": done,
        },
    )
    if moved.rowcount == 1:
        return
    at = connection.execute(select(CURSORS.c.next_position).where(CURSORS.c.project_id == project_id)).scalar()
    if at is not None or (before.next_position, before.start, before.count) != (1, 1, 0):
        raise CursorMovedError(f"project {project_id} is at {at}, not {before.next_position}")
    values = {
        "project_id": project_id,
        "next_position": after.next_position,
        "window_start": after.start,
        "window_opened_at": after.opened_at,
        "open_count": after.count,
    }
    blank = {"flush_to": 0, "stopped_code": "", "stopped_reason": ""}
    try:
        connection.execute(insert(CURSORS).values(**values, **blank))
    except IntegrityError as error:
        raise CursorMovedError(f"project {project_id} was begun meanwhile") from error


def _enter_version(connection: Connection, project_id: int, batch: Batch) -> None:
    if batch.enters is None:
        return
    entered = connection.execute(
        update(VERSIONS)
        .where(VERSIONS.c.project_id == project_id, VERSIONS.c.version == batch.enters, VERSIONS.c.first_position == 0)
        .values(first_position=batch.after.next_position)
    )
    if entered.rowcount != 1:
        raise CursorMovedError(f"version {batch.enters} of project {project_id} was entered meanwhile")


def _add_tasks(connection: Connection, project_id: int, batch: Batch, now: int) -> None:
    if not batch.tasks:
        return
    connection.execute(_ADD_TASKS, [task for _, task in batch.tasks])
    reasons = ((task["id"], f"window closed by {closing.reason}") for closing, task in batch.tasks)
    add_events(
        connection, now, [Event(name, project_id, "task", "", TaskState.RECEIVED, reason) for name, reason in reasons]
    )
    first, task = batch.tasks[0]
    if batch.before.window.count:  # readings of an earlier batch; those of this one are written with their window
        end = batch.before.window.next_position
        connection.execute(
            _GIVE_TO_TASK, {"of_project": project_id, "first": first.start, "end": end, "task": task["id"]}
        )


def _add_readings(connection: Connection, project_id: int, batch: Batch, now: int) -> None:
    if not batch.accepted:
        return
    windows = iter([*batch.tasks, None])
    window = next(windows)
    rows: list[dict[str, Any]] = []
    for message, reading in batch.accepted:  # both are in stream order
        while window is not None and message.position >= window[0].end:
            window = next(windows)
        inside = window is not None and message.position >= window[0].start
        rows.append(
            {
                "project_id": project_id,
                "position": message.position,
                "version": batch.terms.version,
                "device": _hex(reading.device),
                "sequence": reading.sequence,
                "timestamp": reading.timestamp,
                "wire": message.data,
                "received_at": received_at(message, now),
                "task_id": window[1]["id"] if window is not None and inside else None,
            }
        )
    connection.execute(_ADD_READINGS, rows)


def _add_letters(connection: Connection, project_id: int, batch: Batch, now: int) -> None:
    rows = [
        {
            "project_id": project_id,
            "position": message.position,
            "code": refusal.code,
            "reason": refusal.reason,
            "device": "" if refusal.device is None else _hex(refusal.device),
            "sequence": refusal.sequence,
            "wire": message.data[:DEAD_LETTER_BYTES],
            "at": now,
        }
        for message, refusal in batch.refused
    ]
    if rows:
        connection.execute(insert(LETTERS), rows)


def _add_gaps(connection: Connection, project_id: int, gaps: Iterable[Gap], now: int) -> None:
    rows = [
        {
            "project_id": project_id,
            "device": _hex(gap.device),
            "first_missing": gap.first,
            "last_missing": gap.last,
            "missing": gap.missing,
            "at": now,
        }
        for gap in gaps
    ]
    if rows:
        connection.execute(insert(GAPS), rows)


def _fill_gaps(connection: Connection, project_id: int, late: Iterable[tuple[bytes, int]]) -> int:
    """Take late readings off the gaps they were missing from; returns how many filled one."""
    filled = 0
    for device, sequence in late:
        done = connection.execute(
            update(GAPS)
            .where(
                GAPS.c.project_id == project_id,
                GAPS.c.device == _hex(device),
                GAPS.c.first_missing <= sequence,
                GAPS.c.last_missing >= sequence,
            )
            .values(missing=GAPS.c.missing - 1)
        )
        filled += done.rowcount
    return filled


def _move_devices(connection: Connection, project_id: int, batch: Batch) -> None:
    moved = {_hex(device): batch.book.last[device] for device in batch.book.moved}
    known: set[str] = set()
    for some in chunks(sorted(moved)):
        known.update(connection.execute(_KNOWN_DEVICES, {"of_project": project_id, "devices": some}).scalars())
    if known:
        connection.execute(
            _MOVE_DEVICE,
            [{"of_project": project_id, "of": device, "highest": moved[device]} for device in sorted(known)],
        )
    new = [
        {"project_id": project_id, "device": device, "last_sequence": last}
        for device, last in moved.items()
        if device not in known
    ]
    if new:
        connection.execute(insert(DEVICES), new)


def _count(connection: Connection, project_id: int, changes: Mapping[str, int]) -> dict[str, int]:
    """Add to the project's figures; returns all of them."""
    rows = connection.execute(_FIGURES, {"of_project": project_id})
    known = {row.name: row.total for row in rows}
    after = dict(known)
    for name, change in changes.items():
        if change and known.get(name) != LARGEST:  # what cannot be counted any more is not counted down either
            after[name] = min(known.get(name, 0) + change, LARGEST)
    changed = [name for name in known if after[name] != known[name]]
    if changed:
        moved = [{"of_project": project_id, "figure": name, "now": after[name]} for name in changed]
        connection.execute(_MOVE_FIGURE, moved)
    new = [{"project_id": project_id, "name": name, "total": after[name]} for name in after if name not in known]
    if new:
        connection.execute(insert(COUNTS), new)
    return after


def _drop_letters(connection: Connection, project_id: int, totals: Mapping[str, int]) -> None:
    """Let go of the oldest dead letters when there are too many; the figures keep them."""
    ever = sum(total for name, total in totals.items() if name.startswith("W3B-"))
    excess = ever - totals.get(DROPPED, 0) - DEAD_LETTERS_KEPT
    if excess < DROP_AT:
        return
    first_kept = connection.execute(
        select(LETTERS.c.position)
        .where(LETTERS.c.project_id == project_id)
        .order_by(LETTERS.c.position)
        .offset(excess)
        .limit(1)
    ).scalar_one()
    gone = connection.execute(
        delete(LETTERS).where(LETTERS.c.project_id == project_id, LETTERS.c.position < first_kept)
    )
    _count(connection, project_id, {DROPPED: gone.rowcount})


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
