"""The sample WASM programs: the same outputs as their oracles, and what is no window of theirs is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from simulated_installations import home
from tee_windows import prover_of, quiet

from provers.programs import PROGRAMS, read_manifest
from provers.programs.temperature_window import compute
from provers.programs.vibration_classifier.make_model import MODEL, windows
from provers.programs.wasm_build import read_crate, wasm_programs
from provers.protocol import Program
from provers.tee.runtime.abi import check_output, encode_input
from provers.tee.runtime.limits import WasmLimits
from provers.tee.runtime.wasm import WasmProgram
from tests.groth16.window import KEYS, window_task
from verifier.attestation.evidence import Platform
from verifier.attestation.identity import kind_of
from verifier.completeness import COMPLETENESS_OUTPUTS
from verifier.errors import Refused
from verifier.outputs import WORD
from verifier.reading import Reading

Row = tuple[int, int, int, bytes]
"""Device's place, sequence, timestamp, payload."""
INT32 = st.integers(-(2**31), 2**31 - 1)
FIRST = 1_700_000_000_000


@cache
def program(name: str) -> WasmProgram:
    manifest = read_manifest(PROGRAMS / name)
    return WasmProgram(manifest.artifact("wasm"), WasmLimits.of(manifest.limits), cache=home(0) / "cache" / "tee")


def window(rows: Sequence[Row]) -> bytes:
    """A program's input."""
    names = [key.registration().device for key in KEYS]
    readings = [
        Reading(7, names[device], sequence, timestamp, payload, KEYS[0].key_type, bytes(64))
        for device, sequence, timestamp, payload in rows
    ]
    return encode_input(readings, {name: place for place, name in enumerate(names)})


def answer(name: str, rows: Sequence[Row]) -> list[int]:
    """The program's output words, checked against its manifest's types."""
    outputs = read_manifest(PROGRAMS / name).outputs[: -len(COMPLETENESS_OUTPUTS)]
    data = check_output(outputs, program(name).run(window(rows)))
    return [int.from_bytes(data[at : at + WORD], "big", signed=True) for at in range(0, len(data), WORD)]


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        program(name).run(data)
    return caught.value.code


def temperatures(values: Sequence[int], size: int = 4) -> list[Row]:
    return [(0, i + 1, FIRST + 1000 * i, value.to_bytes(size, "big", signed=True)) for i, value in enumerate(values)]


