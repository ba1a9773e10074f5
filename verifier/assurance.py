"""Assurance: which proofs a task needs. One policy, parsed here once, judged here for the scheduler and in Router.sol for
the chain; `tests/vectors/assurance/` holds both to the same verdicts.

    policy = (quorum [", else" kind] | staged) ["by independent operators"]
    staged = quorum "now" [", else" kind] "," kind "within" time
    quorum = kind | number "of [" kind {"," kind} "]"
    kind   = family | family "." system | family "(" system ")"
    time   = number ("s" | "m" | "h" | "d")

`zkp(groth16)` asks for that kind; `2 of [zkp, tee.sgx, tee.nitro]` for any two of the three, over one output. The kind
after `else` is started only when the deadline is at risk; its proof then counts like any other. With `by independent
operators` nobody stands behind two accepted proofs of a task, be it as the prover, as its owner or as its operator, as
FleetManagement records them; a prover that owns itself and names no operator may be anybody's, and does not count. A
family alone (`zkp`) stands for the one program of that family in the file.

`tee.sgx now, zkp within 1h` has two stages. The first one alone is what the threshold counts, and its result is the
task's result. The kind of the second one confirms it: its proof never counts towards the threshold, is awaited for that
long after the task has settled, and freezes the task where it has another output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

MAX_KINDS = 16
"""Most kinds that a policy names."""
MAX_WITHIN = 30 * 86_400
"""Longest time in which a task is confirmed, seconds."""
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_NAME = r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*"
_TERM = re.compile(rf"({_NAME})(?:\.({_NAME})|\(\s*({_NAME})\s*\))?\Z")
_OF = re.compile(r"([0-9]{1,3})\s+of\s+\[([^\]]*)\]\Z")
_ELSE = re.compile(r"(.*),\s*else\s+(\S.*)\Z", re.DOTALL)
_NOW = re.compile(r"(.*\S)\s+now\Z", re.DOTALL)
_WITHIN = re.compile(r"(.*),\s*(\S[^,]*)\s+within\s+(\S+)\Z", re.DOTALL)
_TIME = re.compile(r"([0-9]{1,7})([smhd])\Z")
_INDEPENDENT = re.compile(r"(.*\S)\s+by\s+independent\s+operators\Z", re.DOTALL)


@dataclass(frozen=True)
class Assurance:
    """A parsed policy."""

    threshold: int
    """Distinct kinds that must verify before the task settles, 1 or more."""
    kinds: tuple[str, ...]
    """Kinds such as `zkp.groth16`, or families such as `zkp`; none twice."""
    fallback: str = ""
    """The kind after `else`, none of `kinds`; empty for none."""
    independent: bool = False
    """Whether accepted proofs need different provers, owners and operators."""
    confirm: str = ""
    """The kind of the second stage, none of `kinds` and not the fallback; empty for none."""
    confirm_within: int = 0
    """Seconds from the settlement in which it is awaited, 1 to MAX_WITHIN; 0 where there is no second stage."""

    @property
    def counting(self) -> tuple[str, ...]:
        """Every kind that may count towards the threshold."""
        return (*self.kinds, self.fallback) if self.fallback else self.kinds

    @property
    def allowed(self) -> tuple[str, ...]:
        """Every kind whose proof is taken: those that may count, and the one that confirms."""
        return (*self.counting, self.confirm) if self.confirm else self.counting

    def canonical(self) -> dict[str, Any]:
        """The policy in a project file's canonical form, whose hash is on chain: what it does not use is left out, so
        that files from before there was a choice keep their hash."""
        form: dict[str, Any] = {"threshold": self.threshold, "kinds": sorted(self.kinds)}
        if self.fallback:
            form["else"] = self.fallback
        if self.independent:
            form["independent"] = True
        if self.confirm:
            form |= {"confirm": self.confirm, "confirm_within": self.confirm_within}
        return form

    def __str__(self) -> str:
        """The policy in words; `parse_assurance` reads it back."""
        single = self.threshold == 1 and len(self.kinds) == 1
        text = self.kinds[0] if single else f"{self.threshold} of [{', '.join(self.kinds)}]"
        text += " now" if self.confirm else ""
        text += f", else {self.fallback}" if self.fallback else ""
        text += f", {self.confirm} within {_duration(self.confirm_within)}" if self.confirm else ""
        return text + (" by independent operators" if self.independent else "")


def parse_assurance(text: str) -> Assurance:
    """Parse a policy. Raises ValueError with the reason."""
    rest = text.strip()
    independent = _INDEPENDENT.match(rest)
    if independent is not None:
        rest = independent[1]
    rest, confirm, within = _second_stage(rest)
    otherwise = _ELSE.match(rest)
    fallback = ""
    if otherwise is not None:
        rest, fallback = otherwise[1].strip(), _kind(otherwise[2])
    now = _NOW.match(rest)
    if now is not None:
        rest = now[1]
    if (now is not None) is not bool(confirm):
        raise ValueError(
            f"{text.strip()!r} has one stage; a kind that settles now needs a kind within a time, and that kind a first "
            "stage that settles now, as in tee.sgx now, zkp within 1h"
        )
    listed = _OF.match(rest)
    threshold, kinds = 1, (rest,)
    if listed is not None:
        threshold, kinds = int(listed[1]), tuple(listed[2].split(","))
    found = Assurance(
        threshold, tuple(_kind(kind) for kind in kinds), fallback, independent is not None, confirm, within
    )
    _check(found, text.strip())
    return found


def _second_stage(text: str) -> tuple[str, str, int]:
    """What stands before the second stage, its kind and its seconds; all of the text, nothing and 0 without one."""
    found = _WITHIN.match(text)
    if found is None:
        return text, "", 0
    kind = _kind(found[2])
    time = _TIME.match(found[3])
    seconds = int(time[1]) * _SECONDS[time[2]] if time else 0
    if not 1 <= seconds <= MAX_WITHIN:
        raise ValueError(
            f"{found[3]!r} is no time to await the kind {kind} in; write a number and s, m, h or d, from 1s to "
            f"{_duration(MAX_WITHIN)}"
        )
    return found[1].strip(), kind, seconds


def _duration(seconds: int) -> str:
    """Seconds in the largest unit that says them without a fraction."""
    unit = next(unit for unit, size in _SECONDS.items() if seconds % size == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def _check(found: Assurance, text: str) -> None:
    if len(set(found.allowed)) != len(found.allowed):
        raise ValueError(f"{text!r} names a kind twice")
    if len(found.allowed) > MAX_KINDS:
        raise ValueError(f"{text!r} names {len(found.allowed)} kinds; at most {MAX_KINDS} are allowed")
    if not 1 <= found.threshold <= len(found.kinds):
        raise ValueError(f"{text!r} asks for {found.threshold} of {len(found.kinds)} kinds")
    if found.independent and found.threshold == 1 and not found.confirm:
        raise ValueError(f"{text!r} asks for one proof; operators are independent of one another from 2 kinds on")


def _kind(text: str) -> str:
    found = _TERM.match(text.strip())
    if found is None:
        raise ValueError(
            f"{text.strip()!r} is no kind of proof; write zkp(groth16), zkp.groth16, 2 of [zkp, tee.sgx], "
            "zkp, else tee.nitro, 2 of [zkp, tee.sgx] by independent operators or tee.sgx now, zkp within 1h"
        )
    system = found[2] or found[3]
    return f"{found[1]}.{system}" if system else found[1]


def resolve_assurance(assurance: Assurance, program_kinds: Sequence[str]) -> Assurance:
    """The policy with families replaced by the kinds of the file's programs. Raises ValueError with the reason."""
    resolved = []
    for kind in assurance.allowed:
        fitting = [each for each in program_kinds if each == kind or ("." not in kind and each.split(".")[0] == kind)]
        if not fitting:
            raise ValueError(
                f"it names {kind}, but no program of that kind is listed (there are {list(program_kinds)})"
            )
        if len(fitting) > 1:
            raise ValueError(f"{kind} could be any of {fitting}; name one")
        resolved.append(fitting[0])
    if len(set(resolved)) != len(resolved):
        raise ValueError("two of its kinds mean the same program")
    unused = [kind for kind in program_kinds if kind not in resolved]
    if unused:
        raise ValueError(f"it does not name {', '.join(unused)}, whose program is listed")
    of = dict(zip(assurance.allowed, resolved, strict=True))
    kinds = tuple(of[kind] for kind in assurance.kinds)
    return replace(
        assurance, kinds=kinds, fallback=of.get(assurance.fallback, ""), confirm=of.get(assurance.confirm, "")
    )


