"""Keys that snarkjs made, on both curves: our proofs pass snarkjs, batches find every false proof, bad files are refused.

The keys are the crate's vectors (native/groth16/tests/vectors); snarkjs judges every proof with the key it exports.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from native._native import (
    Groth16Error,
    Groth16ImportedKey,
    Groth16Key,
    groth16_verify,
    groth16_verify_batch,
)
from tests.groth16.oracle import SIGNALS as SMALL_SIGNALS
from tests.groth16.oracle import Circuit, snarkjs, words, wtns

VECTORS = Path(__file__).parents[2] / "native" / "groth16" / "tests" / "vectors"
SIGNALS = [112, 30, 99]
TAG = 3
"""The wire of `tag`, which no constraint mentions: every value of it satisfies the circuit."""


@dataclass(frozen=True)
class Vector:
    """One curve's files and its encoding."""

    prime: str
    curve: str
    coordinate: int
    modulus: int

    def file(self, ending: str) -> bytes:
        return (VECTORS / f"{self.prime}.{ending}").read_bytes()

    def key(self) -> Groth16ImportedKey:
        return Groth16Key.from_zkey(self.file("zkey"))

    def words(self) -> bytes:
        """The witness without the file around it."""
        return self.file("wtns")[76:]

    def claim(self, key: Groth16ImportedKey, tag: int) -> tuple[bytes, bytes]:
        """Signals and an honest proof of the witness with another tag."""
        witness = self.words()
        changed = witness[: TAG * 32] + tag.to_bytes(32, "little") + witness[(TAG + 1) * 32 :]
        return words([*SIGNALS[:2], tag]), key.prove(changed, 2)[0]

    def proof_json(self, proof: bytes) -> str:
        size = self.coordinate
        x = [str(int.from_bytes(proof[at : at + size], "big")) for at in range(0, len(proof), size)]
        points = {"pi_a": [*x[:2], "1"], "pi_b": [[x[3], x[2]], [x[5], x[4]], ["1", "0"]], "pi_c": [*x[6:], "1"]}
        return json.dumps(points | {"protocol": "groth16", "curve": self.prime})


BN254 = Vector("bn128", "bn254", 32, 21888242871839275222246405745257275088548364400416034343698204186575808495617)
BLS12_381 = Vector(
    "bls12381", "bls12-381", 48, 52435875175126190479447740508185965837690552500527637822603658699938581184513
)


@pytest.fixture(params=[BN254, BLS12_381], ids=["bn254", "bls12-381"])
def vector(request: pytest.FixtureRequest) -> Vector:
    found: Vector = request.param
    return found


def test_snarkjs_accepts_our_proof_from_its_own_key(vector: Vector, tmp_path: Path) -> None:
    zkey = VECTORS / f"{vector.prime}.zkey"
    proof, stages = Groth16Key.from_zkey(zkey).prove_wtns(vector.file("wtns"), 2)
    assert len(proof) == 8 * vector.coordinate
    assert [stage for stage, _ in stages] == ["constraints", "quotient", "h", "l", "a", "b1", "b2"]
    key, points, signals = tmp_path / "key.json", tmp_path / "proof.json", tmp_path / "signals.json"
    assert snarkjs("zkey", "export", "verificationkey", zkey, key).returncode == 0
    points.write_text(vector.proof_json(proof))
    signals.write_text(json.dumps([str(signal) for signal in SIGNALS]))
    judged = snarkjs("groth16", "verify", key, signals, points)
    assert judged.returncode == 0, judged.stdout
    signals.write_text(json.dumps([str(signal) for signal in (113, 30, 99)]))
    assert snarkjs("groth16", "verify", key, signals, points).returncode != 0


