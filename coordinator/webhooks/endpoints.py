"""Endpoints of a project, and the messages sent to them, as the API shows and changes them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.webhooks.event import EVENT_TYPES
from coordinator.webhooks.ssrf import UrlPolicy, check_url
from verifier.errors import InvalidInput, NotFound

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64 random bytes."""


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and base64 of 32 random bytes (Standard Webhooks, symmetric)."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def create_endpoint(
    session: AsyncSession, now: int, policy: UrlPolicy, *, project_id: int, url: str, events: Sequence[str] = ()
) -> WebhookEndpointRow:
    """Add an endpoint; its `secret` is shown to the caller this once. An empty `events` means all of them.

    Call `GuardedClient.check(url)` before the transaction to tell the caller at once about a name that leads nowhere;
    each delivery checks again. Raises InvalidInput (W3B-6001) or Refused (W3B-6002).
    """
    check_url(url, policy)
    unknown = sorted(set(events) - set(EVENT_TYPES))
    if unknown:
        raise InvalidInput("W3B-6001", f"unknown event types {unknown}; there are {list(EVENT_TYPES)}", field="events")
    row = WebhookEndpointRow(
        id=f"ep_{secrets.token_hex(8)}",
        project_id=project_id,
        url=url,
        secret=new_secret(),
        events=sorted(set(events)),
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def list_endpoints(session: AsyncSession, project_id: int) -> list[WebhookEndpointRow]:
    """The project's endpoints, oldest first. The rows hold the secrets: never show those."""
    found = await session.exec(
        select(WebhookEndpointRow)
        .where(WebhookEndpointRow.project_id == project_id)
        .order_by(col(WebhookEndpointRow.created_at), col(WebhookEndpointRow.id))
    )
    return list(found.all())


async def set_disabled(session: AsyncSession, endpoint_id: str, *, disabled: bool) -> WebhookEndpointRow:
    """Stop or start an endpoint; its pending messages wait. Raises NotFound (W3B-6004)."""
    row = await session.get(WebhookEndpointRow, endpoint_id)
    if row is None:
        raise NotFound("W3B-6004", f"there is no webhook endpoint {endpoint_id}", field="endpoint_id")
    row.disabled = disabled
    session.add(row)
    await session.flush()
    return row


async def replay(session: AsyncSession, now: int, message_id: str) -> None:
    """Send a message again from its first try, same webhook-id and bytes. Raises NotFound (W3B-6004)."""
    done = await session.exec(
        update(WebhookMessageRow)
        .where(col(WebhookMessageRow.id) == message_id)
        .values(state="PENDING", tries=0, next_at=now, delivered_at=None)
    )
    if done.rowcount != 1:
        raise NotFound("W3B-6004", f"there is no webhook message {message_id}", field="message_id")


async def deliveries(session: AsyncSession, message_id: str) -> list[WebhookDeliveryRow]:
    """Every try to deliver the message, oldest first."""
    found = await session.exec(
        select(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.message_id == message_id)
        .order_by(col(WebhookDeliveryRow.id))
    )
    return list(found.all())
