"""Test only: everything outside the model that the contract sees (stake, balances, another contract), in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from eth_account.signers.local import LocalAccount
from governance_world import CHAIN_ID, FLOOR, VOTERS, World, address

from l1.governance.model import Context, Deployment, Operation, apply, deploy
from l1.governance.proposals import Call
from l1.governance.states import StepRefused, due_step


@dataclass
class Stakes:
    """Weights at the end of each block, naively: a copy of everything for every block."""

    present: dict[bytes, int] = field(default_factory=dict)
    ends: dict[int, dict[bytes, int]] = field(default_factory=dict)

    def end_block(self, number: int) -> None:
        self.ends[number] = dict(self.present)

    def weight_at(self, voter: bytes, snapshot: int) -> int:
        return self.ends[snapshot].get(voter, 0)

    def total_at(self, snapshot: int) -> int:
        return sum(self.ends[snapshot].values())


@dataclass(frozen=True)
class Outside:
    """The contract `Ledger`, the governance contract's money, and who was paid."""

    sum: int = 0
    received: int = 0
    broken: bool = False
    funds: int = 0
    paid: int = 0


class Mirror:
    """A model that is given what the chain is given."""

    def __init__(self, world: World, ledger: bytes, payee: bytes) -> None:
        self.world = world
        self.ledger = ledger
        self.payee = payee
        self.stakes = Stakes()
        self.outside = Outside()
        self.register = deploy(Deployment(CHAIN_ID, world.governance, FLOOR), world.parameters)

    def end_block(self) -> None:
        self.stakes.end_block(self.world.chain.head_number)

    def apply(self, sender: LocalAccount, operation: Operation) -> StepRefused | None:
        """Apply in the block after the head; what is refused leaves no trace, as a reverted transaction does."""
        outside = [self.outside]
        context = Context(
            sender=address(sender),
            timestamp=self.world.now,
            block=self.world.chain.head_number + 1,
            stake=self.stakes,
            perform=self._performer(outside),
        )
        try:
            self.register = apply(self.register, context, operation)
        except StepRefused as refused:
            return refused
        self.outside = outside[0]
        return None

    def _performer(self, outside: list[Outside]) -> Callable[[Call], StepRefused | None]:
        def perform(call: Call) -> StepRefused | None:
            before = outside[0]
            failed = StepRefused("CallFailed")
            if call.target == self.world.governance:
                return failed if call.value > before.funds else None
            if call.target not in (self.ledger, self.payee):
                return StepRefused("NotAContract", target=call.target) if call.data else failed
            if call.value > before.funds:
                return failed
            paid = replace(before, funds=before.funds - call.value)
            if call.target == self.payee:
                outside[0] = replace(paid, paid=paid.paid + call.value)
            elif call.data == self.world.data("Ledger", "setBroken", True):
                outside[0] = replace(paid, broken=True)
            elif before.broken:
                return failed
            else:
                amount = int.from_bytes(call.data[4:], "big")
                outside[0] = replace(paid, sum=paid.sum + amount, received=paid.received + call.value)
            return None

        return perform

    def compare(self) -> None:
        """The chain's state, read through the reader, is the model's."""
        world, reader = self.world, self.world.reader
        assert reader.proposal_ids() == list(self.register.proposals)
        assert reader.parameters() == self.register.parameters
        for identity, record in self.register.proposals.items():
            assert reader.proposal(identity) == record
            assert reader.due_step(identity) == due_step(record.state, world.now, record.window)
            assert record.support <= self.stakes.total_at(record.support_snapshot)
            assert record.yes + record.no <= self.stakes.total_at(record.vote_snapshot or record.support_snapshot)
        assert world.ask("Ledger", self.ledger, "sum") == self.outside.sum
        assert world.ask("Ledger", self.ledger, "received") == self.outside.received
        assert world.ask("Ledger", self.ledger, "broken") == self.outside.broken
        assert world.balance(world.governance) == self.outside.funds
        assert world.balance(self.payee) == self.outside.paid

    def compare_accounts(self) -> None:
        """Who supported and who voted; a history's blocks need it only at their end, since nobody is ever removed."""
        for identity in self.register.proposals:
            for voter in VOTERS:
                pair = (identity, address(voter))
                assert self.world.reader.has_supported(*pair) == (pair in self.register.supporters)
                assert self.world.reader.has_voted(*pair) == (pair in self.register.voters)
