"""Every figure of the spine, one part after the other, each in a process of its own.

    python -m benchmarks.spine [--only jobs,submit,...] [--json]

Each part prints a table with its targets and the load average at its start. With `--json` the last line is one JSON
object of all figures; a part's load is `load_<part>` in it. The exit status is 1 when a part broke off, and only then.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.spine.figures import LOAD, TARGETS, load_average, value_text

PARTS: Mapping[str, tuple[str, str]] = {
    "jobs": ("no-op jobs against bare Ray calls and Celery on Redis", "a minute and a half"),
    "submit": ("SubmitJob against an empty gRPC call", "a minute"),
    "intake": ("readings taken in against bare NATS fetch and ack", "a minute"),
    "webhooks": ("webhooks against bare aiohttp posts", "a minute"),
    "scale": ("jobs that wait, on 1 to 8 simulated Ray nodes", "four minutes"),
    "memory": ("memory of the coordinator over 100,000 jobs", "three minutes"),
    "recovery": ("a killed worker, and a coordinator killed with 10,000 jobs queued", "two minutes"),
}
"""What each part measures and how long it takes, about, on two cores."""


def run_part(name: str) -> dict[str, float]:
    """Run the part, its output passed on as it comes; returns its figures. Raises RuntimeError when it breaks off."""
    what, takes = PARTS[name]
    print(f"== {name}: {what}; takes about {takes}", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.spine.{name}", "--json"]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if last:
                print(last, end="", flush=True)
            last = line
    if process.returncode != 0:
        print(last, end="", flush=True)
        raise RuntimeError(f"{name} ended with status {process.returncode}")
    print(f"   {name} took {time.monotonic() - began:.0f} s\n", flush=True)
    found: dict[str, float] = json.loads(last)
    return {f"load_{name}" if key == LOAD else key: value for key, value in found.items()}


def _chosen(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown part {', '.join(unknown) or text!r}; parts are {', '.join(PARTS)}")
    return names


def main() -> int:
    """Run the parts, then say which targets were missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", type=_chosen, default=list(PARTS), help=f"parts with commas between: {','.join(PARTS)}"
    )
    parser.add_argument("--json", action="store_true", help="print all figures as one JSON object on the last line")
    options = parser.parse_args()
    print(f"load average at start {load_average():.2f}; figures of a busy machine are not to be believed\n", flush=True)
    found: dict[str, float] = {}
    broken: list[str] = []
    for name in options.only:
        try:
            found |= run_part(name)
        except RuntimeError as error:
            broken.append(str(error))
            print(f"   {error}\n", flush=True)
    missed = [
        f"{name} {value_text(found[name])} ({bound})"
        for name, bound in TARGETS.items()
        if name in found and not bound.is_met(found[name])
    ]
    print(f"targets missed: {', '.join(missed) or 'none'}" + "".join(f"; {each}" for each in broken), flush=True)
    if options.json:
        ordered = [name for name in TARGETS if name in found] + [name for name in found if name not in TARGETS]
        print(json.dumps({name: found[name] for name in ordered}), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
