"""The test contracts, compiled once, and a fresh world for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from governance_world import Solidity, World

from verifier.contracts.compile import SOURCES, compile_sources, with_imports

SOLIDITY = Path(__file__).parent / "solidity"


@pytest.fixture(scope="session")
def solidity() -> Solidity:
    """Contracts of solidity/, compiled with the real interfaces and library."""
    sources = {path.name: path.read_text() for path in SOLIDITY.glob("*.sol")}
    for name in ("IGovernance.sol", "IStakeWeight.sol", "StakeCheckpoints.sol"):
        sources[f"l1/{name}"] = (SOURCES / "l1" / name).read_text()
    _, contracts = compile_sources(with_imports(sources), only="GovernanceTargets.sol")
    return contracts["GovernanceTargets.sol"]


@pytest.fixture
def world(solidity: Solidity) -> World:
    """Five voters with weights 400, 300, 200, 100 and 0 out of 1,000."""
    made = World(solidity)
    made.set_weights(400, 300, 200, 100, 0)
    return made
