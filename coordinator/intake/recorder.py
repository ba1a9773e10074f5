"""The recorder: turns a batch of messages into one ledger transaction.

Invariant: every accepted reading is in exactly one window or in the dead letters with its reason. The cursor moves in
the same transaction as the rows, and only from where the batch was planned: a batch planned on an older cursor changes
nothing, so a message that is delivered twice counts once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.intake.batch import Authentic, Batch, Cursor, authenticate, book_sequences, make_task
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.sequences import SequenceBook, could_repeat
from coordinator.intake.stream import StreamMessage
from coordinator.intake.version_terms import VersionTerms, entered_version, load_terms, newest_version
from coordinator.intake.windows import CloseReason, Closing, OpenWindow, Taken, advance, close, due_at
from coordinator.ledger.store import Ledger, record_event
from coordinator.ledger.tables import (
    DeadLetterRow,
    DeviceCursorRow,
    GapRow,
    ProjectVersionRow,
    ReadingRow,
    StreamCursorRow,
)
from coordinator.ledger.transitions import TaskState
from coordinator.projects.programs import Manifest
from verifier.errors import NotFound
from verifier.reading import Reading

DEAD_LETTER_BYTES = 8192
"""Bytes of a refused message that are kept."""

log = structlog.get_logger(__name__)


class CursorMovedError(Exception):
    """The ledger's cursor is not where the batch was planned: somebody else took the messages. Nothing was written."""


@dataclass(frozen=True)
class Turn:
    """Where the intake stands after a turn."""

    next_position: int
    """First position not yet taken."""
    due_at: int | None
    """When the open window closes by time, milliseconds; None while it is empty."""


def received_at(message: StreamMessage, now: int) -> int:
    """When the message arrived, never later than now by our own clock."""
    return min(message.arrived_at, now)


async def read_cursor(session: AsyncSession, project_id: int) -> Cursor:
    """The project's cursor; the beginning of the stream where there is none yet."""
    row = await session.get(StreamCursorRow, project_id, populate_existing=True)
    if row is None:
        return Cursor(OpenWindow(1, 1))
    return Cursor(OpenWindow(row.window_start, row.next_position, row.window_opened_at, row.open_count), row.flush_to)


