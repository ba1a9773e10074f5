"""Our sums are gnark-crypto's, and plain Python's, on random, structured and adversarial inputs, by every engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks.msm.programs import NO_GO, Program, build_go, go, start_go
from native._native import MsmBases, msm
from tests.msm.cases import CASES, Case
from tests.msm.groups import GROUPS
from tests.msm.vectors import VECTORS, gnark_sum

# The first test waits for Go to compile gnark: some minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)

ENGINES = ("bgmw", "luo-fu-gong", "generalized-buckets", "eisenstein")
each_case = pytest.mark.parametrize("title", CASES)
each_group = pytest.mark.parametrize("group", [group.name for group in GROUPS])


@cache
def case_of(group: str, title: str) -> Case:
    """A case, made once."""
    return CASES[title]({each.name: each for each in GROUPS}[group])


@pytest.fixture(scope="module")
def gnark() -> Iterator[Program]:
    """The Go program, built here."""
    if go() is None:
        pytest.skip(NO_GO)
    with start_go(build_go(), 1) as program:
        yield program


def vector(case: Case, title: str) -> bytes:
    """gnark's committed answer, after a look that it is for these inputs."""
    found = json.loads(VECTORS.read_text())["sums"][case.group.name][title]
    assert found["input_sha256"] == case.digest, "the inputs changed: python -m tests.msm.vectors"
    return bytes.fromhex(found["sum"])


@each_group
@each_case
def test_gnark_gives_the_sum_of_the_logarithms(group: str, title: str, gnark: Program, tmp_path: Path) -> None:
    case = case_of(group, title)
    assert gnark_sum(gnark, case, tmp_path) == case.expected() == vector(case, title)


@each_group
@each_case
@pytest.mark.parametrize("portable", [False, True])
def test_sums_without_a_table_are_gnarks(group: str, title: str, portable: bool) -> None:
    case = case_of(group, title)
    for threads in (1, 2):
        found = msm(group, case.point_bytes, case.scalar_bytes, portable=portable, threads=threads)
        assert found == vector(case, title)


@each_group
@each_case
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("portable", [False, True])
def test_sums_with_a_table_are_gnarks(group: str, title: str, engine: str, portable: bool) -> None:
    case = case_of(group, title)
    bases = MsmBases.build(group, case.point_bytes, engine=engine, portable=portable, threads=1)
    assert bases.msm(case.scalar_bytes, threads=1) == vector(case, title)


@each_group
@pytest.mark.parametrize("engine", ENGINES)
def test_every_third_window_of_an_engine_gives_gnarks_sum(group: str, engine: str) -> None:
    case = case_of(group, "repeated digits")
    for window in range(4, 23, 3 if engine != "eisenstein" else 6):
        bases = MsmBases.build(group, case.point_bytes, engine=engine, window=window, threads=1)
        assert bases.msm(case.scalar_bytes, threads=1) == vector(case, "repeated digits"), f"window {window}"
