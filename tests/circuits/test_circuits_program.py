"""The committed program: honest windows give what Python computes, no wire is loose, a rebuild gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provers.programs import PROGRAMS, CircuitInputs, Manifest, read_manifest
from provers.programs.temperature_window import circuit_inputs, compute, output_of, public_output
from provers.protocol import ProvingTask
from provers.zkp.circuits.build import Built, constants
from provers.zkp.circuits.build import manifest as manifest_text
from provers.zkp.witness import WitnessCalculator
from tests.circuits.conftest import Attack, Compiled
from tests.circuits.r1cs import R1cs, witness_values
from tests.circuits.window_task import CAPACITY, DEVICES, key, reading, task, with_opening
from verifier.completeness import Completeness
from verifier.errors import InvalidInput, Refused
from verifier.field import R
from verifier.reading import DeviceKey, KeyType
from verifier.signals import public_signals

LEAST, GREATEST = -(1 << 31), (1 << 31) - 1
WINDOWS = [
    [(0, 0, 0)],
    [(4, 2**64 - 1, LEAST)],
    [(0, 5, GREATEST), (0, 6, LEAST), (3, 0, -1), (4, 2**64 - 1, 1)],
    [(i % 5, i, LEAST) for i in range(CAPACITY)],
    [(i % 5, 2**63 + i, GREATEST) for i in range(CAPACITY)],
    [(2, i, (-1) ** i * i * 10**8) for i in range(CAPACITY)],
    [(2, 3 * i * i, 1) for i in range(CAPACITY - 1)],
    [(1, 0, 1), (1, 2**63, 1)],
    [(1, 0, 1), (1, 2**63 + 1, 1)],
    [(i // 2, i % 2 * (2**64 - 1), 1) for i in range(2 * len(DEVICES))],
]


def skipped(rows: Sequence[tuple[int, int, int]]) -> int:
    """`missing` by its definition: what lies between a device's lowest and highest number and is not there."""
    total = 0
    for device in {row[0] for row in rows}:
        numbers = {row[1] for row in rows if row[0] == device}
        total += max(numbers) - min(numbers) + 1 - len(numbers)
    return min(total, 2**63 - 1)


def digest_of(window: ProvingTask) -> bytes:
    return window.statement(keccak(output_of(window))).digest(window.domain)


def inputs_of(window: ProvingTask) -> CircuitInputs:
    return circuit_inputs(window, digest_of(window))


@pytest.mark.parametrize("rows", WINDOWS, ids=len)
def test_an_honest_window_has_the_public_signals_of_its_statement(
    circuit: R1cs, calculator: WitnessCalculator, rows: Sequence[tuple[int, int, int]]
) -> None:
    stated = (3, 0, len(rows) - 1)
    window = task([reading(*row) for row in rows], arrival=stated)
    witness = witness_values(calculator.witness(inputs_of(window)))
    values = [value for _, _, value in rows]
    completeness = Completeness(skipped(rows), *stated)
    output = public_output((len(values), sum(values), min(values), max(values)), completeness)
    assert output_of(window) == output
    assert witness[1:17] == public_signals(digest_of(window), window.opening, window.project_id, output)
    assert circuit.violated(witness) == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2**64 - 1), st.integers(LEAST, GREATEST)),
        min_size=1,
        max_size=CAPACITY,
        unique_by=lambda row: row[:2],
    )
)
def test_any_window_agrees_with_python(calculator: WitnessCalculator, rows: list[tuple[int, int, int]]) -> None:
    window = task([reading(*row) for row in rows])
    witness = witness_values(calculator.witness(inputs_of(window)))
    output = public_output(compute(window.readings), Completeness(skipped(rows)))
    assert witness[1:17] == public_signals(digest_of(window), window.opening, window.project_id, output)


@pytest.mark.parametrize("shift", [1, R - 1, 1 << 31, 1 << 32, 1 << 64], ids=str)
@pytest.mark.parametrize("count", [1, 5, CAPACITY])
def test_no_wire_can_move_alone(circuit: R1cs, calculator: WitnessCalculator, count: int, shift: int) -> None:
    window = task([reading(i % 5, 10 + i, 1000 - 300 * i) for i in range(count)])
    witness = witness_values(calculator.witness(inputs_of(window)))
    assert circuit.free_wires(witness, shift) == []


