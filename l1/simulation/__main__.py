"""`python -m l1.simulation`: the consensus against seeded faults."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from typing import Final

from l1.commands import Command, Refused, run
from l1.consensus.delegates import MAX_DELEGATES
from l1.consensus.parameters import ERAS, WAKE
from l1.simulation.fault import ALL, BYZANTINE, Fault
from l1.simulation.plan import Wish
from l1.simulation.runs import Progress, run_all
from l1.simulation.world import OURS, REFERENCE_PORT, Report

_ABOUT = """\
Runs the L1 consensus on a virtual clock, once for each seed, while things go wrong that are drawn from the seed: links
delay, lose and double messages, partitions come and heal, clocks differ, delegates crash with a torn log, sets change
every few heights, and less than a third of the power is byzantine. Every step is checked: one block a height, valid and
built on the head; no honest delegate votes twice or against its lock or without a seat, restarts or not; every
certificate is a quorum's; and when the links are good again, heights are decided. A seed is a whole run: the same seed
gives the same run, always.
"""
_EXAMPLES = """\
example:
  python -m l1.simulation --seeds 0:500                         500 runs of 4 to 7 delegates, all faults
  python -m l1.simulation --seeds 7:8 --delegates 24 --json     one run of 24, the result as JSON
  python -m l1.simulation --seeds 0:1000 --faults crash,tear    crashes and torn logs only
  python -m l1.simulation --seeds 0:20 --faults none            nothing goes wrong
  python -m l1.simulation --seeds 0:200 --reference-port        iotex-core's rule: it forks
  python -m l1.simulation --seeds 0:10000 --jobs 2 --power-skew on two cores, delegates of different power

faults: {network}
byzantine delegates: {byzantine}

The last line of --json is one object: runs, heights, violations, failing_seeds. The exit status is 1 when there was a
violation, 2 for options that make no sense, 0 else.
"""


def _seeds(text: str) -> range:
    first, separator, end = text.partition(":")
    try:
        seeds = range(int(first), int(end) if separator else int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds or seeds[0] < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of seeds: write A:B for A, A + 1, ... B - 1, or one seed"
        )
    return seeds


def _faults(text: str) -> frozenset[Fault]:
    if text in ("all", "none"):
        return ALL if text == "all" else frozenset()
    try:
        return frozenset(Fault(name) for name in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; one of: all, none, {', '.join(Fault)}") from error


def _delegates(text: str) -> int | None:
    if text == "random":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DELEGATES:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'random' nor a number from 1 to {MAX_DELEGATES}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seeds", type=_seeds, default=range(100), metavar="A:B", help="which runs (default 0:100)")
    add("--faults", type=_faults, default=ALL, metavar="LIST", help="all (default), none, or names below")
    add("--delegates", type=_delegates, metavar="N", help="how many; 'random' (default) for 4 to 7")
    add("--heights", type=_positive, default=3, metavar="K", help="to decide after the faults (default 3)")
    add("--era", choices=sorted(ERAS), help="times and quorum rule; else drawn from the seed")
    add("--patience", type=_positive, default=30, metavar="S", help="virtual seconds of faults (default 30)")
    add("--power-skew", action="store_true", help="delegates of very different power")
    add("--signatures", action="store_true", help="real BLS12-381 signatures: slower")
    add("--reference-port", action="store_true", help="iotex-core's rule in place of ours (era: wake)")
    add("--jobs", type=_positive, default=1, metavar="J", help="processes (default 1)")


def _simulate(options: argparse.Namespace) -> int:
    if options.reference_port and (options.signatures or options.era not in (None, WAKE.name)):
        raise Refused("--reference-port has its own signatures and times: leave out --signatures and --era")
    parameters = WAKE if options.reference_port else ERAS[options.era] if options.era else None
    skewed, patience = options.power_skew, 1_000 * options.patience
    wish = Wish(options.faults, options.delegates, options.heights, skewed, parameters, patience)
    rule = REFERENCE_PORT if options.reference_port else OURS
    progress = Progress(len(options.seeds))
    heights = violations = 0
    failing: list[int] = []
    for report in run_all(options.seeds, wish, rule, signed=options.signatures, jobs=options.jobs):
        progress.add(report)
        heights += report.heights
        violations += len(report.violations)
        if report.violations:
            failing.append(report.seed)
            sys.stderr.write(_complaint(report, options))
    result = {"runs": len(options.seeds), "heights": heights, "violations": violations, "failing_seeds": failing}
    text = (
        json.dumps(result) if options.json else f"{len(options.seeds)} runs, {heights} heights, {violations} violations"
    )
    sys.stdout.write(text + "\n")
    return 1 if failing else 0


def _complaint(report: Report, options: argparse.Namespace) -> str:
    lines = [f"seed {report.seed}: {each.rule} at {each.at} ms: {each.text}" for each in report.violations]
    return "\n".join([*lines, f"  replay: {_replay(report.seed, options)}", ""])


def _replay(seed: int, options: argparse.Namespace) -> str:
    """The command that runs this one seed again."""
    words = ["python", "-m", "l1.simulation", "--seeds", f"{seed}:{seed + 1}"]
    faults = "all" if options.faults == ALL else ",".join(each for each in Fault if each in options.faults) or "none"
    words += ["--faults", faults, "--heights", str(options.heights), "--patience", str(options.patience)]
    words += [] if options.delegates is None else ["--delegates", str(options.delegates)]
    words += [] if options.era is None else ["--era", options.era]
    for flag in ("power_skew", "signatures", "reference_port"):
        words += [f"--{flag.replace('_', '-')}"] if getattr(options, flag) else []
    return shlex.join(words)


_FAULTS: Final = {
    "network": ", ".join(fault for fault in Fault if fault not in BYZANTINE),
    "byzantine": ", ".join(BYZANTINE),
}
SIMULATE: Final = Command(_options, _simulate, _ABOUT, _EXAMPLES.format(**_FAULTS))
"""`simulate`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    return run("simulate", sys.argv[1:] if arguments is None else arguments, "python -m l1.simulation")


if __name__ == "__main__":
    sys.exit(main())
