"""The demo: real readings through every part of the service, on this machine, in one go.

In come public-domain measurements; out come proven, settled results, each webhook received and verified, compared with
what was sent.
"""

from __future__ import annotations


def run_demo(*, once: bool, json_output: bool, all_readings: bool, readings: int, devices: int) -> int:
    """Run the demo and return the exit status: 0 when every task is FINAL, every webhook was verified and the
    contract's totals equal those of the input; 1 otherwise.

    Parameters: `once` ends the service afterwards instead of keeping it up; `json_output` prints JSON lines, the last
    one being the outcome; `readings` of the 17,518 there are, or all; `devices` share them, 2 to 1,024, an even number.
    """
    from coordinator.demo.run import run  # the parts are heavy: --help must not wait for them

    return run(once=once, json_output=json_output, count=None if all_readings else readings, devices=devices)
