"""The contract and the model, given the same random transactions: the same state, and refusals in the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from governance_mirror import Mirror
from governance_world import CHAIN_ID, VOTERS, Receipt, Solidity, World, address, policy, technical
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from l1.governance import contract as c
from l1.governance.model import Advance, Execute, Operation, Submit, Vote
from l1.governance.parameters import Parameters
from l1.governance.proposals import Call, Draft, ProposalRecord, proposal_id
from l1.governance.states import State, Step, StepRefused, due_step

PAYEE = b"\x77" * 20
NOBODY = b"\x66" * 20
ADVANCES = (Step.SUPPORT, Step.CANCEL, Step.OPEN, Step.CLOSE, Step.QUEUE, Step.ARCHIVE)
FAILING = (4, 5, 6, 7, 8)
CHANGED = Parameters(50, 500, 1_000, 6_666, 60, 20, 30, 15, 25)


@dataclass(frozen=True)
class Choice:
    """A random transaction; `proposal` and `draft` are positions among those that there are."""

    kind: str
    sender: int
    proposal: int
    draft: int
    step: Step
    yes: bool
    weight: int


def _choice(kind: str, *, sender: int = 0, proposal: int = 0, draft: int = 0) -> Choice:
    return Choice(kind, sender, proposal, draft, Step.SUPPORT, True, 1)


choices = st.builds(
    Choice,
    kind=st.sampled_from(["submit", "support", "vote", "due", "due", "due", "step", "execute wrong", "stake", "fund"]),
    sender=st.integers(0, len(VOTERS) - 1),
    proposal=st.integers(0, 7),
    draft=st.integers(0, 9),
    step=st.sampled_from(ADVANCES),
    yes=st.sampled_from([True, True, True, False]),
    weight=st.one_of(st.integers(0, 1_000), st.integers(0, 1_000), st.sampled_from([2**120, 2**127])),
)
edges = st.sampled_from(["next", "next", "next", "next", "start", "end"])
waits = st.one_of(st.just(0), st.integers(0, 25), st.tuples(st.integers(0, 3), edges, st.sampled_from([-1, 0, 0, 0])))
blocks = st.tuples(waits, st.lists(choices, min_size=1, max_size=3))


class Run:
    """One chain and its mirror, through a list of blocks."""

    def __init__(self, solidity: Solidity, note: Callable[[str], None] = lambda _: None) -> None:
        self.note = note
        self.world = World(solidity)
        self.ledger = self.world.create("Ledger")
        self.mirror = Mirror(self.world, self.ledger, PAYEE)
        self.drafts = self._drafts()
        weights = {address(voter): weight for voter, weight in zip(VOTERS, (400, 300, 200, 100), strict=False)}
        self.world.set_weights(400, 300, 200, 100)
        self.mirror.stakes.present |= weights
        self.mirror.end_block()
        # The proposer by whom a draft became a proposal, in the order of submission.
        self.submitted: list[Draft] = []

    def _drafts(self) -> list[Draft]:
        def add(amount: int, value: int = 0) -> Call:
            return Call(self.ledger, self.world.data("Ledger", "add", amount), value)

        governance = self.world.governance
        first = proposal_id(CHAIN_ID, governance, address(VOTERS[0]), policy())
        return [
            policy(),
            technical(add(5), Call(governance, c.set_parameters(CHANGED)), add(7, 3)),
            technical(Call(PAYEE, value=4), add(1)),
            technical(add(11), Call(self.ledger, self.world.data("Ledger", "setBroken", True)), salt=1),
            technical(add(2), Call(NOBODY, b"\x01"), salt=2),
            technical(Call(governance, c.set_parameters(Parameters(majority_bps=9_999))), add(3)),
            technical(Call(governance, c.advance(Step.ARCHIVE, first)), add(6), Call(governance, value=2), salt=3),
            technical(Call(governance, c.submit(policy(9))), salt=4),
            technical(Call(governance, c.vote(first, True), 1), salt=5),
            technical(add(4), text=""),
        ]

    def prepare(self, depths: list[tuple[int, int]]) -> None:
        """Bring drafts side by side to a depth: 0 Idea, 1 Proposal, 2 Voting, 3 voted, 4 Passed, 5 Implementation."""
        for draft, _ in depths:
            self.block([_choice("submit", draft=draft)])
        for level in range(1, 6):
            for position, (_, depth) in enumerate(depths):
                if depth >= level:
                    self.wait((position, "next", 0) if level in (2, 4) else 0)
                    self.block([_choice("due", proposal=position)])

    def wait(self, wait: Any) -> None:
        if isinstance(wait, int):
            self.world.now += wait
            return
        position, edge, offset = wait
        records = list(self.mirror.register.proposals.values())
        if records:
            record = records[position % len(records)]
            if edge == "next":
                edge = "end" if record.state is State.VOTING else "start"
            moment = record.window_start if edge == "start" else record.window_end
            self.world.now = max(self.world.now, moment + offset)

    def block(self, chosen: list[Choice]) -> None:
        transactions: list[tuple[LocalAccount, bytes | None, bytes, int]] = []
        operations: list[tuple[LocalAccount, Choice | Operation]] = []
        for choice in chosen:
            sender = VOTERS[choice.sender]
            if choice.kind == "stake":
                data = self.world.data("OpenStake", "set", [address(sender)], [choice.weight])
                transactions.append((sender, self.world.stake, data, 0))
                operations.append((sender, choice))
            elif choice.kind == "fund":
                transactions.append((sender, self.world.governance, b"", 5))
                operations.append((sender, choice))
            else:
                operation = self._operation(choice)
                transactions.append((sender, self.world.governance, _encoded(operation), 0))
                operations.append((sender, operation))
        expected = [self._expect(sender, operation) for sender, operation in operations]
        receipts = self.world.block(*transactions)
        self.mirror.end_block()
        for receipt, refused in zip(receipts, expected, strict=True):
            # The reason is read on the block's last state, so only a transaction alone in its block has a sure one.
            _same_outcome(receipt, refused, words=len(receipts) == 1)
        self.mirror.compare()

    def _expect(self, sender: LocalAccount, operation: Choice | Operation) -> StepRefused | None:
        if isinstance(operation, Choice):
            if operation.kind == "stake":
                self.mirror.stakes.present[address(sender)] = operation.weight
            else:
                outside = self.mirror.outside
                self.mirror.outside = type(outside)(
                    outside.sum, outside.received, outside.broken, outside.funds + 5, outside.paid
                )
            return None
        refused = self.mirror.apply(sender, operation)
        if refused is None and isinstance(operation, Submit):
            self.submitted.append(operation.draft)
        words = refused.name if refused else "done"
        self.note(f"{type(operation).__name__} {getattr(operation, 'step', '')}: {words}")
        return refused

    def _operation(self, choice: Choice) -> Operation:
        known = list(self.mirror.register.proposals)
        if choice.kind == "submit" or not known:
            return Submit(self.drafts[choice.draft])
        position = choice.proposal % len(known)
        identity = known[position] if choice.proposal < 7 else b"\x01" * 32
        draft = self.submitted[position % len(known)]
        match choice.kind:
            case "support":
                return Advance(Step.SUPPORT, identity)
            case "vote":
                return Vote(identity, choice.yes)
            case "step":
                return Advance(choice.step, identity)
            case "execute wrong":
                return Execute(identity, (*draft.calls, Call(PAYEE)))
        record = self.mirror.register.proposals.get(identity, ProposalRecord())
        step = due_step(record.state, self.world.now, record.window)
        if step is Step.EXECUTE:
            return Execute(identity, draft.calls)
        if step is not None:
            return Advance(step, identity)
        return Advance(Step.SUPPORT, identity) if record.state is State.IDEA else Vote(identity, choice.yes)


def _encoded(operation: Operation) -> bytes:
    match operation:
        case Submit(draft):
            return c.submit(draft)
        case Vote(proposal, yes):
            return c.vote(proposal, yes)
        case Execute(proposal, calls):
            return c.execute(proposal, calls)
        case Advance(step, proposal):
            return c.advance(step, proposal)


def _same_outcome(receipt: Receipt, refused: StepRefused | None, words: bool) -> None:
    assert (receipt.refusal is None) == (refused is None), (receipt.refusal, refused)
    if not words or receipt.refusal is None or refused is None:
        return
    assert receipt.refusal.name == refused.name
    # The model does not run other contracts, so it has no revert data of theirs.
    given = {name: value for name, value in receipt.refusal.args.items() if name != "reason"}
    assert given == refused.values


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    depths=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), max_size=3, unique_by=lambda each: each[0]),
    history=st.lists(blocks, min_size=3, max_size=35),
)
def test_contract_does_what_the_model_does(
    solidity: Solidity, depths: list[tuple[int, int]], history: list[Any]
) -> None:
    run = Run(solidity, event)
    run.prepare(depths)
    for wait, chosen in history:
        run.wait(wait)
        run.block(chosen)
    run.mirror.compare_accounts()


@pytest.mark.parametrize("position", range(9))
def test_whole_way_of_each_draft(solidity: Solidity, position: int) -> None:
    """To the end, for every kind of payload; those with a call that fails stay queued until they are archived."""
    run = Run(solidity)
    run.block([_choice("fund")])
    run.prepare([(position, 5)])
    run.wait((0, "start", -1))
    run.block([_choice("execute wrong")])
    run.wait((0, "start", 0))
    run.block([_choice("due", sender=4)])
    fails = position in FAILING
    assert _states(run) == [State.IMPLEMENTATION if fails else State.LIVE]
    run.wait((0, "end", 0))
    run.block([_choice("due")])
    assert _states(run) == [State.ARCHIVED if fails else State.LIVE]


def _states(run: Run) -> list[State]:
    return [record.state for record in run.mirror.register.proposals.values()]


def test_executed_proposal_archives_another(solidity: Solidity) -> None:
    """A call of the contract to itself does what anybody's transaction would, and no more."""
    run = Run(solidity)
    run.block([_choice("fund")])
    run.prepare([(0, 0), (6, 5)])
    idea, record = run.mirror.register.proposals.values()
    run.world.now = max(idea.window_end, record.window_start)
    assert run.world.now < record.window_end
    run.block([_choice("due", proposal=1)])
    assert _states(run) == [State.ARCHIVED, State.LIVE]
