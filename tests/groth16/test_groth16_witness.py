"""Witnesses under wasmtime: the same as Node's, every bad input refused, the sandbox's limits hold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provers.zkp.witness import Limits, WitnessCalculator, fnv1a64
from tests.groth16.oracle import HERE, INPUTS, SIGNALS, Circuit, snarkjs, wtns
from verifier.errors import InvalidInput, Refused
from verifier.field import R

WASM = (HERE / "small.wasm").read_bytes()


def test_public_signals(circuit: Circuit) -> None:
    numbers = [int.from_bytes(circuit.witness[at : at + 32], "little") for at in range(0, 128, 32)]
    assert numbers == [1, *SIGNALS]
    assert len(circuit.witness) == 32 * circuit.key.wires == 32 * circuit.calculator.witness_size


def test_node_computes_the_same_witness(circuit: Circuit, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps(INPUTS))
    made = snarkjs("wtns", "calculate", HERE / "small.wasm", tmp_path / "input.json", tmp_path / "w.wtns")
    assert made.returncode == 0, made.stdout
    assert (tmp_path / "w.wtns").read_bytes() == wtns(circuit.witness)


def test_fnv1a64_vectors() -> None:
    # draft-eastlake-fnv, appendix C
    assert fnv1a64("") == 0xCBF29CE484222325
    assert fnv1a64("a") == 0xAF63DC4C8601EC8C
    assert fnv1a64("foobar") == 0x85944171F73967E8


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"factors": [1, 2]}, "factors"),
        ({"factors": [2, 5, 6, 7, 8, 9]}, "factors"),
        ({"tag": R}, "tag"),
        ({"tag": -1}, "tag"),
        ({"tag": True}, "tag"),
        ({"tag": "99"}, "tag"),
        ({"tag": []}, "tag"),
    ],
)
def test_bad_inputs_are_named(circuit: Circuit, change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        circuit.calculator.witness({**INPUTS, **change})  # type: ignore[dict-item]
    assert (caught.value.code, caught.value.field) == ("W3B-4003", field)


def test_a_missing_input_is_refused(circuit: Circuit) -> None:
    with pytest.raises(InvalidInput, match="6 of the circuit's 7"):
        circuit.calculator.witness({name: value for name, value in INPUTS.items() if name != "tag"})


@pytest.mark.parametrize(("change", "line"), [({"limit": 5}, "27"), ({"factors": [1 << 16, 5, 6, 7, 8]}, "21")])
def test_a_failing_assertion_names_its_line(circuit: Circuit, change: dict[str, object], line: str) -> None:
    with pytest.raises(Refused, match=f"W3B-4004.*assertion failed.*Small.*line: {line}"):
        circuit.calculator.witness({**INPUTS, **change})  # type: ignore[dict-item]


def test_a_failed_witness_leaves_nothing_behind(circuit: Circuit) -> None:
    with pytest.raises(Refused):
        circuit.calculator.witness({**INPUTS, "limit": 5})
    assert circuit.calculator.witness(INPUTS) == circuit.witness


def test_fuel_runs_out() -> None:
    # Set-up of the instance takes little; the witness takes more than this.
    with pytest.raises(Refused, match=r"W3B-4005.*fuel"):
        WitnessCalculator(WASM, limits=Limits(fuel=30_000)).witness(INPUTS)


def test_memory_runs_out() -> None:
    with pytest.raises(InvalidInput, match=r"W3B-4002.*memory"):
        WitnessCalculator(WASM, limits=Limits(memory=1 << 16))


@pytest.mark.parametrize("wasm", [b"", b"\0asm\x01\0\0\0", WASM[:-100]])
def test_a_module_that_is_not_circoms_is_refused(wasm: bytes) -> None:
    with pytest.raises(InvalidInput, match="W3B-4002"):
        WitnessCalculator(wasm)


def test_the_compiled_module_is_cached_and_damage_is_noticed(circuit: Circuit, tmp_path: Path) -> None:
    WitnessCalculator(WASM, cache=tmp_path / "cache")
    (compiled,) = (tmp_path / "cache").iterdir()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert compiled.stat().st_mode & 0o777 == 0o600
    whole, before = compiled.read_bytes(), compiled.stat().st_mtime_ns
    assert WitnessCalculator(WASM, cache=tmp_path / "cache").witness(INPUTS) == circuit.witness
    assert compiled.stat().st_mtime_ns == before
    for damaged in (whole[:-1], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], b""):
        compiled.write_bytes(damaged)
        os.utime(compiled, ns=(1, 1))
        assert WitnessCalculator(WASM, cache=tmp_path / "cache").witness(INPUTS) == circuit.witness
        assert compiled.read_bytes() == whole
