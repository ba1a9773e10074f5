"""Proving keys for every home folder of this run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.installation import set_up_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with proving keys and compiled circuits; the scenarios of the same run share it."""
    return set_up_keys(tmp_path_factory.getbasetemp())
