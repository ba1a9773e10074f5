"""What must hold: a message to an endpoint that is down, or that answers 500, is delivered under the same webhook-id once
the endpoint works again; until then its failures stand in the delivery log."""

from __future__ import annotations

import pytest
from standardwebhooks import Webhook

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until
from tests.e2e.weather_project import WeatherProject, temperatures, wait_final
from tests.e2e.webhook_listener import Listener, free_port
from w3bstream.v1 import webhook_pb2

RECOVERY_SECONDS = 400.0
"""The second try comes after 5 seconds; only where it was too early, the third comes 5 minutes later."""


def message_to(client: Client, project_id: int, endpoint: str) -> webhook_pb2.WebhookMessage | None:
    """The one message to an endpoint, once it was tried."""
    messages = client.list_deliveries(project_id, webhook_id=endpoint).messages
    assert len(messages) <= 1
    return messages[0] if messages and messages[0].deliveries else None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_webhook_down(installation: Installation, client: Client) -> None:
    project = WeatherProject(client, "webhook-down", devices=2)
    port = free_port()
    down = client.create_webhook(project.id, f"http://127.0.0.1:{port}/results")
    with Listener(status=500) as failing:
        broken = client.create_webhook(project.id, failing.url)
        client.submit_task(project.id, project.sign(temperatures(4)))
        (task,) = wait_final(client, project.id, 1)

        def tried_once(endpoint: str) -> webhook_pb2.WebhookMessage:
            found: webhook_pb2.WebhookMessage = until(
                lambda: message_to(client, project.id, endpoint), 30, "it was tried"
            )
            return found

        tried = {endpoint: tried_once(endpoint) for endpoint in (down.webhook.id, broken.webhook.id)}
        assert {message.state for message in tried.values()} == {"PENDING"}
        with Listener(port) as recovered:
            failing.status = 204

            def delivered() -> bool:
                found = [message_to(client, project.id, endpoint) for endpoint in tried]
                return all(message is not None and message.state == "DELIVERED" for message in found)

            until(delivered, RECOVERY_SECONDS, "both messages are delivered")
            endings = {endpoint: message_to(client, project.id, endpoint) for endpoint in tried}
            for made, listener, failure in ((down, recovered, 0), (broken, failing, 500)):
                message = endings[made.webhook.id]
                assert message is not None
                codes = [delivery.status_code for delivery in message.deliveries]
                assert codes[-1] == 204
                assert set(codes[:-1]) == {failure}
                assert message.id == tried[made.webhook.id].id
                assert {got.id for got in listener.got} == {message.id}
                assert len({got.body for got in listener.got}) == 1, "the same bytes each time"
                event = Webhook(made.secret).verify(listener.got[-1].body, listener.got[-1].headers)
                assert (event["subject"], event["id"]) == (task.id, message.id)
