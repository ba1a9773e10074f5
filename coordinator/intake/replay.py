"""Replay of a project's stream: every position's record, from the stream where it is still there, else from the ledger.

A record read from the stream is compared with the ledger's row, and a difference is named: the two are kept by different
programs on different disks, and the ledger alone decided.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlmodel import col, select

from coordinator.intake.batch_rows import DEAD_LETTER_BYTES
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.stream import DaConsumer, DaStream
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import DeadLetterRow, ReadingRow, StreamCursorRow
from verifier.errors import NotFound, Unavailable

PAGE = 500
"""Rows read at a time."""
FETCH_SECONDS = 10.0


class Kind(StrEnum):
    """What lies at a position."""

    READING = "reading"
    """An accepted reading."""
    DEAD_LETTER = "dead_letter"
    """A refused message."""
    PENDING = "pending"
    """In the stream; the intake has not taken it yet."""
    HOLE = "hole"
    """Nothing: the stream never held it or let it go, and the ledger has no row of it."""


@dataclass(frozen=True)
class Record:
    """What lies at a position, or at the positions from `position` to `end` for a hole."""

    position: int
    end: int
    """First position after it."""
    kind: Kind
    wire: bytes = b""
    from_stream: bool = False
    """`wire` was read from the stream; else it is the ledger's, of a dead letter at most the first 8 KiB."""
    version: int = 0
    task_id: str = ""
    """The reading's window; empty while that is open."""
    code: str = ""
    reason: str = ""
    at: int = 0
    """When it arrived, or was refused; milliseconds."""
    difference: str = ""
    """How the stream's message differs from what the ledger keeps; empty when it does not."""


Row = ReadingRow | DeadLetterRow


def _record(position: int, row: Row | None, message: StreamMessage | None, taken_to: int) -> Record:
    wire = message.data if message is not None else row.wire if row is not None else b""
    found = message is not None
    if row is None:
        assert message is not None
        lost = "" if position >= taken_to else "the ledger took this position and keeps no row of it"
        return Record(
            position, position + 1, Kind.PENDING, wire, from_stream=True, at=message.arrived_at, difference=lost
        )
    difference = ""
    if message is not None:
        kept = message.data[:DEAD_LETTER_BYTES] if isinstance(row, DeadLetterRow) else message.data
        difference = "" if kept == row.wire else "the stream holds another message than the ledger"
    if isinstance(row, ReadingRow):
        return Record(
            position,
            position + 1,
            Kind.READING,
            wire,
            from_stream=found,
            version=row.version,
            task_id=row.task_id or "",
            at=row.received_at,
            difference=difference,
        )
    return Record(
        position,
        position + 1,
        Kind.DEAD_LETTER,
        wire,
        from_stream=found,
        code=row.code,
        reason=row.reason,
        at=row.at,
        difference=difference,
    )


class _StreamPart:
    """The stream's messages in order, as far as it still holds them."""

    def __init__(self, consumer: DaConsumer | None, last: int) -> None:
        self._consumer = consumer
        self._last = last
        self._held: list[StreamMessage] = []
        self._seen = 0

    async def below(self, end: int) -> list[StreamMessage]:
        """Those not handed out yet at positions below `end`. Raises Unavailable (W3B-1008)."""
        while self._consumer is not None and self._seen < min(end - 1, self._last):
            some = await self._consumer.fetch(PAGE, FETCH_SECONDS)
            if not some:
                raise Unavailable("W3B-1008", f"the stream does not give position {self._seen + 1}", field="da.url")
            self._held += some
            self._seen = some[-1].position
        part = [message for message in self._held if message.position < end]
        self._held = self._held[len(part) :]
        return part


async def _page(ledger: Ledger, project_id: int, start: int, end: int) -> tuple[dict[int, Row], int, int]:
    """(the ledger's rows by position, the first position after those looked at, the intake's next position)."""
    rows: dict[int, Row] = {}
    upto = end
    async with ledger.reading() as session:
        cursor = await session.get(StreamCursorRow, project_id)
        for table in (ReadingRow, DeadLetterRow):
            query = (
                select(table)
                .where(table.project_id == project_id, table.position >= start, table.position < end)
                .order_by(col(table.position))
                .limit(PAGE)
            )
            found: Sequence[Any] = (await session.exec(query)).all()
            rows.update((row.position, row) for row in found)
            if len(found) == PAGE:
                upto = min(upto, found[-1].position + 1)
    return rows, upto, cursor.next_position if cursor else 1


async def replay(
    ledger: Ledger, stream: DaStream | None, project_id: int, start: int = 1, end: int | None = None
) -> AsyncIterator[Record]:
    """Every record at positions from `start` to below `end` (default: everything there is), in order.

    Parameters: `stream` is the project's DA layer; None replays the ledger alone. Raises NotFound (W3B-1006) when there
    is neither stream nor cursor, Unavailable (W3B-1008) when the stream stops answering: go on from the last position.
    """
    state = await stream.state(project_id) if stream is not None else None
    async with ledger.reading() as session:
        cursor = await session.get(StreamCursorRow, project_id)
    if state is None and cursor is None:
        raise NotFound("W3B-1006", f"project {project_id} has no stream yet", field="project_id")
    last = max(state.last if state else 0, cursor.next_position - 1 if cursor else 0)
    end = last + 1 if end is None else min(end, last + 1)
    at = max(1, start)
    readable = stream is not None and state is not None and state.first <= state.last and state.last >= at
    consumer = await stream.replay(project_id, max(at, state.first)) if readable and stream and state else None
    part = _StreamPart(consumer, state.last if state else 0)
    try:
        while at < end:
            rows, upto, taken_to = await _page(ledger, project_id, at, end)
            # The stream may hold much more than the ledger where the intake is behind: keep its part of a page short.
            upto = min(upto, at + PAGE) if consumer is not None and at + PAGE <= last else upto
            messages = {message.position: message for message in await part.below(upto)}
            for position in sorted(rows.keys() | messages.keys()):
                if position >= upto:
                    break
                if position > at:
                    yield Record(at, position, Kind.HOLE)
                yield _record(position, rows.get(position), messages.get(position), taken_to)
                at = position + 1
            if at < upto:
                yield Record(at, upto, Kind.HOLE)
            at = upto
    finally:
        if consumer is not None:
            await consumer.close()
