"""Delegates that are killed at any moment never contradict themselves, and the chain goes on."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from nodes_client import Collector
from nodes_cluster import Cluster, wait_for_head

from l1.consensus.messages import domain_of

ROUNDS = int(os.environ.get("W3BSTREAM_KILL_ROUNDS", "3"))
FIRST_WAIT = 1.5
"""Seconds in which the two that are left have voted at the height that they cannot decide: longer than the first wait
for a proposal."""


def restart(cluster: Cluster, indices: Iterable[int]) -> None:
    chosen = list(indices)
    for index in chosen:
        cluster.nodes[index].launch(cluster.peers_of(cluster.nodes[index]))
    for index in chosen:
        cluster.nodes[index].answers()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments_nobody_contradicts_himself(seed: int, folder: Path) -> None:
    """Every vote that leaves any process is collected, and no two of one delegate convict it.

    Killing one leaves the chain alive. Killing two, and then the other two in the middle of a height that they have
    voted at, makes all four come back to it: the same height is decided by delegates that only their logs remind of it.
    """
    rng = random.Random(seed)
    with Cluster(folder) as cluster:
        cluster.start()
        chain_id, genesis_hash = cluster.nodes[0].ready["chain_id"], cluster.nodes[0].ready["genesis_hash"]
        domain = domain_of(chain_id, bytes.fromhex(genesis_hash[2:]))
        with Collector([each.listen for each in cluster.nodes], domain) as collector:
            wait_for_head(cluster.nodes, 2)
            for _ in range(ROUNDS):
                # No condition to wait for: the pauses before a kill are what makes its moment a random one.
                time.sleep(rng.uniform(0, 0.5))
                (one,) = rng.sample(range(4), 1)
                cluster.nodes[one].kill()
                # How long it is away is random too: it comes back at the same height, or finds that it missed some.
                time.sleep(rng.uniform(0, 0.5))
                restart(cluster, [one])
                wait_for_head(cluster.nodes, max(each.head() for each in cluster.nodes) + 1, 90)
                order = rng.sample(range(4), 4)
                for index in order[:2]:
                    time.sleep(rng.uniform(0, 0.2))
                    cluster.nodes[index].kill()
                # The two that are left must have voted, which no state of theirs that can be asked for shows.
                time.sleep(FIRST_WAIT + rng.uniform(0, 0.5))
                for index in order[2:]:
                    cluster.nodes[index].kill()
                restart(cluster, rng.sample(range(4), 4))
                wait_for_head(cluster.nodes, max(each.head() for each in cluster.nodes) + 2, 90)
        cluster.assert_one_chain()
        assert {vote.delegate for vote in collector.votes} == {0, 1, 2, 3}
        assert len(collector.votes) > 4 * 3
        assert collector.equivocations() == []
        assert [each.status()["convicted"] for each in cluster.nodes] == [{}] * 4