def test_a_fresh_snarkjs_key_proves(vector: Vector, tmp_path: Path) -> None:
    """Everything but the circuit made now: powers of tau, set-up, a contribution and its export."""
    (tmp_path / "v.r1cs").write_bytes(vector.file("r1cs"))
    place = {name: tmp_path / name for name in ("0.ptau", "1.ptau", "2.ptau", "0.zkey", "1.zkey", "v.r1cs")}
    curve = {"bn254": "bn128"}.get(vector.curve, vector.curve)
    for step in (
        ("powersoftau", "new", curve, "4", place["0.ptau"]),
        ("powersoftau", "contribute", place["0.ptau"], place["1.ptau"], "--name=test", "-e=test"),
        ("powersoftau", "prepare", "phase2", place["1.ptau"], place["2.ptau"]),
        ("groth16", "setup", place["v.r1cs"], place["2.ptau"], place["0.zkey"]),
        ("zkey", "contribute", place["0.zkey"], place["1.zkey"], "--name=test", "-e=test"),
    ):
        made = snarkjs(*step)
        assert made.returncode == 0, made.stdout
    key = Groth16Key.from_zkey(place["1.zkey"], vector.file("r1cs"))
    proof, _ = key.prove(vector.words())
    assert groth16_verify(key.verifying_key(), words(SIGNALS), proof, vector.curve)


def test_a_key_tells_what_it_is(vector: Vector) -> None:
    key = Groth16Key.from_zkey(vector.file("zkey"), r1cs=vector.file("r1cs"), threads=1)
    assert (key.curve, key.wires, key.signals, key.domain) == (vector.curve, 9, 3, 16)
    assert (key.contributions, key.names_constraints, vector.key().names_constraints) == (1, True, False)
    assert len(key.sha256) == 32
    assert vector.curve in repr(key)
    # alpha and four ic in G1, beta, gamma and delta in G2; the ABI adds an offset and a length.
    assert len(key.verifying_key()) == 22 * vector.coordinate + (64 if vector == BN254 else 0)


def test_a_broken_witness_is_refused(vector: Vector) -> None:
    witness = bytearray(vector.words())
    witness[32] ^= 1  # the product
    with pytest.raises(Groth16Error, match="does not hold under its own key") as caught:
        vector.key().prove(bytes(witness))
    assert caught.value.args[0] == "unsatisfied"
    with pytest.raises(Groth16Error, match=r"does not satisfy constraint \d of 6") as caught:
        Groth16Key.from_zkey(vector.file("zkey"), vector.file("r1cs")).prove(bytes(witness))
    assert caught.value.args[0] == "unsatisfied"


def test_an_initial_key_cannot_prove(vector: Vector) -> None:
    key = Groth16Key.from_zkey(vector.file("initial.zkey"))
    with pytest.raises(Groth16Error) as caught:
        key.prove_wtns(vector.file("wtns"))
    assert caught.value.args[0] == "no-contribution"
    with pytest.raises(Groth16Error, match="delta equals gamma"):
        groth16_verify(key.verifying_key(), words(SIGNALS), bytes(8 * vector.coordinate), vector.curve)


@pytest.mark.parametrize("cut", [0, 4, 11, 100, 3000, -1])
def test_a_cut_zkey_is_refused(vector: Vector, cut: int) -> None:
    with pytest.raises(Groth16Error, match="zkey file") as caught:
        Groth16Key.from_zkey(vector.file("zkey")[:cut])
    assert caught.value.args[0] == "malformed"


def test_a_zkey_of_a_huge_circuit_is_refused_at_once(vector: Vector) -> None:
    """The header claims 2^32 - 1 wires over a domain of 2^24; the sections do not hold them."""
    file = bytearray(vector.file("zkey"))
    numbers = 12 + 12 + 4 + 12 + 8 + vector.coordinate + 32
    assert int.from_bytes(file[numbers : numbers + 4], "little") == 9
    file[numbers : numbers + 4] = b"\xff" * 4
    file[numbers + 8 : numbers + 12] = (1 << 24).to_bytes(4, "little")
    with pytest.raises(Groth16Error, match=r"section has .* not 4294967295 values"):
        Groth16Key.from_zkey(bytes(file))


def test_other_files_are_refused(vector: Vector, tmp_path: Path) -> None:
    other = BLS12_381 if vector == BN254 else BN254
    with pytest.raises(Groth16Error, match="does not start with"):
        Groth16Key.from_zkey(vector.file("r1cs"))
    with pytest.raises(Groth16Error, match="its field is not the curve's"):
        Groth16Key.from_zkey(vector.file("zkey"), other.file("r1cs"))
    with pytest.raises(Groth16Error, match="its field is not the key's"):
        vector.key().prove_wtns(other.file("wtns"))
    with pytest.raises(Groth16Error) as caught:
        Groth16Key.from_zkey(tmp_path / "none.zkey")
    assert caught.value.args[0] == "io"
    with pytest.raises(TypeError):
        Groth16Key.from_zkey(7)  # type: ignore[arg-type]


