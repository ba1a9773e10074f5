"""What must hold: when the machine's wall clock jumps two hours ahead or back, in the middle of proofs, settlements and
pauses between webhook tries, and also while the service is down, nothing is lost or doubled, no task fails, and nothing
waits for an hour to come again: every task becomes FINAL within minutes, and each is told once under one webhook-id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.api.client import Client
from coordinator.chaos.wall_clock import WallClock
from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import ENDED, WeatherProject, require_exactly_once, temperatures
from tests.e2e.webhook_listener import Listener

HOURS = 7200
"""In seconds; more than a task has time by the project's file."""
SECONDS = 180.0
VALUES = temperatures(72)
TAKEN = "select count(*) from reading where project_id = ?"
PROVING = (
    "select attempt.id from attempt join task on task.id = task_id where project_id = ? and attempt.state = 'PROVING'"
)
SETTLING = (
    "select attempt.id from attempt join task on task.id = task_id where project_id = ? and attempt.state = 'POSTED'"
)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path / "clock")


@pytest.fixture
def own(tmp_path: Path, keys: Path, clock: WallClock) -> Iterator[Installation]:
    """An installation whose service and chain go by a clock that the test sets."""
    settings = {"PROVER_THREADS": "1", "WEBHOOK_PAUSES": "[2]", "WEBHOOK_CAP": "1000", "EXPLORER": "false"}
    made = Installation(with_keys(tmp_path / "home", keys), settings, clock.environment({}))
    made.start()
    yield made
    made.stop()


def all_final(own: Installation, client: Client, project: int, readings: int) -> int:
    """How many tasks, once they hold so many readings and all ended; requires that all are FINAL. 0 before."""
    tasks = list(client.tasks(project_id=project))
    if sum(task.count for task in tasks) < readings or not all(task.state in ENDED for task in tasks):
        return 0
    assert {row["state"] for row in own.rows("select state from task where project_id = ?", project)} == {"FINAL"}
    return len(tasks)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_clock_jump(own: Installation, clock: WallClock) -> None:
    with Listener(status=503) as listener:
        with own.client() as client:
            project = WeatherProject(client, "clock-jump")
            client.create_webhook(project.id, listener.url, ["w3bstream.task.final"])
            messages = project.sign(VALUES)

            client.ingest(messages[:16])
            until(lambda: own.rows(PROVING, project.id), SECONDS, "a worker proves", every=0.01)
            clock.set(HOURS)
            client.ingest(messages[16:32])
            until(lambda: all_final(own, client, project.id, 32), SECONDS, "all is FINAL two hours ahead")
            until(lambda: listener.got, SECONDS, "a webhook that waits")

            client.ingest(messages[32:40])  # fewer than fill a window: it is open, or closed by its age
            until(lambda: own.rows(TAKEN, project.id)[0][0] == 40, SECONDS, "they are taken")
            clock.set(-HOURS)
            listener.status = 204
            told = until(lambda: all_final(own, client, project.id, 40), SECONDS, "all is FINAL four hours back")
            until(lambda: delivered(listener) == told, SECONDS, "no webhook waits for its old time")

            listener.status = 503
            client.ingest(messages[40:56])
            until(lambda: own.rows(SETTLING, project.id), SECONDS, "a settlement is under way", every=0.01)
            clock.set(0)
            until(lambda: all_final(own, client, project.id, 56), SECONDS, "all is FINAL, two hours ahead again")
            until(lambda: listener.got[-1].status == 503, SECONDS, "a webhook that waits")

            client.ingest(messages[56:])
            until(lambda: own.rows(PROVING, project.id), SECONDS, "a worker proves", every=0.01)
        own.kill()
        clock.set(-HOURS)
        own.start()
        listener.status = 204
        with own.client() as client:
            client.submit_task(project.id)
            told = until(lambda: all_final(own, client, project.id, len(VALUES)), SECONDS, "all is FINAL")
            assert all(part.healthy for part in client.get_status().components)
        until(lambda: delivered(listener) == told, SECONDS, "every webhook is delivered")
    require_exactly_once(own, project.id, VALUES)
    sent = own.rows("select id, subject from webhook_message where project_id = ?", project.id)
    assert len(sent) == len({row["subject"] for row in sent}) == told
    assert {got.id for got in listener.got} == {row["id"] for row in sent}
    lost = own.rows("select distinct code from attempt where state = 'LOST'")
    assert {row["code"] for row in lost} <= {"W3B-3081"}, "no lease but those of the killed service"
    clock.set(0)  # gRPC's C core, in which the command's time-outs run, goes by the machine's clock
    report = json.loads(own.run_command("reconcile", "--json"))
    assert (report["whole"], report["breaks"]) == (True, [])


def delivered(listener: Listener) -> int:
    """Webhooks that were answered with 2xx."""
    return len({got.id for got in listener.got if got.status == 204})
