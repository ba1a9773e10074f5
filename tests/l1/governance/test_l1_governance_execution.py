"""What an attacker tries with execution and parameters: too soon, too late, twice, from within, or by nobody's vote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from governance_world import FLOOR, GAS, QUICK, VOTERS, Refused, Solidity, World, address, policy, technical
from hypothesis import event, given, settings
from hypothesis import strategies as st

from l1.governance import contract as c
from l1.governance.parameters import MAX_PERIOD_FLOOR, Parameters, bounds, solidity_name
from l1.governance.proposals import Call
from l1.governance.states import BY_ID, State, Step

ONE, TWO, _, _, NONE = VOTERS
"""Weights 400, 300 and 0."""


def _state(world: World, proposal: bytes) -> State:
    return world.reader.proposal(proposal).state


def _add(world: World, ledger: bytes, amount: int, value: int = 0) -> Call:
    return Call(ledger, world.data("Ledger", "add", amount), value)


# --- execution ---


def test_execution_early_late_and_twice(world: World) -> None:
    ledger = world.create("Ledger")
    draft = technical(_add(world, ledger, 5))
    proposal = world.queued(draft)
    data = c.execute(proposal, draft.calls)
    start, end = world.reader.proposal(proposal).window
    world.now = start - 1
    assert world.refusal(NONE, data).name == "TooEarly"
    world.now = end
    assert world.refusal(NONE, data).name == "TooLate"
    # Back to the last moment, which that block had passed.
    world.chain.rollback(world.chain.head_number - 1)
    world.now = end - 1
    world.send(NONE, data)
    assert world.refusal(NONE, data).name == "WrongState"
    assert world.ask("Ledger", ledger, "sum") == 5
    assert _state(world, proposal) is State.LIVE


def test_failed_call_undoes_all_and_stays_queued(world: World) -> None:
    ledger = world.create("Ledger")
    breaking = Call(ledger, world.data("Ledger", "setBroken", True))
    draft = technical(_add(world, ledger, 5), breaking, _add(world, ledger, 7))
    proposal = world.ready(draft)
    refusal = world.refusal(ONE, c.execute(proposal, draft.calls))
    assert (refusal.name, refusal.args["index"]) == ("CallFailed", 2)
    # The reason is the target's own: Refused(7).
    assert refusal.args["reason"] == keccak(b"Refused(uint256)")[:4] + (7).to_bytes(32, "big")
    assert world.ask("Ledger", ledger, "sum") == 0
    assert not world.ask("Ledger", ledger, "broken")
    assert _state(world, proposal) is State.IMPLEMENTATION


def test_failed_call_succeeds_when_its_cause_is_gone(world: World) -> None:
    ledger = world.create("Ledger")
    draft = technical(_add(world, ledger, 5))
    proposal = world.ready(draft)
    world.send(ONE, world.data("Ledger", "setBroken", True), ledger)
    assert world.refusal(ONE, c.execute(proposal, draft.calls)).name == "CallFailed"
    world.send(ONE, world.data("Ledger", "setBroken", False), ledger)
    world.send(ONE, c.execute(proposal, draft.calls))
    assert world.ask("Ledger", ledger, "sum") == 5


def test_other_calls_than_voted_on(world: World) -> None:
    ledger = world.create("Ledger")
    draft = technical(_add(world, ledger, 5), _add(world, ledger, 6))
    proposal = world.ready(draft)
    first, second = draft.calls
    wrong = [(), (first,), (second, first), (first, second, second), (first, replace(second, value=1))]
    for calls in wrong:
        assert world.refusal(ONE, c.execute(proposal, calls)).name == "CallsMismatch"
    world.send(ONE, c.execute(proposal, draft.calls))


@pytest.mark.parametrize("bubble", [True, False])
def test_reentering_the_execution(world: World, bubble: bool) -> None:
    """A target that calls `execute` for its own proposal again is made once, or not at all if it insists."""
    intruder = world.create("Intruder", ("address",), world.governance)
    draft = technical(Call(intruder, b"\x01\x02\x03\x04"))
    proposal = world.ready(draft)
    data = c.execute(proposal, draft.calls)
    world.send(ONE, world.data("Intruder", "arm", data, bubble), intruder)
    if bubble:
        assert world.refusal(ONE, data).name == "CallFailed"
        assert _state(world, proposal) is State.IMPLEMENTATION
        return
    world.send(ONE, data)
    assert world.ask("Intruder", intruder, "visits") == 1
    assert not world.ask("Intruder", intruder, "succeeded")
    assert _state(world, proposal) is State.LIVE


def test_reentering_with_another_proposal(world: World) -> None:
    """Nor can the calls of a second proposal be slipped between those of the first."""
    intruder = world.create("Intruder", ("address",), world.governance)
    ledger = world.create("Ledger")
    outer, inner = technical(Call(intruder, b"\x01")), technical(_add(world, ledger, 5))
    first, second = world.idea(outer), world.idea(inner)
    for proposal in (first, second):
        world.advance(Step.SUPPORT, proposal)
    world.now += QUICK.voting_delay
    for proposal in (first, second):
        world.advance(Step.OPEN, proposal)
        world.send(ONE, c.vote(proposal, True))
    world.now += QUICK.voting_period
    for proposal in (first, second):
        world.advance(Step.CLOSE, proposal)
        world.advance(Step.QUEUE, proposal)
    world.now += QUICK.time_lock
    attack = c.execute(second, inner.calls)
    world.send(ONE, world.data("Intruder", "arm", attack, False), intruder)
    world.send(ONE, c.execute(first, outer.calls))
    assert not world.ask("Intruder", intruder, "succeeded")
    assert world.ask("Ledger", ledger, "sum") == 0
    world.send(ONE, attack)
    assert world.ask("Ledger", ledger, "sum") == 5


@settings(max_examples=60, deadline=None)
@given(gas=st.integers(40_000, 200_000))
def test_execution_starved_of_gas(gas: int, solidity: Solidity) -> None:
    """Whatever gas the executor gives, all calls are made or none, and none leaves the proposal executable."""
    world = World(solidity)
    world.set_weights(1)
    ledger = world.create("Ledger")
    draft = technical(_add(world, ledger, 5), _add(world, ledger, 6), _add(world, ledger, 7))
    proposal = world.ready(draft)
    world.gas = gas
    receipt = world.submit(NONE, c.execute(proposal, draft.calls))
    world.gas = GAS
    done = receipt.refusal is None
    event(f"executed: {done}")
    assert world.ask("Ledger", ledger, "sum") == (18 if done else 0)
    assert _state(world, proposal) is (State.LIVE if done else State.IMPLEMENTATION)
    if not done:
        world.send(NONE, c.execute(proposal, draft.calls))
        assert world.ask("Ledger", ledger, "sum") == 18


def test_call_with_data_to_no_code(world: World) -> None:
    target = b"\x42" * 20
    draft = technical(Call(target, b"\x01\x02\x03\x04"))
    proposal = world.ready(draft)
    refusal = world.refusal(ONE, c.execute(proposal, draft.calls))
    assert (refusal.name, refusal.args) == ("NotAContract", {"target": target})


def test_value_comes_out_of_the_contracts_own_money(world: World) -> None:
    ledger = world.create("Ledger")
    payee = b"\x77" * 20
    draft = technical(_add(world, ledger, 5, 30), Call(payee, value=12))
    proposal = world.ready(draft)
    data = c.execute(proposal, draft.calls)
    assert world.refusal(ONE, data).name == "CallFailed"
    receipt = world.send(TWO, b"", value=41)
    assert [(each.name, each.args) for each in receipt.events] == [("Received", {"from": address(TWO), "value": 41})]
    assert world.refusal(ONE, data).args["index"] == 1
    assert world.ask("Ledger", ledger, "received") == 0
    world.send(TWO, b"", value=5)
    world.send(ONE, data)
    assert world.ask("Ledger", ledger, "received") == 30
    assert (world.balance(world.governance), world.balance(payee)) == (4, 12)


def test_no_function_takes_money(world: World) -> None:
    proposal = world.idea(policy())
    calls = [c.submit(policy(1)), c.vote(proposal, True), c.execute(proposal, ()), c.set_parameters(QUICK)]
    calls += [c.advance(step, proposal) for step in BY_ID]
    for data in calls:
        assert world.refusal(ONE, data, value=1).name == ""
    assert world.balance(world.governance) == 0


# --- parameters ---


def test_parameters_change_only_through_the_time_lock(world: World) -> None:
    changed = replace(QUICK, voting_period=60, majority_bps=6_000)
    data = c.set_parameters(changed)
    refusal = world.refusal(ONE, data)
    assert (refusal.name, refusal.args) == ("NotSelf", {"caller": address(ONE)})
    draft = technical(Call(world.governance, data))
    running = world.voting(policy())
    before = world.reader.proposal(running)
    proposal = world.queued(draft)
    assert world.refusal(ONE, c.execute(proposal, draft.calls)).name == "TooEarly"
    assert world.reader.parameters() == QUICK
    world.now += QUICK.time_lock
    world.send(ONE, c.execute(proposal, draft.calls))
    assert world.reader.parameters() == changed
    # What has begun keeps its terms.
    assert world.reader.proposal(running) == before
    world.parameters = changed
    later = world.reader.proposal(world.voting(policy(7)))
    assert later.window_end - later.window_start == 60
    assert later.majority_bps == 6_000


def test_contract_of_governance_cannot_act_for_itself(world: World) -> None:
    """Calls back into the contract have its address as sender, which has no stake and proposed nothing."""
    target = world.voting(policy())
    draft = technical(Call(world.governance, c.vote(target, True)))
    world.now += 1
    proposal = world.ready(draft)
    assert world.refusal(ONE, c.execute(proposal, draft.calls)).name == "CallFailed"
    nested = technical(Call(world.governance, c.execute(proposal, draft.calls)))
    outer = world.ready(nested)
    assert world.refusal(ONE, c.execute(outer, nested.calls)).name == "CallFailed"


OUTSIDE = [(field, value) for field, least, most in bounds(FLOOR) for value in (least - 1, most + 1) if value >= 0]


@pytest.mark.parametrize(("field", "value"), OUTSIDE)
def test_parameter_out_of_bounds(world: World, field: str, value: int) -> None:
    """Neither a deployment nor a vote can set it, and a proposal that tries stays queued until it is archived."""
    wrong = replace(QUICK, **{field: value})
    with pytest.raises(Refused) as refused:
        world.deploy(world.stake, wrong)
    assert refused.value.args[0].name == "ParameterOutOfBounds"
    assert refused.value.args[0].args == {"name": solidity_name(field), "value": value}
    draft = technical(Call(world.governance, c.set_parameters(wrong)))
    proposal = world.ready(draft)
    assert world.refusal(ONE, c.execute(proposal, draft.calls)).name == "CallFailed"
    assert world.reader.parameters() == QUICK


INSIDE = [(field, value) for field, least, most in bounds(FLOOR) for value in (least, most)]


@pytest.mark.parametrize(("field", "value"), INSIDE)
def test_parameter_at_its_bound(world: World, field: str, value: int) -> None:
    right = replace(QUICK, **{field: value})
    draft = technical(Call(world.governance, c.set_parameters(right)))
    world.send(ONE, c.execute(world.ready(draft), draft.calls))
    assert world.reader.parameters() == right


@pytest.mark.parametrize("floor", [0, MAX_PERIOD_FLOOR + 1])
def test_floor_out_of_bounds(world: World, floor: int) -> None:
    with pytest.raises(Refused) as refused:
        world.deploy(world.stake, Parameters(), floor)
    assert refused.value.args[0].args == {"name": "periodFloor", "value": floor}


def test_defaults_hold_at_the_largest_floor(world: World) -> None:
    world.deploy(world.stake, Parameters(), MAX_PERIOD_FLOOR)


def test_stake_contract_without_code(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.deploy(b"\x42" * 20, QUICK)
    assert refused.value.args[0].name == "NotAContract"


@given(seconds=st.integers(0, QUICK.time_lock - 1))
def test_no_moment_of_the_time_lock_executes(seconds: int, solidity: Solidity) -> None:
    world = World(solidity)
    world.set_weights(1)
    draft = technical(Call(world.governance, c.set_parameters(QUICK)))
    proposal = world.queued(draft)
    world.now += seconds
    assert world.refusal(ONE, c.execute(proposal, draft.calls)).name == "TooEarly"
