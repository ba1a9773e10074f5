"""The state machines of the ledger, each one table of transitions: of tasks, of attempts, and of the confirmation that a
task's second stage brings, which goes on when the task itself is FINAL.

Rules:
1. Every change of `TaskRow.state` and `AttemptRow.state` goes through `store.move_task` and `store.move_attempt`, or
   for many at once through `bulk`, and of `TaskRow.confirmation` through `confirmation`, which look here and nowhere
   else; each is guarded by the current state inside one SQL transaction.
2. A transition that is not in the table raises Conflict (W3B-3001); nothing is changed.
3. An attempt is moved only with its own fencing token; an old fence raises Conflict (W3B-3002) and the late report is
   recorded as an event.
4. Nothing leaves a terminal state by itself. FAILED and EXPIRED are the dead letters of tasks: an operator may put such
   a task back, with a fresh retry cap; the other terminal states have no way out.
`docs/reference/states.md` is drawn from these tables (`python -m coordinator.ledger.transitions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class TaskState(StrEnum):
    """Where a task is."""

    RECEIVED = "RECEIVED"
    """The window is closed and the task is in the ledger; its record on chain is under way."""
    OPEN = "OPEN"
    """FleetManagement has recorded the task's inputs: attempts may be made."""
    SATISFIED = "SATISFIED"
    """The assurance is reached: enough proofs were made and verified off chain."""
    SETTLED = "SETTLED"
    """The Router verified the proofs and finalised the task; the block is not final yet."""
    FINAL = "FINAL"
    """The settlement is final."""
    FAILED = "FAILED"
    """No attempt succeeded within the retry cap."""
    EXPIRED = "EXPIRED"
    """The deadline passed."""
    CANCELLED = "CANCELLED"
    """The project cancelled it before settlement."""
    FROZEN = "FROZEN"
    """Two different outputs were proven; a person must look."""


class AttemptState(StrEnum):
    """Where one prover's attempt at a task is."""

    ASSIGNED = "ASSIGNED"
    """A lease is held; its assignment on chain is under way."""
    PROVING = "PROVING"
    """The assignment is mined and the prover works."""
    PROVED = "PROVED"
    """The proof was verified off chain; its transaction is in the outbox."""
    POSTED = "POSTED"
    """The transaction was sent."""
    VERIFIED = "VERIFIED"
    """The Router accepted the proof."""
    LOST = "LOST"
    """The lease ran out or the worker died."""
    REJECTED = "REJECTED"
    """The prover failed, or its proof was refused off chain or on chain."""
    SUPERSEDED = "SUPERSEDED"
    """Another attempt won or the task ended."""


TASK_TRANSITIONS: dict[TaskState, dict[TaskState, str]] = {
    TaskState.RECEIVED: {
        TaskState.OPEN: "task record mined",
        TaskState.CANCELLED: "project cancelled",
        TaskState.EXPIRED: "deadline passed",
        TaskState.FAILED: "task record refused by the chain",
    },
    TaskState.OPEN: {
        TaskState.SATISFIED: "assurance reached",
        TaskState.CANCELLED: "project cancelled",
        TaskState.EXPIRED: "deadline passed",
        TaskState.FAILED: "retry cap reached",
        TaskState.FROZEN: "two different outputs proven",
        TaskState.RECEIVED: "reorg dropped the task record",
    },
    TaskState.SATISFIED: {
        TaskState.SETTLED: "Router finalised the task",
        TaskState.OPEN: "proof rejected on chain",
        TaskState.FROZEN: "two different outputs proven",
    },
    TaskState.SETTLED: {
        TaskState.FINAL: "settlement final",
        TaskState.SATISFIED: "reorg dropped the settlement",
        TaskState.FROZEN: "two different outputs proven",
    },
    TaskState.FINAL: {},
    TaskState.FAILED: {
        TaskState.OPEN: "put back by an operator",
        TaskState.RECEIVED: "put back by an operator, its record is not mined",
    },
    TaskState.EXPIRED: {
        TaskState.OPEN: "put back by an operator",
        TaskState.RECEIVED: "put back by an operator, its record is not mined",
    },
    TaskState.CANCELLED: {},
    TaskState.FROZEN: {},
}

