"""WebhookService: endpoints, their secrets, and what was sent to them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from coordinator.api import render
from coordinator.api.auth import Caller, current_caller
from coordinator.api.idempotency import Once
from coordinator.api.paging import make_token, page_size, read_token
from coordinator.ledger.outbox_tables import WebhookDeliveryRow, WebhookEndpointRow, WebhookMessageRow
from coordinator.ledger.store import Ledger
from coordinator.projects.service import get_project
from coordinator.webhooks import endpoints
from coordinator.webhooks.guarded_client import GuardedClient
from coordinator.webhooks.outbox import DEAD, DELIVERED, PENDING
from coordinator.webhooks.signatures import V1
from verifier.errors import InvalidInput, NotFound
from w3bstream.v1 import webhook_pb2, webhook_pb2_grpc

MESSAGE_STATES = (PENDING, DELIVERED, DEAD)


class WebhookService(webhook_pb2_grpc.WebhookServiceServicer):
    """Serves webhooks; every URL passes the guard before it is stored, and again at each delivery."""

    def __init__(self, ledger: Ledger, urls: GuardedClient) -> None:
        self._ledger = ledger
        self._urls = urls

    async def CreateWebhook(
        self, request: webhook_pb2.CreateWebhookRequest, context: object
    ) -> webhook_pb2.CreateWebhookResponse:
        """Register an endpoint; its secret is in this answer only."""
        caller = current_caller()
        caller.require_project(request.project_id)
        once = Once(caller, "CreateWebhook", request)
        async with self._ledger.reading() as session:
            answer = await once.answered(session, webhook_pb2.CreateWebhookResponse)
        if answer is not None:
            return answer
        await self._urls.check(request.url)
        async with self._ledger.transaction() as session:
            answer = await once.answered(session, webhook_pb2.CreateWebhookResponse)
            if answer is not None:
                return answer
            await get_project(session, request.project_id)
            now = self._ledger.clock()
            row = await endpoints.create_endpoint(
                session,
                now,
                self._urls.policy,
                project_id=request.project_id,
                url=request.url,
                events=request.events,
                signing=request.signing or V1,
            )
            answer = webhook_pb2.CreateWebhookResponse(webhook=render.webhook(row), secret=row.secret)
            await once.store(session, now, answer)
        return answer

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, context: object
    ) -> webhook_pb2.ListWebhooksResponse:
        """The project's endpoints, oldest first, without their secrets."""
        current_caller().require_project(request.project_id)
        async with self._ledger.reading() as session:
            await get_project(session, request.project_id)
            rows = await endpoints.list_endpoints(session, request.project_id)
        return webhook_pb2.ListWebhooksResponse(webhooks=[render.webhook(row) for row in rows])

    async def SetWebhookDisabled(
        self, request: webhook_pb2.SetWebhookDisabledRequest, context: object
    ) -> webhook_pb2.Webhook:
        """Stop or start deliveries to an endpoint."""
        async with self._ledger.transaction() as session:
            await _endpoint(session, current_caller(), request.webhook_id)
            row = await endpoints.set_disabled(
                session, self._ledger.clock(), request.webhook_id, disabled=request.disabled
            )
        return render.webhook(row)

    async def RotateWebhookSecret(
        self, request: webhook_pb2.RotateWebhookSecretRequest, context: object
    ) -> webhook_pb2.CreateWebhookResponse:
        """Give an endpoint new keys; the old ones sign beside them for the overlap."""
        caller = current_caller()
        once = Once(caller, "RotateWebhookSecret", request)
        overlap = request.overlap_seconds if request.HasField("overlap_seconds") else endpoints.OVERLAP_SECONDS
        async with self._ledger.transaction() as session:
            row = await _endpoint(session, caller, request.webhook_id)
            answer = await once.answered(session, webhook_pb2.CreateWebhookResponse)
            if answer is None:
                now = self._ledger.clock()
                endpoints.rotate(row, now, overlap_seconds=overlap, signing=request.signing)
                session.add(row)
                answer = webhook_pb2.CreateWebhookResponse(webhook=render.webhook(row), secret=row.secret)
                await once.store(session, now, answer)
        return answer

    async def ListDeliveries(
        self, request: webhook_pb2.ListDeliveriesRequest, context: object
    ) -> webhook_pb2.ListDeliveriesResponse:
        """A page of messages, newest first, each with every try."""
        current_caller().require_project(request.project_id)
        if request.state and request.state not in MESSAGE_STATES:
            raise InvalidInput("W3B-7008", f"state {request.state[:40]!r} is none of {MESSAGE_STATES}", field="state")
        scope = ("ListDeliveries", request.project_id, request.webhook_id, request.state)
        size, cursor = page_size(request.page_size), read_token(scope, request.page_token, (int, str))
        query = select(WebhookMessageRow).where(WebhookMessageRow.project_id == request.project_id)
        if request.webhook_id:
            query = query.where(WebhookMessageRow.endpoint_id == request.webhook_id)
        if request.state:
            query = query.where(WebhookMessageRow.state == request.state)
        if cursor:
            at, message_id = cursor
            same = (col(WebhookMessageRow.created_at) == at) & (col(WebhookMessageRow.id) < message_id)
            query = query.where(or_(col(WebhookMessageRow.created_at) < at, same))
        query = query.order_by(col(WebhookMessageRow.created_at).desc(), col(WebhookMessageRow.id).desc())
        async with self._ledger.reading() as session:
            await get_project(session, request.project_id)
            found = (await session.exec(query.limit(size + 1))).all()
            rows = found[:size]
            messages = await _with_tries(session, rows)
        more = len(found) > size
        return webhook_pb2.ListDeliveriesResponse(
            messages=messages,
            next_page_token=make_token(scope, (rows[-1].created_at, rows[-1].id)) if more else "",
        )

    async def ReplayMessage(
        self, request: webhook_pb2.ReplayMessageRequest, context: object
    ) -> webhook_pb2.WebhookMessage:
        """Send a message again under its webhook-id."""
        async with self._ledger.transaction() as session:
            row = await session.get(WebhookMessageRow, request.message_id)
            if row is None:
                raise NotFound("W3B-6004", f"there is no message {request.message_id[:100]!r}", field="message_id")
            current_caller().require_project(row.project_id)
            await endpoints.replay(session, self._ledger.clock(), row.id)
            await session.refresh(row)
            return (await _with_tries(session, [row]))[0]

    async def ReplayMessages(
        self, request: webhook_pb2.ReplayMessagesRequest, context: object
    ) -> webhook_pb2.ReplayMessagesResponse:
        """Send every dead message of an endpoint again."""
        since = render.milliseconds(request.since, "since") if request.HasField("since") else 0
        async with self._ledger.transaction() as session:
            row = await _endpoint(session, current_caller(), request.webhook_id)
            count = await endpoints.replay_dead(session, self._ledger.clock(), row.id, since)
        return webhook_pb2.ReplayMessagesResponse(replayed=count)


async def _endpoint(session: AsyncSession, caller: Caller, webhook_id: str) -> WebhookEndpointRow:
    row = await session.get(WebhookEndpointRow, webhook_id, populate_existing=True)
    if row is None:
        raise NotFound("W3B-6004", f"there is no webhook endpoint {webhook_id[:100]!r}", field="webhook_id")
    caller.require_project(row.project_id)
    return row


async def _with_tries(session: AsyncSession, rows: Sequence[WebhookMessageRow]) -> list[webhook_pb2.WebhookMessage]:
    found = await session.exec(
        select(WebhookDeliveryRow)
        .where(col(WebhookDeliveryRow.message_id).in_([row.id for row in rows]))
        .order_by(col(WebhookDeliveryRow.id))
    )
    tries: dict[str, list[WebhookDeliveryRow]] = {}
    for each in found:
        tries.setdefault(each.message_id, []).append(each)
    return [render.webhook_message(row, tries.get(row.id, [])) for row in rows]
