"""First light: where the time goes from a window's first reading to FINAL, on this machine, through every part.

`python -m benchmarks.first_light [--readings N] [--devices N]` plays the demo in the installation's home folder and
prints the stages. There is no peer that does the same: the peer is the proof itself, so the last line is the whole
time as a multiple of the time spent proving.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from coordinator.ledger.stages import STAGES


def main() -> None:
    """Run the demo as a user does and print its stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readings", type=int, default=256, help="readings to send (256)")
    parser.add_argument("--devices", type=int, default=8, help="devices that share them (8)")
    options = parser.parse_args()
    command = [str(Path(sys.executable).with_name("w3bstream")), "demo", "--once", "--json"]
    command += ["--readings", str(options.readings), "--devices", str(options.devices)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    stages = next(line["stages"] for line in lines if "stages" in line)
    outcome = lines[-1]
    whole = sum(stages.values())
    table = Table(title=f"{outcome['tasks']} windows, {outcome['readings']} readings, {outcome['seconds']} s in all")
    for name in ("stage", "mean seconds", "share", "what it is"):
        table.add_column(name, justify="left" if name in ("stage", "what it is") else "right")
    for name, meaning in STAGES:
        table.add_row(name, f"{stages[name]:.2f}", f"{stages[name] / whole:.0%}", meaning)
    console = Console()
    console.print(table)
    console.print(
        f"Readings a second, end to end: {outcome['readings'] / outcome['seconds']:.1f}. "
        f"A task's own time (without the queue) is {(whole - stages['queue']) / stages['prove']:.2f} times its proof."
    )


if __name__ == "__main__":
    main()
