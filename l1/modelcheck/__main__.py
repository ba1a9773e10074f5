"""`python -m l1.modelcheck`: explore the consensus of one height, and say what is violated, with a run to it."""

from __future__ import annotations

import argparse
import json
import sys
import time

from l1.consensus.machine import apply
from l1.modelcheck.explorer import explore
from l1.modelcheck.invariants import INVARIANTS
from l1.modelcheck.mutations import MUTATIONS
from l1.modelcheck.trace import trace
from l1.modelcheck.world import Bounds, BoundsError


def _powers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m l1.modelcheck", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds, from round 0 (default 3)")
    parser.add_argument("--honest", type=_powers, default=(1, 1, 1), help="powers of honest delegates (default 1,1,1)")
    parser.add_argument("--faulty", type=_powers, default=(1,), help="powers of faulty delegates (default 1)")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), help="explore the machine with this rule broken")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main() -> int:
    """Explore; exit with 1 for a violation, 2 for bounds that make no model."""
    parser = _parser()
    chosen = parser.parse_args()
    protocol = MUTATIONS[chosen.mutation].protocol if chosen.mutation else apply
    try:
        bounds = Bounds(chosen.honest, chosen.faulty, chosen.rounds)
    except BoundsError as error:
        parser.error(str(error))
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


if __name__ == "__main__":
    sys.exit(main())
