"""Assurance: whether the proofs that a task has are enough, and which kinds are still missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the proofs of a task amount to."""

    MISSING = "MISSING"
    """More kinds must be proven."""
    SATISFIED = "SATISFIED"
    """Enough distinct kinds prove one output."""
    CONFLICT = "CONFLICT"
    """Two different outputs are proven: at least one proof system is broken, and a person must look."""


@dataclass(frozen=True)
class Proven:
    """A proof that was verified."""

    kind: str
    output: str
    """keccak256 of the public output, 0x hex."""


@dataclass(frozen=True)
class Assurance:
    """The judgement."""

    verdict: Verdict
    output: str
    """The one proven output; empty when there is none or more than one."""
    kinds: frozenset[str]
    """Allowed kinds that are proven."""


def judge(kinds: Sequence[str], threshold: int, proofs: Iterable[Proven]) -> Assurance:
    """Judge the proofs of a task that wants `threshold` distinct ones of `kinds`.

    A proof of a kind that the project does not allow counts for nothing. Two outputs are a conflict even where one of
    them alone would reach the threshold. Raises ValueError for a threshold that no set of kinds can reach.
    """
    allowed = frozenset(kinds)
    if not 1 <= threshold <= len(allowed):
        raise ValueError(f"threshold {threshold} of {len(allowed)} kinds")
    counted = [proof for proof in proofs if proof.kind in allowed]
    outputs = {proof.output for proof in counted}
    proven = frozenset(proof.kind for proof in counted)
    if len(outputs) > 1:
        return Assurance(Verdict.CONFLICT, "", proven)
    output = next(iter(outputs), "")
    verdict = Verdict.SATISFIED if len(proven) >= threshold else Verdict.MISSING
    return Assurance(verdict, output, proven)


def wanted_kinds(kinds: Sequence[str], threshold: int, live: frozenset[str]) -> tuple[tuple[str, ...], int]:
    """Kinds that may be started now, in the project's order, and how many of them.

    Parameters: `live` holds the kinds that are proven or under way. A kind is never started twice at once.
    """
    missing = max(0, threshold - len(live.intersection(kinds)))
    return tuple(kind for kind in dict.fromkeys(kinds) if kind not in live), missing
