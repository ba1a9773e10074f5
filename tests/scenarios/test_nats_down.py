"""What must hold: when nats-server is killed during an ingest, the call succeeds all the same or fails with a code; when
the server is back, sending again loses nothing and counts nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from coordinator.api.client import Client
from tests.e2e.installation import PART_SECONDS, Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from verifier.errors import Unavailable

VALUES = temperatures(48)
TASKS = 3


@pytest.mark.slow
def test_nats_down(installation: Installation, client: Client) -> None:
    project = WeatherProject(client, "nats-down")
    messages = project.sign(VALUES)
    server = installation.child("nats-server")
    assert server is not None
    killed: list[psutil.Process] = []

    def sending() -> Iterator[bytes]:
        """The readings; the server dies in the middle of the first call."""
        for index, message in enumerate(messages):
            if index == len(messages) // 2 and not killed:
                until(
                    lambda: installation.rows("select 1 from reading where project_id = ?", project.id),
                    30,
                    "some are in",
                )
                killed.append(server)
                server.kill()
            yield message

    refusals = []
    while True:
        try:
            summary = client.ingest(sending(), batch=4, timeout=60)
            break
        except Unavailable as error:
            refusals.append(error.code)
            assert len(refusals) < 20, refusals
    assert killed
    assert set(refusals) <= {"W3B-1008"}
    assert (summary.accepted + summary.duplicates, summary.refused) == (len(messages), 0)
    assert bool(summary.duplicates) == bool(refusals), "what an earlier call stored is not stored again"
    again = until(lambda: installation.child("nats-server"), PART_SECONDS, "nats-server was started again")
    assert again.pid != server.pid
    client.submit_task(project.id)
    wait_final(client, project.id, TASKS)
    require_exactly_once(installation, project.id, VALUES)
    assert client.get_intake(project.id).stopped == ""
    assert sum(gap.missing for gap in client.get_intake(project.id).gaps) == 0
