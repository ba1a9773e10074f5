"""Which fault strikes when: a pure function of the seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

FIRST_SECONDS = (3.0, 6.0)
"""When the first fault strikes, from the beginning of the load."""
GAP_SECONDS = (5.0, 12.0)
"""From one fault to the next."""
MARGIN_SECONDS = 1.0
"""A pause ends so long before the next fault, and no fault strikes later than so long before the end."""
LASTING_SECONDS = (1.0, 8.0)
"""How long what is frozen stays frozen, what is slow stays slow, and what was killed stays away."""


class FaultKind(StrEnum):
    """What can be done to an installation from outside."""

    WORKER_KILLED = "worker-killed"
    """SIGKILL to a prover worker."""
    WORKER_FROZEN = "worker-frozen"
    """SIGSTOP to a prover worker, and SIGCONT later."""
    RAYLET_KILLED = "raylet-killed"
    """SIGKILL to Ray's raylet, on which every worker depends."""
    COORDINATOR_KILLED = "coordinator-killed"
    """SIGKILL to the service; it is started again later."""
    COORDINATOR_FROZEN = "coordinator-frozen"
    """SIGSTOP to the service, and SIGCONT later."""
    NATS_KILLED = "nats-killed"
    """SIGKILL to nats-server; the service starts it again."""
    NATS_FROZEN = "nats-frozen"
    """SIGSTOP to nats-server, and SIGCONT later."""
    CHAIN_KILLED = "chain-killed"
    """SIGKILL to the chain's node; it is started again at once by the service, or later where it runs apart from it."""
    CHAIN_FROZEN = "chain-frozen"
    """SIGSTOP to the chain's node: it takes requests and does not answer; SIGCONT later."""
    RPC_DROPPING = "rpc-dropping"
    """Half of the requests to the chain are lost on their way."""
    RPC_SLOW = "rpc-slow"
    """Requests to the chain are late."""
    RPC_DEAF = "rpc-deaf"
    """The chain takes every request, a transaction too, and half of its answers are lost."""
    CLOCK_SET = "clock-set"
    """The wall clock of the service and of the chain it runs is two hours ahead, or behind; later it is right again."""
    RECEIVER_KILLED = "receiver-killed"
    """SIGKILL to the webhook receiver; it is started again later."""
    RECEIVER_FAILING = "receiver-failing"
    """The webhook receiver answers 500."""
    RECEIVER_SLOW = "receiver-slow"
    """The webhook receiver thinks for seconds before it answers."""


ALL = tuple(FaultKind)
RPC_KINDS = frozenset({FaultKind.RPC_DROPPING, FaultKind.RPC_SLOW, FaultKind.RPC_DEAF})
"""For these the chain runs apart from the service, behind a proxy."""


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule."""

    at: float
    """Seconds from the beginning of the load."""
    kind: FaultKind
    seconds: float
    """How long it lasts, or until what was killed is started again; a part that the service restarts has no say in it."""
    pick: float
    """Which of several targets, as a share of their number: 0 or more and below 1."""


def schedule(seed: int, seconds: float, kinds: Sequence[FaultKind] = ALL) -> list[Fault]:
    """The faults of a run of `seconds`, in order; the same for the same arguments, on every machine.

    Kinds come in shuffled rounds, so that each had its turn before one comes again.
    """
    draw = random.Random(f"w3bstream chaos {seed}")
    turns = _rounds(draw, sorted(set(kinds), key=ALL.index))
    found: list[Fault] = []
    at = draw.uniform(*FIRST_SECONDS)
    while at <= seconds - MARGIN_SECONDS:
        gap = draw.uniform(*GAP_SECONDS)
        lasting = min(draw.uniform(*LASTING_SECONDS), gap - MARGIN_SECONDS)
        found.append(Fault(round(at, 2), next(turns), round(lasting, 2), draw.random()))
        at += gap
    return found


def _rounds(draw: random.Random, kinds: list[FaultKind]) -> Iterator[FaultKind]:
    while True:
        yield from draw.sample(kinds, len(kinds))
