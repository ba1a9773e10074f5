"""A seed is a whole run: the same seed gives the same run, in this process and in any other."""

from __future__ import annotations

import os
import subprocess
import sys

from l1.simulation.plan import Wish
from l1.simulation.runs import run_all, run_one

_PRINT = """
from l1.simulation.plan import Wish
from l1.simulation.runs import run_one
print(*(run_one(seed, Wish()).trace for seed in range(10, 16)))
"""


def _traces_with_hash_seed(seed: str) -> list[str]:
    environment = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", _PRINT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_seed_gives_the_same_report_twice() -> None:
    """Everything that is sent and decided, in its order and at its time."""
    for seed in range(20):
        assert run_one(seed, Wish()) == run_one(seed, Wish())


def test_a_seed_gives_the_same_run_in_other_processes() -> None:
    """Nothing depends on how this process happens to order its sets."""
    assert (
        _traces_with_hash_seed("1") == _traces_with_hash_seed("2") == [run_one(s, Wish()).trace for s in range(10, 16)]
    )


def test_seeds_differ() -> None:
    """Two seeds are two runs."""
    assert len({run_one(seed, Wish()).trace for seed in range(20)}) == 20


def test_several_processes_report_what_one_does() -> None:
    """In the order of the seeds, too."""
    assert list(run_all(range(40), Wish(), jobs=2)) == list(run_all(range(40), Wish()))
