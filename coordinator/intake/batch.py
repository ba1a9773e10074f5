"""A batch of messages on its way into the ledger: each judged, each closed window made a task. No transaction here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coordinator.intake.admission import Refusal, refusal
from coordinator.intake.crypto_pool import CryptoPool
from coordinator.intake.sequences import SequenceBook
from coordinator.intake.stream import StreamMessage
from coordinator.intake.version_terms import VersionTerms
from coordinator.intake.windows import Closing, OpenWindow
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from verifier.commitment import scheme
from verifier.errors import W3bstreamError
from verifier.reading import Reading
from verifier.statement import Opening, task_id

Authentic = tuple[StreamMessage, Reading]
"""A message whose reading passed every check but that for duplicates."""
Refused = tuple[StreamMessage, Refusal]


@dataclass(frozen=True)
class Cursor:
    """Where a project's intake stands in the ledger."""

    window: OpenWindow
    flush_to: int = 0
    """Everything below this position is to be closed; 0 when nobody asked."""


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
    tasks: list[tuple[Closing, TaskRow]] = field(default_factory=list)
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


def book_sequences(authentic: Sequence[Authentic], book: SequenceBook) -> tuple[list[Authentic], list[Refused]]:
    """Sort the duplicates out (W3B-1005)."""
    accepted: list[Authentic] = []
    refused: list[Refused] = []
    for message, reading in authentic:
        if book.accept(reading.device, reading.sequence):
            accepted.append((message, reading))
        else:
            reason = f"device {reading.device.hex()} sent sequence {reading.sequence} before"
            refused.append((message, Refusal("W3B-1005", reason, reading.device, reading.sequence)))
    return accepted, refused


async def make_task(
    terms: VersionTerms, closing: Closing, readings: Sequence[Reading], now: int, pool: CryptoPool
) -> TaskRow:
    """The task of a closed window: its id, roots and inputs (docs/reference/encodings.md §2 and §3)."""
    ordered = scheme(terms.scheme).order_readings(readings, terms.devices)
    root = await pool.readings_root(terms.scheme, ordered, terms.capacity)
    opening = Opening(root, terms.device_set_root, closing.start, closing.end, closing.count)
    return TaskRow(
        id=f"0x{task_id(terms.project_id, terms.version, closing.start, closing.end).hex()}",
        project_id=terms.project_id,
        version=terms.version,
        window_start=closing.start,
        window_end=closing.end,
        count=closing.count,
        readings_root=f"0x{root.hex()}",
        device_set_root=f"0x{terms.device_set_root.hex()}",
        inputs=f"0x{opening.commitment().hex()}",
        state=TaskState.RECEIVED.value,
        kinds=list(terms.kinds),
        threshold=terms.threshold,
        deadline_at=now + terms.deadline_ms,
        provenance=terms.provenance,
        first_reading_at=closing.opened_at,
        created_at=now,
        updated_at=now,
    )