ATTEMPT_TRANSITIONS: dict[AttemptState, dict[AttemptState, str]] = {
    AttemptState.ASSIGNED: {
        AttemptState.PROVING: "assignment mined, sent to the prover",
        AttemptState.LOST: "lease expired or worker died",
        AttemptState.REJECTED: "assignment refused by the chain",
        AttemptState.SUPERSEDED: "task ended",
    },
    AttemptState.PROVING: {
        AttemptState.PROVED: "proof verified off chain",
        AttemptState.LOST: "lease expired or worker died",
        AttemptState.REJECTED: "prover failed or proof refused",
        AttemptState.SUPERSEDED: "task ended, or another attempt of the kind won",
    },
    AttemptState.PROVED: {
        AttemptState.POSTED: "settlement transaction sent",
        AttemptState.REJECTED: "simulation refused the proof",
        AttemptState.SUPERSEDED: "another attempt won",
    },
    AttemptState.POSTED: {
        AttemptState.VERIFIED: "settlement transaction mined",
        AttemptState.PROVED: "transaction lost",
        AttemptState.REJECTED: "settlement transaction reverted",
        AttemptState.SUPERSEDED: "another attempt won",
    },
    AttemptState.VERIFIED: {AttemptState.POSTED: "reorg dropped the transaction"},
    AttemptState.LOST: {},
    AttemptState.REJECTED: {},
    AttemptState.SUPERSEDED: {},
}


class Confirmation(StrEnum):
    """Where the second stage is."""

    NONE = ""
    """There is no second stage, or the first one is not through."""
    AWAITED = "AWAITED"
    """The first stage is through; a proof of the confirming kind is wanted."""
    CONFIRMED = "CONFIRMED"
    """The Router accepted the confirming proof, of the same output."""
    MISSED = "MISSED"
    """The time is over, or no attempt is left, and there is no such proof."""
    CONTRADICTED = "CONTRADICTED"
    """The confirming proof is of another output; a person must look."""


CONFIRMATION_TRANSITIONS: dict[Confirmation, dict[Confirmation, str]] = {
    Confirmation.NONE: {Confirmation.AWAITED: "first stage through"},
    Confirmation.AWAITED: {
        Confirmation.CONFIRMED: "confirming proof mined",
        Confirmation.MISSED: "time over or retry cap reached",
        Confirmation.CONTRADICTED: "another output proven",
        Confirmation.NONE: "task put back by an operator",
    },
    Confirmation.CONFIRMED: {
        Confirmation.AWAITED: "reorg dropped the confirming proof",
        Confirmation.CONTRADICTED: "another output proven",
    },
    Confirmation.MISSED: {
        Confirmation.CONFIRMED: "confirming proof mined late",
        Confirmation.CONTRADICTED: "another output proven",
        Confirmation.AWAITED: "first stage through again",
        Confirmation.NONE: "task put back by an operator",
    },
    Confirmation.CONTRADICTED: {},
}

TERMINAL_TASK_STATES = frozenset(
    {TaskState.FINAL, TaskState.FAILED, TaskState.EXPIRED, TaskState.CANCELLED, TaskState.FROZEN}
)
"""The states in which nothing more happens by itself; watches end there."""
DEAD_TASK_STATES = frozenset({TaskState.FAILED, TaskState.EXPIRED})
"""The dead letters of tasks: an operator may put one back (`dispatch.requeue`)."""
CONFIRMING_TASK_STATES = frozenset({TaskState.SATISFIED, TaskState.SETTLED, TaskState.FINAL})
"""The states in which attempts of the confirming kind are made."""
LIVE_ATTEMPT_STATES = frozenset(
    {
        AttemptState.ASSIGNED,
        AttemptState.PROVING,
        AttemptState.PROVED,
        AttemptState.POSTED,
        AttemptState.VERIFIED,
    }
)
LEASED_ATTEMPT_STATES = frozenset({AttemptState.ASSIGNED, AttemptState.PROVING})
"""The states in which the attempt keeps its prover Busy."""


def mermaid() -> str:
    """The docs page with both diagrams, drawn from the tables."""
    parts = ["# States\n\nDrawn from `coordinator/ledger/transitions.py` by `make docs`; do not edit.\n"]
    tables: tuple[tuple[str, Mapping[Any, Mapping[Any, str]]], ...] = (
        ("Task", TASK_TRANSITIONS),
        ("Attempt", ATTEMPT_TRANSITIONS),
        ("Confirmation", CONFIRMATION_TRANSITIONS),
    )
    for title, table in tables:
        lines = [f"\n## {title}\n\n```mermaid\nstateDiagram-v2"]
        for source, ways in table.items():
            lines += [f"    {source.value or '[*]'} --> {target.value}: {why}" for target, why in ways.items()]
        parts.append("\n".join(lines) + "\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    print(mermaid(), end="")
