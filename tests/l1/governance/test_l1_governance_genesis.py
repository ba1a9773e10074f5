"""A contract that the genesis puts there is the one that a transaction deploys."""

from __future__ import annotations

from dataclasses import replace

import pytest
from governance_world import CHAIN_ID, FLOOR, START, Solidity, World
from hypothesis import given, settings
from hypothesis import strategies as st

from l1.governance import contract as c
from l1.governance.genesis import GOVERNANCE_ADDRESS, PARAMETERS_SLOT, genesis_account
from l1.governance.parameters import MAX_PERIOD_FLOOR, Parameters, bounds
from native import _native

numbers = st.builds(Parameters, **{field: st.integers(least, most) for field, least, most in bounds(FLOOR)})


@settings(max_examples=25, deadline=None)
@given(parameters=numbers)
def test_account_is_the_deployed_one(solidity: Solidity, parameters: Parameters) -> None:
    world = World(solidity, parameters=parameters)
    code, storage = genesis_account(world.stake, FLOOR, parameters)
    deployed = world.chain.view(world.chain.head_number)
    assert code == deployed.code(world.governance)
    # An account's root commits to every slot, so equal roots leave no slot out.
    alloc = {GOVERNANCE_ADDRESS: (0, 1, code, list(storage.items()))}
    chain, _ = _native.Chain.genesis(
        chain_id=CHAIN_ID, gas_limit=60_000_000, base_fee_per_gas=7, timestamp=START, extra_data=b"", alloc=alloc
    )
    view = chain.view(0)
    assert view.proof(GOVERNANCE_ADDRESS, []).storage_root == deployed.proof(world.governance, []).storage_root
    assert view.storage(GOVERNANCE_ADDRESS, PARAMETERS_SLOT) == deployed.storage(world.governance, PARAMETERS_SLOT)

    def ask(to: bytes, data: bytes) -> bytes:
        return view.call(
            sender=bytes(20), to=to, data=data, value=0, gas=None, gas_price=0, tip=None, access_list=[], gas_cap=10**6
        ).output

    assert c.GovernanceReader(GOVERNANCE_ADDRESS, ask).parameters() == parameters


@pytest.mark.parametrize(
    ("floor", "parameters"),
    [(0, Parameters()), (MAX_PERIOD_FLOOR + 1, Parameters()), (FLOOR, replace(Parameters(), majority_bps=4_999))],
)
def test_account_that_the_constructor_refuses(floor: int, parameters: Parameters) -> None:
    with pytest.raises(ValueError, match="the constructor failed"):
        genesis_account(b"\x01" * 20, floor, parameters)
