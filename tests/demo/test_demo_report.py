"""What the demo says is true: its advice can be typed, and its stages add up."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from coordinator.cli.app import app
from coordinator.demo.readings import measurements
from coordinator.demo.report import NEXT, next_lines
from coordinator.demo.stages import breakdown, stages_of
from coordinator.ledger.stages import STAGES
from w3bstream.v1 import task_pb2


@pytest.mark.parametrize("text", [text for text, _ in NEXT])
def test_every_command_to_try_next_exists(text: str) -> None:
    words = [word for word in text.split() if word.islower() and not word.startswith("{")]
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output


def test_the_lines_name_another_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W3BSTREAM_HOME", "/elsewhere")
    assert next_lines("0x01")[0] == "export W3BSTREAM_HOME=/elsewhere"
    monkeypatch.delenv("W3BSTREAM_HOME")
    assert not next_lines("0x01")[0].startswith("export")


def test_the_input_is_the_two_stations_in_turns() -> None:
    rows = measurements(None)
    assert len(rows) == 17_518
    assert [row.station for row in rows[:4]] == ["san-francisco", "seattle"] * 2
    assert (rows[0].value, rows[1].value) == (478, 394)
    assert measurements(10) == rows[:10]


def at(seconds: float) -> Timestamp:
    """A moment."""
    stamp = Timestamp()
    stamp.FromNanoseconds(round(seconds * 1e9))
    return stamp


def answer(state: int = task_pb2.TASK_STATE_FINAL) -> task_pb2.GetTaskResponse:
    """A task whose first attempt was lost: stage n of the second took n seconds."""
    made = task_pb2.GetTaskResponse(task=task_pb2.Task(state=state, first_reading_at=at(100)))
    made.attempts.add(id=1, state="LOST")
    made.attempts.add(id=2, state="VERIFIED")
    for subject, attempt, target, when in (
        ("task", 0, "RECEIVED", 101),
        ("task", 0, "OPEN", 103),
        ("attempt", 1, "ASSIGNED", 104),
        ("attempt", 2, "ASSIGNED", 106),
        ("attempt", 2, "PROVING", 110),
        ("attempt", 2, "PROVED", 115),
        ("task", 0, "SETTLED", 121),
        ("task", 0, "FINAL", 128),
    ):
        made.timeline.add(subject=subject, attempt_id=attempt, target=target, at=at(when))
    return made


def test_stages_are_the_steps_of_the_verified_attempt() -> None:
    seconds = stages_of(answer())
    assert [seconds[name] for name, _ in STAGES] == pytest.approx([1, 2, 3, 4, 5, 6, 7])
    assert sum(row.share for row in breakdown([seconds, seconds])) == pytest.approx(1)


def test_a_task_that_is_not_final_has_no_stages() -> None:
    assert stages_of(answer(task_pb2.TASK_STATE_FAILED)) == {}
    assert breakdown([{}]) == []
