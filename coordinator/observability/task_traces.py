"""Tells the collector of each task that ended and of each webhook try, from the ledger, once.

How far it came is in `<home>/traces.json`, moved only when the collector has taken the spans. A collector that is down
delays the traces and loses none; one that hears a trace twice hears the same ids. The leader tells; whoever stands by
stays a minute behind, so that nothing is missed when it takes over.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sqlalchemy import Connection, Table, func, select

from coordinator.ledger.bulk import ATTEMPTS, EVENTS, TASKS, chunks
from coordinator.ledger.store import Ledger
from coordinator.ledger.transitions import TERMINAL_TASK_STATES
from coordinator.observability.history import DELIVERIES, TX_EVENTS
from coordinator.observability.spans import resource
from coordinator.observability.standing import LEDGER_ERRORS, MESSAGES, OUTBOX, ledger_problem
from coordinator.observability.tally import spans_sent
from coordinator.observability.task_spans import Timeline, delivery_piece, spans, task_pieces

log = structlog.get_logger(__name__)

CURSOR_FILE = "traces.json"
LOOK_SECONDS = 1.0
RETRY_SECONDS = 5.0
"""Pause after the collector did not take them."""
TASKS_AT_ONCE = 100
DELIVERIES_AT_ONCE = 500
BEHIND_MS = 60_000
"""How far whoever stands by stays behind."""


class TaskTraces:
    """Follows the ledger and exports. Parameters: `home` keeps the cursor; `me` names the coordinator; `leads` says
    whether to tell or to follow only."""

    def __init__(self, ledger: Ledger, exporter: SpanExporter, home: Path, me: str, leads: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._exporter = exporter
        self._path = home / CURSOR_FILE
        self._resource = resource(me)
        self._leads = leads
        self._task: asyncio.Task[None] | None = None
        self._at: dict[str, int] = {}

    def start(self) -> None:
        """Follow in the background."""
        self._task = asyncio.create_task(self._run(), name="traces")

    async def stop(self) -> None:
        """Tell what is there by now, once, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.step()
        await asyncio.to_thread(self._exporter.shutdown)

    async def _run(self) -> None:
        while True:
            well = await self.step()
            await asyncio.sleep(LOOK_SECONDS if well else RETRY_SECONDS)

    async def step(self) -> bool:
        """Tell what happened since the last step; False when the collector or the ledger did not answer."""
        try:
            if not self._at:
                self._at = await asyncio.to_thread(self._stored) or await self._ledger.read(self._newest)
            if not self._leads():
                self._at |= await self._ledger.read(self._older)
                return True
            more = True
            while more:
                found, moved, more = await self._ledger.read(self._next)
                if found and not await self._export(found):
                    return False
                if moved != self._at:
                    self._at = moved
                    await asyncio.to_thread(self._store)
        except LEDGER_ERRORS as error:
            code, reason = ledger_problem(error)
            log.warning("traces_without_ledger", code=code, reason=reason)
            return False
        return True

    async def _export(self, found: list[ReadableSpan]) -> bool:
        done = await asyncio.to_thread(self._exporter.export, found)
        well = done is SpanExportResult.SUCCESS
        spans_sent(len(found), well=well)
        if not well:
            log.warning("traces_not_taken", spans=len(found), retry_seconds=RETRY_SECONDS)
        return well

    def _stored(self) -> dict[str, int]:
        """The cursor of an earlier run; empty when there is none, or it cannot be read."""
        try:
            found = json.loads(self._path.read_text())
            return {name: int(found[name]) for name in ("task", "delivery")}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            log.warning("traces_cursor_unreadable", path=str(self._path), reason=str(error))
            return {}

    def _store(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._at) + "\n")
        draft.replace(self._path)

    @staticmethod
    def _newest(connection: Connection) -> dict[str, int]:
        return {
            name: connection.execute(select(func.max(table.c.id))).scalar_one() or 0
            for name, table in (("task", EVENTS), ("delivery", DELIVERIES))
        }

    def _older(self, connection: Connection) -> dict[str, int]:
        until = self._ledger.clock() - BEHIND_MS
        found = {}
        for name, table in (("task", EVENTS), ("delivery", DELIVERIES)):
            query = select(func.max(table.c.id)).where(table.c.id > self._at[name], table.c.at < until)
            found[name] = connection.execute(query).scalar_one() or self._at[name]
        return found

    def _next(self, connection: Connection) -> tuple[list[ReadableSpan], dict[str, int], bool]:
        """The next spans, the cursor once they are told, and whether there may be more."""
        moved = self._newest(connection)
        found: list[ReadableSpan] = []
        ended = connection.execute(
            select(EVENTS.c.id, EVENTS.c.task_id)
            .where(
                EVENTS.c.id > self._at["task"],
                EVENTS.c.subject == "task",
                EVENTS.c.target.in_(sorted(TERMINAL_TASK_STATES)),
            )
            .order_by(EVENTS.c.id)
            .limit(TASKS_AT_ONCE)
        ).all()
        timelines = read_timelines(connection, [row.task_id for row in ended])
        for row in ended:
            timeline = timelines[row.task_id]
            found += spans(row.task_id, timeline.task.trace, task_pieces(timeline, row.id), self._resource)
        if len(ended) == TASKS_AT_ONCE:
            moved["task"] = ended[-1].id
        tried = connection.execute(
            select(DELIVERIES, MESSAGES.c.event_type, MESSAGES.c.endpoint_id, TASKS.c.id.label("task"), TASKS.c.trace)
            .join(MESSAGES, MESSAGES.c.id == DELIVERIES.c.message_id)
            .outerjoin(TASKS, TASKS.c.id == MESSAGES.c.subject)
            .where(DELIVERIES.c.id > self._at["delivery"])
            .order_by(DELIVERIES.c.id)
            .limit(DELIVERIES_AT_ONCE)
        ).all()
        for row in tried:
            if row.task is not None:
                found += spans(row.task, row.trace, [delivery_piece(row)], self._resource)
        if len(tried) == DELIVERIES_AT_ONCE:
            moved["delivery"] = tried[-1].id
        return found, moved, len(ended) == TASKS_AT_ONCE or len(tried) == DELIVERIES_AT_ONCE


