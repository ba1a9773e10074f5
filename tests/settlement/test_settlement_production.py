"""Contracts for production are what the ledger's record says, and no verifier that is or may be simulated passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from sqlmodel import select

from coordinator.ledger.outbox_tables import DeploymentRow, OutboxTxRow
from coordinator.ledger.tables import ProverRow
from coordinator.settlement.anchors import refuse_simulated
from coordinator.settlement.deployment import ensure_deployment
from coordinator.settlement.finality import Finality
from tests.settlement.settlement_world import RICH, VERIFIER_KEY, ZKP, Anvil, World, transfer
from verifier import bindings as b
from verifier.errors import Conflict, Refused

FINALITY = Finality("single-producer")


async def _verifier(world: World, name: str, answer: int | None = None) -> bytes:
    """A verifier of solidity/TestContracts.sol."""
    code = bytes.fromhex(world.test_abi[name]["evm"]["bytecode"]["object"])
    types, values = ["address", "address"], [world.deployment.router, Account.from_key(VERIFIER_KEY).address]
    if answer is not None:
        types, values = [*types, "uint8"], [*values, answer]
    receipt = await transfer(world.chain, RICH, "", code + encode(types, values))
    return bytes.fromhex(receipt.contract_address[2:])


async def test_production_contracts_are_deployed_recorded_and_asked(
    shared_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi, production=True)
    assert (world.deployment.production, world.deployment.generation) == (True, b.GENERATION)
    answer = await world.chain.call(world.signer.address, world.deployment.router, b.call_is_production())
    assert b.decode_is_production(answer)
    for production in (True, False):
        again = await ensure_deployment(
            world.ledger, world.chain, world.signer, finality=FINALITY, production=production
        )
        assert again == world.deployment
    groth16 = bytes.fromhex(world.deployment.groth16[2:])
    await refuse_simulated(world.chain, world.signer.address, {"zkp.groth16": groth16})
    await refuse_simulated(
        world.chain, world.signer.address, {"tee.sgx": await _verifier(world, "AnchoredVerifier", 0)}
    )
    cases = [
        (await _verifier(world, "AnchoredVerifier", 1), "rests on a simulated trust anchor"),
        (await _verifier(world, "AnchoredVerifier", 2), "does not say"),
        (await _verifier(world, "AnchoredVerifier", 3), "does not say"),
        (await _verifier(world, "SignatureVerifier"), "does not say"),
        (bytes(19) + b"\x77", "does not say"),
    ]
    for verifier, reason in cases:
        with pytest.raises(Refused, match=rf"W3B-2009.*0x{verifier.hex()} of tee.nitro {reason}"):
            await refuse_simulated(world.chain, world.signer.address, {"zkp.groth16": groth16, "tee.nitro": verifier})
    await world.close()


async def test_contracts_that_take_simulated_anchors_are_not_for_production(
    shared_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi)
    assert not world.deployment.production
    with pytest.raises(Conflict, match=r"W3B-5031.*accepts verifiers with simulated"):
        await ensure_deployment(world.ledger, world.chain, world.signer, finality=FINALITY, production=True)
    async with world.ledger.transaction() as session:  # a record of the release before policies
        row = (await session.exec(select(DeploymentRow))).one()
        row.addresses = {key: row.addresses[key] for key in row.addresses if key not in ("generation", "production")}
        session.add(row)
    old = await ensure_deployment(world.ledger, world.chain, world.signer, finality=FINALITY)
    assert (old.generation, old.production, old.router) == (1, False, world.deployment.router)
    await world.close()


async def test_a_prover_is_registered_with_its_operator(
    shared_anvil: Anvil, tmp_path: Path, ledger_url: str, test_abi: dict[str, dict[str, Any]]
) -> None:
    world = await World.build(tmp_path, ledger_url, shared_anvil.url, test_abi)
    operator = "0x" + "Ab" * 20
    for name, options, expected in (
        ("one", {}, world.signer.address.lower()),
        ("two", {"operator": operator}, operator.lower()),
    ):
        address = Account.create().address.lower()
        async with world.ledger.transaction() as session:
            session.add(ProverRow(id=name, kind=ZKP, address=address, created_at=0, updated_at=0))
        settlement = world.settlement(**options)
        for _ in range(200):
            await settlement.step()
            async with world.ledger.reading() as session:
                row = await session.get_one(ProverRow, name)
                tx = row.register_tx and await session.get_one(OutboxTxRow, row.register_tx)
            if tx and tx.state in ("MINED", "SAFE", "FINAL"):
                break
        assert row.operator == expected
        call = b.encode_call("FleetManagement", "proverOf", address)
        found = b.decode_result(
            "FleetManagement", "proverOf", await world.chain.call(world.signer.address, world.deployment.fleet, call)
        )
        assert (found[0], found[2]) == (address, expected), "it owns itself, and names its operator"
    await world.close()
