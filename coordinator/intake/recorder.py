"""The recorder: turns a batch of messages into one ledger transaction.

Invariant: every accepted reading is in exactly one window or in the dead letters with its reason. The cursor moves in
the same transaction as the rows, and only from where the batch was planned: a batch planned on an older cursor changes
nothing, so a message that is delivered twice counts once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import structlog

from coordinator.intake.batch import Authentic, Batch, Cursor, Judged, authenticate, book_sequences, make_tasks
from coordinator.intake.batch_rows import write_batch
from coordinator.intake.completeness import REPEATS, WindowRows, count_arrivals, load_window_rows
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.sequences import SequenceBook
from coordinator.intake.standing import read_book, read_cursor, read_standing
from coordinator.intake.version_terms import VersionTerms, load_terms
from coordinator.intake.windows import CloseReason, Closing, Taken, advance, close, due_at, is_stale
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectVersionRow
from coordinator.projects.programs import Manifest
from verifier.errors import NotFound

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Turn:
    """Where the intake stands after a turn."""

    next_position: int
    """First position not yet taken."""
    due_at: int | None
    """When the open window closes by time, milliseconds; None while it is empty."""


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
        self._seen: VersionTerms | None = None

    async def judge(self, messages: Sequence[StreamMessage]) -> Judged:
        """Check the messages under the version that was last seen, so that `turn` finds the slow part done."""
        terms = self._seen or (await self._load())[1]
        return Judged(terms.version, messages, *await authenticate(terms, messages, self._pool))

    async def turn(self, messages: Sequence[StreamMessage] | Judged = ()) -> Turn:
        """Take messages (in stream order; those already taken are passed over), then close what is due.

        Raises CursorMovedError, and NotFound: W3B-1006 without a published version, W3B-2005 without its program.
        """
        cursor, terms, (newest, first_position) = await self._load()
        if first_position == 0:
            cursor, terms = await self._enter(cursor, terms, newest)
        now = self._ledger.clock()
        due = due_at(cursor.window, terms.windows)
        closes = is_stale(cursor.window, terms.windows, now) or 0 < cursor.flush_to <= cursor.window.next_position
        if not messages and not closes:
            return Turn(cursor.window.next_position, due)
        batch = await self._plan(terms, cursor, await self._fresh(terms, cursor, messages), now)
        if not batch.taken and not closes:
            return Turn(cursor.window.next_position, due)
        await self._commit(batch, now)
        return Turn(batch.after.next_position, due_at(batch.after, terms.windows))

    async def _fresh(self, terms: VersionTerms, cursor: Cursor, given: Sequence[StreamMessage] | Judged) -> Judged:
        """Those not taken yet, judged under these terms."""
        start = cursor.window.next_position
        if isinstance(given, Judged) and given.version == terms.version:
            return given.beginning(start)
        messages = given.messages if isinstance(given, Judged) else given
        fresh = [message for message in messages if message.position >= start]
        return Judged(terms.version, fresh, *await authenticate(terms, fresh, self._pool))

    async def _load(self) -> tuple[Cursor, VersionTerms, tuple[int, int]]:
        """The cursor, the terms of the open window's version, and (newest version, its first position)."""
        found = await self._ledger.read(lambda connection: read_standing(connection, self._project_id))
        cursor, newest, entered = found
        if newest is None:
            raise NotFound("W3B-1006", f"project {self._project_id} has no published version", field="project")
        terms = self._seen = await self._terms_of(entered or newest[0])
        return cursor, terms, newest

    async def _terms_of(self, version: int) -> VersionTerms:
        """The terms of a version that is in the ledger; they never change."""
        if version not in self._terms:
            async with self._ledger.reading() as session:
                row = await session.get_one(ProjectVersionRow, (self._project_id, version))
                self._terms[version] = await load_terms(session, row, self._programs)
        return self._terms[version]

    async def _enter(self, cursor: Cursor, old: VersionTerms, newest: int) -> tuple[Cursor, VersionTerms]:
        """Close the open window under its own version, then begin the newest one at the next position."""
        now = self._ledger.clock()
        after, closings = close(cursor.window, cursor.window.next_position, CloseReason.VERSION)
        batch = Batch(old, cursor, after, SequenceBook({}, {}), enters=newest)
        await self._add_tasks(batch, closings, {}, now)
        await self._commit(batch, now)
        log.info("version_entered", project=self._project_id, version=newest, position=after.next_position)
        after_it = await self._ledger.read(lambda connection: read_cursor(connection, self._project_id))
        return after_it, await self._terms_of(newest)

    async def _plan(self, terms: VersionTerms, cursor: Cursor, judged: Judged, now: int) -> Batch:
        book = await self._book(judged.authentic)
        highest = dict(book.last)
        accepted, repeats = book_sequences(judged.authentic, book)
        positions = {message.position for message, _ in accepted}
        taken = [Taken(each.position, each.position in positions, each.arrived_at) for each in judged.messages]
        after, closings = advance(cursor.window, taken, terms.windows, now, cursor.flush_to)
        batch = Batch(terms, cursor, after, book, accepted, [*judged.refused, *repeats], taken=len(taken))
        await self._add_tasks(batch, closings, highest, now)
        return batch

    async def _book(self, authentic: Sequence[Authentic]) -> SequenceBook:
        """What the ledger knows of the sequences in these readings."""
        by_device: dict[bytes, set[int]] = defaultdict(set)
        for _, reading in authentic:
            by_device[reading.device].add(reading.sequence)
        return await self._ledger.read(lambda connection: read_book(connection, self._project_id, by_device))

    async def _add_tasks(
        self, batch: Batch, closings: Sequence[Closing], highest: Mapping[bytes, int], now: int
    ) -> None:
        """Make each closed window's task from what arrived in it: the ledger's part and the batch's.

        `highest` is each of the batch's devices' highest sequence before the batch.
        """
        if not closings:
            return
        window = batch.before.window
        rows = WindowRows()
        if window.start < window.next_position:
            rows = await self._ledger.read(lambda connection: load_window_rows(connection, self._project_id, window))
        accepted = [(message.position, reading) for message, reading in batch.accepted]
        repeated = [message.position for message, refusal in batch.refused if refusal.code in REPEATS]
        counted = count_arrivals(closings, rows, accepted, repeated, highest)
        batch.tasks = await make_tasks(batch.terms, list(zip(closings, counted, strict=True)), now, self._pool)
        traced = [each for each, _ in batch.accepted if each.trace]
        for closing, task in batch.tasks if traced else ():
            first = bisect_left(traced, closing.start, key=attrgetter("position"))
            if first < len(traced) and traced[first].position < closing.end:
                task["trace"] = traced[first].trace

    async def _commit(self, batch: Batch, now: int) -> None:
        await self._ledger.write(lambda connection: write_batch(connection, self._project_id, batch, now))
        if batch.refused:
            codes = Counter(refusal.code for _, refusal in batch.refused)
            log.warning("messages_refused", project=self._project_id, codes=dict(codes))
