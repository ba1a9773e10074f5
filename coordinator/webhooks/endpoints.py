"""Endpoints of a project, and the messages sent to them, as the API shows and changes them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.webhooks.event import EVENT_TYPES
from coordinator.webhooks.outbox import DEAD, PENDING
from coordinator.webhooks.signatures import BOTH, SIGNINGS, V1, V1A, new_secret, new_signing_key
from coordinator.webhooks.ssrf import UrlPolicy, check_url
from verifier.errors import Conflict, InvalidInput, NotFound

OVERLAP_SECONDS = 86_400
"""How long the old keys sign beside the new ones, when nothing else is said."""
MAX_OVERLAP_SECONDS = 7 * 86_400
MAX_PREVIOUS = 2
"""Old keys of a kind that can sign at the same time."""


def _require_signing(signing: str) -> str:
    if signing not in SIGNINGS:
        raise InvalidInput("W3B-7008", f"signing {signing[:20]!r} is none of {SIGNINGS}", field="signing")
    return signing


def signing_of(row: WebhookEndpointRow) -> str:
    """`v1`, `v1a` or `both`."""
    if row.secret and row.signing_key:
        return BOTH
    return V1A if row.signing_key else V1


def _set_keys(row: WebhookEndpointRow, signing: str) -> None:
    row.secret = new_secret() if signing in (V1, BOTH) else ""
    row.signing_key = new_signing_key() if signing in (V1A, BOTH) else ""


async def create_endpoint(
    session: AsyncSession,
    now: int,
    policy: UrlPolicy,
    *,
    project_id: int,
    url: str,
    events: Sequence[str] = (),
    signing: str = V1,
) -> WebhookEndpointRow:
    """Add an endpoint; its `secret` is shown to the caller this once. An empty `events` means all of them.

    Call `GuardedClient.check(url)` before the transaction to tell the caller at once about a name that leads nowhere;
    each delivery checks again. Raises InvalidInput (W3B-6001, W3B-7008) or Refused (W3B-6002).
    """
    check_url(url, policy)
    unknown = sorted(set(events) - set(EVENT_TYPES))
    if unknown:
        raise InvalidInput("W3B-6001", f"unknown event types {unknown}; there are {list(EVENT_TYPES)}", field="events")
    row = WebhookEndpointRow(
        id=f"ep_{secrets.token_hex(8)}",
        project_id=project_id,
        url=url,
        secret="",
        events=sorted(set(events)),
        created_at=now,
    )
    _set_keys(row, _require_signing(signing))
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


def rotate(row: WebhookEndpointRow, now: int, *, overlap_seconds: int = OVERLAP_SECONDS, signing: str = "") -> None:
    """Give an endpoint new keys; for `overlap_seconds` the old ones sign beside them, with 0 no old one signs any more.

    Keys of an earlier rotation whose overlap has not ended sign on too, until the later of the two ends: nobody who
    holds one is cut off early. An empty `signing` keeps the schemes. Raises InvalidInput (W3B-7008), and Conflict
    (W3B-6006) when too many old keys would sign.
    """
    if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
        raise InvalidInput(
            "W3B-7008", f"overlap {overlap_seconds} s is not 0 to {MAX_OVERLAP_SECONDS}", field="overlap"
        )
    chosen = _require_signing(signing or signing_of(row))
    running = now < row.previous_until
    secrets_before = [*row.secret.split(), *(row.previous_secret.split() if running else ())]
    keys_before = [*row.signing_key.split(), *(row.previous_signing_key.split() if running else ())]
    if overlap_seconds == 0:
        row.previous_secret, row.previous_signing_key, row.previous_until = "", "", 0
    else:
        if max(len(secrets_before), len(keys_before)) > MAX_PREVIOUS:
            raise Conflict(
                "W3B-6006", f"{MAX_PREVIOUS} old keys of endpoint {row.id} sign already", field="overlap_seconds"
            )
        row.previous_secret = " ".join(secrets_before)
        row.previous_signing_key = " ".join(keys_before)
        row.previous_until = max(row.previous_until if running else 0, now + overlap_seconds * 1000)
    _set_keys(row, chosen)


async def set_disabled(session: AsyncSession, now: int, endpoint_id: str, *, disabled: bool) -> WebhookEndpointRow:
    """Stop or start an endpoint; its pending messages wait, and are due at once when it starts.

    Raises NotFound (W3B-6004).
    """
    row = await session.get(WebhookEndpointRow, endpoint_id, populate_existing=True)
    if row is None:
        raise NotFound("W3B-6004", f"there is no webhook endpoint {endpoint_id}", field="endpoint_id")
    if row.disabled and not disabled:
        row.failing_since = 0
        await session.exec(
            update(WebhookMessageRow)
            .where(
                col(WebhookMessageRow.endpoint_id) == endpoint_id,
                col(WebhookMessageRow.state) == PENDING,
                col(WebhookMessageRow.next_at) > now,
            )
            .values(next_at=now)
        )
    if row.disabled != disabled:
        row.disabled, row.disabled_reason = disabled, ""
    session.add(row)
    await session.flush()
    return row


async def replay(session: AsyncSession, now: int, message_id: str) -> None:
    """Send a message again from its first try, same webhook-id and bytes.

    Raises NotFound (W3B-6004), and Conflict (W3B-6007) when its bytes were pruned.
    """
    done = await session.exec(
        update(WebhookMessageRow)
        .where(col(WebhookMessageRow.id) == message_id, func.length(col(WebhookMessageRow.body)) > 0)
        .values(state=PENDING, tries=0, next_at=now, delivered_at=None)
    )
    if done.rowcount == 1:
        return
    if await session.get(WebhookMessageRow, message_id) is not None:
        raise Conflict("W3B-6007", f"the body of webhook message {message_id} was pruned", field="message_id")
    raise NotFound("W3B-6004", f"there is no webhook message {message_id}", field="message_id")


async def replay_dead(session: AsyncSession, now: int, endpoint_id: str, since: int = 0) -> int:
    """Send every dead message of an endpoint again that was made at `since` (milliseconds) or later; how many."""
    done = await session.exec(
        update(WebhookMessageRow)
        .where(
            col(WebhookMessageRow.endpoint_id) == endpoint_id,
            col(WebhookMessageRow.state) == DEAD,
            col(WebhookMessageRow.created_at) >= since,
        )
        .values(state=PENDING, tries=0, next_at=now, delivered_at=None)
    )
    return int(done.rowcount)


async def deliveries(session: AsyncSession, message_id: str) -> list[WebhookDeliveryRow]:
    """Every try to deliver the message, oldest first."""
    found = await session.exec(
        select(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.message_id == message_id)
        .order_by(col(WebhookDeliveryRow.id))
    )
    return list(found.all())
