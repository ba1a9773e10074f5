"""Stored multiples of a key's points: proofs over them hold, and files that cannot serve are made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from native._native import Groth16Error, Groth16Key, groth16_verify
from tests.groth16.oracle import SIGNALS, Circuit, words

MEMORY = 1 << 20
NAMES = {"a.msm", "b1.msm", "b2.msm", "l.msm", "h.msm"}


def holds(key: Groth16Key, witness: bytes) -> bool:
    return groth16_verify(key.verifying_key_abi(), words(SIGNALS), key.prove(witness, 1)[0])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_proof_over_tables_holds(circuit: Circuit) -> None:
    heard: list[float] = []
    key = circuit.key.with_tables(MEMORY, None, 1, lambda _stage, fraction: heard.append(fraction))
    assert circuit.key.tables == {}
    assert set(key.tables) == {"a", "b1", "b2", "l", "h"}
    assert heard[-1] == pytest.approx(1.0)
    assert holds(key, circuit.witness)
    wrong = bytearray(circuit.witness)
    wrong[32] ^= 1
    with pytest.raises(Groth16Error) as refused:
        key.prove(bytes(wrong))
    assert refused.value.args[0] == "unsatisfied"


def test_tables_in_a_folder_are_made_once(circuit: Circuit, tmp_path: Path) -> None:
    first = circuit.key.with_tables(MEMORY, tmp_path)
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(made) == NAMES
    second = circuit.key.with_tables(MEMORY, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made
    assert first.tables == second.tables
    assert holds(second, circuit.witness)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_damaged_tables_are_made_again(circuit: Circuit, tmp_path: Path, damage: str) -> None:
    circuit.key.with_tables(MEMORY, tmp_path)
    whole = contents(tmp_path)
    for path in tmp_path.iterdir():
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes({"flipped": bytes(raw), "cut": bytes(raw[:-8]), "empty": b""}[damage])
    assert holds(circuit.key.with_tables(MEMORY, tmp_path), circuit.witness)
    assert contents(tmp_path) == whole


def test_tables_of_another_key_are_not_used(circuit: Circuit, tmp_path: Path) -> None:
    other = circuit.key.contribute("second")
    other.with_tables(MEMORY, tmp_path)
    assert holds(circuit.key.with_tables(MEMORY, tmp_path), circuit.witness)
    assert holds(other.with_tables(MEMORY, tmp_path), circuit.witness)


def test_too_little_memory_is_refused_with_both_numbers(circuit: Circuit) -> None:
    with pytest.raises(Groth16Error, match="0 are allowed") as refused:
        circuit.key.with_tables(0)
    assert refused.value.args[0] == "resources"


def test_a_callback_that_raises_stops_the_making(circuit: Circuit, tmp_path: Path) -> None:
    def stop(_stage: str, _fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        circuit.key.with_tables(MEMORY, tmp_path, 1, stop)
