"""The governance contract as an account of the genesis: its code with the constructor's constants, and its one slot."""

from __future__ import annotations

from l1.governance.contract import creation_code
from l1.governance.parameters import Parameters
from native import _native

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
    # The constructor wants code where the stake contract will be.
    chain, _ = _native.Chain.genesis(
        chain_id=1,
        gas_limit=60_000_000,
        base_fee_per_gas=0,
        timestamp=0,
        extra_data=b"",
        alloc={stake: (0, 1, b"\0", [])},
    )
    result = chain.view(0).call(
        sender=bytes(20),
        to=None,
        data=creation_code(stake, period_floor, initial),
        value=0,
        gas=None,
        gas_price=0,
        tip=None,
        access_list=[],
        gas_cap=16_000_000,
    )
    if result.status != "success":
        raise ValueError(f"the constructor refused {initial} with a floor of {period_floor} seconds")
    return result.output, {PARAMETERS_SLOT: _packed(initial)}


def _packed(parameters: Parameters) -> int:
    slot, shift = 0, 0
    for value, bits in zip(parameters.as_tuple(), _BITS, strict=True):
        slot |= value << shift
        shift += bits
    return slot
