"""Our signatures, checked by circomlibjs under Node."""

from __future__ import annotations

import json
import subprocess

from provers.zkp.circuits.build import ROOT
from verifier import babyjubjub as curve
from verifier.field import R

SCRIPT = ROOT / "tests" / "vectors" / "circomlibjs.mjs"


def node(*arguments: str, text: str = "") -> str:
    command = ["node", str(SCRIPT), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_circomlibjs_accepts_our_signatures_and_refuses_changed_ones() -> None:
    rows = []
    for i in range(8):
        secret, m = bytes([i]) * 32, (0, R - 1, 7**80 % R)[i % 3]
        key, signature = curve.public_key(secret), curve.sign(secret, m)
        x, y = (str(int.from_bytes(part, "big")) for part in (key[:32], key[32:]))
        for message in (m, (m + 1) % R):
            rows.append({"x": x, "y": y, "m": str(message), "signature": signature.hex()})
    assert json.loads(node("verify", text=json.dumps(rows))) == [True, False] * 8


def test_the_stored_vectors_are_what_the_script_prints() -> None:
    assert node() == (SCRIPT.parent / "circomlibjs.json").read_text("utf-8")
