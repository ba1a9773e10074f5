"""What is run: which groups, sizes and threads, in which order, and how long."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.msm import buckets
from benchmarks.msm.contenders import PEERS, Case, Figures
from benchmarks.msm.measure import Bench, Clock, contenders, measure
from benchmarks.msm.programs import Program, start_go, start_rust

NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class Part:
    """Sizes of one group on so many threads, and when its rounds must stop."""

    threads: int
    group: str
    sizes: Sequence[int]
    share: float = 1.0
    """Of the time that is left when the part begins."""
    portable_sizes: Sequence[int] | None = None
    """Sizes at which our ways without IFMA take part; all of them where nothing is said."""


QUICK_SECONDS = 34.0
"""`--quick` begins no new round of sums after so long."""
QUICK_LAST = 42.0
"""And no sum at all after so long; the one under way and the tables take some seconds more."""
QUICK = (
    Part(1, "bn254-g1", (14, 16, 10), 0.35, (14,)),
    Part(1, "bls12-381-g1", (14, 16, 10), 0.6, (14,)),
    Part(1, "bn254-g2", (12,), 0.3, ()),
    Part(1, "bls12-381-g2", (12,), 0.5, ()),
    Part(2, "bn254-g1", (14,), 0.5, ()),
    Part(2, "bls12-381-g1", (14,), 0.5, ()),
)
QUICK_BUCKET_SIZES = (12,)
BUCKET_SIZES = tuple(range(10, 22, 2))
MOST_TABLES = 6 << 30
"""Bytes of all tables of one bucket size that may stand at once: sizes above get additions without times."""


@dataclass(frozen=True)
class Work:
    """All that is to be run."""

    parts: Sequence[Part]
    rounds: int
    clock: Clock
    all_peers: bool
    bucket_sizes: Sequence[int]
    """Sizes of which the bucket table has times; with none there is no such table."""


@dataclass
class Results:
    """All that was found."""

    cases: dict[Case, Figures] = field(default_factory=dict)
    bucket_rows: list[buckets.Row] = field(default_factory=list)
    ifma: bool = False
    vpmadd52_ns: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def quick(threads: Sequence[int], groups: Sequence[str], rounds: int, *, with_buckets: bool) -> Work:
    """The work of `--quick`, from now on."""
    now = time.monotonic()
    parts = [part for part in QUICK if part.threads in threads and part.group in groups]
    sizes = QUICK_BUCKET_SIZES if with_buckets else ()
    return Work(parts, rounds, Clock(now + QUICK_SECONDS, now + QUICK_LAST), False, sizes)


def whole(
    threads: Sequence[int], groups: Sequence[str], sizes: Sequence[int], rounds: int, *, with_buckets: bool
) -> Work:
    """Everything, without a limit of time."""
    parts = [Part(number, group, sizes) for number in threads for group in groups]
    return Work(parts, rounds, Clock(), True, BUCKET_SIZES if with_buckets else ())


def _plan_without_table(rust: Program, case: Case) -> Mapping[str, Any]:
    """What our sum without a table does: it says nothing itself."""
    options = {"engine": "pippenger", "memory_bytes": NO_LIMIT}
    plan: dict[str, Any] = rust.ask("plans", group=case.group, count=case.count, options=options)["plans"][0]
    return plan | {"table_bytes": 0}


def _clock(whole: Clock, share: float) -> Clock:
    """A share of the time that is left for rounds."""
    if whole.rounds_until is None:
        return whole
    now = time.monotonic()
    return Clock(now + share * max(0.0, whole.rounds_until - now), whole.ends)


def run_part(bench: Bench, part: Part, rounds: int, whole: Clock, *, all_peers: bool) -> dict[Case, Figures]:
    """Every size of a part. Raises WrongSum and ProgramError."""
    clock = _clock(whole, part.share)
    sums = bench.draw(part.group, [1 << log_n for log_n in part.sizes])
    few = part.group.startswith("bls") and not all_peers
    peers = PEERS[part.group][: 3 if few else None]
    found: dict[Case, Figures] = {}
    for index, log_n in enumerate(part.sizes):
        case = Case(part.threads, part.group, log_n)
        portable = part.portable_sizes is None or log_n in part.portable_sizes
        among = contenders(peers, portable=portable)
        figures = measure(bench, case, among, sums[case.count], rounds, _clock(clock, 1 / (len(part.sizes) - index)))
        if "plain" in figures:
            figures["plain"].plan = _plan_without_table(bench.rust, case)
        if figures:
            found[case] = figures
        most = max((figure.rounds for figure in figures.values()), default=0)
        print(f"{part.group} 2^{log_n} on {part.threads}: {most} rounds", file=sys.stderr, flush=True)
    return dict(sorted(found.items(), key=lambda item: item[0].log_n))


@contextmanager
def benches(threads: Sequence[int], rust: Path, go: Path | None) -> Iterator[Mapping[int, Bench]]:
    """Both programs for each number of threads, until the end."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as name:
        started = {}
        for number in threads:
            theirs = stack.enter_context(start_go(go, number)) if go else None
            started[number] = Bench(number, stack.enter_context(start_rust(rust, number)), theirs, Path(name))
        yield started


def run(work: Work, rust: Path, go: Path | None) -> Results:
    """Every part, then the buckets. Raises WrongSum and ProgramError."""
    found = Results(left_out=[] if go else ["gnark"])
    threads = list(dict.fromkeys(part.threads for part in work.parts))
    with benches(threads, rust, go) as started:
        first = started[threads[0]]
        hello = first.rust.ask("hello")
        found.ifma, found.vpmadd52_ns = hello["ifma"], hello["vpmadd52_ns"]
        found.versions = hello["versions"] | (first.go.ask("hello")["versions"] if first.go else {})
        for part in work.parts:
            if not work.clock.may_begin(1):
                found.left_out.append(f"{part.group} on {part.threads}: no time left")
                continue
            bench = started[part.threads]
            found.cases |= run_part(bench, part, work.rounds, work.clock, all_peers=work.all_peers)
        if work.bucket_sizes and 1 in started:
            found.bucket_rows = buckets.table(started[1], work.bucket_sizes, MOST_TABLES, work.rounds, work.clock)
    return found