def test_progress_reports_and_its_exception_comes_out(vector: Vector) -> None:
    def stop(stage: str, _: float) -> None:
        raise InterruptedError(stage)

    key = vector.key()
    with pytest.raises(InterruptedError, match="constraints"):
        key.prove_wtns(vector.file("wtns"), 1, stop)
    with pytest.raises(InterruptedError, match="decode"):
        groth16_verify_batch(key.verifying_key(), [vector.claim(key, 1)], 1, stop, vector.curve)


def test_an_honest_batch_has_no_refusal(vector: Vector) -> None:
    key = vector.key()
    claims = [vector.claim(key, tag) for tag in range(10)]
    assert groth16_verify_batch(key.verifying_key(), claims, threads=2, curve=vector.curve) == {}
    assert groth16_verify_batch(key.verifying_key(), claims * 2, curve=vector.curve) == {}
    assert groth16_verify_batch(key.verifying_key(), [], curve=vector.curve) == {}


def test_a_batch_names_every_false_proof_and_why(vector: Vector) -> None:
    key = vector.key()
    claims = [vector.claim(key, tag) for tag in range(9)]
    g1, g2 = 2 * vector.coordinate, 4 * vector.coordinate
    (signals, proof), batch = claims[0], list(claims)
    batch[1] = (claims[2][0], claims[1][1])  # another claim's signals
    batch[3] = (claims[3][0], proof[:g1] + claims[3][1][g1:])  # another proof's a
    batch[4] = (signals, proof[:-1])
    batch[5] = (words([vector.modulus, *SIGNALS[1:]]), proof)
    batch[6] = (signals, proof[:g1] + bytes(g2) + proof[g1 + g2 :])
    batch[7] = (signals[:32], proof)
    refused = groth16_verify_batch(key.verifying_key(), batch, curve=vector.curve)
    assert list(refused) == [1, 3, 4, 5, 6, 7]
    reasons = ["does not hold"] * 2 + ["bytes instead of", "not below the modulus", "infinity", "1 instead of 3"]
    for reason, expected in zip(refused.values(), reasons, strict=True):
        assert expected in reason


def test_proofs_of_another_key_are_all_refused(vector: Vector) -> None:
    key, initial = vector.key(), bytearray(vector.key().verifying_key())
    claims = [vector.claim(key, tag) for tag in range(3)]
    start = 2 * vector.coordinate  # beta and gamma change places: a key that never was
    size = 4 * vector.coordinate
    beta, gamma = initial[start : start + size], initial[start + size : start + 2 * size]
    initial[start : start + 2 * size] = gamma + beta
    refused = groth16_verify_batch(bytes(initial), claims, curve=vector.curve)
    assert refused == dict.fromkeys(range(3), "the proof does not hold")


def test_the_wrong_curve_is_refused(vector: Vector) -> None:
    key = vector.key()
    signals, proof = vector.claim(key, 1)
    other = "bn254" if vector == BLS12_381 else "bls12-381"
    with pytest.raises(Groth16Error, match="verifying key"):
        groth16_verify(key.verifying_key(), signals, proof, other)
    with pytest.raises(Groth16Error, match="verifying key"):
        groth16_verify_batch(key.verifying_key(), [(signals, proof)], curve=other)
    with pytest.raises(Groth16Error, match="neither"):
        groth16_verify(key.verifying_key(), signals, proof, "bn256")


def test_our_own_key_comes_back_as_a_zkey(circuit: Circuit) -> None:
    key = Groth16Key.from_zkey(circuit.key.zkey(), circuit.r1cs)
    assert key.verifying_key() == circuit.key.verifying_key_abi()
    proofs = [key.prove(circuit.witness)[0], circuit.key.prove_wtns(wtns(circuit.witness))[0]]
    claims = [(words(SMALL_SIGNALS), proof) for proof in proofs]
    assert groth16_verify_batch(circuit.key.verifying_key_abi(), claims) == {}
