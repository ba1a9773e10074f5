"""Assurance: how many distinct kinds of proof a task needs, as a project file writes it.

`zkp(groth16)` asks for that kind; `2 of [zkp, tee.sgx, tee.nitro]` for any two of the three. A family alone (`zkp`)
stands for the one program of that family in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NAME = r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*"
_TERM = re.compile(rf"({_NAME})(?:\.({_NAME})|\(\s*({_NAME})\s*\))?\Z")
_OF = re.compile(r"([0-9]{1,3})\s+of\s+\[(.*)\]\Z", re.DOTALL)
MAX_KINDS = 16


@dataclass(frozen=True)
class Assurance:
    """A parsed assurance."""

    threshold: int
    """Distinct kinds that must verify, 1 or more."""
    kinds: tuple[str, ...]
    """Kinds such as `zkp.groth16`, or families such as `zkp`; none twice."""


def parse_assurance(text: str) -> Assurance:
    """Parse an assurance. Raises ValueError with the reason."""
    text = text.strip()
    listed = _OF.match(text)
    if listed is None:
        return Assurance(1, (_kind(text),))
    threshold = int(listed[1])
    kinds = tuple(_kind(part) for part in listed[2].split(","))
    if len(set(kinds)) != len(kinds):
        raise ValueError(f"{text!r} names a kind twice")
    if len(kinds) > MAX_KINDS:
        raise ValueError(f"{text!r} names {len(kinds)} kinds; at most {MAX_KINDS} are allowed")
    if not 1 <= threshold <= len(kinds):
        raise ValueError(f"{text!r} asks for {threshold} of {len(kinds)} kinds")
    return Assurance(threshold, kinds)


def _kind(text: str) -> str:
    found = _TERM.match(text.strip())
    if found is None:
        raise ValueError(
            f"{text.strip()!r} is no kind of proof; write zkp(groth16), zkp.groth16 or 2 of [zkp, tee.sgx]"
        )
    system = found[2] or found[3]
    return f"{found[1]}.{system}" if system else found[1]


def resolve_assurance(assurance: Assurance, program_kinds: Sequence[str]) -> Assurance:
    """The assurance with families replaced by the kinds of the file's programs. Raises ValueError with the reason."""
    resolved = []
    for kind in assurance.kinds:
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
    return Assurance(assurance.threshold, tuple(resolved))
