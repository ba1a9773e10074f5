"""The table of transitions as a page of the docs: `python -m l1.consensus.table` prints it, `--check FILE` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from l1.consensus.machine import RULES, Phase

_COMMAND = "python -m l1.consensus.table"
_MEANING = {
    "RoundStarted": "a round's time has come, or a third of the power is in it already",
    "ProposalSeen": "the round's proposer has proposed",
    "QuorumSeen": "more than two thirds of the power voted alike",
    "TimedOut": "a phase lasted too long",
}


def page() -> str:
    """The page, drawn from `machine.RULES`."""
    lines = [
        "# Transitions of the consensus",
        "",
        "Drawn from `RULES` of `l1/consensus/machine.py` by `make docs`; do not edit. For each input the first row that",
        "fits is taken; where none fits nothing happens. Lines (L22, ...) are those of Algorithm 1 of",
        "arXiv:1807.04938v3.",
    ]
    for kind, rules in RULES.items():
        lines += ["", f"## {kind.__name__}: {_MEANING[kind.__name__]}", ""]
        lines += ["| Lines | What | Phases |", "|---|---|---|"]
        lines += [f"| {rule.lines} | {rule.what} | {_phases(rule.phases)} |" for rule in rules]
    return "\n".join(lines) + "\n"


def _phases(phases: frozenset[Phase]) -> str:
    if phases == frozenset(Phase) - {Phase.DECIDED}:
        return "every one before DECIDED"
    return ", ".join(each.name for each in sorted(phases))


def main(arguments: list[str]) -> int:
    """Print the page, or with `--check FILE` say whether the file is it (exit 1: it is not)."""
    match arguments:
        case []:
            print(page(), end="")
            return 0
        case ["--check", file]:
            if Path(file).read_text() == page():
                return 0
            print(f"{file} is not what `{_COMMAND}` prints; run `make docs`", file=sys.stderr)
            return 1
        case _:
            print(f"usage: {_COMMAND} [--check FILE]", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
