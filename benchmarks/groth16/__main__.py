"""Groth16 proving time on the sample program (110,173 constraints): ours, arkworks, gnark and snarkjs, in turns.

    python -m benchmarks.groth16 [--json] [--rounds 3] [--threads 1,2] [--snarkjs PATH] [--circuit R1CS WASM INPUT.json]

Ours, arkworks and snarkjs prove on one key and witness, over the same 2^17 domain; gnark proves the same constraints on
a key of its own, for it reads no `.zkey`. Each prover has equal threads and is held to as many CPUs. Our verifier checks
every proof, and gnark's checks ours. Times are the least of the rounds, wall and CPU: on a machine that is not alone the
CPU column is the one to compare. snarkjs' include starting Node, about 0.3 s; ours include checking the constraints. Ours
with tables keep multiples of the key's points, made once; the ratios are those with 96 MiB of them.

rapidsnark is not here: no registry has it. Its crate (rust-rapidsnark) downloads a binary from elsewhere when it is
built, and rapidsnark itself is LGPL-3.0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.groth16.circuit import Circuit, Statement, sample_program, statement
from benchmarks.groth16.clock import Seconds, timed
from benchmarks.groth16.provers import OURS, OWN, provers
from benchmarks.msm.machine import cpu_model
from benchmarks.msm.programs import ROOT, ProgramError, build_go, build_rust, start_go, start_rust
from native._native import groth16_verify

Times = dict[tuple[int, str], Seconds]
"""The least wall and the least CPU time, by threads and prover."""


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=_numbers, default=[1, 2], help="numbers of threads (1,2)")
    parser.add_argument("--snarkjs", type=Path, default=ROOT / "node_modules" / ".bin" / "snarkjs")
    parser.add_argument("--circuit", nargs=3, type=Path, metavar=("R1CS", "WASM", "INPUT"))
    return parser.parse_args()


def _circuit(paths: Sequence[Path] | None) -> Circuit:
    if paths is None:
        return sample_program()
    r1cs, wasm, inputs = paths
    return Circuit(r1cs.read_bytes(), wasm.read_bytes(), json.loads(inputs.read_text()))


def run_rounds(made: Statement, threads: int, rounds: int, rust: Path, go: Path | None, snarkjs: Path) -> Times:
    """Each prover proves once a round, and every proof is verified. Raises ProgramError."""
    found: Times = {}
    with ExitStack() as stack:
        everyone = provers(stack, made, threads, rust, go, snarkjs)
        for number in range(rounds):
            for prover in everyone:
                seconds, proof = prover.prove()
                assert groth16_verify(prover.key, made.signals, proof), f"{prover.name}'s proof does not hold"
                before = found.get((threads, prover.name), seconds)
                best = Seconds(min(before.wall, seconds.wall), min(before.cpu, seconds.cpu))
                found[threads, prover.name] = best
            print(f"{threads} thread(s), round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def checked_by_gnark(made: Statement, go: Path, proof: bytes) -> bool:
    """Whether gnark's verifier takes our proof, and refuses it for other signals."""
    key, signals = made.key.verifying_key_abi().hex(), made.signals
    other = signals[:-1] + bytes([signals[-1] ^ 1])
    with start_go(go, 1) as program:
        holds = program.ask("verify", key=key, signals=signals.hex(), proof=proof.hex())["holds"]
        forged = program.ask("verify", key=key, signals=other.hex(), proof=proof.hex())["holds"]
    return bool(holds) and not forged


def program_versions(rust: Path, go: Path | None, snarkjs: Path) -> dict[str, str]:
    """Of the libraries measured."""
    with start_rust(rust, 1) as program:
        found = {"ark-groth16": program.ask("hello")["versions"]["ark-groth16"]}
    if go is not None:
        with start_go(go, 1) as program:
            found["gnark"] = program.ask("hello")["versions"]["gnark"]
    package = json.loads((snarkjs.resolve().parents[1] / "package.json").read_text())
    return found | {"snarkjs": package["version"]}


def show(times: Times, made: Statement, verify: Seconds) -> None:
    """The tables."""
    console = Console(width=110)
    steps = Table(title="before and after the proof, ours", title_justify="left")
    proofs = Table(title="one proof, least of the rounds", title_justify="left")
    for table, names in (
        (steps, ("step", "wall s", "CPU s")),
        (proofs, ("threads", "prover", "wall s", "CPU s", "CPU to ours")),
    ):
        for index, name in enumerate(names):
            table.add_column(name, justify="left" if index < len(names) - 2 else "right")
    for step, seconds in (made.took | {"verify": verify}).items():
        steps.add_row(step, f"{seconds.wall:.3f}", f"{seconds.cpu:.3f}")
    for (threads, name), seconds in sorted(times.items(), key=lambda item: (item[0][0], item[1].cpu)):
        ratio = seconds.cpu / times[threads, OURS].cpu
        proofs.add_row(str(threads), name, f"{seconds.wall:.3f}", f"{seconds.cpu:.3f}", f"{ratio:.2f}x")
    console.print(steps)
    console.print(proofs)


def summary(times: Times) -> dict[str, Any]:
    """How many times our CPU time, with 96 MiB of tables, each peer takes, the least over the threads, and `groth16`,
    the best peer's."""
    ratios: dict[str, dict[str, float]] = {}
    for (threads, name), seconds in times.items():
        if name not in OWN:
            ratios.setdefault(name, {})[str(threads)] = round(seconds.cpu / times[threads, OURS].cpu, 3)
    worst = {f"groth16_vs_{name}": min(by_threads.values()) for name, by_threads in ratios.items()}
    return {"groth16": min(worst.values()), **worst, "ratios": ratios}


def _seconds(times: Times) -> Mapping[str, Any]:
    return {
        f"{name}/{threads}": {"wall_s": round(took.wall, 4), "cpu_s": round(took.cpu, 4)}
        for (threads, name), took in times.items()
    }


def main() -> int:
    """Measure and print."""
    options = _options()
    load = os.getloadavg()[0]
    rust = build_rust()
    left_out = ["rapidsnark"]
    try:
        go: Path | None = build_go()
    except ProgramError as error:
        go = None
        left_out.append("gnark")
        print(f"gnark is left out: {error}", file=sys.stderr, flush=True)
    times: Times = {}
    with tempfile.TemporaryDirectory() as name:
        made = statement(_circuit(options.circuit), Path(name), max(options.threads))
        for threads in options.threads:
            times |= run_rounds(made, threads, options.rounds, rust, go, options.snarkjs)
        proof, stages = made.key.prove(made.witness, max(options.threads))
        verify, _ = timed(partial(groth16_verify, made.key.verifying_key_abi(), made.signals, proof))
        assert go is None or checked_by_gnark(made, go, proof), "gnark refuses our proof"
    key = made.key
    print(f"{key.constraints:,} constraints, {key.wires:,} wires, {os.cpu_count()} CPUs")
    show(times, made, verify)
    print("stages of our last proof: " + ", ".join(f"{stage} {wall:.2f} s" for stage, wall in stages))
    ends = os.getloadavg()[0]
    versions = program_versions(rust, go, options.snarkjs)
    print(f"{cpu_model()}; {versions}; left out: {', '.join(left_out)}")
    print(f"load average {load:.2f} at the start, {ends:.2f} at the end")
    if options.json:
        facts = {
            "cpu": cpu_model(),
            "versions": versions,
            "left_out": left_out,
            "load_at_start": round(load, 2),
            "load_at_end": round(ends, 2),
            "constraints": key.constraints,
        }
        print(json.dumps(summary(times) | facts | {"figures": _seconds(times)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
