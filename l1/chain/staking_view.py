"""Reading the staking contract in a state of the chain."""

from __future__ import annotations

from l1.chain.store import StoreError
from l1.staking.contract import STAKING_ADDRESS, Call
from native import _native

_GAS = 1 << 40
"""Nobody pays for it, and every node must get to the end."""


def staking_call(view: _native.StateView) -> Call:
    """Reads the staking contract in a state.

    The call raises StoreError where there is no contract that answers.
    """

    def call(data: bytes) -> bytes:
        result = view.call(
            sender=bytes(20),
            to=STAKING_ADDRESS,
            data=data,
            value=0,
            gas=None,
            gas_price=0,
            tip=None,
            access_list=[],
            gas_cap=_GAS,
        )
        if result.status != "success" or not result.output:
            raise StoreError(f"the staking contract does not answer 0x{data[:4].hex()}: is it in the genesis?")
        return result.output

    return call
