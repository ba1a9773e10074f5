"""How many additions each construction needs at the least in so much memory: counted, not measured.

Notation of the sources: n points, l = 254 bits of BN254's order, q = 2^c, h = ⌈l/c⌉ digits. With a stride s only every
s-th power of the radix is stored, for s sets of |B| buckets: h·n + s·|B| additions. Scalars above r/2 are negated.

| construction | h | |B| | stored points |
|---|---|---|---|
| Pippenger, signed digits of both halves of a scalar | ⌈128/c⌉, of 2n points | q/2 | none, s = h |
| Brickell, Gordon, McCurley, Wilson 1992 | ⌈l/c⌉ | q/2 | h/s·n |
| Luo, Fu, Gong 2023 | ⌈l/c⌉ | 0.2092·q | 3·h/s·n |
| FKSX 2024, generalised buckets | ⌈l/c⌉ + 1 | 7/32·q | 3·h/s·n |
| Eisenstein digits, q = R² | ⌈128/(c/2)⌉ | q/6 | h/s·n |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BITS = 254
HALF_BITS = 128
POINT_BYTES = 64
WINDOWS = range(4, 23)
ENGINES = ("pippenger", "bgmw", "luo-fu-gong", "generalized-buckets", "eisenstein")
SHARE = {"pippenger": 1 / 2, "bgmw": 1 / 2, "luo-fu-gong": 0.2092, "generalized-buckets": 7 / 32, "eisenstein": 1 / 6}
"""Buckets of a set, of q."""


@dataclass(frozen=True)
class Count:
    """A window and a stride, with what they need."""

    additions: int
    table_bytes: int
    window: int
    stride: int


def _powers(engine: str, window: int) -> int:
    if engine == "pippenger":
        return -(-HALF_BITS // window)
    if engine == "eisenstein":
        return -(-HALF_BITS // (window // 2))
    return -(-BITS // window) + (engine == "generalized-buckets")


def counts(engine: str, points: int) -> Iterator[Count]:
    """Every window with every stride."""
    multiples = 3 if engine in ("luo-fu-gong", "generalized-buckets") else 1
    for window in WINDOWS:
        if engine == "eisenstein" and window % 2:
            continue
        powers = _powers(engine, window)
        for stride in [powers] if engine == "pippenger" else range(1, powers + 1):
            hits = powers * points * (2 if engine == "pippenger" else 1)
            stored = 0 if engine == "pippenger" else multiples * -(-powers // stride) * points
            additions = int(hits + stride * SHARE[engine] * 2**window)
            yield Count(additions, stored * POINT_BYTES, window, stride)


def least(engine: str, points: int, memory_bytes: int | None = None) -> Count | None:
    """The fewest additions in so much memory; nothing where no window and stride fit."""
    fit = [count for count in counts(engine, points) if memory_bytes is None or count.table_bytes <= memory_bytes]
    return min(fit, key=lambda count: count.additions, default=None)
