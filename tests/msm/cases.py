"""Inputs of sums: random, structured and adversarial, the same on every machine, each with a known sum.

Points are steps of a random walk over multiples of the generator, so that their logarithms are known and a thousand of
them cost a thousand additions. All randomness is SHA-256 of a name and a counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.msm.groups import Group, Point

STEPS = 8
"""Different steps of the walk."""


def _stream(name: str) -> Iterator[int]:
    counter = 0
    while True:
        yield int.from_bytes(hashlib.sha256(f"{name} {counter}".encode()).digest(), "big")
        counter += 1


@dataclass(frozen=True)
class Case:
    """Points with their logarithms, and scalars."""

    group: Group
    points: Sequence[Point]
    logs: Sequence[int]
    scalars: Sequence[int]

    @property
    def point_bytes(self) -> bytes:
        """The points as the accelerator takes them."""
        return b"".join(map(self.group.encode, self.points))

    @property
    def scalar_bytes(self) -> bytes:
        """The scalars as the accelerator takes them."""
        return b"".join(scalar.to_bytes(32, "little") for scalar in self.scalars)

    @property
    def digest(self) -> str:
        """SHA-256 of all that goes in."""
        return hashlib.sha256(self.point_bytes + self.scalar_bytes).hexdigest()

    def expected(self) -> bytes:
        """(Σ kᵢ·sᵢ)·G, in plain Python."""
        total = sum(log * scalar for log, scalar in zip(self.logs, self.scalars, strict=True))
        return self.group.encode(self.group.multiply(self.group.generator, total))


def walk(group: Group, count: int) -> tuple[list[Point], list[int]]:
    """Random points and their logarithms."""
    random = _stream(f"{group.name} points")
    logs = [next(random) % group.r for _ in range(STEPS + 1)]
    *steps, at = [group.multiply(group.generator, log) for log in logs]
    log = logs[STEPS]
    points, found = [], []
    for _ in range(count):
        points.append(at)
        found.append(log)
        step = next(random) % STEPS
        at, log = group.add(at, steps[step]), (log + logs[step]) % group.r
    return points, found


def scalars(group: Group, count: int) -> list[int]:
    """Random scalars below r."""
    random = _stream(f"{group.name} scalars")
    return [next(random) % group.r for _ in range(count)]


def _random(group: Group, count: int) -> Case:
    return Case(group, *walk(group, count), scalars(group, count))


def _equal_points(group: Group) -> Case:
    (point,), (log,) = walk(group, 1)
    return Case(group, [point] * 300, [log] * 300, scalars(group, 300))


def _equal_everything(group: Group) -> Case:
    """One bucket a window, full of one point: every pair in its tree is a doubling."""
    (point,), (log,) = walk(group, 1)
    return Case(group, [point] * 300, [log] * 300, scalars(group, 1) * 300)


def _opposite_points(group: Group) -> Case:
    """Pairs P, −P with one scalar: every bucket sums to infinity."""
    points, logs = walk(group, 150)
    both = [signed for point in points for signed in (point, group.negate(point))]
    return Case(
        group,
        both,
        [signed for log in logs for signed in (log, -log)],
        [scalar for scalar in scalars(group, 150) for _ in range(2)],
    )


def _infinities(group: Group) -> Case:
    points, logs = walk(group, 300)
    kept = [index % 3 != 1 for index in range(300)]
    return Case(
        group,
        [point if keep else None for point, keep in zip(points, kept, strict=True)],
        [log if keep else 0 for log, keep in zip(logs, kept, strict=True)],
        scalars(group, 300),
    )


def _only_infinities(group: Group) -> Case:
    return Case(group, [None] * 40, [0] * 40, scalars(group, 40))


def _progression(group: Group) -> Case:
    """Multiples 1, 2, 3, … of the generator with one scalar: P₁ + P₄ meets P₂ + P₃ all over the tree."""
    points: list[Point] = []
    at: Point = None
    for _ in range(500):
        at = group.add(at, group.generator)
        points.append(at)
    return Case(group, points, range(1, 501), scalars(group, 1) * 500)


def _with_scalars(pick: Callable[[Group, int], int], count: int = 300) -> Callable[[Group], Case]:
    def made(group: Group) -> Case:
        return Case(group, *walk(group, count), [pick(group, index) for index in range(count)])

    return made


def _witness(group: Group, index: int) -> int:
    """As circuits have them: mostly 0 and 1, some small, a few large."""
    value = next(_stream(f"witness {index}"))
    return (0, 1, 1, 0, value % 256, 1, 0, value % group.r)[value % 8]


def _edge(group: Group, index: int) -> int:
    """Next to where digits change sign or carry, for every window."""
    bit = index // 3 % (group.r.bit_length() - 1)
    return max(0, (1 << bit) + index % 3 - 1)


def _repeated_digit(group: Group, index: int) -> int:
    """One digit in every window: those of the generalised bucket set that an earlier artifact cannot represent, and
    those about the middle of the radix."""
    window = 4 + index % 19
    radix = 1 << window
    digit = (12, radix - 12, radix // 2, radix // 2 + 1, radix - 1, radix // 6)[index // 19 % 6] % radix
    return sum(digit << at for at in range(0, 250, window)) % group.r


CASES: dict[str, Callable[[Group], Case]] = {
    "one point": lambda group: _random(group, 1),
    "two points": lambda group: _random(group, 2),
    "33 random points": lambda group: _random(group, 33),
    "1500 random points": lambda group: _random(group, 1500),
    "equal points": _equal_points,
    "equal points and scalars": _equal_everything,
    "opposite points": _opposite_points,
    "points at infinity": _infinities,
    "only points at infinity": _only_infinities,
    "arithmetic progression": _progression,
    "zero scalars": _with_scalars(lambda group, index: 0, 40),
    "one scalars": _with_scalars(lambda group, index: 1),
    "scalars r - 1": _with_scalars(lambda group, index: group.r - 1),
    "witness": _with_scalars(_witness),
    "powers of two": _with_scalars(_edge, 762),
    "repeated digits": _with_scalars(_repeated_digit),
}
"""Every kind of input by name."""
