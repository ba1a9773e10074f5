"""ZKML: what a proof of a small model costs, against its inference in WASM and under a TEE prover, in the same run.

    python -m benchmarks.zkml [--json] [--rounds 7] [--threads 1]

The model is `provers/programs/vibration_classifier`: a perceptron of 64, 32, 16 and 4 units, 2,624 products, integers.
Its circuit (classifier.circom) has the model's weights as constants, which is the cheapest way to prove it: secret ones
cost more. The circuit proves the model alone; the TEE proof is of a whole Statement (sixteen signatures, the commitment's
root, completeness, the prover's own check). So the second table has the whole Statement both ways: count, sum, minimum
and maximum of a window. All outputs are compared before a figure is printed.

The bare inference is NumPy's, in this process and with the model at hand. The WASM run is a fresh instance that reads its
model from the module and infers once, with fuel counted. The platform is simulated, so an enclave's own slowdown is not
in the figures. Times are the least of the rounds, wall and CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.groth16.clock import Seconds, timed
from benchmarks.msm.machine import cpu_model
from benchmarks.zkml.work import (
    Work,
    bare_work,
    circuit_work,
    statement_constraints,
    statement_work,
    tee_work,
    vibration_task,
    wasm_work,
)

REPEATS = 20
"""Runs of the quick ones in a round; their time is the mean of these."""


def _repeat(work: Work, times: int) -> Sequence[int]:
    return [work.run() for _ in range(times)][-1]


def measure(works: Sequence[Work], rounds: int) -> dict[str, Seconds]:
    """Each work's least seconds over the rounds, taken in turns. Raises RuntimeError where two outputs differ."""
    found: dict[str, Seconds] = {}
    for _ in range(rounds):
        outputs = set()
        for work in works:
            repeats = 1 if work.name.startswith("Groth16") else REPEATS
            taken, output = timed(partial(_repeat, work, repeats))
            outputs.add(tuple(output))
            seconds = Seconds(taken.wall / repeats, taken.cpu / repeats)
            before = found.get(work.name, seconds)
            found[work.name] = Seconds(min(before.wall, seconds.wall), min(before.cpu, seconds.cpu))
        if len(outputs) != 1:
            raise RuntimeError(f"the outputs differ: {sorted(outputs)}")
    return found


def show(title: str, times: dict[str, Seconds]) -> None:
    """One table; the ratios are of CPU time."""
    console, table = Console(width=110), Table(title=title, title_justify="left")
    for index, name in enumerate(("", "wall ms", "CPU ms", "to the first row", "to the TEE proof")):
        table.add_column(name, justify="right" if index else "left")
    first = next(iter(times.values())).cpu
    tee = next(taken.cpu for name, taken in times.items() if name.startswith("TEE"))
    for name, taken in times.items():
        ratios = [f"{taken.cpu / base:,.2f}x" for base in (first, tee)]
        table.add_row(name, f"{1000 * taken.wall:.3f}", f"{1000 * taken.cpu:.3f}", *ratios)
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="threads of a Groth16 proof")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    options = _options()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="w3bstream-zkml-") as name:
        home = Path(name)
        circuit, constraints = circuit_work(options.threads)
        tee, task = tee_work("vibration_classifier", 5, home, vibration_task)
        model = measure([bare_work(), wasm_work("vibration_classifier", task, 5, home), tee, circuit], options.rounds)
        tee, task = tee_work("temperature_wasm", 4, home, lambda given: given)
        whole_circuit = statement_work(options.threads, home)
        whole = measure([wasm_work("temperature_wasm", task, 4, home), tee, whole_circuit], options.rounds)
    show(f"The classifier: {constraints:,} constraints, {options.threads} thread(s)", model)
    show(f"A window's statistics, the whole Statement: {statement_constraints():,} constraints", whole)
    ends = os.getloadavg()[0]
    print(f"{cpu_model()}; load average {load:.2f} at the start, {ends:.2f} at the end; the TEE is simulated")
    if options.json:
        figures = {
            part: {work: {"wall_s": round(t.wall, 6), "cpu_s": round(t.cpu, 6)} for work, t in times.items()}
            for part, times in (("classifier", model), ("statement", whole))
        }
        facts = {"cpu": cpu_model(), "constraints": constraints, "threads": options.threads}
        print(json.dumps(facts | {"load_at_start": load, "load_at_end": ends, "figures": figures}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
