"""The share of the port limit: what the multiplier alone would take, over what a sum takes.

A sum is its plan's additions; a batched affine addition is six products in G1 (5 M + 1 S) and seventeen in G2 (three for
a product of the quadratic extension, two for a square); a product of L limbs of 52 bits is L·(4L + 1) `vpmadd52` for
eight lanes. The time of one is measured, at full throughput, in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VPMADD52 = {"bn254": 105, "bls12-381": 264}
"""Of five and of eight limbs."""
PRODUCTS = {"g1": 6, "g2": 17}
LANES = 8


def floor_ms(group: str, plan: Mapping[str, Any], vpmadd52_ns: float) -> float:
    """Milliseconds of nothing but `vpmadd52`, on one thread."""
    curve, _, which = group.rpartition("-")
    return float(plan["additions"]) * PRODUCTS[which] * VPMADD52[curve] / LANES * vpmadd52_ns / 1e6
