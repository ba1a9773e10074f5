"""Whatever is done in whatever order: nothing is minted or lost, and the sums are the parts'."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from staking_operations import (
    ACTORS,
    CALLS,
    SHORT,
    Operation,
    People,
    by_owner,
    next_block,
    perform,
    random_operation,
    sent_value,
)
from staking_world import START, account, operator

from l1.staking.epoch_end import slash
from l1.staking.parameters import IOTX
from l1.staking.refusal import StakingRefused
from l1.staking.sampling import active_set_size
from l1.staking.state import StakingState
from l1.staking.system_calls import BlockHeaders, apply_system_calls, due, seats_of

PEOPLE = People([account(number) for number in range(ACTORS)], [operator(number) for number in range(2 * ACTORS)])
RICHES = 10**28


class StakingMachine(RuleBasedStateMachine):
    """Actors who stake, vote, leave and claim; an epoch's blocks are produced by whoever has a seat."""

    def __init__(self) -> None:
        super().__init__()
        self.state = StakingState()
        self.block = START
        self.wallets = Counter(dict.fromkeys(range(ACTORS), RICHES))
        self.beneficiaries: list[bytes] = []
        self.done: Counter[str] = Counter()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        draw = random.Random(seed)
        self.execute(Operation("fund", 0, value=10**6 * IOTX))
        for actor in range(draw.randrange(2, 6)):
            stake = draw.randrange(400_000, 900_000) * IOTX
            self.advance(draw)
            self.execute(Operation("register", actor, actor, actor + 1, value=stake, days=91, auto_stake=True))

    @rule(seed=st.integers(0, 2**32))
    def operate(self, seed: int) -> None:
        draw = random.Random(seed)
        self.advance(draw)
        self.execute(by_owner(random_operation(draw, self.state), self.state, PEOPLE, draw))

    @rule(seed=st.integers(0, 2**32), blocks=st.integers(1, 24))
    def pass_blocks(self, seed: int, blocks: int) -> None:
        draw = random.Random(seed)
        for _ in range(blocks):
            self.advance(draw)

    @rule(actor=st.integers(0, ACTORS - 1), amount=st.integers(0, 600_000 * IOTX))
    def punish(self, actor: int, amount: int) -> None:
        if account(actor) in self.state.candidates:
            self.state = slash(SHORT, self.state, account(actor), amount)

    def advance(self, draw: random.Random) -> None:
        """The next block, with its system calls."""
        self.block = next_block(draw, self.block)
        epoch = SHORT.epoch_of(self.block.height)
        if self.block.height == SHORT.first_height(epoch):
            self.beneficiaries = []
        seated = seats_of(self.state, epoch)
        if seated:
            # The first seat hardly ever produces, so that some are unproductive.
            seats = seated if draw.random() < 0.1 else seated[1:] or seated
            self.beneficiaries.append(draw.choice(seats).operator)
        headers = BlockHeaders(self.block.height, self.beneficiaries, draw.randbytes(32))
        found = due(SHORT, self.state, headers)
        if found.election is not None:
            seats = found.election.poll.seats
            assert found.election.degraded or len(seats) == active_set_size(SHORT, len(seats) * 3 // 2)
            assert len({seat.operator for seat in seats}) == len({seat.bls_key for seat in seats}) == len(seats)
            assert all(seat.power > 0 for seat in seats)
        self.done["polls"] += found.election is not None
        self.done["ends"] += found.ended is not None
        self.state = apply_system_calls(SHORT, self.state, headers)

    def execute(self, operation: Operation) -> None:
        try:
            state, paid = perform(SHORT, self.state, self.block, operation, PEOPLE)
        except StakingRefused as refusal:
            self.done[refusal.reason] += 1
            return
        self.done[operation.kind] += 1
        self.wallets[operation.actor] += paid - sent_value(SHORT, operation)
        self.state = state

    @invariant()
    def nothing_is_minted_or_lost(self) -> None:
        assert sum(self.wallets.values()) + self.state.total == ACTORS * RICHES
        assert self.state.pool >= 0
        assert all(bucket.amount >= 0 for bucket in self.state.buckets.values())
        assert all(amount >= 0 for amount in self.state.unclaimed.values())

    @invariant()
    def sums_are_those_of_the_parts(self) -> None:
        votes: Counter[bytes] = Counter()
        for bucket in self.state.buckets.values():
            votes[bucket.candidate] += bucket.votes(self.state.is_self_stake(bucket))
        for candidate in self.state.candidates.values():
            assert candidate.votes == votes[candidate.identity]
            if candidate.self_stake_bucket is None:
                assert candidate.self_stake == 0
            else:
                bucket = self.state.buckets[candidate.self_stake_bucket]
                assert (bucket.candidate, bucket.unstaked_at) == (candidate.identity, None)
                assert bucket.amount == candidate.self_stake

    @invariant()
    def names_are_unique(self) -> None:
        listed = {candidate.operator: candidate.identity for candidate in self.state.candidates.values()}
        assert self.state.operators == listed
        assert len(listed) == len(self.state.candidates)
        for candidate in self.state.candidates.values():
            assert self.state.bls_keys[candidate.bls_key] == candidate.identity

    @invariant()
    def one_exit_is_under_way_at_a_time(self) -> None:
        epoch = SHORT.epoch_of(self.block.height)
        ends = [each.exit.leaves_at for each in self.state.candidates.values() if each.exit and each.exit.leaves_at]
        assert len(set(ends)) == len(ends)
        assert sum(end > epoch + 1 for end in ends) <= 1
        tickets = [each.exit.ticket for each in self.state.candidates.values() if each.exit]
        assert len(set(tickets)) == len(tickets)

    @invariant()
    def who_has_enough_is_not_disqualified(self) -> None:
        for candidate in self.state.candidates.values():
            assert not candidate.disqualified or candidate.self_stake < SHORT.register_self_stake


TestStakingMachine = StakingMachine.TestCase
TestStakingMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_long_runs_see_every_operation_accepted_and_most_refusals() -> None:
    total: Counter[str] = Counter()
    for seed in range(6):
        machine = StakingMachine()
        machine.begin(seed)
        draw = random.Random(seed)
        for _ in range(700):
            machine.operate(draw.randrange(2**32))
            if draw.random() < 0.02:
                machine.punish(draw.randrange(ACTORS), draw.randrange(200_000 * IOTX))
            machine.nothing_is_minted_or_lost()
            machine.sums_are_those_of_the_parts()
            machine.one_exit_is_under_way_at_a_time()
            machine.who_has_enough_is_not_disqualified()
        total += machine.done
    print(total)
    assert [kind for kind in (*CALLS, "polls", "ends") if not total[kind]] == []
