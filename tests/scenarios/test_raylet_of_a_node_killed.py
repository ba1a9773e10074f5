"""What must hold: on a Ray cluster of several nodes, when one node dies in the middle of a proof, its raylet and its
worker at one stroke, the attempt is LOST, a worker on another node proves the task, and the service never ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.installation import Installation, clean_environment, until, with_keys
from tests.e2e.weather_project import WeatherProject, require_exactly_once, temperatures, wait_final
from w3bstream.v1 import prover_pb2

ROOT = Path(__file__).parents[2]
NODES = 2
VALUES = temperatures(16)
PROVING = (
    "select attempt.id, prover_id from attempt join task on task.id = task_id "
    "where project_id = ? and attempt.state = 'PROVING' and stage = 'prove'"
)


@pytest.fixture
def own(tmp_path: Path, keys: Path) -> Iterator[Installation]:
    """An installation whose workers run on the nodes of a cluster, one on each."""
    home = with_keys(tmp_path / "home", keys)
    with (tmp_path / "cluster.err").open("wb") as errors:
        cluster = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.ray_nodes_process", str(home), str(NODES)],
            cwd=ROOT,
            env=clean_environment(home, {}) | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert cluster.stdout is not None
    assert cluster.stdin is not None
    try:
        line = next((line for line in cluster.stdout if line.startswith(b"{")), b"")
        assert line, (tmp_path / "cluster.err").read_text()[-3000:]
        found = json.loads(line)
        settings = {"RAY_ADDRESS": found["address"], "PROVERS_MIN": str(NODES), "PROVERS_MAX": str(NODES)}
        made = Installation(home, {**settings, "PROVER_THREADS": "1", "EXPLORER": "false"}, found["environment"])
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        below = psutil.Process(cluster.pid).children(recursive=True)
        cluster.stdin.close()
        try:
            cluster.wait(60)
        finally:
            for process in [*below, cluster]:
                if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
                    process.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_raylet_of_a_node_killed(own: Installation) -> None:
    service = own.process
    with own.client() as client:

        def waiting() -> dict[str, str]:
            """Worker by id to where it is, once all wait for work."""
            idle = [each for each in client.list_provers() if each.status == prover_pb2.PROVER_STATUS_IDLE]
            return {each.id: each.node for each in idle} if len(idle) == NODES else {}

        workers = until(waiting, 180, "a worker on each node waits for work")
        processes = {name: psutil.Process(int(node.rsplit("/", 1)[1])) for name, node in workers.items()}
        assert len({process.ppid() for process in processes.values()}) == NODES, "each has a raylet of its own"
        project = WeatherProject(client, "raylet-of-a-node")
        client.ingest(project.sign(VALUES))
        ((attempt, prover),) = until(lambda: own.rows(PROVING, project.id), 180, "a worker proves", every=0.01)
        raylet = psutil.Process(processes[prover].ppid())
        assert raylet.name() == "raylet"
        for process in (raylet, *raylet.children(recursive=True)):
            process.kill()
        (task,) = wait_final(client, project.id, 1, 300)
        found = {each.id: each for each in client.get_task(task.id).attempts}
        assert (found[attempt].state, found[attempt].code) in {("LOST", "W3B-4082"), ("LOST", "W3B-3081")}
        (verified,) = [each for each in found.values() if each.state == "VERIFIED"]
        assert verified.prover_id != prover
    require_exactly_once(own, project.id, VALUES)
    assert own.process == service
