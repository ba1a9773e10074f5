"""The small circuit of this folder, its inputs, and snarkjs as an outside judge with the conversions it needs."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from native._native import Groth16Key
from provers.zkp.witness import Signals, WitnessCalculator
from verifier.field import R

HERE = Path(__file__).parent
SNARKJS = HERE.parents[1] / "node_modules" / ".bin" / "snarkjs"

INPUTS: Signals = {"factors": [2, 5, 6, 7, 8], "limit": 4, "tag": 99}
"""Satisfies `small.circom`: the product is 3360 and (limit - 2)^2 = limit."""
SIGNALS = [3360, 4, 99]


@dataclass(frozen=True)
class Circuit:
    """`small.circom` compiled by circom2 0.2.23 with `--r1cs --wasm --O1`."""

    r1cs: bytes
    calculator: WitnessCalculator
    witness: bytes
    initial: Groth16Key
    key: Groth16Key


def words(values: list[int]) -> bytes:
    """32 big-endian bytes each."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def wtns(witness: bytes) -> bytes:
    """A witness as iden3's `.wtns` file."""
    header = struct.pack("<I", 32) + R.to_bytes(32, "little") + struct.pack("<I", len(witness) // 32)
    sections = struct.pack("<IQ", 1, len(header)) + header + struct.pack("<IQ", 2, len(witness)) + witness
    return b"wtns" + struct.pack("<II", 2, 2) + sections


def snarkjs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run snarkjs; its exit status says yes or no."""
    return subprocess.run([SNARKJS, *arguments], capture_output=True, text=True, timeout=120, check=False)


def _number(data: bytes, word: int) -> str:
    return str(int.from_bytes(data[word * 32 : word * 32 + 32], "big"))


def _g1(data: bytes, word: int) -> list[str]:
    return [_number(data, word), _number(data, word + 1), "1"]


def _g2(data: bytes, word: int) -> list[list[str]]:
    x, y = [[_number(data, word + at + 1), _number(data, word + at)] for at in (0, 2)]
    return [x, y, ["1", "0"]]


def verification_key_json(abi: bytes) -> str:
    """snarkjs' `verification_key.json` from our ABI encoding."""
    count = int(_number(abi, 15))
    key = {"protocol": "groth16", "curve": "bn128", "nPublic": count - 1, "vk_alpha_1": _g1(abi, 0)}
    key |= {"vk_beta_2": _g2(abi, 2), "vk_gamma_2": _g2(abi, 6), "vk_delta_2": _g2(abi, 10)}
    return json.dumps(key | {"IC": [_g1(abi, 16 + 2 * i) for i in range(count)]})


def proof_json(proof: bytes) -> str:
    """snarkjs' `proof.json` from our 256 bytes."""
    points = {"pi_a": _g1(proof, 0), "pi_b": _g2(proof, 2), "pi_c": _g1(proof, 6)}
    return json.dumps(points | {"protocol": "groth16", "curve": "bn128"})


def proof_from_json(text: str) -> bytes:
    """Our 256 bytes from snarkjs' `proof.json`."""
    proof = json.loads(text)
    g2 = [proof["pi_b"][i][j] for i in (0, 1) for j in (1, 0)]
    return words([int(value) for value in [*proof["pi_a"][:2], *g2, *proof["pi_c"][:2]]])
