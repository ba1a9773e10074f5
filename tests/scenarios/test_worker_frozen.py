"""What must hold: a prover worker that is stopped (SIGSTOP) while it proves loses its lease, another attempt proves the
task, and when it goes on (SIGCONT) it changes nothing: the task stays FINAL with one accepted proof."""

from __future__ import annotations

import psutil
import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, until
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from w3bstream.v1 import prover_pb2

VALUES = temperatures(16)
PROVING = (
    "select attempt.id, prover_id from attempt join task on task.id = task_id "
    "where project_id = ? and attempt.state = 'PROVING' and stage = 'prove'"
)


def both_wait(client: Client) -> list[prover_pb2.Prover] | None:
    """The provers, when both wait for work."""
    provers = client.list_provers("zkp.groth16")
    return provers if [each.status for each in provers] == [prover_pb2.PROVER_STATUS_IDLE] * 2 else None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_frozen(installation: Installation, client: Client) -> None:
    nodes = {each.id: each.node for each in until(lambda: both_wait(client), 180, "both provers wait for work")}
    project = WeatherProject(client, "worker-frozen")
    client.ingest(project.sign(VALUES))
    ((attempt, prover),) = until(lambda: installation.rows(PROVING, project.id), 180, "a worker proves", every=0.01)
    frozen = psutil.Process(int(nodes[prover].rsplit("/", 1)[1]))
    frozen.suspend()
    try:
        (task,) = wait_final(client, project.id, 1, 400)
    finally:
        if frozen.is_running():
            frozen.resume()
    states = {each.id: each.state for each in client.get_task(task.id).attempts}
    assert states[attempt] in ("LOST", "SUPERSEDED")
    assert list(states.values()).count("VERIFIED") == 1
    until(lambda: both_wait(client), 180, "the worker, or another in its place, waits for work")
    found = client.get_task(task.id)
    assert {each.id: each.state for each in found.attempts} == states, "what came late changed nothing"
    assert found.task.state == task.state
    require_exactly_once(installation, project.id, VALUES)
