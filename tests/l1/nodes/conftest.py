"""Delegates in processes of their own, shared by the tests of a file."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from nodes_cluster import Cluster


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: these tests sync thousands of times, and kill processes, not machines."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def folder(memory: Path) -> Iterator[Path]:
    """A folder of its own for each test."""
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def cluster(memory: Path) -> Iterator[Cluster]:
    """Four delegates of equal power that run."""
    with Cluster(memory / "cluster") as running:
        running.start()
        yield running
