"""The two outboxes: transactions for the chain and webhook messages, put in by the transaction that makes them due."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.history_tables import TxEventRow
from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow, WebhookEndpointRow, WebhookMessageRow


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
    fence: int | None = None,
    chain_id: int | None = None,
) -> int:
    """Put a transaction into the outbox; the same `dedupe_key` again returns the first one's id and changes nothing.

    Parameters: `fence` is the attempt's fencing token, looked at again before the first byte is sent; `chain_id` is the
    chain it is for, by default the one that the ledger's contracts are on.
    """
    found = (await session.exec(select(OutboxTxRow).where(OutboxTxRow.dedupe_key == dedupe_key))).first()
    if found is None:
        if chain_id is None:
            chain_id = (await session.exec(select(DeploymentRow.chain_id))).first() or 0
        found = OutboxTxRow(
            dedupe_key=dedupe_key,
            chain_id=chain_id,
            fence=fence,
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
        record_tx_step(session, now, found, source="", target="QUEUED")
    assert found.id is not None
    return found.id


def record_tx_step(
    session: AsyncSession,
    now: int,
    row: OutboxTxRow,
    *,
    source: str,
    target: str,
    reason: str = "",
    code: str = "",
) -> None:
    """Write down a step of a stored transaction on the finality ladder, with the block that it is in by then.

    `target` is one of those of `TxEventRow.target`.
    """
    assert row.id is not None
    session.add(
        TxEventRow(
            tx_id=row.id,
            source=source,
            target=target,
            tx_hash=row.tx_hash,
            block_number=row.block_number,
            block_hash=row.block_hash,
            reason=reason[:500],
            code=code,
            at=now,
        )
    )


async def enqueue_webhooks(
    session: AsyncSession,
    now: int,
    *,
    project_id: int,
    event_type: str,
    subject: str,
    body: Callable[[str], bytes],
    generation: int = 0,
) -> list[str]:
    """Put an event into the outbox of each endpoint of the project that wants it; `body(message id)` makes its bytes.

    Once per (endpoint, event type, subject, generation): a second call adds nothing. Returns the new message ids.
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
                WebhookMessageRow.generation == generation,
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
                generation=generation,
                body=body(message_id),
                created_at=now,
                next_at=now,
            )
        )
        made.append(message_id)
    return made
