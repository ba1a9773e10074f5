"""Proofs through the bindings, with snarkjs as prover and as verifier; forgeries refused."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from native._native import Groth16Error, Groth16Key, groth16_verify
from tests.groth16.oracle import (
    SIGNALS,
    Circuit,
    proof_from_json,
    proof_json,
    snarkjs,
    verification_key_json,
    words,
    wtns,
)
from verifier.field import R

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""BN254's base field."""


@pytest.fixture(scope="module")
def proof(circuit: Circuit) -> bytes:
    """An honest proof."""
    return circuit.key.prove(circuit.witness, 2)[0]


def accepted(circuit: Circuit, signals: bytes, proof: bytes) -> bool:
    """Whether the proof passes; malformed counts as refused."""
    try:
        return groth16_verify(circuit.key.verifying_key_abi(), signals, proof)
    except Groth16Error as error:
        if error.args[0] == "malformed":
            return False
        raise


def test_an_honest_proof_holds(circuit: Circuit, proof: bytes) -> None:
    assert len(proof) == 256
    assert accepted(circuit, words(SIGNALS), proof)


def test_snarkjs_accepts_our_proof_and_refuses_another_signal(circuit: Circuit, proof: bytes, tmp_path: Path) -> None:
    key, points, signals = tmp_path / "key.json", tmp_path / "proof.json", tmp_path / "signals.json"
    key.write_text(verification_key_json(circuit.key.verifying_key_abi()))
    points.write_text(proof_json(proof))
    signals.write_text(json.dumps([str(signal) for signal in SIGNALS]))
    judged = snarkjs("groth16", "verify", key, signals, points)
    assert judged.returncode == 0, judged.stdout
    signals.write_text(json.dumps([str(signal) for signal in (3361, 4, 99)]))
    assert snarkjs("groth16", "verify", key, signals, points).returncode != 0


def test_snarkjs_proves_with_our_key(circuit: Circuit, tmp_path: Path) -> None:
    zkey, witness, points, signals = (tmp_path / name for name in ("k.zkey", "w.wtns", "p.json", "s.json"))
    zkey.write_bytes(circuit.key.zkey())
    witness.write_bytes(wtns(circuit.witness))
    made = snarkjs("groth16", "prove", zkey, witness, points, signals)
    assert made.returncode == 0, made.stdout
    assert [int(signal) for signal in json.loads(signals.read_text())] == SIGNALS
    assert accepted(circuit, words(SIGNALS), proof_from_json(points.read_text()))


@pytest.mark.parametrize("position", range(3))
def test_a_wrong_signal_is_refused(circuit: Circuit, proof: bytes, position: int) -> None:
    # Position 2 is a public input that no constraint mentions.
    forged = [signal + (at == position) for at, signal in enumerate(SIGNALS)]
    assert not accepted(circuit, words(forged), proof)


@pytest.mark.parametrize("position", range(3))
def test_a_signal_plus_r_is_refused(circuit: Circuit, proof: bytes, position: int) -> None:
    forged = [signal + (R if at == position else 0) for at, signal in enumerate(SIGNALS)]
    with pytest.raises(Groth16Error, match="not below the modulus"):
        groth16_verify(circuit.key.verifying_key_abi(), words(forged), proof)


@pytest.mark.parametrize("signals", [SIGNALS[:2], [*SIGNALS, 0], []])
def test_a_wrong_number_of_signals_is_refused(circuit: Circuit, proof: bytes, signals: list[int]) -> None:
    with pytest.raises(Groth16Error, match="instead of 3"):
        groth16_verify(circuit.key.verifying_key_abi(), words(signals), proof)


def test_flipped_bits_are_refused(circuit: Circuit, proof: bytes) -> None:
    seeded = random.Random(7)
    for _ in range(200):
        position, bit = seeded.randrange(256), seeded.randrange(8)
        forged = proof[:position] + bytes([proof[position] ^ 1 << bit]) + proof[position + 1 :]
        assert not accepted(circuit, words(SIGNALS), forged), (position, bit)


def test_wrong_lengths_are_refused(circuit: Circuit, proof: bytes) -> None:
    for forged in (b"", proof[:255], proof + b"\0", proof[:192]):
        with pytest.raises(Groth16Error, match="bytes instead of 256"):
            groth16_verify(circuit.key.verifying_key_abi(), words(SIGNALS), forged)


