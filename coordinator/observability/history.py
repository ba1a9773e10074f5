"""Counters and histograms from the ledger's history: each event is read once, in order, and counted.

They begin at nothing when the process does, which Prometheus takes for a reset; what happens while no coordinator runs
is nothing. Writers take turns (docs/adr/0004), so ids are committed in order and none is passed over.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from prometheus_client.metrics_core import Metric as Family
from sqlalchemy import Connection, Table, func, select

from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS, chunks
from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import WebhookDeliveryRow
from coordinator.ledger.stages import Step, stage_lengths
from coordinator.ledger.store import Ledger
from coordinator.ledger.tables import ProverEventRow
from coordinator.ledger.transitions import TaskState
from coordinator.observability.catalogue import CATALOGUE, LIVED
from coordinator.observability.families import Distribution, Labels, family, histogram
from coordinator.observability.standing import MESSAGES, OUTBOX, PROVERS

TX_EVENTS: Table = TxEventRow.__table__  # type: ignore[attr-defined]
PROVER_EVENTS: Table = ProverEventRow.__table__  # type: ignore[attr-defined]
DELIVERIES: Table = WebhookDeliveryRow.__table__  # type: ignore[attr-defined]
READ_AT_ONCE = 5_000
"""Events of one kind in one read."""
ENDED = ("VERIFIED", "LOST", "REJECTED", "SUPERSEDED")
BUSY = "BUSY"
_TABLES = (EVENTS, TX_EVENTS, PROVER_EVENTS, DELIVERIES)


class History:
    """What was counted so far. One reader at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._at: dict[str, int] | None = None
        self._counts: defaultdict[str, defaultdict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        self._spread: defaultdict[str, dict[Labels, Distribution]] = defaultdict(dict)
        self._busy: dict[Labels, float] = {}
        self._provers: dict[str, tuple[str, int, str]] = {}
        """Each prover's status, since when, and its kind."""

    async def follow(self) -> None:
        """Count what happened since the last call. Raises what `Ledger.read` raises."""
        async with self._turn:
            if self._at is None:
                self._at = await self._ledger.read(self._begin)
            more = True
            while more:  # a long history is read in pieces
                more = await self._ledger.read(self._some)

    def families(self) -> list[Family]:
        """Every family of `catalogue.LIVED`, as far as `follow` came."""
        busy = dict(self._counts["w3bstream_prover_busy_seconds_total"])
        now = self._ledger.clock()
        for status, since, kind in self._provers.values():
            if status == BUSY:
                busy[(kind,)] = busy.get((kind,), 0.0) + max(0, now - since) / 1000
        for labels, seconds in busy.items():  # a lease's end may bear a time a little before the last look at it
            self._busy[labels] = max(self._busy.get(labels, 0.0), seconds)
        counted = {**self._counts, "w3bstream_prover_busy_seconds_total": self._busy}
        made = []
        for metric in LIVED:
            if metric.type == "histogram":
                made.append(histogram(metric.name, self._spread[metric.name]))
            else:
                values = dict(counted.get(metric.name, {}))
                made.append(family(metric.name, values or ({} if metric.labels else {(): 0.0})))
        return made

    def _begin(self, connection: Connection) -> dict[str, int]:
        newest = func.max(PROVER_EVENTS.c.at)
        since = dict(
            connection.execute(select(PROVER_EVENTS.c.prover_id, newest).group_by(PROVER_EVENTS.c.prover_id)).all()
        )
        for row in connection.execute(select(PROVERS.c.id, PROVERS.c.kind, PROVERS.c.status)):
            # Busy time before this process looked is not its to count.
            began = max(since.get(row.id, 0), self._ledger.clock())
            self._provers[row.id] = (row.status, began, row.kind)
        return {table.name: connection.execute(select(func.max(table.c.id))).scalar_one() or 0 for table in _TABLES}

    def _some(self, connection: Connection) -> bool:
        """Count the next events of each kind; True when there may be more."""
        read = (self._task_events, self._tx_events, self._prover_events, self._deliveries)
        more = [self._next(connection, table, take) for table, take in zip(_TABLES, read, strict=True)]
        return any(more)

    def _next(self, connection: Connection, table: Table, take: Any) -> bool:
        assert self._at is not None
        rows = take(connection, self._at[table.name])
        if rows:
            self._at[table.name] = rows[-1].id
        return len(rows) == READ_AT_ONCE

    def _add(self, name: str, *labels: str, value: float = 1.0) -> None:
        self._counts[name][labels] += value

    def _observe(self, name: str, value: float, *labels: str) -> None:
        spread = self._spread[name]
        if labels not in spread:
            spread[labels] = Distribution(CATALOGUE[name].buckets)
        spread[labels].add(value)

    def _task_events(self, connection: Connection, after: int) -> Sequence[Any]:
        rows = connection.execute(
            select(
                *(EVENTS.c[name] for name in ("id", "task_id", "subject", "source", "target", "code", "attempt_id")),
                ATTEMPTS.c.kind,
                ATTEMPTS.c.hedge,
                ATTEMPTS.c.fence,
            )
            .outerjoin(ATTEMPTS, ATTEMPTS.c.id == EVENTS.c.attempt_id)
            .where(EVENTS.c.id > after)
            .order_by(EVENTS.c.id)
            .limit(READ_AT_ONCE)
        ).all()
        earlier = self._first_fences(connection, [row.task_id for row in rows if row.target == "ASSIGNED"])
        for row in rows:
            if row.subject == "task":
                self._add("w3bstream_task_transitions_total", row.target)
            elif row.subject == "attempt":
                self._attempt(row, earlier)
        final = [row.task_id for row in rows if row.subject == "task" and row.target == TaskState.FINAL.value]
        self._stages(connection, final)
        return rows

    def _attempt(self, row: Any, first: dict[tuple[str, str], int]) -> None:
        if row.source == row.target:
            self._add("w3bstream_late_reports_total")
        elif row.target == "ASSIGNED":
            cause = "first" if row.fence <= first.get((row.task_id, row.kind), row.fence) else "retry"
            self._add("w3bstream_attempts_started_total", row.kind or "", "hedge" if row.hedge else cause)
        elif row.target in ENDED:
            self._add("w3bstream_attempts_ended_total", row.kind or "", row.target, row.code)

    @staticmethod
    def _first_fences(connection: Connection, task_ids: list[str]) -> dict[tuple[str, str], int]:
        """The first attempt of each task and kind."""
        found: dict[tuple[str, str], int] = {}
        for some in chunks(task_ids):
            rows = connection.execute(
                select(ATTEMPTS.c.task_id, ATTEMPTS.c.kind, func.min(ATTEMPTS.c.fence))
                .where(ATTEMPTS.c.task_id.in_(some))
                .group_by(ATTEMPTS.c.task_id, ATTEMPTS.c.kind)
            )
            found.update({(task, kind): fence for task, kind, fence in rows})
        return found

    def _stages(self, connection: Connection, task_ids: list[str]) -> None:
        for some in chunks(task_ids):
            steps: defaultdict[str, list[Step]] = defaultdict(list)
            for row in connection.execute(
                select(EVENTS.c.task_id, EVENTS.c.subject, EVENTS.c.target, EVENTS.c.attempt_id, EVENTS.c.at)
                .where(EVENTS.c.task_id.in_(some))
                .order_by(EVENTS.c.id)
            ):
                steps[row.task_id].append(Step(row.subject, row.target, row.attempt_id, row.at))
            tasks = connection.execute(select(TASKS.c.id, TASKS.c.first_reading_at).where(TASKS.c.id.in_(some)))
            for task_id, began in tasks:
                self._stages_of(began, steps[task_id])

    def _stages_of(self, began: int, steps: list[Step]) -> None:
        verified = [step.attempt_id for step in steps if step.subject == "attempt" and step.target == "VERIFIED"]
        for stage, length in stage_lengths(began, steps, verified[-1] if verified else None).items():
            self._observe("w3bstream_task_stage_seconds", length / 1000, stage)
        self._observe("w3bstream_task_seconds", max(0, steps[-1].at - began) / 1000)

    def _tx_events(self, connection: Connection, after: int) -> Sequence[Any]:
        rows = connection.execute(
            select(TX_EVENTS.c.id, TX_EVENTS.c.target, OUTBOX.c.purpose, OUTBOX.c.gas_used)
            .join(OUTBOX, OUTBOX.c.id == TX_EVENTS.c.tx_id)
            .where(TX_EVENTS.c.id > after)
            .order_by(TX_EVENTS.c.id)
            .limit(READ_AT_ONCE)
        ).all()
        for row in rows:
            self._add("w3bstream_transactions_total", row.purpose, row.target)
            if row.target == "MINED":
                self._add("w3bstream_transaction_gas_total", row.purpose, value=float(row.gas_used or 0))
        return rows

    def _prover_events(self, connection: Connection, after: int) -> Sequence[Any]:
        rows = connection.execute(
            select(
                *(PROVER_EVENTS.c[name] for name in ("id", "prover_id", "status", "at")),
                PROVERS.c.kind,
            )
            .join(PROVERS, PROVERS.c.id == PROVER_EVENTS.c.prover_id)
            .where(PROVER_EVENTS.c.id > after)
            .order_by(PROVER_EVENTS.c.id)
            .limit(READ_AT_ONCE)
        ).all()
        for row in rows:
            status, since, kind = self._provers.get(row.prover_id, ("", row.at, row.kind))
            if status == BUSY:
                self._add("w3bstream_prover_busy_seconds_total", kind, value=max(0, row.at - since) / 1000)
            self._provers[row.prover_id] = (row.status, max(since, row.at), row.kind)
        return rows

    def _deliveries(self, connection: Connection, after: int) -> Sequence[Any]:
        rows = connection.execute(
            select(
                *(DELIVERIES.c[name] for name in ("id", "at", "status_code", "duration_ms")),
                MESSAGES.c.created_at,
            )
            .join(MESSAGES, MESSAGES.c.id == DELIVERIES.c.message_id)
            .where(DELIVERIES.c.id > after)
            .order_by(DELIVERIES.c.id)
            .limit(READ_AT_ONCE)
        ).all()
        for row in rows:
            answer = "none" if row.status_code is None else f"{row.status_code // 100}xx"
            self._add("w3bstream_webhook_deliveries_total", answer)
            self._observe("w3bstream_webhook_delivery_seconds", row.duration_ms / 1000)
            if answer == "2xx":
                self._observe("w3bstream_webhook_lag_seconds", max(0, row.at - row.created_at) / 1000)
        return rows
