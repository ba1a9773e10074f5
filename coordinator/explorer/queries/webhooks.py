"""Webhook endpoints, the messages for them, and every try to deliver one. Secrets are never read here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api.paging import make_token, read_token
from coordinator.explorer.access import Viewer
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.tables import TaskRow
from coordinator.webhooks.event import EVENT_TYPES

PAGE_SIZE = 50
ENDPOINTS_SHOWN = 100
TRIES_SHOWN = 20
MESSAGE_STATES = ("PENDING", "DELIVERED", "DEAD")
_ENDPOINT = ("id", "project_id", "url", "events", "disabled", "disabled_reason", "created_at")
_MESSAGE = (
    "id",
    "endpoint_id",
    "project_id",
    "event_type",
    "subject",
    "state",
    "tries",
    "next_at",
    "created_at",
    "delivered_at",
)


async def endpoints(session: AsyncSession, viewer: Viewer, project_id: int | None = None) -> list[dict[str, Any]]:
    """Endpoints that the viewer may see, without their secrets, newest first."""
    query: Any = select(*(getattr(WebhookEndpointRow, name) for name in _ENDPOINT))
    query = query.where(*viewer.only(col(WebhookEndpointRow.project_id)))
    if project_id is not None:
        query = query.where(WebhookEndpointRow.project_id == project_id)
    rows = await session.exec(query.order_by(col(WebhookEndpointRow.created_at).desc()).limit(ENDPOINTS_SHOWN))
    return [dict(zip(_ENDPOINT, row, strict=True)) for row in rows]


async def _with_tries(session: AsyncSession, rows: Sequence[Any]) -> list[dict[str, Any]]:
    lines = [dict(zip(_MESSAGE, row, strict=True)) for row in rows]
    tries: dict[str, list[dict[str, Any]]] = {line["id"]: [] for line in lines}
    found = await session.exec(
        select(WebhookDeliveryRow)
        .where(col(WebhookDeliveryRow.message_id).in_(tries))
        .order_by(col(WebhookDeliveryRow.id).desc())
        .limit(TRIES_SHOWN * max(1, len(lines)))
    )
    for each in found:
        if len(tries[each.message_id]) < TRIES_SHOWN:
            tries[each.message_id].insert(0, each.model_dump(exclude={"message_id"}))
    for line in lines:
        line["deliveries"] = tries[line["id"]]
    return lines


def _messages(*conditions: Any) -> Any:
    query: Any = select(*(getattr(WebhookMessageRow, name) for name in _MESSAGE)).where(*conditions)
    return query.order_by(col(WebhookMessageRow.created_at).desc(), col(WebhookMessageRow.id).desc())


async def message_page(
    session: AsyncSession, viewer: Viewer, *, endpoint_id: str, state: str, token: str
) -> dict[str, Any]:
    """{messages, next_page}: a page of 50 with their tries. Raises InvalidInput (W3B-7009)."""
    scope = ("explorer messages", endpoint_id, state, viewer.project_id)
    conditions = viewer.only(col(WebhookMessageRow.project_id))
    if endpoint_id:
        conditions.append(col(WebhookMessageRow.endpoint_id) == endpoint_id)
    if state:
        conditions.append(col(WebhookMessageRow.state) == state)
    cursor = read_token(scope, token, (int, str))
    if cursor is not None:
        at, number = cursor
        created, key = col(WebhookMessageRow.created_at), col(WebhookMessageRow.id)
        conditions.append(or_(created < at, and_(created == at, key < number)))
    rows = (await session.exec(_messages(*conditions).limit(PAGE_SIZE + 1))).all()
    lines = await _with_tries(session, rows[:PAGE_SIZE])
    more = len(rows) > PAGE_SIZE
    last = (lines[-1]["created_at"], lines[-1]["id"]) if more else None
    return {"messages": lines, "next_page": make_token(scope, last) if last else ""}


async def of_task(session: AsyncSession, task: TaskRow) -> list[dict[str, Any]]:
    """The messages about a task, found through (endpoint, event type, subject)."""
    mine = await session.exec(
        select(WebhookEndpointRow.id).where(WebhookEndpointRow.project_id == task.project_id).limit(ENDPOINTS_SHOWN)
    )
    ids = mine.all()
    rows = await session.exec(
        _messages(
            col(WebhookMessageRow.endpoint_id).in_(ids),
            col(WebhookMessageRow.event_type).in_(EVENT_TYPES),
            col(WebhookMessageRow.subject) == task.id,
        ).limit(PAGE_SIZE)
    )
    return await _with_tries(session, rows.all())


async def message(session: AsyncSession, viewer: Viewer, message_id: str) -> dict[str, Any] | None:
    """One message with its tries and the event that is sent; None when there is none for the viewer."""
    row = await session.get(WebhookMessageRow, message_id)
    if row is None or not viewer.sees(row.project_id):
        return None
    found = (await _with_tries(session, [tuple(getattr(row, name) for name in _MESSAGE)]))[0]
    endpoint = await session.get(WebhookEndpointRow, row.endpoint_id)
    shown = None if endpoint is None else {name: getattr(endpoint, name) for name in _ENDPOINT}
    return {"message": found, "endpoint": shown, "event": _event(row.body)}


def _event(body: bytes) -> Any:
    """The body as JSON; text where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body[:4096].decode("utf-8", "replace")
