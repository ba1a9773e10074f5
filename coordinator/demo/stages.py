"""Where the time goes, from a window's first reading to its FINAL: the stages of each task, read off its timeline."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from coordinator.ledger.stages import STAGES, Step, stage_lengths
from w3bstream.v1 import task_pb2


@dataclass(frozen=True)
class StageTimes:
    """One stage over all tasks, in seconds."""

    name: str
    mean: float
    median: float
    longest: float
    share: float
    """Part of the whole time, 0 to 1."""


def stages_of(answer: task_pb2.GetTaskResponse) -> dict[str, float]:
    """Seconds by stage of a FINAL task; the attempt that counts is the verified one. Empty for another task."""
    verified = [attempt.id for attempt in answer.attempts if attempt.state == "VERIFIED"]
    if answer.task.state != task_pb2.TASK_STATE_FINAL or not verified:
        return {}
    steps = (
        Step(each.subject, each.target, each.attempt_id, each.at.ToNanoseconds() / 1e9) for each in answer.timeline
    )
    lengths = stage_lengths(answer.task.first_reading_at.ToNanoseconds() / 1e9, steps, verified[0])
    return lengths if len(lengths) == len(STAGES) else {}


def breakdown(tasks: Iterable[dict[str, float]]) -> list[StageTimes]:
    """The stages over all tasks, each task's as `stages_of` gives them."""
    rows = [task for task in tasks if task]
    whole = sum(sum(row.values()) for row in rows)
    times = []
    for name, _ in STAGES if rows else ():
        values = [row[name] for row in rows]
        share = sum(values) / whole if whole else 0.0
        times.append(StageTimes(name, statistics.mean(values), statistics.median(values), max(values), share))
    return times