def samples(values: Sequence[int], device: int = 0) -> list[Row]:
    return [(device, i + 1, FIRST + i, bytes(values[4 * i : 4 * i + 4])) for i in range(len(values) // 4)]


@pytest.mark.parametrize("name", wasm_programs())
def test_manifest_says_what_the_crate_says(name: str) -> None:
    manifest, crate = read_manifest(PROGRAMS / name), read_crate(PROGRAMS / name)
    assert crate is not None
    assert manifest.kinds == tuple(kind_of(platform) for platform in Platform)
    assert manifest.outputs == (*crate.outputs, *COMPLETENESS_OUTPUTS)
    assert (manifest.name, manifest.capacity, dict(manifest.limits)) == (name, crate.capacity, dict(crate.limits))
    assert manifest.artifact("wasm").startswith(b"\0asm")


@settings(max_examples=60, deadline=None)
@given(st.lists(INT32, min_size=1, max_size=16))
def test_temperatures_have_the_circuit_program_s_output(values: list[int]) -> None:
    rows = temperatures(values)
    readings = [Reading(7, bytes(20), n, at, payload, KEYS[0].key_type, bytes(64)) for _, n, at, payload in rows]
    assert answer("temperature_wasm", rows) == list(compute(readings))


def test_one_task_has_the_same_output_under_both_kinds() -> None:
    prover = prover_of(Platform.SGX)
    prepared = prover.prepare(Program("temperature_wasm", prover.kind, PROGRAMS / "temperature_wasm"), quiet)
    task = window_task(prepared, [215, -40, 2**31 - 1, -(2**31), 0], step=3, stated=(2, 1, 3))
    proof = prover.prove(prepared, task, quiet)
    assert proof.public_output == read_manifest(PROGRAMS / "temperature_window").program().output_of(task)


@pytest.mark.parametrize("name", wasm_programs())
def test_what_is_no_window_is_refused(name: str) -> None:
    size = {"cold_chain": 2}.get(name, 4)
    whole = window(temperatures([5, 6, 7], size))
    assert program(name).run(whole)
    assert refusal(name, window([])) == "W3B-4032"
    assert refusal(name, window([(0, 1, FIRST, bytes(size + 1))])) == "W3B-4032"
    assert refusal(name, whole[:-8]) == "W3B-4032"
    assert refusal(name, whole + bytes(8)) == "W3B-4032"
    assert refusal(name, b"W3BX" + whole[4:]) == "W3B-4032"
    assert refusal(name, whole[:4] + b"\2" + whole[5:]) == "W3B-4032"
    assert refusal(name, whole[:12] + b"\xff\xff\xff\xff" + whole[16:]) == "W3B-4032"
    assert refusal(name, whole[:20] + b"\xf0\xff\xff\xff" + whole[24:]) == "W3B-4032"


def expected_state(values: Any) -> list[int]:
    state, scores = ReferenceEvaluator(str(MODEL)).run(None, {"samples": np.array([values], np.uint8)})
    return [int(state[0]), *map(int, scores[0])]


def test_vibrations_have_the_scores_of_onnx_s_reference() -> None:
    generator = np.random.default_rng(5)
    made, states = windows(generator, 40)
    right = 0
    for values, state in zip(made, states, strict=True):
        found = answer("vibration_classifier", samples(values.tolist()))
        assert found == expected_state(values)
        right += found[0] == state
    assert right >= 38
    for values in [*generator.integers(0, 256, (20, 64)), np.zeros(64, int), np.full(64, 255)]:
        assert answer("vibration_classifier", samples(values.tolist())) == expected_state(values)


def test_a_short_window_of_vibrations_is_filled_up_with_rest() -> None:
    values = [(31 * i) % 256 for i in range(20)]
    assert answer("vibration_classifier", samples(values)) == expected_state(values + [128] * 44)


def test_vibrations_of_two_machines_or_of_too_many_samples_are_refused() -> None:
    mixed = [*samples([1] * 8), *samples([2] * 8, device=1)]
    assert refusal("vibration_classifier", window(mixed)) == "W3B-4032"
    assert refusal("vibration_classifier", window(samples([1] * 68))) == "W3B-4032"


def test_the_model_is_part_of_what_is_measured() -> None:
    wasm = read_manifest(PROGRAMS / "vibration_classifier").artifact("wasm")
    assert MODEL.read_bytes() in wasm


@cache
def cold_chain_source() -> Any:
    """The Python program under CPython."""
    path = PROGRAMS / "cold_chain" / "program.py"
    spec = importlib.util.spec_from_file_location("cold_chain_program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**12), st.integers(-60, 160)), min_size=1, max_size=16))
def test_the_python_program_does_what_cpython_does(drawn: list[tuple[int, int, int]]) -> None:
    rows: list[Row] = [
        (device, i + 1, FIRST + at, value.to_bytes(2, "big", signed=True))
        for i, (device, at, value) in enumerate(sorted(drawn))
    ]
    readings = [_Given(device, sequence, timestamp, payload) for device, sequence, timestamp, payload in rows]
    assert answer("cold_chain", rows) == cold_chain_source().compute(3, readings)


class _Given:
    """A reading as the program sees it."""

    def __init__(self, device: int, sequence: int, timestamp: int, payload: bytes) -> None:
        self.device, self.sequence, self.timestamp, self.payload = device, sequence, timestamp, payload


def test_the_python_source_is_part_of_what_is_measured() -> None:
    wasm = read_manifest(PROGRAMS / "cold_chain").artifact("wasm")
    assert (PROGRAMS / "cold_chain" / "program.py").read_bytes() in wasm


def test_every_run_of_a_program_is_the_same() -> None:
    rows = temperatures([20, 90, -5, 85], 2)
    assert len({tuple(answer("cold_chain", rows)) for _ in range(5)}) == 1


def folders_with_sources() -> list[Path]:
    return sorted(path.parent for path in PROGRAMS.glob("*/Cargo.toml"))


def test_no_build_folder_lies_among_the_programs() -> None:
    assert not [folder for folder in (PROGRAMS, *folders_with_sources()) if (folder / "target").exists()]
