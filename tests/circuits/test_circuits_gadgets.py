"""Each gadget alone, against the Python reference, at its edges and with witnesses that no calculator would make."""

from __future__ import annotations

import random

import pytest

from provers.programs.window import signature_digits
from provers.zkp.circuits.constants import torsion_points
from tests.circuits.conftest import Gadget
from verifier import babyjubjub as curve
from verifier.errors import Refused
from verifier.field import R, inverse
from verifier.poseidon import poseidon

RANDOM = random.Random(20261121)
T = torsion_points()
"""0, T, 2T, .., 7T."""


def test_bits_accepts_exactly_the_number_itself(gadget: Gadget) -> None:
    bits = gadget("bits", "Bits(4)")
    for number in [*range(40), R - 1, R - 16]:
        for pattern in range(16):
            witness = [0] * bits.r1cs.wires
            witness[0] = 1
            witness[bits.wires["in"]] = number
            for i in range(4):
                witness[bits.wires[f"out[{i}]"]] = pattern >> i & 1
            assert (bits.r1cs.violated(witness) == []) == (number == pattern)


@pytest.mark.parametrize(
    "number", [0, 1, 2, R - 1, R - 2, 1 << 253, (1 << 253) - 1, curve.L, *(RANDOM.randrange(R) for _ in range(8))]
)
def test_canonical_bits_spell_the_number_and_no_alias(gadget: Gadget, number: int) -> None:
    bits = gadget("bits", "CanonicalBits()")
    witness = bits.solve({"in": number})
    assert bits.r1cs.violated(witness) == []
    assert sum(b << i for i, b in enumerate(bits.signals(witness, "out", 254))) == number
    alias = number + R
    if alias < 1 << 254:
        matched = 1
        for i in range(253, -1, -1):
            bit = alias >> i & 1
            matched = matched * bit if (R - 1) >> i & 1 else matched
            witness[bits.wires[f"out[{i}]"]] = bit
            witness[bits.wires[f"matched[{i}]"]] = matched
        assert bits.r1cs.violated(witness) != []


def test_at_least_agrees_with_integers(gadget: Gadget) -> None:
    at_least = gadget("bits", "AtLeast(3)")
    for a in range(8):
        for b in range(8):
            witness = at_least.solve({"a": a, "b": b})
            assert witness[at_least.wires["out"]] == (a >= b)
            witness[at_least.wires["out"]] ^= 1
            assert at_least.r1cs.violated(witness) != []


def test_is_zero_has_one_witness(gadget: Gadget) -> None:
    is_zero = gadget("bits", "IsZero()")
    for number in (0, 1, 7, R - 1, 1 << 200):
        honest = is_zero.solve({"in": number})
        assert honest[is_zero.wires["out"]] == (number == 0)
        right = honest[is_zero.wires["inverse"]]
        for out in (0, 1, 2, R - 1):
            for hint in {0, 1, right, right + 1, R - 1}:
                witness = [*honest]
                witness[is_zero.wires["out"]], witness[is_zero.wires["inverse"]] = out, hint
                assert (is_zero.r1cs.violated(witness) == []) == (witness == honest)


def test_capped_is_the_smaller_number(gadget: Gadget) -> None:
    capped = gadget("bits", "Capped(6, 3)")
    for number in range(64):
        witness = capped.solve({"in": number})
        assert witness[capped.wires["out"]] == min(number, 7)
        assert capped.loose(witness) == set()
        for other in {number, 0, 6, 7, 8, R - 1} - {min(number, 7)}:
            witness[capped.wires["out"]] = other
            assert capped.r1cs.violated(witness) != []
    for number in (64, R - 1, R - 64):
        with pytest.raises(Refused):
            capped.solve({"in": number})


@pytest.mark.parametrize("inputs", [2, 3, 5])
def test_poseidon_is_the_reference(gadget: Gadget, inputs: int) -> None:
    circuit = gadget("poseidon", f"Poseidon({inputs})")
    for values in ([0] * inputs, [R - 1] * inputs, [RANDOM.randrange(R) for _ in range(inputs)]):
        witness = circuit.solve({"in": values})
        assert witness[circuit.wires["out"]] == poseidon(values)
        assert circuit.r1cs.violated(witness) == []


def points() -> list[curve.Affine]:
    """Points of every class: multiples of B8 plus multiples of T."""
    base = [curve.IDENTITY, curve.B8, curve.negate(curve.B8), curve.multiply_base(RANDOM.randrange(curve.L))]
    return [curve.add(p, t) for p in base for t in T]


