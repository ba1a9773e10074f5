"""A delegate may die between any two effects, as often as it likes, and never contradicts itself; the others decide, and
so does it when it is back."""

from __future__ import annotations

import pytest
from consensus_world import CLOCK, EVENT, HEIGHT, World, delegates
from hypothesis import given, settings
from hypothesis import strategies as st

from l1.consensus.log import Voted, decode_entry, encode_entry, state_of
from l1.consensus.machine import NO_ROUND, Topic
from l1.consensus.parameters import Parameters

FOUR = delegates(1, 1, 1, 1)
FIVE = delegates(3, 2, 2, 2, 1)


@pytest.mark.parametrize("parameters", [EVENT, CLOCK], ids=["event", "clock"])
def test_four_delegates_decide_in_the_first_round(parameters: Parameters) -> None:
    world = World(FOUR, parameters).run(10_000)
    world.check()
    assert world.all_decided()
    assert {host.decided.round for host in world.hosts if host.decided} == {0}


@pytest.mark.parametrize("parameters", [EVENT, CLOCK], ids=["event", "clock"])
def test_three_of_four_decide_without_the_first_proposer(parameters: Parameters) -> None:
    world = World(FOUR, parameters, silent=frozenset({0})).run(20_000)
    world.check()
    assert world.all_decided()
    assert {host.decided.round for host in world.hosts if host.decided} == {1}


@pytest.mark.parametrize("parameters", [EVENT, CLOCK], ids=["event", "clock"])
@pytest.mark.parametrize(
    ("silent", "loss"), [(frozenset(), 0.0), (frozenset({0}), 0.0), (frozenset(), 0.5)], ids=["fair", "late", "lossy"]
)
def test_a_crash_before_any_effect_contradicts_nothing(
    parameters: Parameters, silent: frozenset[int], loss: float
) -> None:
    """Every boundary of one delegate's run: before its first effect, between two records, between record and sign."""
    conditions = {"silent": silent, "loss": loss, "heals_at": 4_000, "seed": 7}
    whole = World(FOUR, parameters, **conditions).run(60_000)
    assert whole.all_decided()
    assert whole.hosts[1].performed > 8
    for at in range(whole.hosts[1].performed):
        world = World(FOUR, parameters, **conditions, crashes={1: {at}}).run(120_000)
        world.check()
        assert world.all_decided(), f"crash before effect {at}"


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.7),
    crashes=st.dictionaries(st.integers(0, 4), st.sets(st.integers(0, 60), max_size=4), max_size=5),
    parameters=st.sampled_from([EVENT, CLOCK]),
)
@settings(max_examples=60)
def test_whoever_crashes_and_whatever_is_lost_all_decide_when_the_network_heals(
    seed: int, loss: float, crashes: dict[int, set[int]], parameters: Parameters
) -> None:
    world = World(FIVE, parameters, seed, loss, heals_at=8_000, crashes=crashes).run(400_000)
    world.check()
    assert world.all_decided()


@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.6))
@settings(max_examples=30)
def test_any_prefix_of_a_log_gives_the_lock_and_the_commit_of_its_votes(seed: int, loss: float) -> None:
    """`Host.handle` compares the whole log with the driver's own state after every input, too."""
    world = World(FOUR, EVENT, seed, loss, heals_at=5_000).run(200_000)
    for host in world.hosts:
        entries = [decode_entry(encode_entry(each)) for each in host.entries]
        assert entries == host.entries
        for length in range(len(entries) + 1):
            state = state_of(HEIGHT, entries[:length])
            votes = [each for each in entries[:length] if isinstance(each, Voted) and any(each.block_hash)]
            binding = [(each.round, each.block_hash) for each in votes if each.topic is not Topic.PROPOSAL]
            commits = [(each.round, each.block_hash) for each in votes if each.topic is Topic.COMMIT]
            assert (state.locked_round, state.locked_hash) == max(binding, default=(NO_ROUND, bytes(32)))
            assert (state.committed_round, state.committed_hash) == max(commits, default=(NO_ROUND, bytes(32)))
            assert state_of(HEIGHT + 1, entries).locked_round == NO_ROUND
