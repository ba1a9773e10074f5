"""A batch of messages on its way into the ledger: each judged, each closed window made a task. No transaction here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coordinator.intake.admission import Refusal, refusal
from coordinator.intake.completeness import DUPLICATE, EQUIVOCATION, Arrivals
from coordinator.intake.consumer import StreamMessage
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.sequences import SequenceBook
from coordinator.intake.version_terms import VersionTerms
from coordinator.intake.windows import Closing, OpenWindow
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from verifier.commitment import scheme
from verifier.completeness import Completeness, count_missing
from verifier.errors import W3bstreamError
from verifier.reading import Reading
from verifier.statement import Opening, task_id

UNSIGNED_BYTES = 66
"""Version, key type and signature: what stands before a reading's own content in wire form."""
Authentic = tuple[StreamMessage, Reading]
"""A message whose reading passed every check but that for duplicates."""
Refused = tuple[StreamMessage, Refusal]
TaskValues = dict[str, Any]
"""A task's columns by name: a window costs a plain dictionary, not an object that the ORM watches."""
UNTOUCHED: TaskValues = {
    name: column.default for name, column in TaskRow.model_fields.items() if not column.is_required()
}
"""The columns that a new task leaves as they are."""


@dataclass(frozen=True)
class Cursor:
    """Where a project's intake stands in the ledger."""

    window: OpenWindow
    flush_to: int = 0
    """Everything below this position is to be closed; 0 when nobody asked."""


@dataclass(frozen=True)
class Judged:
    """Messages that passed or failed every check but that for duplicates, under one project version."""

    version: int
    messages: Sequence[StreamMessage]
    authentic: Sequence[Authentic]
    refused: Sequence[Refused]

    def __len__(self) -> int:
        return len(self.messages)

    def beginning(self, position: int) -> Judged:
        """Those at `position` and after it."""
        if not self.messages or self.messages[0].position >= position:
            return self
        return Judged(
            self.version,
            [message for message in self.messages if message.position >= position],
            [each for each in self.authentic if each[0].position >= position],
            [each for each in self.refused if each[0].position >= position],
        )


@dataclass
class Batch:
    """What one transaction will write."""

    terms: VersionTerms
    before: Cursor
    """Where it was planned; the transaction holds only if the ledger still says so."""
    after: OpenWindow
    book: SequenceBook
    accepted: list[Authentic] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    tasks: list[tuple[Closing, TaskValues]] = field(default_factory=list)
    taken: int = 0
    """Messages that it takes."""
    enters: int | None = None
    """Project version that begins at `after.next_position`."""


async def authenticate(
    terms: VersionTerms, messages: Sequence[StreamMessage], pool: CryptoPool
) -> tuple[list[Authentic], list[Refused]]:
    """Decode the messages and check their signatures; both lists are in stream order."""
    decoded: list[Authentic] = []
    refused: list[Refused] = []
    for message in messages:
        try:
            decoded.append((message, terms.admission.decode(message.subject, message.data)))
        except W3bstreamError as error:
            refused.append((message, refusal(error, message.data)))
    devices = terms.admission.devices
    verdicts = await pool.check_signatures([(reading, devices[reading.device]) for _, reading in decoded])
    authentic: list[Authentic] = []
    for (message, reading), verdict in zip(decoded, verdicts, strict=True):
        if verdict is None:
            authentic.append((message, reading))
        else:
            refused.append((message, Refusal(*verdict, reading.device, reading.sequence)))
    refused.sort(key=lambda each: each[0].position)
    return authentic, refused


def said(wire: bytes) -> bytes:
    """What a reading says, without the signature: ECDSA and EdDSA may sign the same twice, with different bytes."""
    return wire[UNSIGNED_BYTES:]


def book_sequences(authentic: Sequence[Authentic], book: SequenceBook) -> tuple[list[Authentic], list[Refused]]:
    """Sort out what repeats a sequence: duplicates (W3B-1005), and what says something else (W3B-1050)."""
    accepted: list[Authentic] = []
    refused: list[Refused] = []
    for message, reading in authentic:
        content = said(message.data)
        first = book.accept(reading.device, reading.sequence, content)
        if first is None:
            accepted.append((message, reading))
            continue
        name = f"device {reading.device.hex()}"
        if first == content:
            code, reason = DUPLICATE, f"{name} sent sequence {reading.sequence} before"
        else:
            code, reason = EQUIVOCATION, f"{name} signed another reading under sequence {reading.sequence} before"
        refused.append((message, Refusal(code, reason, reading.device, reading.sequence)))
    return accepted, refused


async def make_tasks(
    terms: VersionTerms, counted: Sequence[tuple[Closing, Arrivals]], now: int, pool: CryptoPool
) -> list[tuple[Closing, TaskValues]]:
    """The tasks of closed windows: id, roots, completeness and inputs (docs/reference/encodings.md §2 and §3)."""
    ordered = [scheme(terms.scheme).order_readings(arrivals.readings, terms.devices) for _, arrivals in counted]
    roots = await pool.readings_roots(terms.scheme, ordered, terms.capacity)
    return [
        (closing, _task(terms, closing, Completeness(count_missing(readings), *arrivals.behind), root, now))
        for (closing, arrivals), readings, root in zip(counted, ordered, roots, strict=True)
    ]


def _task(terms: VersionTerms, closing: Closing, completeness: Completeness, root: bytes, now: int) -> TaskValues:
    opening = Opening(root, terms.device_set_root, closing.start, closing.end, closing.count, completeness)
    return UNTOUCHED | {
        "id": f"0x{task_id(terms.project_id, terms.version, closing.start, closing.end).hex()}",
        "project_id": terms.project_id,
        "version": terms.version,
        "window_start": closing.start,
        "window_end": closing.end,
        "count": closing.count,
        "readings_root": f"0x{root.hex()}",
        "device_set_root": f"0x{terms.device_set_root.hex()}",
        "inputs": f"0x{opening.commitment().hex()}",
        "missing": completeness.missing,
        "duplicates": completeness.duplicates,
        "late": completeness.late,
        "reordered": completeness.reordered,
        "state": TaskState.RECEIVED.value,
        "kinds": list(terms.kinds),
        "confirm_kind": terms.confirm_kind,
        "confirm_within": terms.confirm_within,
        "threshold": terms.threshold,
        "deadline_at": now + terms.deadline_ms,
        "provenance": terms.provenance,
        "first_reading_at": closing.opened_at,
        "created_at": now,
        "updated_at": now,
    }
