"""What must hold: each time that a task ends badly is told exactly once; put back and failed again, it is told again."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from coordinator.dispatch.requeue import requeue
from coordinator.ledger.outbox_tables import WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.outboxes import enqueue_webhooks
from coordinator.ledger.store import Ledger, get_task, move_task
from coordinator.ledger.tables import TaskRow
from coordinator.ledger.transitions import TaskState
from coordinator.webhooks.event import TASK_FAILED, TASK_FINAL, Site
from coordinator.webhooks.task_events import TaskEvents
from tests.settlement.memory_run import Run

EVENTS = TaskEvents(Site(4690, "0x" + "3c" * 20))


async def begin(ledger_url: str) -> tuple[Run, str]:
    """A run with one RECEIVED task, and an endpoint that wants everything."""
    run = await Run.begin(ledger_url, tasks=1)
    (task,) = await run.tasks()
    async with run.ledger.transaction() as session:
        session.add(
            WebhookEndpointRow(id="ep_1", project_id=1, url="http://127.0.0.1:1", secret="", events=[], created_at=1)
        )
    return run, task.id


async def fail(ledger: Ledger, task_id: str) -> None:
    """The task ends, and is told in the same transaction, as the dispatcher does it."""
    async with ledger.transaction() as session:
        task = await move_task(session, ledger.clock(), task_id, TaskState.FAILED, code="W3B-3005", reason="no luck")
        await EVENTS(session, ledger.clock(), task)


async def tell(ledger: Ledger, task_id: str) -> None:
    """Tell of the task's state, as somebody would who does not know that it was told."""
    async with ledger.transaction() as session:
        await EVENTS(session, ledger.clock(), await get_task(session, task_id))


async def messages(ledger: Ledger) -> list[WebhookMessageRow]:
    async with ledger.reading() as session:
        return list(await session.exec(select(WebhookMessageRow).order_by(col(WebhookMessageRow.generation))))


async def test_a_task_that_fails_again_is_told_again_and_each_time_once(ledger_url: str) -> None:
    run, task_id = await begin(ledger_url)
    for _ in range(3):
        await fail(run.ledger, task_id)
        await asyncio.gather(*(tell(run.ledger, task_id) for _ in range(3)))
        async with run.ledger.transaction() as session:
            await requeue(session, run.ledger.clock(), task_id, reason="once more")
    found = await messages(run.ledger)
    assert [(row.event_type, row.generation) for row in found] == [(TASK_FAILED, number) for number in range(3)]
    assert len({row.id for row in found}) == 3, "a receiver acts once on each webhook-id"
    bodies = [json.loads(row.body) for row in found]
    assert [body["data"]["requeues"] for body in bodies] == [0, 1, 2]
    assert [body["id"] for body in bodies] == [row.id for row in found]
    await run.ledger.close()


async def test_a_task_that_was_put_back_becomes_final_once(ledger_url: str) -> None:
    run, task_id = await begin(ledger_url)
    await fail(run.ledger, task_id)
    async with run.ledger.transaction() as session:
        await requeue(session, run.ledger.clock(), task_id, reason="once more")
    await tell(run.ledger, task_id)
    assert len(await messages(run.ledger)) == 1, "a task that is open again is no event"
    async with run.ledger.transaction() as session:
        task = await session.get_one(TaskRow, task_id)
        task.state = TaskState.FINAL.value
    for _ in range(3):
        await tell(run.ledger, task_id)
    assert [row.event_type for row in await messages(run.ledger)] == [TASK_FAILED, TASK_FINAL]
    await run.ledger.close()


async def test_the_ledger_itself_refuses_the_same_news_twice(ledger_url: str) -> None:
    run, task_id = await begin(ledger_url)

    async def enqueue(generation: int) -> list[str]:
        async with run.ledger.transaction() as session:
            return await enqueue_webhooks(
                session,
                1,
                project_id=1,
                event_type=TASK_FAILED,
                subject=task_id,
                body=str.encode,
                generation=generation,
            )

    (first,) = await enqueue(0)
    assert await enqueue(0) == []
    (second,) = await enqueue(1)
    with pytest.raises(IntegrityError):
        async with run.ledger.transaction() as session:
            row = await session.get_one(WebhookMessageRow, second)
            row.generation = 0
    assert {row.id for row in await messages(run.ledger)} == {first, second}
    await run.ledger.close()
