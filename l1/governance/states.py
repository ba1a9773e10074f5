"""The states of a proposal and every way from one to another.

Rules:
1. Every transition stands in `TRANSITIONS`, and the window that each state begins with in `WINDOWS`. Nothing here or
   elsewhere moves a proposal without them; `Governance.sol` is held against both, state by state and step by step.
2. Each state has one window [start, end) of Unix seconds, fixed when the state begins. A transition names where in it the
   clock must be: within, after its end, or anywhere. A later change of the parameters moves no window.
3. A transition with two targets leaves the choice to a count: support against the quorum, votes against turnout and
   majority.
4. REJECTED, LIVE and ARCHIVED have no way out. A draft that ended so is submitted again with another salt.
5. At any moment at most one step is open to everybody (`due_step`): a proposal never forks on who comes first.
`docs/reference/governance.md` holds the drawing that `mermaid` makes of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(IntEnum):
    """Where a proposal is; the numbers are the contract's."""

    NONE = 0
    """No such proposal."""
    IDEA = 1
    """Submitted; gathers support."""
    PROPOSAL = 2
    """Supported; waits out the delay, then for somebody to open the vote."""
    VOTING = 3
    """Everybody with stake at the snapshot may vote."""
    PASSED = 4
    """Confirmed; to be queued."""
    REJECTED = 5
    """Too little turnout, or no majority."""
    IMPLEMENTATION = 6
    """Queued; time-locked, then executable."""
    LIVE = 7
    """Executed; a policy is in force."""
    ARCHIVED = 8
    """Cancelled, or nobody took the next step in time."""


class Step(StrEnum):
    """What can be done to a proposal; the values are the contract's functions."""

    SUBMIT = "submit"
    SUPPORT = "support"
    CANCEL = "cancel"
    OPEN = "open"
    VOTE = "vote"
    CLOSE = "close"
    QUEUE = "queue"
    EXECUTE = "execute"
    ARCHIVE = "archive"


class Window(StrEnum):
    """Where the clock must be in the state's window."""

    ANY = "any"
    """Anywhere."""
    WITHIN = "within"
    """start <= now < end."""
    AFTER = "after"
    """end <= now."""


@dataclass(frozen=True)
class Transition:
    """One row of the table."""

    window: Window
    """When the step may be taken."""
    targets: tuple[State, ...]
    """Where it leads; the first one unless a count says the second."""
    words: str
    """What the drawing says."""


TRANSITIONS: dict[tuple[State, Step], Transition] = {
    (State.NONE, Step.SUBMIT): Transition(Window.ANY, (State.IDEA,), "submit, by anybody with stake"),
    (State.IDEA, Step.SUPPORT): Transition(
        Window.WITHIN, (State.IDEA, State.PROPOSAL), "support, below the quorum | reaching it"
    ),
    (State.IDEA, Step.CANCEL): Transition(Window.ANY, (State.ARCHIVED,), "cancel, by the proposer"),
    (State.IDEA, Step.ARCHIVE): Transition(Window.AFTER, (State.ARCHIVED,), "archive, support period over"),
    (State.PROPOSAL, Step.OPEN): Transition(Window.WITHIN, (State.VOTING,), "open, delay over"),
    (State.PROPOSAL, Step.CANCEL): Transition(Window.ANY, (State.ARCHIVED,), "cancel, by the proposer"),
    (State.PROPOSAL, Step.ARCHIVE): Transition(Window.AFTER, (State.ARCHIVED,), "archive, not opened in time"),
    (State.VOTING, Step.VOTE): Transition(Window.WITHIN, (State.VOTING,), "vote"),
    (State.VOTING, Step.CLOSE): Transition(
        Window.AFTER, (State.PASSED, State.REJECTED), "close, turnout and majority | one of them missing"
    ),
    (State.PASSED, Step.QUEUE): Transition(Window.WITHIN, (State.IMPLEMENTATION,), "queue"),
    (State.PASSED, Step.ARCHIVE): Transition(Window.AFTER, (State.ARCHIVED,), "archive, not queued in time"),
    (State.IMPLEMENTATION, Step.EXECUTE): Transition(Window.WITHIN, (State.LIVE,), "execute, time-lock over"),
    (State.IMPLEMENTATION, Step.ARCHIVE): Transition(Window.AFTER, (State.ARCHIVED,), "archive, not executed in time"),
}
"""Every transition there is."""

WINDOWS: dict[State, tuple[str | None, str | None]] = {
    State.IDEA: (None, "support_period"),
    State.PROPOSAL: ("voting_delay", "grace_period"),
    State.VOTING: (None, "voting_period"),
    State.PASSED: (None, "grace_period"),
    State.REJECTED: (None, None),
    State.IMPLEMENTATION: ("time_lock", "grace_period"),
    State.LIVE: (None, None),
    State.ARCHIVED: (None, None),
}
"""For each state, the parameters that say how long after its beginning its window starts, and how long it lasts; None is
no time at all."""

BY_CLOCK = (Step.OPEN, Step.CLOSE, Step.QUEUE, Step.EXECUTE, Step.ARCHIVE)
"""Steps that anybody may take when the clock allows, in the order of the contract's `ProposalStep` (None is 0)."""


BY_ID = (Step.SUPPORT, Step.CANCEL, Step.OPEN, Step.CLOSE, Step.QUEUE, Step.ARCHIVE)
"""Steps that take nothing but a proposal's id; submit, vote and execute take more."""


class StepRefused(Exception):
    """A step that the table does not have, or not now. `name` and `args` are those of the contract's error."""

    def __init__(self, name: str, /, **values: object) -> None:
        super().__init__(f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})")
        self.name = name
        """The contract's error, such as `TooEarly`."""
        self.values = values
        """Its arguments by name."""


def transition(proposal_id: bytes, state: State, step: Step, now: int, window: tuple[int, int]) -> Transition:
    """The row for a step that is asked for at `now`.

    Parameters
    ----------
    proposal_id
        32 bytes, for the refusal.
    now
        Unix seconds.
    window
        Start and end of the state's window, Unix seconds.

    Raises
    ------
    StepRefused
        WrongState, TooEarly or TooLate.
    """
    row = TRANSITIONS.get((state, step))
    if row is None:
        raise StepRefused("WrongState", id=proposal_id, state=state)
    start, end = window
    if row.window is Window.WITHIN and now < start:
        raise StepRefused("TooEarly", id=proposal_id, **{"from": start})
    if row.window is Window.WITHIN and now >= end:
        raise StepRefused("TooLate", id=proposal_id, end=end)
    if row.window is Window.AFTER and now < end:
        raise StepRefused("TooEarly", id=proposal_id, **{"from": end})
    return row


def due_step(state: State, now: int, window: tuple[int, int]) -> Step | None:
    """The step that anybody may take at `now`, if there is one."""
    for step in BY_CLOCK:
        row = TRANSITIONS.get((state, step))
        if row is None:
            continue
        start, end = window
        if now >= end if row.window is Window.AFTER else start <= now < end:
            return step
    return None


def mermaid() -> str:
    """The drawing of the table, as a mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for (state, _), row in TRANSITIONS.items():
        origin = "[*]" if state is State.NONE else state.name
        for target, words in zip(row.targets, _words(row), strict=True):
            lines.append(f"    {origin} --> {target.name}: {words}")
    return "\n".join(lines) + "\n"


def _words(row: Transition) -> list[str]:
    if len(row.targets) == 1:
        return [row.words]
    step, counts = row.words.split(", ", 1)
    return [f"{step}, {count}" for count in counts.split(" | ")]


if __name__ == "__main__":
    print(mermaid(), end="")
