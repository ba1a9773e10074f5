"""What must hold: when the coordinator is killed in the middle of proving and started again, every accepted reading is
in exactly one window or in the dead letters, every task becomes FINAL once and settles once, each task keeps one
webhook-id, and no process of the killed one stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, until, with_keys
from tests.e2e.weather_project import FIRST_TIME, WeatherProject, require_exactly_once, temperatures, wait_final
from tests.e2e.webhook_listener import Listener

VALUES = temperatures(40)
TASKS = 3


@pytest.fixture
def own(tmp_path: Path, keys: Path) -> Iterator[Installation]:
    """An installation that this test may kill."""
    made = Installation(with_keys(tmp_path / "home", keys), {"PROVER_THREADS": "1"})
    yield made
    made.stop()


def send_and_kill(own: Installation, listener: Listener) -> int:
    """Two full windows, half a window and an equivocation; killed once a prover is at work. Returns the project's id."""
    own.start()
    with own.client() as client:
        project = WeatherProject(client, "killed")
        client.create_webhook(project.id, listener.url)
        replay = project.keys[0].sign(project.id, 1, FIRST_TIME, bytes(4)).to_wire()
        messages = project.sign(VALUES)
        assert client.ingest([*messages[:20], replay, *messages[20:]]).accepted == len(VALUES) + 1
        until(lambda: own.rows("select id from attempt where state = 'PROVING'"), 90, "a prover is at work", every=0.01)
    own.kill()
    assert own.rows("select id from attempt where state = 'PROVING'"), "it was killed in the middle of a proof"
    return project.id


@pytest.mark.slow
def test_coordinator_killed(own: Installation) -> None:
    with Listener() as listener:
        project = send_and_kill(own, listener)
        own.start()
        with own.client() as client:
            client.submit_task(project)
            tasks = wait_final(client, project, TASKS)
            until(lambda: len({got.id for got in listener.got}) >= TASKS, 60, "a webhook for each task")
        require_exactly_once(own, project, VALUES)
        dead = own.rows("select code from dead_letter where project_id = ?", project)
        assert [row["code"] for row in dead] == ["W3B-1050"]
        messages = own.rows("select id, subject from webhook_message where project_id = ?", project)
        assert sorted(row["subject"] for row in messages) == sorted(task.id for task in tasks)
        assert {got.id for got in listener.got} == {row["id"] for row in messages}
        lost = own.rows("select code from attempt where state = 'LOST'")
        assert {row["code"] for row in lost} == {"W3B-3081"}
        proofs = own.rows("select task_id from attempt where state = 'VERIFIED'")
        assert sorted(row["task_id"] for row in proofs) == sorted(task.id for task in tasks)
    own.require_nothing_lingers()
