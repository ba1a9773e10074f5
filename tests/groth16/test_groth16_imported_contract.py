"""A proof of ours from a key that snarkjs made passes the contract on chain, and a forged one does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak

from native._native import Groth16Key
from tests.contracts.conftest import chain, test_abi, world  # noqa: F401  fixtures
from tests.contracts.test_contracts_snarkjs import SECRET, read_key, set_up, tool  # noqa: F401
from tests.contracts.world import DEVICE_SET, ZKP, World, address
from verifier import bindings as b
from verifier.completeness import Completeness
from verifier.groth16 import Groth16Proof
from verifier.statement import Opening, Statement, program_id, task_id


@pytest.mark.parametrize("chain", ["anvil"], indirect=True)
def test_the_contract_accepts_our_proof_from_a_snarkjs_key(world: World, set_up: Path) -> None:  # noqa: F811
    key = Groth16Key.from_zkey(set_up / "final.zkey", (set_up / "square_window.r1cs").read_bytes())
    encoded = key.verifying_key()
    assert encoded == read_key(set_up / "final.json")
    world.chain.send(world.stranger, world.deployment.groth16, b.register_verifying_key(encoded))
    completeness = Completeness(SECRET * 3, 1, 2, 3)
    opening = Opening((SECRET**2).to_bytes(32, "big"), DEVICE_SET, 1, 9, 3, completeness)
    output = completeness.encode()
    task = task_id(7, 1, opening.window_start, opening.window_end)
    program = program_id(ZKP, keccak(encoded))
    statement = Statement(7, 1, task, opening.commitment(), keccak(output), program, address(world.provers[0]))
    digest = int.from_bytes(statement.digest(world.domain), "big")
    inputs = {
        "digestHigh": digest >> 128,
        "digestLow": digest & (2**128 - 1),
        "projectId": 7,
        "deviceSetRoot": int.from_bytes(DEVICE_SET, "big"),
        "windowStart": 1,
        "windowEnd": 9,
        "count": 3,
        "secret": SECRET,
    }
    (set_up / "ours.json").write_text(json.dumps({name: str(value) for name, value in inputs.items()}))
    wasm = "square_window_js/square_window.wasm"
    tool(set_up, "snarkjs", "wtns", "calculate", wasm, "ours.json", "ours.wtns")
    points, _ = key.prove_wtns((set_up / "ours.wtns").read_bytes(), 2)

    def verdict(proof: bytes) -> bool | b.Revert:
        data = b.verify(statement, output, Groth16Proof(proof, opening).encode())
        answer = world.chain.call(world.deployment.groth16, data, world.deployment.router, 2_000_000)
        return answer if isinstance(answer, b.Revert) else bool(decode(["bool"], answer)[0])

    assert verdict(points) is True
    assert verdict(points[192:] + points[64:192] + points[:64]) is False  # a and c exchanged
    twisted = verdict(points[:63] + bytes([points[63] ^ 1]) + points[64:])  # a off the curve
    assert isinstance(twisted, b.Revert)
    assert twisted.name == "InvalidProofPoint"
