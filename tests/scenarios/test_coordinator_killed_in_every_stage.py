"""What must hold: in whatever stage of a task the coordinator is killed, again and again, every accepted reading is in
exactly one window, every task becomes FINAL once and settles once, and its webhook keeps one id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import CAPACITY, WeatherProject, require_exactly_once, temperatures, wait_final
from tests.e2e.webhook_listener import Listener

EVENT = "select id from task_event where subject = '{subject}' and target = '{target}' and id > ?"
STAGES = {
    "reading taken": "select 1 from reading where position > ?",
    "task RECEIVED": EVENT.format(subject="task", target="RECEIVED"),
    "task OPEN": EVENT.format(subject="task", target="OPEN"),
    "attempt ASSIGNED": EVENT.format(subject="attempt", target="ASSIGNED"),
    "attempt PROVING": EVENT.format(subject="attempt", target="PROVING"),
    "attempt PROVED": EVENT.format(subject="attempt", target="PROVED"),
    "attempt POSTED": EVENT.format(subject="attempt", target="POSTED"),
    "task SETTLED": EVENT.format(subject="task", target="SETTLED"),
    "webhook pending": "select 1 where (select count(*) from webhook_message where state = 'PENDING') > ?",
}
"""What the ledger says as soon as a stage is reached, after what it said before; the kill comes milliseconds later."""
BEFORE = {
    "reading taken": "select coalesce(max(position), 0) from reading",
    "webhook pending": "select count(*) from webhook_message where state = 'PENDING'",
}
LAST_EVENT = "select coalesce(max(id), 0) from task_event"
VALUES = temperatures(CAPACITY * len(STAGES))
STAGE_SECONDS = 300.0


@pytest.fixture
def own(tmp_path: Path, keys: Path) -> Iterator[Installation]:
    """One installation, killed once in each stage."""
    made = Installation(
        with_keys(tmp_path / "home", keys),
        {"PROVER_THREADS": "1", "WEBHOOK_PAUSES": "[0.5, 1]", "WEBHOOK_CAP": "1000", "EXPLORER": "false"},
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_coordinator_killed_in_every_stage(own: Installation) -> None:
    """A window's readings come before each kill. Nobody waits for the tasks of the stages before: they go on too."""
    with Listener(status=503) as listener:  # so that a webhook is pending for as long as it takes
        with own.client() as client:
            project = WeatherProject(client, "killed-in-every-stage", devices=2)
            client.create_webhook(project.id, listener.url, ["w3bstream.task.final"])
        messages = project.sign(VALUES)
        for number, stage in enumerate(STAGES):
            ((before,),) = own.rows(BEFORE.get(stage, LAST_EVENT))
            with own.client() as client:
                client.ingest(messages[number * CAPACITY : (number + 1) * CAPACITY])
            until(lambda at=before, at_stage=stage: own.rows(STAGES[at_stage], at), STAGE_SECONDS, stage, every=0.003)
            own.kill()
            own.start()
        listener.status = 204
        with own.client() as client:
            client.submit_task(project.id)
            number = until(lambda: windowed(own, project.id), STAGE_SECONDS, "every reading is in a window")
            assert number >= len(STAGES)
            tasks = {task.id for task in wait_final(client, project.id, number, STAGE_SECONDS)}
        until(lambda: len({got.id for got in listener.got if got.status == 204}) >= len(tasks), 120, "all webhooks")
    require_exactly_once(own, project.id, VALUES)
    messages_sent = own.rows("select id, subject from webhook_message where project_id = ?", project.id)
    assert sorted(row["subject"] for row in messages_sent) == sorted(tasks)
    assert {got.id for got in listener.got} == {row["id"] for row in messages_sent}
    verified = own.rows("select task_id from attempt where state = 'VERIFIED'")
    assert sorted(row["task_id"] for row in verified) == sorted(tasks)


def windowed(own: Installation, project_id: int) -> int:
    """Tasks, once they hold every reading; 0 before. A window may close by its age while the service is down."""
    query = "select count(*), coalesce(sum(count), 0) from task where project_id = ?"
    ((tasks, readings),) = own.rows(query, project_id)
    return tasks if readings == len(VALUES) else 0
