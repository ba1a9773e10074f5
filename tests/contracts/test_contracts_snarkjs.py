"""A key and a proof of circom and snarkjs, tools that share no code with ours, settle on chain."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from tests.contracts.chain_client import event
from tests.contracts.groth16_simulator import encode_key, encode_proof
from tests.contracts.world import DEVICE_SET, ZKP, Claim, World, address
from verifier import bindings as b
from verifier.completeness import Completeness
from verifier.contracts.compile import NODE_MODULES, node
from verifier.statement import Opening, Statement, program_id, task_id

CIRCUIT = Path(__file__).parent / "circuits" / "square_window.circom"
SECRET = 7


def tool(folder: Path, name: str, *arguments: str) -> None:
    run = subprocess.run(
        [node(), str(NODE_MODULES / ".bin" / name), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def affine1(point: list[str]) -> Any:
    return int(point[0]), int(point[1])


def affine2(point: list[list[str]]) -> Any:
    """snarkjs writes the real part first, EIP-197 the imaginary part."""
    return tuple((int(part[1]), int(part[0])) for part in point[:2])


def read_key(path: Path) -> bytes:
    key = json.loads(path.read_text())
    return encode_key(
        affine1(key["vk_alpha_1"]),
        *(affine2(key[f"vk_{name}_2"]) for name in ("beta", "gamma", "delta")),
        [affine1(point) for point in key["IC"]],
    )


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the compiled circuit, `first.zkey` before and `final.zkey` after the second phase."""
    folder = tmp_path_factory.mktemp("snarkjs")
    (folder / CIRCUIT.name).write_text(CIRCUIT.read_text())
    tool(folder, "circom2", CIRCUIT.name, "--r1cs", "--wasm")
    tool(folder, "snarkjs", "powersoftau", "new", "bn128", "5", "zero.ptau")
    tool(folder, "snarkjs", "powersoftau", "contribute", "zero.ptau", "one.ptau", "-e=test entropy")
    tool(folder, "snarkjs", "powersoftau", "prepare", "phase2", "one.ptau", "final.ptau")
    tool(folder, "snarkjs", "groth16", "setup", "square_window.r1cs", "final.ptau", "first.zkey")
    tool(folder, "snarkjs", "zkey", "contribute", "first.zkey", "final.zkey", "-e=more test entropy")
    for name in ("first", "final"):
        tool(folder, "snarkjs", "zkey", "export", "verificationkey", f"{name}.zkey", f"{name}.json")
    return folder


def prove(folder: Path, statement: Statement, world: World, opening: Opening, output: bytes) -> Claim:
    digest = int.from_bytes(statement.digest(world.domain), "big")
    inputs = {
        "digestHigh": digest >> 128,
        "digestLow": digest & (2**128 - 1),
        "projectId": statement.project_id,
        "deviceSetRoot": int.from_bytes(opening.device_set_root, "big"),
        "windowStart": opening.window_start,
        "windowEnd": opening.window_end,
        "count": opening.count,
        "secret": SECRET,
    }
    (folder / "input.json").write_text(json.dumps({name: str(value) for name, value in inputs.items()}))
    wasm = "square_window_js/square_window.wasm"
    tool(folder, "snarkjs", "groth16", "fullprove", "input.json", wasm, "final.zkey", "proof.json", "public.json")
    proof = json.loads((folder / "proof.json").read_text())
    encoded = encode_proof(affine1(proof["pi_a"]), affine2(proof["pi_b"]), affine1(proof["pi_c"]), opening)
    return Claim(statement, ZKP, output, encoded)


def test_a_snarkjs_proof_settles_and_serves_no_other_statement(world: World, set_up: Path) -> None:
    chain, deployment = world.chain, world.deployment
    key = read_key(set_up / "final.json")
    chain.send(world.stranger, deployment.groth16, b.register_verifying_key(key))
    program = b.Program(ZKP, program_id(ZKP, keccak(key)), bytes.fromhex(deployment.groth16[2:]))
    project = world.create_project(programs=(program,), dapp=bytes(20))
    completeness = Completeness(SECRET * 3, 1, 2, 3)
    opening = Opening((SECRET**2).to_bytes(32, "big"), DEVICE_SET, 1, 9, 3, completeness)
    task = task_id(project, 1, opening.window_start, opening.window_end)
    provers = [address(account) for account in world.provers]
    assignments = [b.Assignment(task, prover, b.kind_hash(ZKP), chain.now() + 10_000, 1) for prover in provers]
    world.coordinate([b.TaskRecord(project, 1, opening)], assignments)
    output = completeness.encode()
    statement = Statement(project, 1, task, opening.commitment(), keccak(output), program.program_id, provers[0])
    claim = prove(set_up, statement, world, opening, output)

    stolen = dataclasses.replace(claim, statement=dataclasses.replace(statement, prover=provers[1]))
    assert chain.refusal(world.stranger, deployment.router, stolen.data()).name == "ProofRefused"
    receipt = chain.send(world.stranger, deployment.router, claim.data())
    assert event(receipt, "TaskSettled").args["taskId"] == task


def test_a_snarkjs_key_without_its_second_phase_is_refused(world: World, set_up: Path) -> None:
    data = b.register_verifying_key(read_key(set_up / "first.json"))
    assert world.chain.refusal(world.stranger, world.deployment.groth16, data).name == "DegenerateKey"
