"""geth for the tests that need one, from W3BSTREAM_GETH or PATH; without it they are skipped.

A variable that names no geth fails them: who sets it wants them run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "precompiles"))

from engine_world import Pair, genesis

from l1.engine.process import VARIABLE, GethProcess, GethSettings, find_geth
from l1.engine.rpc import EngineError


@pytest.fixture(scope="session")
def geth() -> Path:
    """geth's executable."""
    try:
        return find_geth()
    except EngineError as error:
        if os.environ.get(VARIABLE):
            raise
        # geth is optional, and takes minutes to build. Whoever names one in the variable wants these tests to run.
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pair(geth: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """revm and geth at the same block 0."""
    first = genesis()
    with GethProcess(first, GethSettings(geth, tmp_path_factory.mktemp("geth"))) as process:
        yield Pair(first, process)
