"""The governance contract as an account of the genesis: its code with the constructor's constants, and its one slot."""

from __future__ import annotations

from l1.contracts.construction import runtime_code
from l1.governance.contract import creation_code
from l1.governance.parameters import Parameters

GOVERNANCE_ADDRESS = b"governance".rjust(20, b"\0")
"""Where a genesis puts the contract, 20 bytes."""

PARAMETERS_SLOT = 2
"""Storage slot of the parameters; the two mappings before it are empty at first."""

_BITS = (16, 16, 16, 16, 32, 32, 32, 32, 32)
"""Widths of the parameters, packed from the low end (Solidity documentation, layout of state variables in storage)."""


def genesis_account(stake: bytes, period_floor: int, initial: Parameters) -> tuple[bytes, dict[int, int]]:
    """Code and storage of the contract for a genesis that has the stake contract as well.

    Parameters
    ----------
    stake
        Address of the `IStakeWeight` contract in the same genesis, 20 bytes.
    period_floor
        Least seconds of every period, 1 to 86,400.
    initial
        The numbers to begin with.

    Raises
    ------
    ValueError
        When the constructor refuses them: a number out of bounds.
    """
    try:
        # The constructor wants code where the stake contract will be.
        code = runtime_code(creation_code(stake, period_floor, initial), {stake: b"\0"})
    except ValueError as error:
        raise ValueError(f"{initial} with a floor of {period_floor} seconds: {error}") from error
    return code, {PARAMETERS_SLOT: _packed(initial)}


def _packed(parameters: Parameters) -> int:
    slot, shift = 0, 0
    for value, bits in zip(parameters.as_tuple(), _BITS, strict=True):
        slot |= value << shift
        shift += bits
    return slot
