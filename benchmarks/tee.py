"""What a TEE proof costs over the bare run of its program, and what registering a session key costs.

    python -m benchmarks.tee [--rounds 200] [--json]

The program is `temperature_wasm` with a full window of 16 readings; the sample circuit proves the same. "bare" is the
program in wasmtime, input built before. A proof is what `TeeProver.prove` does: message in, signatures and roots of the
readings, the run, Statement and signature out, and its own check. Signatures of readings are measured beside it, since
every kind of proof has to check them; the goal is 5 ms without them. Medians of the best batch; SIMULATED platforms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from native import _native
from provers.programs import read_manifest
from provers.programs_index import installed_programs
from provers.protocol import Prepared, ProvingTask
from provers.tee.prover import TeeProver
from provers.tee.runtime.abi import encode_input
from provers.tee.runtime.configuration import Configuration
from provers.tee.runtime.wasm import WasmProgram
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import kind_of
from verifier.commitment import device_indices, device_set_root, order_readings, readings_root
from verifier.completeness import Completeness, count_missing
from verifier.reading import DeviceKey, KeyType
from verifier.statement import Domain, Opening, task_id

PROGRAM = "temperature_wasm"
READINGS = 16
DOMAIN = Domain(4690, bytes.fromhex("11" * 20))
PROVER = bytes.fromhex("22" * 20)
GOAL_MS = 5.0
BATCHES = 8


def quiet(stage: str, fraction: float) -> None:
    """Progress that nobody reads."""


def window(prepared: Prepared, key_type: KeyType) -> ProvingTask:
    """A full window of three devices."""
    keys = [DeviceKey.from_private(key_type, bytes([n]) * 32) for n in (1, 2, 3)]
    devices = tuple(key.registration() for key in keys)
    signed = [keys[n % 3].sign(7, n, 1_700_000_000_000 + n, (200 + n).to_bytes(4, "big")) for n in range(READINGS)]
    readings = order_readings(signed, devices)
    opening = Opening(
        readings_root(readings, READINGS),
        device_set_root(devices),
        1,
        17,
        READINGS,
        Completeness(count_missing(readings)),
    )
    return ProvingTask(DOMAIN, 7, 1, task_id(7, 1, 1, 17), opening, prepared.program_id, PROVER, readings, devices)


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of one call in the best of `BATCHES` batches: other work on the machine disturbs some of them."""

    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return 1000 * min(statistics.median(once() for _ in range(max(1, rounds // BATCHES))) for _ in range(BATCHES))


def signatures(task: ProvingTask) -> Callable[[], object]:
    """The check of a window's Baby Jubjub signatures alone."""
    keys = {device.device: device.public_key for device in task.device_set}
    signed = [(keys[reading.device], reading.to_wire()) for reading in task.readings]
    return lambda: _native.babyjubjub_signed_messages(signed)


def measure(platform: Platform, rounds: int, home: Path) -> dict[str, float]:
    """Milliseconds by part."""
    prover = TeeProver(platform, home)
    prepared = prover.prepare(installed_programs()[f"{PROGRAM} {kind_of(platform)}"], quiet)
    task = window(prepared, KeyType.BABYJUBJUB)
    manifest = read_manifest(prepared.program.folder)
    program = WasmProgram(manifest.artifact("wasm"), Configuration.of(manifest).limits)
    data = encode_input(task.readings, device_indices(task.device_set))
    began = time.perf_counter()
    first = prover.prove(prepared, task, quiet)
    parts = {"first proof": 1000 * (time.perf_counter() - began)}
    parts["bare"] = milliseconds(lambda: program.run(data), rounds)
    parts["proof"] = milliseconds(lambda: prover.prove(prepared, task, quiet), rounds)
    parts["signatures"] = milliseconds(signatures(task), rounds)
    parts["overhead"] = parts["proof"] - parts["bare"] - parts["signatures"]
    said = (task, first.statement, first.public_output, first.proof)
    parts["check"] = milliseconds(lambda: prover.verify(prepared, *said), rounds)
    return parts


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = {platform.value: measure(platform, options.rounds, Path(home)) for platform in Platform}
    if options.json:
        print(json.dumps({"milliseconds": found, "goal": GOAL_MS}))
        return
    names = ["bare", "proof", "signatures", "overhead", "check", "first proof"]
    print(f"{'ms':<12}" + "".join(f"{name:>13}" for name in names))
    for platform, parts in found.items():
        print(f"{platform:<12}" + "".join(f"{parts[name]:>13.2f}" for name in names))
    worst = max(parts["overhead"] for platform, parts in found.items() if platform != "sev")
    print(f"overhead with a session key: {worst:.2f} ms at most, the goal is {GOAL_MS:g}")


if __name__ == "__main__":
    main()
