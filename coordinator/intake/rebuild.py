"""The rebuild check: the stream, put through the intake's pure rules once more, must give what the ledger holds.

Every message is judged again under its version, every sequence is booked again, and every window's task is made again
from its readings and compared, field by field. Two of a window's ends follow from no message, the clock and a flush; what
is checked there is that the window could not have been longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import col, select

from coordinator.intake.batch import authenticate, book_sequences, make_tasks
from coordinator.intake.completeness import REPEATS, Placed, WindowRows, count_arrivals
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.replay import Kind, Record, replay
from coordinator.intake.sequences import SequenceBook
from coordinator.intake.standing import read_book
from coordinator.intake.stream import DaStream
from coordinator.intake.version_terms import VersionTerms, load_terms
from coordinator.intake.windows import CloseReason, Closing
from coordinator.ledger.one_hop import in_one_hop
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProjectVersionRow, StreamCursorRow, TaskRow
from coordinator.projects.programs import Manifest

BATCH = 256
SHOWN = 100
"""Differences that a report names."""
COMPARED = ("id", "count", "readings_root", "device_set_root", "inputs", "missing", "duplicates", "late", "reordered")


@dataclass
class RebuildReport:
    """What a rebuild found."""

    project_id: int
    positions: int = 0
    """Positions looked at."""
    readings: int = 0
    dead_letters: int = 0
    windows: int = 0
    """Closed windows made again and found equal or different."""
    unknown: int = 0
    """Positions whose message is kept nowhere any more; windows with one of them are not compared."""
    from_stream: int = 0
    """Messages that were read from the stream itself, not from the ledger's copy."""
    different: int = 0
    """How many differences; 0 when the ledger is what the stream makes."""
    differences: list[str] = field(default_factory=list)
    """The first 100, in words."""

    def differs(self, what: str) -> None:
        """Note a difference."""
        self.different += 1
        if len(self.differences) < SHOWN:
            self.differences.append(what)


@dataclass
class _Window:
    """What arrived since the last window that was compared."""

    accepted: list[Placed] = field(default_factory=list)
    arrived: dict[int, int] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    repeated: list[int] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)
    highest: dict[bytes, int] = field(default_factory=dict)