def restore_assurance(form: Mapping[str, Any], kinds: Sequence[str], threshold: int) -> Assurance:
    """The policy of a published version: what its canonical form says beyond `kinds`, all that it allows in the order
    of its programs, and `threshold`. What the form does not hold the policy does not use."""
    fallback, confirm = str(form.get("else", "")), str(form.get("confirm", ""))
    return Assurance(
        threshold,
        tuple(kind for kind in kinds if kind not in (fallback, confirm)),
        fallback,
        form.get("independent") is True,
        confirm,
        int(form.get("confirm_within", 0)),
    )


class Verdict(StrEnum):
    """What the proofs of a task amount to."""

    MISSING = "MISSING"
    """More kinds must be proven. The Router: None or Proven."""
    SATISFIED = "SATISFIED"
    """Enough distinct kinds prove one output. The Router: Settled."""
    CONFLICT = "CONFLICT"
    """Two different outputs are proven: at least one proof system is broken, and a person must look. The Router:
    Frozen."""


class Refusal(StrEnum):
    """Why a proof that verifies is not accepted; the words are the Router's errors."""

    KIND = "KindNotPublished"
    """The project does not allow its kind."""
    DOUBLE = "AlreadyVerified"
    """A proof of the kind with this output is accepted."""
    UNNAMED = "OperatorUnnamed"
    """The policy wants independent operators, and the prover owns itself and names none."""
    OPERATOR = "OperatorCounted"
    """The policy wants independent operators, and one of those behind this proof is behind an accepted one."""
    FROZEN = "TaskIsFrozen"
    """Two outputs are proven: nothing counts any more."""


