"""Test only: a fresh chain of four delegates of equal power, with a light client of each kind."""

from __future__ import annotations

import pytest
from light_world import KEYS, World


@pytest.fixture
def four() -> World:
    return World(KEYS[:4], (1, 1, 1, 1))