def read_timelines(connection: Connection, task_ids: Iterable[str]) -> dict[str, Timeline]:
    """The rows about each task."""
    found: dict[str, Timeline] = {}
    for some in chunks(list(dict.fromkeys(task_ids))):
        tasks = connection.execute(select(*_but(TASKS, "public_output")).where(TASKS.c.id.in_(some))).all()
        events = _grouped(connection, EVENTS, EVENTS.c.task_id, some)
        attempts = _grouped(connection, ATTEMPTS, ATTEMPTS.c.task_id, some, "public_output", "proof")
        wanted = {task.record_tx for task in tasks}
        wanted |= {tx for rows in attempts.values() for row in rows for tx in (row.assign_tx, row.settle_tx)}
        txs: dict[int, Any] = {}
        steps: dict[int, list[Any]] = {}
        for ids in chunks(sorted(tx for tx in wanted if tx is not None)):
            columns = [OUTBOX.c[name] for name in ("id", "purpose", "tx_hash")]
            txs |= {row.id: row for row in connection.execute(select(*columns).where(OUTBOX.c.id.in_(ids)))}
            steps |= _grouped(connection, TX_EVENTS, TX_EVENTS.c.tx_id, ids)
        for task in tasks:
            own = {row.id: row for row in attempts.get(task.id, ())}
            found[task.id] = Timeline(task, events.get(task.id, ()), own, txs, steps)
    return found


def _but(table: Table, *left_out: str) -> list[Any]:
    return [column for column in table.c if column.name not in left_out]


def _grouped(connection: Connection, table: Table, by: Any, ids: Any, *left_out: str) -> dict[Any, list[Any]]:
    found: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in connection.execute(select(*_but(table, *left_out)).where(by.in_(ids)).order_by(table.c.id)):
        found[getattr(row, by.name)].append(row)
    return dict(found)