@dataclass(frozen=True)
class Proven:
    """A proof that was verified."""

    kind: str
    output: str
    """keccak256 of the public output, 0x hex."""
    prover: str = ""
    """Address, 0x hex. It and what follows is read only where the policy asks for independent operators."""
    owner: str = ""
    """Owner of the prover; empty for the prover itself."""
    operator: str = ""
    """Operator of the prover; empty where none is named."""

    def parties(self) -> frozenset[str]:
        """Who stands behind it, in lower case; nobody where the prover owns itself and names no operator."""
        prover, owner = self.prover.lower(), (self.owner or self.prover).lower()
        operator = self.operator.lower() or (owner if owner != prover else "")
        return frozenset((prover, owner, operator)) if operator else frozenset()


@dataclass(frozen=True)
class Judgement:
    """What the proofs seen so far amount to."""

    verdict: Verdict = Verdict.MISSING
    output: str = ""
    """The one proven output; empty when there is none or more than one."""
    kinds: frozenset[str] = frozenset()
    """Kinds that may count and are proven, without the one that confirms; on a CONFLICT every kind that is proven."""
    parties: frozenset[str] = frozenset()
    """Who stands behind the accepted proofs, where the policy wants independent operators."""
    outputs: tuple[str, ...] = ()
    """The outputs that are proven: one, or on a CONFLICT the two, the first one first."""
    confirmed: bool = False
    """Whether the kind of the second stage proves the output; never on a CONFLICT."""


def accept(policy: Assurance, before: Judgement, proof: Proven) -> tuple[Judgement, Refusal | None]:
    """Take in one more verified proof, as Router.settle does: the judgement after it, and why it was refused if it was.

    The rules, in this order: nothing counts for a frozen task; a proof of another output freezes the task, whoever made
    it; a kind counts once; where the policy wants independent operators, nobody stands behind two proofs. The kind of a
    second stage goes by the same rules, before the threshold or after it, but counts for nothing: it confirms.
    """
    refusal = _refusal(policy, before, proof)
    if refusal is not None:
        return before, refusal
    confirms = proof.kind == policy.confirm
    if before.output and proof.output != before.output:
        kinds = before.kinds | {proof.kind} | ({policy.confirm} if before.confirmed else set())
        return Judgement(Verdict.CONFLICT, "", kinds, before.parties, (before.output, proof.output)), None
    kinds = before.kinds if confirms else before.kinds | {proof.kind}
    parties = before.parties | proof.parties() if policy.independent else before.parties
    verdict = Verdict.SATISFIED if len(kinds) >= policy.threshold else Verdict.MISSING
    return Judgement(verdict, proof.output, kinds, parties, (proof.output,), before.confirmed or confirms), None


def _refusal(policy: Assurance, before: Judgement, proof: Proven) -> Refusal | None:
    if before.verdict is Verdict.CONFLICT:
        return Refusal.FROZEN
    if proof.kind not in policy.allowed:
        return Refusal.KIND
    if before.output and proof.output != before.output:
        return None
    if proof.kind in before.kinds or (before.confirmed and proof.kind == policy.confirm):
        return Refusal.DOUBLE
    return _operator_refusal(before, proof.parties()) if policy.independent else None


def _operator_refusal(before: Judgement, parties: frozenset[str]) -> Refusal | None:
    if not parties:
        return Refusal.UNNAMED
    return Refusal.OPERATOR if parties & before.parties else None


def judge(policy: Assurance, proofs: Iterable[Proven]) -> Judgement:
    """Judge the proofs of a task, in the order in which they came. Raises ValueError for a threshold that no set of the
    policy's kinds can reach.

    A proof of a kind that the project does not allow counts for nothing. Two outputs are a conflict even where one of
    them alone would reach the threshold.
    """
    if not 1 <= policy.threshold <= len(frozenset(policy.counting)):
        raise ValueError(f"threshold {policy.threshold} of {len(frozenset(policy.counting))} kinds")
    found = Judgement()
    for proof in proofs:
        found, _ = accept(policy, found, proof)
    return found
