"""The trace context that goes to the workers with their work, where somebody collects spans."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from coordinator.dispatch.snapshot import LeasedAttempt
from coordinator.ledger.bulk import TASKS, chunks
from coordinator.ledger.store import Ledger
from coordinator.observability.task_spans import proof_traceparent


async def read_traceparents(ledger: Ledger, attempts: Sequence[LeasedAttempt]) -> dict[int, str]:
    """By attempt the `traceparent` that its worker's spans go under: its `prove` span, of which the ledger tells when
    the task has ended."""
    if not attempts:
        return {}

    def read(connection: Connection) -> dict[str, str]:
        found: dict[str, str] = {}
        for some in chunks(sorted({attempt.task_id for attempt in attempts})):
            rows = connection.execute(select(TASKS.c.id, TASKS.c.trace).where(TASKS.c.id.in_(some)))
            found.update((row.id, row.trace) for row in rows)
        return found

    traces = await ledger.read(read)
    return {
        attempt.id: proof_traceparent(attempt.task_id, traces.get(attempt.task_id, ""), attempt.id)
        for attempt in attempts
    }