class Rebuild:
    """One project's rebuild. Parameters: as `Intake`'s; `stream` None checks the ledger against its own copies."""

    def __init__(
        self,
        ledger: Ledger,
        stream: DaStream | None,
        project_id: int,
        pool: CryptoPool,
        programs: Mapping[str, Manifest] | None = None,
    ) -> None:
        self._ledger = ledger
        self._stream = stream
        self._project_id = project_id
        self._pool = pool
        self._programs = programs
        self._versions: list[tuple[int, VersionTerms]] = []
        self._last: dict[bytes, int] = {}
        self._window = _Window()
        self._tasks: list[TaskRow] = []
        self.report = RebuildReport(project_id)
        """Grows while `run` works."""

    async def run(self) -> RebuildReport:
        """Rebuild everything that the intake has taken. Raises NotFound (W3B-1006) and Unavailable (W3B-1008)."""
        async with self._ledger.reading() as session:
            cursor = await session.get(StreamCursorRow, self._project_id)
            end = cursor.next_position if cursor else 1
            rows = await session.exec(
                select(ProjectVersionRow)
                .where(ProjectVersionRow.project_id == self._project_id, ProjectVersionRow.first_position > 0)
                .order_by(col(ProjectVersionRow.version))
            )
            self._versions = [
                (row.first_position, await load_terms(session, row, self._programs)) for row in rows.all()
            ]
        await self._load_tasks(0)
        batch: list[Record] = []
        async for record in replay(self._ledger, self._stream, self._project_id, 1, end):
            batch.append(record)
            if len(batch) == BATCH:
                await self._take(batch)
                batch = []
        await self._take(batch)
        await self._compare_windows(end)
        return self.report

    def _terms_at(self, position: int) -> VersionTerms | None:
        found = [terms for first, terms in self._versions if first <= position]
        return found[-1] if found else None

    async def _take(self, records: Sequence[Record]) -> None:
        """Judge and book a batch again, version by version."""
        at = 0
        while at < len(records):
            terms = self._terms_at(records[at].position)
            upto = at
            while upto < len(records) and self._terms_at(records[upto].position) is terms:
                upto += 1
            if terms is not None:
                await self._take_under(terms, records[at:upto])
            at = upto

    async def _take_under(self, terms: VersionTerms, records: Sequence[Record]) -> None:
        whole = [record for record in records if record.kind is not Kind.HOLE]
        messages = [StreamMessage(record.position, self._subject(record), record.wire, record.at) for record in whole]
        authentic, refused = await authenticate(terms, messages, self._pool)
        wanted: dict[bytes, set[int]] = {}
        for _, reading in authentic:
            wanted.setdefault(reading.device, set()).add(reading.sequence)
        first = records[0].position
        async with self._ledger.reading() as session:
            known = await in_one_hop(
                session, lambda connection: read_book(connection, self._project_id, wanted, before=first)
            )
        book = SequenceBook(dict(self._last), known.known)
        accepted, repeats = book_sequences(authentic, book)
        self._last = book.last
        verdicts: dict[int, str] = dict.fromkeys((message.position for message, _ in accepted), "")
        verdicts |= {message.position: refusal.code for message, refusal in [*refused, *repeats]}
        readings = {message.position: reading for message, reading in accepted}
        for record in records:
            self._compare(record, verdicts)
            if record.kind is Kind.HOLE:
                self._window.holes.append((record.position, record.end))
            elif record.position in readings:
                self._window.accepted.append((record.position, readings[record.position]))
                self._window.arrived[record.position] = record.at
                self._window.owners[record.position] = record.task_id
            elif verdicts.get(record.position) in REPEATS:
                self._window.repeated.append(record.position)
        await self._compare_windows(records[-1].end)

    def _subject(self, record: Record) -> str:
        """The stream's subject is not in the ledger: a message that was refused for it keeps its verdict."""
        device = record.wire[74:94].hex() if record.code != "W3B-1009" else "another"
        return f"da.{self._project_id}.{device}"

    def _compare(self, record: Record, verdicts: Mapping[int, str]) -> None:
        report = self.report
        report.positions += record.end - record.position
        report.from_stream += record.from_stream
        if record.difference:
            report.differs(f"position {record.position}: {record.difference}")
        if record.kind is Kind.HOLE:
            report.unknown += record.end - record.position
            return
        report.readings += record.kind is Kind.READING
        report.dead_letters += record.kind is Kind.DEAD_LETTER
        again = verdicts[record.position]
        if record.kind is not Kind.PENDING and again != record.code:
            report.differs(
                f"position {record.position}: the ledger says {record.code or 'accepted'}, the rules {again or 'accept'}"
            )

    async def _load_tasks(self, after: int) -> None:
        async with self._ledger.reading() as session:
            rows = await session.exec(
                select(TaskRow)
                .where(TaskRow.project_id == self._project_id, TaskRow.window_start > after)
                .order_by(col(TaskRow.window_start))
                .limit(BATCH)
            )
            self._tasks = list(rows)

    async def _compare_windows(self, upto: int) -> None:
        """Make the tasks of the windows that end by `upto` again."""
        while self._tasks and self._tasks[0].window_end <= upto:
            task = self._tasks.pop(0)
            await self._compare_window(task)
            if not self._tasks:
                await self._load_tasks(task.window_start)

    async def _compare_window(self, task: TaskRow) -> None:
        report, window = self.report, self._window
        name = f"window {task.window_start} to {task.window_end}"
        inside = [(at, reading) for at, reading in window.accepted if task.window_start <= at < task.window_end]
        for at, _ in window.accepted:
            if at < task.window_start:
                report.differs(f"position {at} was accepted and is in no window")
        left = _Window(
            [each for each in window.accepted if each[0] >= task.window_end],
            {at: when for at, when in window.arrived.items() if at >= task.window_end},
            {at: owner for at, owner in window.owners.items() if at >= task.window_end},
            [at for at in window.repeated if at >= task.window_end],
            [hole for hole in window.holes if hole[1] > task.window_end],
            dict(window.highest),
        )
        for _, reading in inside:
            left.highest[reading.device] = max(left.highest.get(reading.device, 0), reading.sequence)
        self._window = left
        if any(start < task.window_end and end > task.window_start for start, end in window.holes):
            return
        report.windows += 1
        terms = self._terms_at(task.window_start)
        if terms is None or terms.version != task.version or not inside:
            report.differs(f"{name} belongs to version {task.version}, which the stream does not say")
            return
        for at, _ in inside:
            if window.owners[at] != task.id:
                report.differs(f"position {at} is in {name}; the ledger gives it to {window.owners[at] or 'none'}")
        await self._compare_task(terms, task, inside, window, name)

    async def _compare_task(
        self, terms: VersionTerms, task: TaskRow, inside: list[Placed], window: _Window, name: str
    ) -> None:
        opened = window.arrived[inside[0][0]]
        closing = Closing(task.window_start, task.window_end, len(inside), opened, CloseReason.COUNT)
        if len(inside) > terms.windows.readings or any(
            window.arrived[at] - opened >= terms.windows.max_age_ms for at, _ in inside
        ):
            self.report.differs(f"{name} should have closed before its last reading")
            return
        counted = count_arrivals([closing], WindowRows(), inside, window.repeated, window.highest)
        ((_, again),) = await make_tasks(terms, [(closing, counted[0])], task.created_at, self._pool)
        for column in COMPARED:
            ours, theirs = getattr(task, column), again[column]
            if ours != theirs:
                self.report.differs(f"{name}: {column} is {ours} in the ledger, the rules make {theirs}")