def test_edwards_laws_are_complete(gadget: Gadget) -> None:
    add, double = gadget("edwards", "EdwardsAdd()"), gadget("edwards", "EdwardsDouble()")
    for p in points():
        witness = double.solve({"p": list(p)})
        assert tuple(double.signals(witness, "out", 2)) == curve.double(p)
        assert double.loose(witness) == set()
        for q in [*RANDOM.sample(points(), 6), p, curve.negate(p), curve.IDENTITY]:
            witness = add.solve({"p": list(p), "q": list(q)})
            assert tuple(add.signals(witness, "out", 2)) == curve.add(p, q)
            assert add.loose(witness) == set()


def test_on_curve_refuses_other_points(gadget: Gadget) -> None:
    circuit = gadget("edwards", "OnCurve()")
    for p in points():
        circuit.solve({"point": list(p)})
        with pytest.raises(Refused):
            circuit.solve({"point": [p[0], (p[1] + 1) % R]})


def edwards(point: tuple[int, ...]) -> curve.Affine:
    u, v = point
    return u * inverse(v) % R, (u - 1) * inverse(u + 1) % R


EDGES = [
    0,
    1,
    2,
    3,
    R - 1,
    R - 2,
    1 << 253,
    (1 << 253) - 1,
    curve.L,
    curve.L - 1,
    curve.L + 1,
    2 * curve.L,
    4 * curve.L,
]
EDGES += [7 * curve.L, 7 * curve.L + 1, 7 * curve.L - 1, (curve.L - 1) // 2, (curve.L + 1) // 2, 2 * curve.L + 3]


@pytest.mark.parametrize("h", EDGES + [RANDOM.randrange(R) for _ in range(6)])
def test_variable_base_meets_no_exception(gadget: Gadget, h: int) -> None:
    """Scalars that drive an ordinary double-and-add through equal and opposite points have exactly one witness."""
    circuit = gadget("eddsa", "VariableBase()")
    q = curve.multiply_base(RANDOM.randrange(1, curve.L))
    witness = circuit.solve({"q": list(q), "h": [h >> i & 1 for i in range(254)]})
    expected = curve.add(curve.multiply(q, (h | 1) % curve.L), T[5 if h >> 1 & 1 else 3])
    assert edwards(tuple(circuit.signals(witness, "out", 2))) == expected
    assert circuit.loose(witness) == set()


@pytest.mark.parametrize(
    "s", [0, 1, 2, curve.L - 1, curve.L - 2, 8**83, *(RANDOM.randrange(curve.L) for _ in range(6))]
)
def test_fixed_base_adds_every_scalar(gadget: Gadget, s: int) -> None:
    circuit = gadget("eddsa", "FixedBase()")
    start = curve.add(curve.multiply_base(s * 3), T[3])
    u = (1 + start[1]) * inverse((1 - start[1]) % R) % R
    witness = circuit.solve({"in": [u, u * inverse(start[0]) % R], "digit": signature_digits(s)})
    assert edwards(tuple(circuit.signals(witness, "out", 2))) == curve.add(start, curve.multiply_base(s))
    assert circuit.loose(witness) == set()


@pytest.mark.parametrize("s", [0, 1, 2, curve.L - 1, *(RANDOM.randrange(curve.L) for _ in range(20))])
def test_signature_digits_spell_the_scalar_modulo_l(s: int) -> None:
    digits = signature_digits(s)
    value = 0
    for k in range(84):
        e0, e1, sign = digits[3 * k : 3 * k + 3]
        value += (2 * sign - 1) * (2 * (e0 + 2 * e1) + 1) * 8**k
    assert value % curve.L == s
    assert set(digits) <= {0, 1}


def test_merkle_path_agrees_with_the_tree(gadget: Gadget) -> None:
    path, tree = gadget("merkle", "MerklePath(2)"), gadget("merkle", "MerkleRoot(2)")
    leaves = [RANDOM.randrange(R) for _ in range(4)]
    low, high = poseidon(leaves[:2]), poseidon(leaves[2:])
    root = poseidon((low, high))
    assert tree.solve({"leaf": leaves})[tree.wires["root"]] == root
    for i in range(4):
        position = [i & 1, i >> 1]
        siblings = [leaves[i ^ 1], high if i < 2 else low]
        witness = path.solve({"leaf": leaves[i], "position": position, "sibling": siblings})
        assert witness[path.wires["root"]] == root
        assert path.loose(witness) == set()
