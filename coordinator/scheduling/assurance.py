"""Assurance in time: which kinds of a task may be started now. What proofs amount to is `verifier.assurance`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.scheduling.values import Limits, OpenTask, Prover


@dataclass(frozen=True)
class Live:
    """What a task has under way or proven."""

    kinds: frozenset[str] = frozenset()
    """Kinds with an attempt under way or proven."""
    parties: frozenset[str] = frozenset()
    """Who stands behind those, where the task wants independent operators."""

    def with_lease(self, kind: str, prover: Prover) -> Live:
        """With one more attempt."""
        return Live(self.kinds | {kind}, self.parties | prover.parties)


def is_at_risk(now: int, task: OpenTask, limits: Limits) -> bool:
    """Whether the task may miss its deadline or fail with the kinds that it has: the last part of its time has begun,
    or its last attempt that may be lost."""
    return now >= task.risk_at or task.attempts_used >= limits.attempt_cap - 1


def wanted_kinds(now: int, task: OpenTask, live: frozenset[str], limits: Limits) -> tuple[tuple[str, ...], int]:
    """Kinds that may be started now, in the project's order, and how many of them.

    Parameters: `live` holds the kinds that are proven or under way. A kind is never started twice at once. The kind
    that stands in is started only at risk, and then beside those that are under way: they may come too late.
    """
    fallback = task.fallback
    missing = max(0, task.threshold - len(live.intersection(task.kinds)))
    first = tuple(kind for kind in dict.fromkeys(task.kinds) if kind not in live and kind != fallback)
    if not fallback or fallback in live or not is_at_risk(now, task, limits):
        return first, missing
    owed = task.threshold - len(task.proven_kinds.intersection(task.kinds))
    return (*first, fallback), max(missing, min(owed, 1))


def may_count(task: OpenTask, live: Live, provers: Sequence[Prover]) -> Sequence[Prover]:
    """The provers whose proofs would count beside what is live: all of them, or those of operators of their own."""
    if not task.independent:
        return provers
    return [prover for prover in provers if prover.parties and not prover.parties & live.parties]
