"""Multi-scalar multiplications of ours beside those of gnark-crypto, blst, mcl, halo2curves and arkworks, taken in turns.

    python -m benchmarks.msm [--quick] [--json] [--groups G,G] [--sizes 10,12,...] [--threads 1,2] [--rounds 3]

All libraries sum the same points, one round after another, each pinned to as many CPUs as it has threads; every sum is
compared with the known one. CPU time is the process', the least of the rounds, and the one to compare on a machine that
is not alone; so are ratios. Memory is how far resident memory rose in a sum. Rust is built when needed, and Go; without
Go there is no gnark. `--quick` ends within 50 s of the build. With `--json` the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.msm.contenders import GROUPS, Case, Figures, ratios, summary
from benchmarks.msm.machine import cpu_model
from benchmarks.msm.port import floor_ms
from benchmarks.msm.programs import ProgramError, build_go, build_rust
from benchmarks.msm.report import show_best, show_buckets, show_cases, show_targets
from benchmarks.msm.runs import Results, quick, run, whole


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def _groups(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in GROUPS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown group {', '.join(unknown) or text!r}; groups are {', '.join(GROUPS)}"
        )
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    parser.add_argument("--quick", action="store_true", help="the sizes that the summary counts, within 50 s")
    parser.add_argument("--groups", type=_groups, default=list(GROUPS), help=f"with commas between: {','.join(GROUPS)}")
    parser.add_argument("--sizes", type=_numbers, default=[10, 12, 14, 16, 18], help="exponents of 2 (10,12,...,18)")
    parser.add_argument("--threads", type=_numbers, default=[1, 2], help="numbers of threads (1,2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (5)")
    parser.add_argument("--no-buckets", action="store_true", help="leave the table of bucket constructions out")
    return parser.parse_args()


def programs() -> tuple[Path, Path | None]:
    """Both programs, built; without the Go one when it cannot be."""
    rust = build_rust()
    try:
        return rust, build_go()
    except ProgramError as error:
        print(f"gnark is left out: {error}", file=sys.stderr, flush=True)
        return rust, None


def port_shares(cases: Mapping[Case, Figures], vpmadd52_ns: float | None) -> dict[str, float]:
    """Of our ways on one thread: the part of their time in which the multiplier alone would be done."""
    return {
        f"{case.group}/{case.log_n}/{way}": round(
            floor_ms(case.group, figures[way].plan, vpmadd52_ns) / figures[way].cpu_ms, 3
        )
        for case, figures in cases.items()
        for way in ("table", "plain")
        if vpmadd52_ns is not None and case.threads == 1 and way in figures and figures[way].plan
    }


def as_json(found: Results, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The last line."""
    by_case: dict[str, Any] = {}
    figures_of: dict[str, Any] = {}
    for case, figures in found.cases.items():
        by_case.setdefault(f"{case.group}/{case.threads}", {})[str(case.log_n)] = ratios(case, figures)
        figures_of[f"{case.group}/{case.threads}/{case.log_n}"] = {
            name: {
                "cpu_ms": round(figure.cpu_ms, 3),
                "wall_ms": round(figure.wall_ms, 3),
                "memory_mib": round(figure.peak_mib, 2),
                "table_mib": round(figure.table_mib, 2),
                "rounds": figure.rounds,
            }
            for name, figure in figures.items()
        }
    rows = [row.as_json() for row in found.bucket_rows]
    return summary(found.cases) | dict(facts) | {"ratios": by_case, "figures": figures_of, "buckets": rows}


def machine(found: Results, load: float) -> dict[str, Any]:
    """What a reader must know about the run."""
    return {
        "ifma": found.ifma,
        "vpmadd52_ns": found.vpmadd52_ns,
        "port_share": port_shares(found.cases, found.vpmadd52_ns),
        "cpu": cpu_model(),
        "load_at_start": round(load, 2),
        "load_at_end": round(os.getloadavg()[0], 2),
        "versions": found.versions,
        "left_out": found.left_out,
    }


def main() -> int:
    """Measure and print."""
    options = _options()
    load = os.getloadavg()[0]
    rust, go = programs()
    threads = [number for number in options.threads if number <= len(os.sched_getaffinity(0))]
    if not threads:
        raise SystemExit(f"no number in {options.threads} fits the CPUs that we may use")
    with_buckets = not options.no_buckets
    if options.quick:
        work = quick(threads, options.groups, options.rounds, with_buckets=with_buckets)
    else:
        work = whole(threads, options.groups, options.sizes, options.rounds, with_buckets=with_buckets)
    found = run(work, rust, go)
    show_cases(found.cases, found.vpmadd52_ns)
    show_buckets([row for row in found.bucket_rows if not options.quick or row.cpu_ms is not None])
    show_best(found.cases)
    show_targets(summary(found.cases))
    facts = machine(found, load)
    print(f"{facts['cpu']}; IFMA {'yes' if found.ifma else 'no'}; {found.versions}")
    print(f"load average {facts['load_at_start']} at the start, {facts['load_at_end']} at the end")
    print(f"left out: {', '.join(found.left_out) or 'nothing'}")
    if options.json:
        print(json.dumps(as_json(found, facts)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
