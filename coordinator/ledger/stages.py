"""Where the time goes, from a window's first reading to its FINAL: the stages of a task, read off its timeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

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


class Step(NamedTuple):
    """A line of a task's timeline, as far as stages go."""

    subject: str
    """`task` or `attempt`."""
    target: str
    attempt_id: int | None
    at: float
    """Any unit; the stages come out in the same."""


def stage_lengths(first_reading_at: float, steps: Iterable[Step], attempt_id: int | None) -> dict[str, float]:
    """Length of each stage that is over, in order, in the unit of the times.

    Parameters: `attempt_id` is the attempt that counts: the verified one, or the latest so far. A stage that was gone
    through twice (a reorg) ends with its last time. The first stage that is not over ends the list.
    """
    ends: dict[str, float] = {}
    for step in steps:
        name = None
        if step.subject == "task":
            name = _TASK_ENDS.get(step.target)
        elif step.attempt_id == attempt_id:
            name = _ATTEMPT_ENDS.get(step.target)
        if name is not None:
            ends[name] = step.at
    lengths, before = {}, first_reading_at
    for name, _ in STAGES:
        if name not in ends:
            break
        lengths[name] = max(0.0, ends[name] - before)
        before = ends[name]
    return lengths
