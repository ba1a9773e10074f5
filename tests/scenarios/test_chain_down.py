"""What must hold: when the chain is killed during settlement, the service starts it again on the same port; every task
becomes FINAL, and nothing settles twice."""

from __future__ import annotations

import pytest

from coordinator.api.client import Client
from tests.e2e.installation import PART_SECONDS, ChainView, Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final

VALUES = temperatures(32)
TASKS = 2


@pytest.mark.slow
def test_chain_down(installation: Installation, client: Client) -> None:
    project = WeatherProject(client, "chain-down")
    before = ChainView(client).rpc_url
    client.ingest(project.sign(VALUES))
    killed: list[int] = []

    def settling() -> int:
        """Settle transactions of this project that were signed, and in no final block when last looked at."""
        found = installation.rows(
            "select attempt.id from outbox_tx join attempt on settle_tx = outbox_tx.id join task on task.id = task_id "
            "where project_id = ? and purpose = 'settle' and outbox_tx.state in ('QUEUED', 'SENT')",
            project.id,
        )
        return len(found)

    for _ in range(TASKS):
        until(settling, 60, "a settlement is under way", every=0.005)
        node = until(lambda: installation.child("l1"), PART_SECONDS, "the chain runs")
        node.kill()
        killed.append(node.pid)
        node.wait(PART_SECONDS)
        until(lambda: installation.child("l1"), PART_SECONDS, "the chain was started again")
    wait_final(client, project.id, TASKS)
    assert len(set(killed)) == TASKS
    assert ChainView(client).rpc_url == before
    require_exactly_once(installation, project.id, VALUES)
    until(lambda: all(part.healthy for part in client.get_status().components), PART_SECONDS, "all is healthy again")
