"""Fixtures of the small circuit: compiled, with a witness and a key."""

from __future__ import annotations

import pytest

from native._native import Groth16Key
from provers.zkp.witness import WitnessCalculator
from tests.groth16.oracle import HERE, INPUTS, Circuit


@pytest.fixture(scope="session")
def circuit() -> Circuit:
    """The circuit with a fresh key of one contribution."""
    r1cs = (HERE / "small.r1cs").read_bytes()
    calculator = WitnessCalculator((HERE / "small.wasm").read_bytes())
    initial = Groth16Key.setup(r1cs)
    return Circuit(r1cs, calculator, calculator.witness(INPUTS), initial, initial.contribute("first"))
