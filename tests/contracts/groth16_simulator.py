"""Test only: Groth16 keys with a known trapdoor, and proofs simulated from it for any signals.

Groth, "On the Size of Pairing-based Non-interactive Arguments", EUROCRYPT 2016, §3.2, the simulator: with alpha, beta,
gamma and delta known, choose a and b and solve a·b = alpha·beta + ic·gamma + c·delta for c.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from eth_abi.abi import encode
from eth_hash.auto import keccak
from py_ecc.optimized_bn128 import FQ, G1, G2, curve_order, multiply, normalize

from verifier.statement import OPENING_TYPES, Domain, Opening, Statement, program_id

Point1 = tuple[int, int]
Point2 = tuple[tuple[int, int], tuple[int, int]]


@cache
def g1(scalar: int) -> Point1:
    """[scalar]G1, affine."""
    x, y = normalize(multiply(G1, scalar % curve_order))
    return int(x), int(y)


@cache
def g2(scalar: int) -> Point2:
    """[scalar]G2, affine, imaginary part first (EIP-197)."""
    x, y = normalize(multiply(G2, scalar % curve_order))
    return tuple((int(part.coeffs[1]), int(part.coeffs[0])) for part in (x, y))  # type: ignore[return-value]


def output_signal(word: int) -> int:
    """Signal of an output word given as a signed integer (encodings.md §4)."""
    return word % curve_order


def encode_key(alpha: Point1, beta: Point2, gamma: Point2, delta: Point2, ic: list[Point1]) -> bytes:
    """The verifying key's canonical ABI encoding (encodings.md §4)."""
    types = ["uint256[2]", "uint256[2][2]", "uint256[2][2]", "uint256[2][2]", "uint256[2][]"]
    return encode(types, [alpha, beta, gamma, delta, ic])


def encode_proof(a: Point1, b: Point2, c: Point1, opening: Opening) -> bytes:
    """The proof's ABI encoding (encodings.md §4), 544 bytes."""
    types = ["uint256[2]", "uint256[2][2]", "uint256[2]", *OPENING_TYPES]
    return encode(types, [a, b, c, *opening.words()])


@dataclass(frozen=True)
class TrapdoorKey:
    """A key whose toxic waste is known."""

    alpha: int
    beta: int
    gamma: int
    delta: int
    ic: tuple[int, ...]

    @classmethod
    def generate(cls, seed: int, output_words: int = 8) -> TrapdoorKey:
        """A key for a program with `output_words` words of output."""
        source = random.Random(seed)
        draw = [source.randrange(1, curve_order) for _ in range(4 + output_words + 9)]
        return cls(*draw[:4], tuple(draw[4:]))

    def encoded(self) -> bytes:
        """What `Groth16Verifier.register` takes."""
        return encode_key(
            g1(self.alpha), g2(self.beta), g2(self.gamma), g2(self.delta), [g1(scalar) for scalar in self.ic]
        )

    def program_id(self) -> bytes:
        """The program's id, 32 bytes."""
        return program_id("zkp.groth16", keccak(self.encoded()))

    def simulate(self, signals: list[int], opening: Opening, seed: int = 1) -> bytes:
        """A proof that verifies for these signals."""
        source = random.Random(seed)
        a, b = source.randrange(1, curve_order), source.randrange(1, curve_order)
        combined = self.ic[0] + sum(s * k for s, k in zip(signals, self.ic[1:], strict=True))
        c = (a * b - self.alpha * self.beta - combined * self.gamma) * pow(self.delta, -1, curve_order)
        return encode_proof(g1(a), g2(b), g1(c), opening)


def signals_of(statement: Statement, domain: Domain, opening: Opening, words: list[int]) -> list[int]:
    """Public signals in the order of encodings.md §4; `words` are the output's words as signed integers."""
    digest = int.from_bytes(statement.digest(domain), "big")
    return [
        int.from_bytes(opening.readings_root, "big"),
        *(output_signal(word) for word in words),
        digest >> 128,
        digest & (2**128 - 1),
        statement.project_id,
        int.from_bytes(opening.device_set_root, "big"),
        opening.window_start,
        opening.window_end,
        opening.count,
    ]


FIELD_MODULUS = FQ.field_modulus
"""p of BN254."""
