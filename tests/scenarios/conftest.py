"""One installation for the faults that a running service survives; the others bring their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.api.client import Client
from tests.e2e.installation import Installation, set_up_keys, with_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with proving keys and compiled circuits; the end-to-end tests of the same run share it."""
    return set_up_keys(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Installation]:
    """A running service. Tests break its parts, each in a project of its own, and leave it whole.

    With one thread a proof takes two seconds or so: long enough to be broken off.
    """
    settings = {"PROVERS": "2", "PROVER_THREADS": "1"}
    made = Installation(with_keys(tmp_path_factory.mktemp("scenarios") / "home", keys), settings)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    """An administrator's client of it."""
    with installation.client() as made:
        yield made