def test_rearranged_points_are_refused(circuit: Circuit, proof: bytes) -> None:
    a, b, c = proof[:64], proof[64:192], proof[192:]
    swapped_b = b[32:64] + b[:32] + b[96:] + b[64:96]  # real part first: another point, or none
    for forged in (c + b + a, a + swapped_b + c, a + b + a):
        assert not accepted(circuit, words(SIGNALS), forged)


def test_infinity_is_refused(circuit: Circuit, proof: bytes) -> None:
    for start, end in ((0, 64), (64, 192), (192, 256), (0, 256)):
        forged = proof[:start] + bytes(end - start) + proof[end:]
        with pytest.raises(Groth16Error, match="infinity"):
            groth16_verify(circuit.key.verifying_key_abi(), words(SIGNALS), forged)


def test_a_coordinate_plus_p_is_refused(circuit: Circuit, proof: bytes) -> None:
    for at in range(0, 256, 32):
        moved = int.from_bytes(proof[at : at + 32], "big") + P
        forged = proof[:at] + moved.to_bytes(32, "big") + proof[at + 32 :]
        with pytest.raises(Groth16Error, match="not below the modulus"):
            groth16_verify(circuit.key.verifying_key_abi(), words(SIGNALS), forged)


def test_a_point_off_the_curve_is_refused(circuit: Circuit, proof: bytes) -> None:
    forged = words([1, 3]) + proof[64:]
    with pytest.raises(Groth16Error, match="not on the curve"):
        groth16_verify(circuit.key.verifying_key_abi(), words(SIGNALS), forged)


def test_another_key_refuses_the_proof(circuit: Circuit, proof: bytes) -> None:
    later = circuit.key.contribute("second")
    assert not groth16_verify(later.verifying_key_abi(), words(SIGNALS), proof)
    assert groth16_verify(later.verifying_key_abi(), words(SIGNALS), later.prove(circuit.witness)[0])


def test_an_unsatisfied_witness_names_its_constraint(circuit: Circuit) -> None:
    forged = bytearray(circuit.witness)
    forged[32] ^= 1  # the product
    with pytest.raises(Groth16Error, match=r"does not satisfy constraint \d+ of 92") as caught:
        circuit.key.prove(bytes(forged))
    assert caught.value.args[0] == "unsatisfied"


def test_a_witness_of_another_size_or_range_is_refused(circuit: Circuit) -> None:
    for forged in (b"", circuit.witness[:-32], circuit.witness + bytes(32), R.to_bytes(32, "little") * 94):
        with pytest.raises(Groth16Error) as caught:
            circuit.key.prove(forged)
        assert caught.value.args[0] == "malformed"


def test_an_initial_key_cannot_prove(circuit: Circuit) -> None:
    with pytest.raises(Groth16Error) as caught:
        circuit.initial.prove(circuit.witness)
    assert caught.value.args[0] == "no-contribution"
    with pytest.raises(Groth16Error, match="delta equals gamma"):
        groth16_verify(circuit.initial.verifying_key_abi(), words(SIGNALS), bytes(256))


def test_progress_reports_and_its_exception_comes_out(circuit: Circuit) -> None:
    seen: list[tuple[str, float]] = []
    circuit.key.prove(circuit.witness, 1, lambda stage, fraction: seen.append((stage, fraction)))
    assert seen[-1] == ("b2", 1.0)
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)

    def stop(stage: str, _: float) -> None:
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError, match="constraints"):
        circuit.key.prove(circuit.witness, 1, stop)


def test_threads_share_one_key(circuit: Circuit) -> None:
    proofs: list[bytes] = []
    workers = [
        threading.Thread(target=lambda: proofs.append(circuit.key.prove(circuit.witness, 1)[0])) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(proofs)) == 4
    assert all(accepted(circuit, words(SIGNALS), proof) for proof in proofs)


@pytest.mark.parametrize("r1cs", [b"", b"r1cs", b"r1cs\x01\0\0\0\0\0\0\0"])
def test_a_file_that_is_not_an_r1cs_is_refused(r1cs: bytes) -> None:
    with pytest.raises(Groth16Error, match="r1cs file"):
        Groth16Key.setup(r1cs)