def test_the_forcing_harness_passes_honest_windows(attack: Attack) -> None:
    window = task([reading(i % 5, 10 + i, 1000 - 300 * i) for i in range(7)])
    assert attack.broken(inputs_of(window)) == []


def test_a_rebuild_gives_the_committed_bytes(manifest: Manifest, rebuilt: Compiled) -> None:
    r1cs = (rebuilt.folder / "temperature_window.r1cs").read_bytes()
    wasm = (rebuilt.folder / "temperature_window_js" / "temperature_window.wasm").read_bytes()
    for name, data in (("r1cs", r1cs), ("wasm", wasm)):
        assert hashlib.sha256(data).hexdigest() == manifest.artifacts[name][1]
    text = (PROGRAMS / "temperature_window" / "program.toml").read_text("utf-8")
    assert manifest_text("temperature_window", Built(r1cs, wasm, "0.2.23")) == text


def test_the_generated_constants_are_committed() -> None:
    for path, text in constants().items():
        assert path.read_text("utf-8") == text


def test_the_circuit_fits_the_domain(circuit: R1cs, manifest: Manifest) -> None:
    """Groth16's domain holds the constraints and one row for each public signal and the constant."""
    assert len(circuit.constraints) + manifest.public_signals + 1 <= 1 << 17


def test_a_changed_artifact_is_refused(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("program")
    for file in ("program.toml", "temperature_window.wasm"):
        (folder / file).write_bytes((PROGRAMS / "temperature_window" / file).read_bytes())
    changed = read_manifest(folder)
    assert changed.artifact("wasm") == manifest.artifact("wasm")
    data = bytearray((folder / "temperature_window.wasm").read_bytes())
    data[1000] ^= 1
    (folder / "temperature_window.wasm").write_bytes(data)
    for name in ("wasm", "r1cs", "zkey"):
        with pytest.raises(InvalidInput, match="W3B-4022"):
            changed.artifact(name)
    (folder / "program.toml").write_text("name = ")
    with pytest.raises(InvalidInput, match="W3B-4022"):
        read_manifest(folder)


def test_inputs_are_refused_before_the_circuit_runs() -> None:
    window = task([reading(0, 1, 5), reading(1, 2, 6)])
    digest = digest_of(window)
    stranger = key(99).sign(7, 1, 1, bytes(4))
    ecdsa = DeviceKey.from_private(KeyType.P256, bytes(31) + b"\x05")
    other = task([reading(0, 1, 5)])
    wide = DeviceKey.from_private(KeyType.BABYJUBJUB, (1).to_bytes(32, "big")).sign(7, 1, 1, bytes(5))
    cases: list[tuple[ProvingTask, str]] = [
        (replace(window, readings=window.readings[::-1]), "W3B-4021"),
        (replace(window, readings=()), "W3B-4021"),
        (replace(window, readings=(window.readings[0],) * 2), "W3B-1005"),
        (replace(window, readings=(stranger,)), "W3B-1004"),
        (replace(window, readings=(reading(0, 1, 5, project=8), window.readings[1])), "W3B-4021"),
        (replace(window, readings=(wide,)), "W3B-1007"),
        (replace(window, opening=other.opening), "W3B-4021"),
        (with_opening(window, device_set_root=bytes(32)), "W3B-4021"),
        (with_opening(window, window_end=101), "W3B-4021"),
        (with_opening(window, window_start=0), "W3B-4021"),
        (with_opening(window, completeness=Completeness(missing=1)), "W3B-4021"),
        (with_opening(window, completeness=Completeness(duplicates=39)), "W3B-4021"),
        (with_opening(window, completeness=Completeness(late=1)), "W3B-4021"),
        (with_opening(window, completeness=Completeness(reordered=3)), "W3B-4021"),
        (task([ecdsa.sign(7, 1, 1, bytes(4))], (*DEVICES, ecdsa.registration())), "W3B-4021"),
    ]
    for case, code in cases:
        with pytest.raises((InvalidInput, Refused), match=code):
            circuit_inputs(case, digest)
    with pytest.raises(InvalidInput, match="W3B-4021"):
        compute(())
