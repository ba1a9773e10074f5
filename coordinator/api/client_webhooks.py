"""The client's calls about webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from w3bstream.v1 import webhook_pb2, webhook_pb2_grpc


class WebhookCalls:
    """Endpoints, their keys, and what was sent to them."""

    if TYPE_CHECKING:
        _channel: grpc.Channel
        _call: Callable[..., Any]
        _once: Callable[..., Any]

    def _webhooks(self) -> Any:
        return webhook_pb2_grpc.WebhookServiceStub(self._channel)

    def create_webhook(
        self, project_id: int, url: str, events: Sequence[str] = (), *, signing: str = "", idempotency_key: str = ""
    ) -> webhook_pb2.CreateWebhookResponse:
        """Register an endpoint; the answer holds its secret, this once. `signing` is `v1`, `v1a` or `both`."""
        from coordinator.api.client import new_idempotency_key

        key = idempotency_key or new_idempotency_key()
        request = webhook_pb2.CreateWebhookRequest(
            project_id=project_id, url=url, events=events, signing=signing, idempotency_key=key
        )
        answer: webhook_pb2.CreateWebhookResponse = self._call(self._webhooks().CreateWebhook, request)
        return answer

    def list_webhooks(self, project_id: int) -> list[webhook_pb2.Webhook]:
        """A project's endpoints."""
        request = webhook_pb2.ListWebhooksRequest(project_id=project_id)
        return list(self._call(self._webhooks().ListWebhooks, request).webhooks)

    def set_webhook_disabled(self, webhook_id: str, *, disabled: bool) -> webhook_pb2.Webhook:
        """Stop or start deliveries to an endpoint."""
        request = webhook_pb2.SetWebhookDisabledRequest(webhook_id=webhook_id, disabled=disabled)
        answer: webhook_pb2.Webhook = self._call(self._webhooks().SetWebhookDisabled, request)
        return answer

    def rotate_webhook_secret(
        self, webhook_id: str, *, overlap_seconds: int | None = None, signing: str = "", idempotency_key: str = ""
    ) -> webhook_pb2.CreateWebhookResponse:
        """Give an endpoint new keys; the answer holds the secret, this once. The old keys sign for `overlap_seconds`
        more: a day by default, at most a week, 0 revokes them at once. Raises Conflict (W3B-6006)."""
        from coordinator.api.client import new_idempotency_key

        request = webhook_pb2.RotateWebhookSecretRequest(
            webhook_id=webhook_id,
            overlap_seconds=overlap_seconds,
            signing=signing,
            idempotency_key=idempotency_key or new_idempotency_key(),
        )
        answer: webhook_pb2.CreateWebhookResponse = self._call(self._webhooks().RotateWebhookSecret, request)
        return answer

    def list_deliveries(
        self, project_id: int, *, webhook_id: str = "", state: str = "", page_size: int = 0, page_token: str = ""
    ) -> webhook_pb2.ListDeliveriesResponse:
        """A page of messages with every try to deliver them, newest first."""
        request = webhook_pb2.ListDeliveriesRequest(
            project_id=project_id, webhook_id=webhook_id, state=state, page_size=page_size, page_token=page_token
        )
        answer: webhook_pb2.ListDeliveriesResponse = self._call(self._webhooks().ListDeliveries, request)
        return answer

    def replay_message(self, message_id: str) -> webhook_pb2.WebhookMessage:
        """Send a webhook message again under its id."""
        request = webhook_pb2.ReplayMessageRequest(message_id=message_id)
        answer: webhook_pb2.WebhookMessage = self._once(self._webhooks().ReplayMessage, request)
        return answer

    def replay_messages(self, webhook_id: str, *, since: datetime | None = None) -> int:
        """Send every dead message of an endpoint again, those made at `since` or later; how many they are."""
        request = webhook_pb2.ReplayMessagesRequest(webhook_id=webhook_id)
        if since is not None:
            request.since.FromDatetime(since.astimezone(UTC))
        return int(self._once(self._webhooks().ReplayMessages, request).replayed)
