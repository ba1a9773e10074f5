"""The table of transitions is what the contract does: every state, every step, before, in and after the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from governance_world import VOTERS, World, policy
from hypothesis import given
from hypothesis import strategies as st

from l1.governance import contract as c
from l1.governance.parameters import Parameters
from l1.governance.states import (
    BY_CLOCK,
    BY_ID,
    TRANSITIONS,
    WINDOWS,
    State,
    Step,
    StepRefused,
    Window,
    due_step,
    mermaid,
    transition,
)

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "governance.md"
DRAFT = policy()
FRESH = VOTERS[1]
"""Has weight, and neither supported nor voted yet."""


def _cancelled(world: World) -> bytes:
    proposal = world.idea(DRAFT)
    world.advance(Step.CANCEL, proposal)
    return proposal


def _live(world: World) -> bytes:
    proposal = world.ready(DRAFT)
    world.send(FRESH, c.execute(proposal, ()))
    return proposal


REACH: dict[State, Callable[[World], bytes]] = {
    State.NONE: lambda world: world.reader.proposal_id(bytes(20), DRAFT),
    State.IDEA: lambda world: world.idea(DRAFT),
    State.PROPOSAL: lambda world: world.proposal(DRAFT),
    State.VOTING: lambda world: world.voting(DRAFT),
    State.PASSED: lambda world: world.closed(DRAFT, True),
    State.REJECTED: lambda world: world.closed(DRAFT, False),
    State.IMPLEMENTATION: lambda world: world.queued(DRAFT),
    State.LIVE: _live,
    State.ARCHIVED: _cancelled,
}


def _data(step: Step, proposal: bytes) -> bytes:
    if step is Step.VOTE:
        return c.vote(proposal, True)
    if step is Step.EXECUTE:
        return c.execute(proposal, ())
    return c.advance(step, proposal)


@pytest.mark.parametrize("state", State)
def test_reached_states_are_the_ones_meant(world: World, state: State) -> None:
    record = world.reader.proposal(REACH[state](world))
    assert record.state is state
    if state is State.NONE:
        return
    wait, length = (0 if name is None else getattr(world.parameters, name) for name in WINDOWS[state])
    entered = world.now
    assert record.window == (entered + wait, entered + wait + length)


@pytest.mark.parametrize("moment", ["at entry", "start - 1", "start", "end - 1", "end", "end + 1"])
@pytest.mark.parametrize("state", State)
def test_every_step_in_every_state(world: World, state: State, moment: str) -> None:
    proposal = REACH[state](world)
    record = world.reader.proposal(proposal)
    start, end = record.window
    moments = {"start - 1": start - 1, "start": start, "end - 1": end - 1, "end": end, "end + 1": end + 1}
    now = max(world.now, moments.get(moment, world.now))
    head = world.chain.head_number
    for step in Step:
        if step is Step.SUBMIT:
            continue  # It takes a draft, and its id is new or known: see the replay tests.
        world.now = now
        sender = VOTERS[0] if step is Step.CANCEL else FRESH
        receipt = world.submit(sender, _data(step, proposal))
        try:
            targets = transition(proposal, state, step, now, record.window).targets
        except StepRefused as refused:
            assert receipt.refusal is not None, step
            name = "UnknownProposal" if state is State.NONE else refused.name
            assert receipt.refusal.name == name, step
            assert world.reader.proposal(proposal) == record
        else:
            assert receipt.refusal is None, (step, receipt.refusal)
            assert world.reader.proposal(proposal).state in targets
        world.chain.rollback(head)
    world.now = now
    world.block()
    assert world.reader.due_step(proposal) == due_step(state, now, record.window)


@pytest.mark.parametrize("state", State)
@given(window=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted).map(tuple), now=st.integers(-1, 51))
def test_at_most_one_step_is_due(state: State, window: tuple[int, int], now: int) -> None:
    allowed = []
    for step in BY_CLOCK:
        try:
            transition(bytes(32), state, step, now, window)
        except StepRefused:
            continue
        allowed.append(step)
    assert allowed == [step for step in [due_step(state, now, window)] if step is not None]


def test_table_is_closed() -> None:
    """Every state is reached, final states have no way out, and every other state can be left by the clock alone."""
    final = {State.REJECTED, State.LIVE, State.ARCHIVED}
    targets = {target for row in TRANSITIONS.values() for target in row.targets}
    assert targets == set(State) - {State.NONE}
    assert {state for state, _ in TRANSITIONS} == set(State) - final
    for state in set(State) - final - {State.NONE}:
        after = [row for (origin, _), row in TRANSITIONS.items() if origin is state and row.window is Window.AFTER]
        assert len(after) == 1
    assert {step for _, step in TRANSITIONS} == set(Step)
    assert set(BY_ID) | {Step.SUBMIT, Step.VOTE, Step.EXECUTE} == set(Step)
    names = {name for pair in WINDOWS.values() for name in pair if name is not None}
    assert names <= set(Parameters.__dataclass_fields__)


def test_page_shows_the_table() -> None:
    assert f"```mermaid\n{mermaid()}```" in PAGE.read_text()
