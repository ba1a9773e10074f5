"""The way into the ledger: transactions, guarded transitions, outboxes.

A room opens `async with ledger.transaction() as session` and does all of one change in it. On SQLite a transaction
begins IMMEDIATE, so that two writers queue instead of failing midway; WAL and synchronous FULL keep what was committed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.migrations import upgrade
from coordinator.ledger.tables import (
    AttemptRow,
    OutboxTxRow,
    TaskEventRow,
    TaskRow,
    WebhookEndpointRow,
    WebhookMessageRow,
)
from coordinator.ledger.transitions import (
    ATTEMPT_TRANSITIONS,
    TASK_TRANSITIONS,
    AttemptState,
    TaskState,
)
from verifier.errors import Conflict, NotFound

Clock = Callable[[], int]
"""Milliseconds since the Unix epoch."""


def system_clock() -> int:
    """The wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get("w3b_read_only", False)
        connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")


class Ledger:
    """The database of record.

    Parameters: `url` is a SQLAlchemy async URL such as `sqlite+aiosqlite:///path/ledger.db`; `clock` gives the time.
    """

    def __init__(self, url: str, clock: Clock = system_clock) -> None:
        self.url = url
        """SQLAlchemy URL."""
        self.clock = clock
        """The one clock of the ledger."""
        self.engine = create_async_engine(url)
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self._read_engine = self.engine.execution_options(w3b_read_only=True)
        self._commits = 0
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    def at(cls, path: Path, clock: Clock = system_clock) -> Ledger:
        """The SQLite ledger in file `path`."""
        return cls(f"sqlite+aiosqlite:///{path}", clock)

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; safe to call at every start."""
        async with self.engine.begin() as connection:
            await connection.run_sync(upgrade)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One read-write transaction: committed when the block ends, rolled back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
        self._commits += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    @property
    def commits(self) -> int:
        """How many transactions this object has committed; take it before you look, hand it to `changed`."""
        return self._commits

    async def changed(self, seen: int, seconds: float) -> bool:
        """Wait until a transaction commits after the count `seen`, at most `seconds`; say whether one did.

        A hint that saves latency: another process's commits are not seen, so every loop also looks by itself.
        """
        if self._commits != seen:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One consistent read."""
        async with AsyncSession(self._read_engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def close(self) -> None:
        """Give the connections back."""
        await self.engine.dispose()


async def record_event(
    session: AsyncSession,
    now: int,
    task: TaskRow,
    *,
    subject: str,
    source: str,
    target: str,
    reason: str,
    code: str = "",
    attempt_id: int | None = None,
) -> None:
    """Add a line to the task's timeline."""
    session.add(
        TaskEventRow(
            task_id=task.id,
            project_id=task.project_id,
            attempt_id=attempt_id,
            subject=subject,
            source=source,
            target=target,
            reason=reason,
            code=code,
            at=now,
        )
    )


async def get_task(session: AsyncSession, task_id: str) -> TaskRow:
    """The task. Raises NotFound (W3B-3003)."""
    task = await session.get(TaskRow, task_id, populate_existing=True)
    if task is None:
        raise NotFound("W3B-3003", f"there is no task {task_id}", field="task_id")
    return task


async def move_task(
    session: AsyncSession,
    now: int,
    task_id: str,
    target: TaskState,
    *,
    reason: str = "",
    code: str = "",
    **values: Any,
) -> TaskRow:
    """Move a task along its table and set `values` in the same statement.

    Raises Conflict (W3B-3001) when the table has no such way from the current state.
    """
    task = await get_task(session, task_id)
    source = TaskState(task.state)
    ways = TASK_TRANSITIONS[source]
    if target not in ways:
        raise Conflict("W3B-3001", f"task {task_id} is {source}; it cannot become {target}", field="state")
    values = {
        "state": target.value,
        "updated_at": now,
        "code": code,
        "reason": reason or ways[target],
        **values,
    }
    done = await session.exec(
        update(TaskRow).where(TaskRow.id == task_id, TaskRow.state == source.value).values(**values)  # type: ignore[arg-type]
    )
    if done.rowcount != 1:
        raise Conflict("W3B-3001", f"task {task_id} left {source} meanwhile", field="state")
    await record_event(
        session,
        now,
        task,
        subject="task",
        source=source,
        target=target,
        reason=reason or ways[target],
        code=code,
    )
    await session.refresh(task)
    return task


async def move_attempt(
    session: AsyncSession,
    now: int,
    attempt_id: int,
    fence: int,
    target: AttemptState,
    *,
    reason: str = "",
    code: str = "",
    **values: Any,
) -> AttemptRow:
    """Move an attempt along its table under its fencing token and set `values` in the same statement.

    Raises NotFound (W3B-3004), and Conflict: W3B-3002 when the fence is not the attempt's, W3B-3001 when the table
    has no such way. A late report is for the caller to record (`record_late_report`) in a transaction of its own.
    """
    attempt = await session.get(AttemptRow, attempt_id, populate_existing=True)
    if attempt is None:
        raise NotFound("W3B-3004", f"there is no attempt {attempt_id}", field="attempt_id")
    if attempt.fence != fence:
        raise Conflict("W3B-3002", f"attempt {attempt_id} has fence {attempt.fence}, not {fence}", field="fence")
    source = AttemptState(attempt.state)
    ways = ATTEMPT_TRANSITIONS[source]
    if target not in ways:
        raise Conflict("W3B-3001", f"attempt {attempt_id} is {source}; it cannot become {target}", field="state")
    values = {
        "state": target.value,
        "updated_at": now,
        "code": code,
        "reason": reason or ways[target],
        **values,
    }
    done = await session.exec(
        update(AttemptRow)
        .where(
            AttemptRow.id == attempt_id,  # type: ignore[arg-type]
            AttemptRow.fence == fence,  # type: ignore[arg-type]
            AttemptRow.state == source.value,  # type: ignore[arg-type]
        )
        .values(**values)
    )
    if done.rowcount != 1:
        raise Conflict("W3B-3001", f"attempt {attempt_id} left {source} meanwhile", field="state")
    task = await get_task(session, attempt.task_id)
    await record_event(
        session,
        now,
        task,
        subject="attempt",
        source=source,
        target=target,
        reason=reason or ways[target],
        code=code,
        attempt_id=attempt_id,
    )
    await session.refresh(attempt)
    return attempt


async def record_late_report(session: AsyncSession, now: int, attempt: AttemptRow, what: str) -> None:
    """Record, without any effect, a report that came under an old fence or after the attempt ended."""
    task = await get_task(session, attempt.task_id)
    await record_event(
        session,
        now,
        task,
        subject="attempt",
        source=attempt.state,
        target=attempt.state,
        reason=f"late report refused: {what}",
        code="W3B-3002",
        attempt_id=attempt.id,
    )


async def enqueue_tx(
    session: AsyncSession,
    now: int,
    *,
    dedupe_key: str,
    purpose: str,
    to: str,
    data: bytes,
    ref: dict[str, Any],
    after_tx: int | None = None,
) -> int:
    """Put a transaction into the outbox; the same `dedupe_key` again returns the first one's id and changes nothing."""
    found = (await session.exec(select(OutboxTxRow).where(OutboxTxRow.dedupe_key == dedupe_key))).first()
    if found is None:
        found = OutboxTxRow(
            dedupe_key=dedupe_key,
            purpose=purpose,
            ref=ref,
            after_tx=after_tx,
            to=to,
            data=data,
            created_at=now,
            updated_at=now,
        )
        session.add(found)
        await session.flush()
    assert found.id is not None
    return found.id


async def enqueue_webhooks(
    session: AsyncSession,
    now: int,
    *,
    project_id: int,
    event_type: str,
    subject: str,
    body: Callable[[str], bytes],
) -> list[str]:
    """Put an event into the outbox of each endpoint of the project that wants it; `body(message id)` makes its bytes.

    Once per (endpoint, event type, subject): a second call adds nothing. Returns the new message ids.
    """
    endpoints = (
        await session.exec(
            select(WebhookEndpointRow).where(
                WebhookEndpointRow.project_id == project_id,
                WebhookEndpointRow.disabled == False,  # noqa: E712
            )
        )
    ).all()
    made = []
    for endpoint in endpoints:
        if endpoint.events and event_type not in endpoint.events:
            continue
        found = await session.exec(
            select(WebhookMessageRow.id).where(
                WebhookMessageRow.endpoint_id == endpoint.id,
                WebhookMessageRow.event_type == event_type,
                WebhookMessageRow.subject == subject,
            )
        )
        if found.first() is not None:
            continue
        message_id = f"msg_{secrets.token_hex(12)}"
        session.add(
            WebhookMessageRow(
                id=message_id,
                endpoint_id=endpoint.id,
                project_id=project_id,
                event_type=event_type,
                subject=subject,
                body=body(message_id),
                created_at=now,
                next_at=now,
            )
        )
        made.append(message_id)
    return made
