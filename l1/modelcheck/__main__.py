"""`python -m l1.modelcheck`: explore the consensus of one height, and say what is violated, with a run to it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Final

from l1.commands import Command, Refused, run
from l1.consensus.machine import apply
from l1.modelcheck.explorer import explore
from l1.modelcheck.invariants import INVARIANTS
from l1.modelcheck.mutations import MUTATIONS
from l1.modelcheck.trace import trace
from l1.modelcheck.world import Bounds, BoundsError

_EXAMPLES = """\
example:
  python -m l1.modelcheck                                three honest delegates and a faulty one, three rounds
  python -m l1.modelcheck --rounds 4 --json              one round more, the result as JSON (minutes)
  python -m l1.modelcheck --mutation reference-rule      a machine with a rule broken, and the run that shows it

The exit status is 1 when an invariant is violated, 2 for bounds that make no model, 0 else.
"""


MAX_ROUNDS: Final = 8
"""More rounds of any delegates are never explored to the end."""


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ROUNDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MAX_ROUNDS}: every round takes far longer")
    return int(text)


def _powers(text: str) -> tuple[int, ...]:
    parts = [each for each in text.split(",") if each]
    if not all(each.isdecimal() and len(each) < 6 for each in parts):
        raise argparse.ArgumentTypeError(f"{text!r} are no powers: write numbers with commas between, such as 1,1,2")
    return tuple(int(each) for each in parts)


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rounds", type=_rounds, default=3, help="number of rounds, from round 0 (default 3)")
    add("--honest", type=_powers, default=(1, 1, 1), help="powers of honest delegates (default 1,1,1)")
    add("--faulty", type=_powers, default=(1,), help="powers of faulty delegates (default 1)")
    add("--mutation", choices=sorted(MUTATIONS), help="explore the machine with this rule broken")


def _check(chosen: argparse.Namespace) -> int:
    protocol = MUTATIONS[chosen.mutation].protocol if chosen.mutation else apply
    try:
        bounds = Bounds(chosen.honest, chosen.faulty, chosen.rounds)
    except BoundsError as error:
        raise Refused(str(error)) from error
    began = time.process_time()
    explorer, report = explore(protocol, bounds)
    found = {
        "rounds": bounds.rounds,
        "honest": bounds.honest,
        "faulty": bounds.faulty,
        "mutation": chosen.mutation,
        "states": report.states,
        "transitions": report.transitions,
        "longest_run": report.events,
        "cpu_seconds": round(time.process_time() - began, 1),
        "violations": [
            {
                "invariant": name,
                "says": INVARIANTS[name],
                "found": broken.text,
                "trace": trace(protocol, explorer, path, last),
            }
            for name, (broken, path, last) in report.violations.items()
        ],
    }
    if chosen.json:
        print(json.dumps(found))
    else:
        _print(found)
    return 1 if report.violations else 0


def _print(found: dict[str, object]) -> None:
    violations = found.pop("violations")
    print(", ".join(f"{key} {value}" for key, value in found.items() if value is not None))
    assert isinstance(violations, list)
    for each in violations:
        print(f"\nviolated: {each['invariant']}: {each['says']}\n  found: {each['found']}")
        print("".join(f"  {at:3}. {line}\n" for at, line in enumerate(each["trace"], 1)), end="")
    print("no violation" if not violations else f"\n{len(violations)} violated")


MODELCHECK: Final = Command(
    _options, _check, "Explore the consensus of one height, and say what is violated, with a run to it.", _EXAMPLES
)
"""`modelcheck`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore; exit with 1 for a violation, 2 for bounds that make no model."""
    return run("modelcheck", sys.argv[1:] if arguments is None else arguments, "python -m l1.modelcheck")


if __name__ == "__main__":
    sys.exit(main())