class Recorder:
    """Writes one project's intake. One at a time: turns of one project must not overlap."""

    def __init__(
        self, ledger: Ledger, pool: CryptoPool, project_id: int, programs: Mapping[str, Manifest] | None = None
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._project_id = project_id
        self._programs = programs
        self._terms: dict[int, VersionTerms] = {}

    async def turn(self, messages: Sequence[StreamMessage] = ()) -> Turn:
        """Take messages (in stream order; those already taken are passed over), then close what is due.

        Raises CursorMovedError, and NotFound: W3B-1006 without a published version, W3B-2005 without its program.
        """
        cursor, terms, newest = await self._load()
        if newest.first_position == 0:
            cursor, terms = await self._enter(cursor, terms, newest)
        fresh = [message for message in messages if message.position >= cursor.window.next_position]
        now = self._ledger.clock()
        due = due_at(cursor.window, terms.windows)
        flush = 0 < cursor.flush_to <= cursor.window.next_position
        if not fresh and not flush and (due is None or due > now):
            return Turn(cursor.window.next_position, due)
        batch = await self._plan(terms, cursor, fresh, now)
        await self._commit(batch, now)
        return Turn(batch.after.next_position, due_at(batch.after, terms.windows))

    async def _load(self) -> tuple[Cursor, VersionTerms, ProjectVersionRow]:
        async with self._ledger.reading() as session:
            cursor = await read_cursor(session, self._project_id)
            newest = await newest_version(session, self._project_id)
            if newest is None:
                raise NotFound("W3B-1006", f"project {self._project_id} has no published version", field="project")
            entered = await entered_version(session, self._project_id)
            terms = await self._terms_of(session, entered or newest)
        return cursor, terms, newest

    async def _terms_of(self, session: AsyncSession, row: ProjectVersionRow) -> VersionTerms:
        if row.version not in self._terms:
            self._terms[row.version] = await load_terms(session, row, self._programs)
        return self._terms[row.version]

    async def _enter(self, cursor: Cursor, old: VersionTerms, newest: ProjectVersionRow) -> tuple[Cursor, VersionTerms]:
        """Close the open window under its own version, then begin the newest one at the next position."""
        now = self._ledger.clock()
        after, closings = close(cursor.window, cursor.window.next_position, CloseReason.VERSION)
        batch = Batch(old, cursor, after, SequenceBook({}, set()), enters=newest.version)
        await self._add_tasks(batch, closings, now)
        await self._commit(batch, now)
        log.info("version_entered", project=self._project_id, version=newest.version, position=after.next_position)
        async with self._ledger.reading() as session:
            return await read_cursor(session, self._project_id), await self._terms_of(session, newest)

    async def _plan(self, terms: VersionTerms, cursor: Cursor, messages: Sequence[StreamMessage], now: int) -> Batch:
        authentic, refused = await authenticate(terms, messages, self._pool)
        book = await self._book(authentic)
        accepted, duplicates = book_sequences(authentic, book)
        positions = {message.position for message, _ in accepted}
        taken = [Taken(each.position, each.position in positions, each.arrived_at) for each in messages]
        after, closings = advance(cursor.window, taken, terms.windows, now, cursor.flush_to)
        batch = Batch(terms, cursor, after, book, accepted, refused + duplicates)
        await self._add_tasks(batch, closings, now)
        return batch

    async def _book(self, authentic: Sequence[Authentic]) -> SequenceBook:
        """What the ledger knows of the sequences in these readings."""
        by_device: dict[bytes, set[int]] = defaultdict(set)
        for _, reading in authentic:
            by_device[reading.device].add(reading.sequence)
        book = SequenceBook({}, set())
        async with self._ledger.reading() as session:
            rows = await session.exec(
                select(DeviceCursorRow).where(
                    DeviceCursorRow.project_id == self._project_id,
                    col(DeviceCursorRow.device).in_([_hex(device) for device in by_device]),
                )
            )
            book.last = {bytes.fromhex(row.device[2:]): row.last_sequence for row in rows}
            for device, sequences in by_device.items():
                old = [sequence for sequence in sequences if could_repeat(book.last, device, sequence)]
                if old:
                    known = await session.exec(
                        select(ReadingRow.sequence).where(
                            ReadingRow.project_id == self._project_id,
                            ReadingRow.device == _hex(device),
                            col(ReadingRow.sequence).in_(old),
                        )
                    )
                    book.known |= {(device, sequence) for sequence in known}
        return book

    async def _add_tasks(self, batch: Batch, closings: Sequence[Closing], now: int) -> None:
        """Compute each closed window's roots from its readings: those of the ledger and those of the batch."""
        readings: list[tuple[int, Reading]] = []
        if closings and batch.before.window.count:
            async with self._ledger.reading() as session:
                rows = await session.exec(
                    select(ReadingRow.position, ReadingRow.wire).where(
                        ReadingRow.project_id == self._project_id,
                        ReadingRow.position >= batch.before.window.start,
                        ReadingRow.position < batch.before.window.next_position,
                    )
                )
                readings = [(position, Reading.from_wire(wire)) for position, wire in rows]
        readings += [(message.position, reading) for message, reading in batch.accepted]

        def inside(closing: Closing) -> list[Reading]:
            return [reading for position, reading in readings if closing.start <= position < closing.end]

        tasks = (make_task(batch.terms, closing, inside(closing), now, self._pool) for closing in closings)
        batch.tasks = list(zip(closings, await asyncio.gather(*tasks), strict=True))

    async def _commit(self, batch: Batch, now: int) -> None:
        async with self._ledger.transaction() as session:
            await self._move_cursor(session, batch)
            self._add_rows(session, batch, now)
            await session.flush()
            await self._write_sequences(session, batch)
            for closing, task in batch.tasks:
                session.add(task)
                await session.exec(
                    update(ReadingRow)
                    .where(
                        col(ReadingRow.project_id) == self._project_id,
                        col(ReadingRow.position) >= closing.start,
                        col(ReadingRow.position) < closing.end,
                    )
                    .values(task_id=task.id)
                )
                reason = f"window closed by {closing.reason}"
                await record_event(
                    session, now, task, subject="task", source="", target=TaskState.RECEIVED, reason=reason
                )
        if batch.refused:
            codes = Counter(refusal.code for _, refusal in batch.refused)
            log.warning("messages_refused", project=self._project_id, codes=dict(codes))

    async def _move_cursor(self, session: AsyncSession, batch: Batch) -> None:
        row = await session.get(StreamCursorRow, self._project_id, populate_existing=True)
        before = batch.before.window
        if row is None:
            row = StreamCursorRow(project_id=self._project_id)
        if (row.next_position, row.window_start, row.open_count) != (before.next_position, before.start, before.count):
            raise CursorMovedError(f"project {self._project_id} is at {row.next_position}, not {before.next_position}")
        row.next_position = batch.after.next_position
        row.window_start = batch.after.start
        row.window_opened_at = batch.after.opened_at
        row.open_count = batch.after.count
        # A flush asked for after the batch was planned is not ours to tick off.
        if row.flush_to == batch.before.flush_to and row.flush_to <= row.next_position:
            row.flush_to = 0
        session.add(row)
        if batch.enters is not None:
            version = await session.get(ProjectVersionRow, (self._project_id, batch.enters), populate_existing=True)
            if version is None or version.first_position:
                raise CursorMovedError(f"version {batch.enters} of project {self._project_id} was entered meanwhile")
            version.first_position = batch.after.next_position
            session.add(version)

    def _add_rows(self, session: AsyncSession, batch: Batch, now: int) -> None:
        for message, reading in batch.accepted:
            session.add(
                ReadingRow(
                    project_id=self._project_id,
                    position=message.position,
                    version=batch.terms.version,
                    device=_hex(reading.device),
                    sequence=reading.sequence,
                    timestamp=reading.timestamp,
                    wire=message.data,
                    received_at=received_at(message, now),
                )
            )
        for message, refusal in batch.refused:
            session.add(
                DeadLetterRow(
                    project_id=self._project_id,
                    position=message.position,
                    code=refusal.code,
                    reason=refusal.reason,
                    device="" if refusal.device is None else _hex(refusal.device),
                    sequence=refusal.sequence,
                    wire=message.data[:DEAD_LETTER_BYTES],
                    at=now,
                )
            )
        for gap in batch.book.gaps:
            session.add(
                GapRow(
                    project_id=self._project_id,
                    device=_hex(gap.device),
                    first_missing=gap.first,
                    last_missing=gap.last,
                    missing=gap.missing,
                    at=now,
                )
            )

    async def _write_sequences(self, session: AsyncSession, batch: Batch) -> None:
        for device in batch.book.moved:
            await session.merge(
                DeviceCursorRow(project_id=self._project_id, device=_hex(device), last_sequence=batch.book.last[device])
            )
        for device, sequence in batch.book.late:
            await session.exec(
                update(GapRow)
                .where(
                    col(GapRow.project_id) == self._project_id,
                    col(GapRow.device) == _hex(device),
                    col(GapRow.first_missing) <= sequence,
                    col(GapRow.last_missing) >= sequence,
                )
                .values(missing=col(GapRow.missing) - 1)
            )


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
