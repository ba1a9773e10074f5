"""What must hold: when Ray's raylet is killed while a worker proves, and every worker dies with it, Ray is started again
by itself, the attempt is LOST, another one proves the task, and the service never ended."""

from __future__ import annotations

import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final

VALUES = temperatures(16)
PROVING = (
    "select attempt.id from attempt join task on task.id = task_id "
    "where project_id = ? and attempt.state = 'PROVING' and stage = 'prove'"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_raylet_killed(installation: Installation, client: Client) -> None:
    service = installation.process
    project = WeatherProject(client, "raylet-killed")
    client.ingest(project.sign(VALUES))
    ((attempt,),) = until(lambda: installation.rows(PROVING, project.id), 180, "a worker proves", every=0.01)
    (raylet,) = [each for each in service.children(recursive=True) if each.name() == "raylet"]
    raylet.kill()
    (task,) = wait_final(client, project.id, 1, 400)
    attempts = client.get_task(task.id).attempts
    (lost,) = (each for each in attempts if each.id == attempt)
    # Whichever is seen first: the worker's death, or Ray's, which is not the task's fault.
    assert (lost.state, lost.code) in {("LOST", "W3B-4082"), ("LOST", "W3B-3081")}
    assert [each.state for each in attempts if each.id > attempt].count("VERIFIED") == 1
    require_exactly_once(installation, project.id, VALUES)
    (again,) = [each for each in service.children(recursive=True) if each.name() == "raylet"]
    assert again.pid != raylet.pid
    assert installation.process == service
    until(lambda: all(part.healthy for part in client.get_status().components), 120, "every part is healthy")
