"""Hedging: a second attempt beside one that takes longer than nearly all before it did, as one pure function.

Rules:
1. Only an attempt that has run longer than p95 of its kind and program, and longer than a floor, is hedged; the one that
   is longest over its p95 goes first.
2. A task gets at most one hedge a kind, by another prover than the first attempt's.
3. Only a prover without any lease takes a hedge, and only when no waiting task was given it (`plan` goes first).
4. At most `hedge_share` of the running attempts are hedges, but one is always allowed.
The first proof that verifies wins; the other attempt is superseded and its worker stopped.
After J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013, "hedged requests".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from coordinator.scheduling.pace import Program
from coordinator.scheduling.policy import choose_prover, lease_for
from coordinator.scheduling.values import History, Lease, Limits, OpenTask, Prover, ProverStatus


@dataclass(frozen=True)
class Running:
    """An attempt that is being proven."""

    task: OpenTask
    kind: str
    program_id: str
    prover_id: str
    running_ms: int
    """How long it has been proven."""
    is_hedge: bool = False


def hedge_room(running: Sequence[Running], limits: Limits) -> int:
    """Hedges that may be started beside those that run: rule 4."""
    if limits.hedge_share <= 0:
        return 0
    most = max(1, int(limits.hedge_share * len(running)))
    return max(0, most - sum(each.is_hedge for each in running))


def hedges(
    now: int,
    running: Sequence[Running],
    provers: Iterable[Prover],
    long_after: Mapping[Program, int],
    hedged: frozenset[tuple[str, str]],
    *,
    limits: Limits,
) -> list[Lease]:
    """The hedges to start now.

    Parameters: `provers` are those that `plan` left without a lease; `long_after` is `Pace.long_after()`; `hedged` are
    the (task, kind) that have had theirs.
    """
    room = hedge_room(running, limits)
    idle = {
        prover.id: prover
        for prover in provers
        if prover.status is ProverStatus.IDLE and not prover.held and prover.room
    }
    late = [(each, long_after[each.kind, each.program_id]) for each in running if _may(now, each, long_after, hedged)]
    leases: list[Lease] = []
    done: set[tuple[str, str]] = set()
    for each, expected in sorted(late, key=lambda pair: (-pair[0].running_ms / pair[1], pair[0].task.id)):
        others = [prover for prover in idle.values() if prover.kind == each.kind and prover.id != each.prover_id]
        if len(leases) >= room:
            break
        if not others or (each.task.id, each.kind) in done or each.running_ms <= expected:
            continue
        prover = choose_prover(each.task.id, others, History())
        del idle[prover.id]
        done.add((each.task.id, each.kind))
        leases.append(lease_for(now, each.task, prover, limits, is_hedge=True))
    return leases


def _may(now: int, each: Running, long_after: Mapping[Program, int], hedged: frozenset[tuple[str, str]]) -> bool:
    is_first = not each.is_hedge and (each.task.id, each.kind) not in hedged
    return is_first and now < each.task.deadline_at and (each.kind, each.program_id) in long_after
