"""What must hold: in whatever stage of a task the coordinator is killed, once it is started again every accepted reading
is in exactly one window, the task becomes FINAL once and settles once, and its webhook keeps one id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import CAPACITY, WeatherProject, require_exactly_once, temperatures, wait_final
from tests.e2e.webhook_listener import Listener

VALUES = temperatures(CAPACITY)
EVENT = (
    "select 1 from task_event join task on task.id = task_event.task_id "
    "where task.project_id = ? and task_event.subject = '{subject}' and task_event.target = '{target}'"
)
STAGES = {
    "reading taken": "select 1 from reading where project_id = ?",
    "task RECEIVED": EVENT.format(subject="task", target="RECEIVED"),
    "task OPEN": EVENT.format(subject="task", target="OPEN"),
    "attempt ASSIGNED": EVENT.format(subject="attempt", target="ASSIGNED"),
    "attempt PROVING": EVENT.format(subject="attempt", target="PROVING"),
    "attempt PROVED": EVENT.format(subject="attempt", target="PROVED"),
    "attempt POSTED": EVENT.format(subject="attempt", target="POSTED"),
    "task SETTLED": EVENT.format(subject="task", target="SETTLED"),
    "webhook pending": "select 1 from webhook_message where project_id = ?",
}
"""What the ledger says as soon as a stage is reached; the kill comes milliseconds later."""
STAGE_SECONDS = 300.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Installation]:
    """One installation, killed once for each stage."""
    made = Installation(
        with_keys(tmp_path_factory.mktemp("every-stage") / "home", keys),
        {"PROVER_THREADS": "1", "WEBHOOK_PAUSES": "[0.5, 1]", "WEBHOOK_CAP": "1000", "EXPLORER": "false"},
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", STAGES)
def test_coordinator_killed_in_every_stage(own: Installation, stage: str) -> None:
    with Listener(status=503) as listener:  # so that a webhook is pending for as long as it takes
        with own.client() as client:
            project = WeatherProject(client, f"killed-at-{stage.lower().replace(' ', '-')}", devices=2)
            client.create_webhook(project.id, listener.url, ["w3bstream.task.final"])
            assert client.ingest(project.sign(VALUES)).accepted == len(VALUES)
            until(lambda: own.rows(STAGES[stage], project.id), STAGE_SECONDS, stage, every=0.003)
        own.kill()
        own.start()
        listener.status = 204
        with own.client() as client:
            (task,) = wait_final(client, project.id, 1, STAGE_SECONDS)
        until(lambda: any(got.status == 204 for got in listener.got), 120, "the webhook is delivered")
        require_exactly_once(own, project.id, VALUES)
        messages = own.rows("select id, subject from webhook_message where project_id = ?", project.id)
        assert [row["subject"] for row in messages] == [task.id]
        assert {got.id for got in listener.got} == {row["id"] for row in messages}
        verified = own.rows("select id from attempt where task_id = ? and state = 'VERIFIED'", task.id)
        assert len(verified) == 1
