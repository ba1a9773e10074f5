"""What must hold: a prover worker that is killed while it makes a Groth16 proof costs one attempt, which is LOST; another
attempt proves the task, which becomes FINAL, and the worker comes back."""

from __future__ import annotations

import os
import signal

import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from w3bstream.v1 import prover_pb2

VALUES = temperatures(16)


def all_idle(client: Client) -> list[prover_pb2.Prover] | None:
    """The provers, when both wait for work."""
    provers = client.list_provers("zkp.groth16")
    idle = [each for each in provers if each.status == prover_pb2.PROVER_STATUS_IDLE]
    return provers if len(idle) == len(provers) == 2 else None


@pytest.mark.slow
def test_worker_killed(installation: Installation, client: Client) -> None:
    project = WeatherProject(client, "worker-killed")
    nodes = {each.id: each.node for each in until(lambda: all_idle(client), 90, "both provers wait for work")}
    client.ingest(project.sign(VALUES))

    def proving() -> list[tuple[int, str]]:
        rows = installation.rows(
            "select attempt.id, prover_id from attempt join task on task.id = task_id "
            "where project_id = ? and attempt.state = 'PROVING' and stage = 'prove'",
            project.id,
        )
        return [(row["id"], row["prover_id"]) for row in rows]

    ((attempt, prover),) = until(proving, 60, "a worker makes a Groth16 proof", every=0.01)
    os.kill(int(nodes[prover].rsplit("/", 1)[1]), signal.SIGKILL)
    (task,) = wait_final(client, project.id, 1)
    lost, won = client.get_task(task.id).attempts
    assert (lost.id, lost.prover_id, lost.state, lost.code) == (attempt, prover, "LOST", "W3B-4082")
    assert won.state == "VERIFIED"
    assert won.prover_id != prover
    assert won.fence > lost.fence
    require_exactly_once(installation, project.id, VALUES)
    again = {each.id: each.node for each in until(lambda: all_idle(client), 60, "the worker is back")}
    assert again[prover] != nodes[prover]
