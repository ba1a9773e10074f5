"""The provers, each giving the seconds of one proof, its 256 bytes, and the key that it verifies under.

Ours, arkworks and snarkjs prove on one key, ours as `.zkey`. gnark cannot read that: it proves the same constraints, put
into its constraint system row by row, on a key of its own set-up.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.groth16.circuit import Statement
from benchmarks.groth16.clock import Seconds, timed
from benchmarks.msm.programs import Program, on_cpus, start_go, start_rust
from native._native import Groth16Key

OURS = "ours, 96 MiB of tables"
OURS_LARGE = "ours, 1 GiB of tables"
OURS_PLAIN = "ours, no tables"
OWN = (OURS, OURS_LARGE, OURS_PLAIN)
PROOF_BYTES = 256


@dataclass(frozen=True)
class Prover:
    """Someone who proves the statement."""

    name: str
    key: bytes
    """ABI-encoded verifying key."""
    prove: Callable[[], tuple[Seconds, bytes]]


def _seconds(answer: Mapping[str, Any]) -> tuple[Seconds, bytes]:
    return Seconds(answer["wall_ms"] / 1000, answer["cpu_ms"] / 1000), bytes.fromhex(answer["proof"])


def snarkjs_proof(snarkjs: Path, statement: Statement, threads: int) -> bytes:
    """A proof by snarkjs, as our 256 bytes. Node and its workers stay on so many CPUs."""
    folder = statement.folder
    files = [statement.zkey, statement.wtns, folder / "p.json", folder / "s.json"]
    with on_cpus(threads):
        subprocess.run([snarkjs, "groth16", "prove", *files], check=True, capture_output=True, cwd=folder)
    proof = json.loads((folder / "p.json").read_text())
    g2 = [proof["pi_b"][i][j] for i in (0, 1) for j in (1, 0)]
    return b"".join(int(value).to_bytes(32, "big") for value in [*proof["pi_a"][:2], *g2, *proof["pi_c"][:2]])


def _ours(key: Groth16Key, statement: Statement, threads: int) -> tuple[Seconds, bytes]:
    # The prover's threads begin inside and stay where this one may run.
    with on_cpus(threads):
        seconds, (proof, _) = timed(lambda: key.prove(statement.witness, threads))
    return seconds, proof


def _arkworks(stack: ExitStack, program: Path, statement: Statement, threads: int) -> Program:
    started = stack.enter_context(start_rust(program, threads))
    answer = started.ask("key", zkey=str(statement.zkey), wtns=str(statement.wtns))
    assert answer["constraints"] == statement.key.constraints
    return started


def provers(
    stack: ExitStack, statement: Statement, threads: int, rust: Path, go: Path | None, snarkjs: Path
) -> list[Prover]:
    """Everyone on so many threads; programs end with the stack. Raises ProgramError."""
    key = statement.key.verifying_key_abi()
    arkworks = _arkworks(stack, rust, statement, threads)
    found = [
        Prover(OURS, key, lambda: _ours(statement.with_tables["96 MiB"], statement, threads)),
        Prover(OURS_LARGE, key, lambda: _ours(statement.with_tables["1 GiB"], statement, threads)),
        Prover(OURS_PLAIN, key, lambda: _ours(statement.key, statement, threads)),
        Prover("arkworks", key, lambda: _seconds(arkworks.ask("prove"))),
        Prover("snarkjs", key, lambda: timed(lambda: snarkjs_proof(snarkjs, statement, threads))),
    ]
    if go is not None:
        gnark = stack.enter_context(start_go(go, threads))
        made = gnark.ask("key", r1cs=str(statement.r1cs), wtns=str(statement.wtns))
        assert made["constraints"] == statement.key.constraints
        found.append(Prover("gnark", bytes.fromhex(made["key"]), lambda: _seconds(gnark.ask("prove"))))
    return found
