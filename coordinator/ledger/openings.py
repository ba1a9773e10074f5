"""From a task's row to the opening of its `inputs` (docs/reference/encodings.md §2)."""

from __future__ import annotations

from coordinator.ledger.tables import TaskRow
from verifier.completeness import Completeness
from verifier.statement import Opening


def completeness_of(task: TaskRow) -> Completeness:
    """What the task's window lacks."""
    return Completeness(task.missing, task.duplicates, task.late, task.reordered)


def opening_of(task: TaskRow) -> Opening:
    """What the task's `inputs` commits to."""
    return Opening(
        readings_root=bytes.fromhex(task.readings_root.removeprefix("0x")),
        device_set_root=bytes.fromhex(task.device_set_root.removeprefix("0x")),
        window_start=task.window_start,
        window_end=task.window_end,
        count=task.count,
        completeness=completeness_of(task),
    )
