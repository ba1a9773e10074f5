"""Where the time goes, from a window's first reading to its FINAL: the stages of each task, read off its timeline."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from w3bstream.v1 import task_pb2

STAGES = (
    ("window", "first reading in the ledger until the window closes"),
    ("record", "until FleetManagement has recorded the task"),
    ("queue", "until a prover is leased"),
    ("assign", "until the assignment is mined"),
    ("prove", "witness, proof and its check off chain"),
    ("settle", "until the Router has verified the proof"),
    ("finality", "until the block is final"),
)
"""Stages in order, with what each is."""
_TASK_ENDS = {"RECEIVED": "window", "OPEN": "record", "SETTLED": "settle", "FINAL": "finality"}
_ATTEMPT_ENDS = {"ASSIGNED": "queue", "PROVING": "assign", "PROVED": "prove"}


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
    ends = {}
    for event in answer.timeline:
        name = None
        if event.subject == "task":
            name = _TASK_ENDS.get(event.target)
        elif event.attempt_id == verified[0]:
            name = _ATTEMPT_ENDS.get(event.target)
        if name is not None:
            ends[name] = event.at.ToNanoseconds() / 1e9
    before = answer.task.first_reading_at.ToNanoseconds() / 1e9
    seconds = {}
    for name, _ in STAGES:
        if name not in ends:
            return {}
        seconds[name] = ends[name] - before
        before = ends[name]
    return seconds


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
