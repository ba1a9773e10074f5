"""The four groups in plain Python integers: what the accelerator's sums are checked against, one addition at a time.

Curves: BN254 as in EIP-196 and EIP-197, BLS12-381 as in draft-irtf-cfrg-pairing-friendly-curves-11 §4.2.1. Both have
a = 0, so b never enters an addition. A coordinate is (c0, c1) of Fp[u]/(u² + 1); in G1 c1 is 0. `None` is infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

Fp2 = tuple[int, int]
Point = tuple[Fp2, Fp2] | None

BN254_P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
BN254_R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
BLS12_381_P = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16
)
BLS12_381_R = int("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001", 16)


@dataclass(frozen=True)
class Group:
    """A group of prime order r with a generator."""

    name: str
    p: int
    r: int
    degree: int
    """Elements of the prime field in a coordinate."""
    generator: tuple[Fp2, Fp2]

    @property
    def size(self) -> int:
        """Bytes of an element of the prime field."""
        return (self.p.bit_length() + 7) // 8

    def _mul(self, a: Fp2, b: Fp2) -> Fp2:
        if self.degree == 1:
            return (a[0] * b[0] % self.p, 0)
        return ((a[0] * b[0] - a[1] * b[1]) % self.p, (a[0] * b[1] + a[1] * b[0]) % self.p)

    def _sub(self, a: Fp2, b: Fp2) -> Fp2:
        return ((a[0] - b[0]) % self.p, (a[1] - b[1]) % self.p)

    def _inverse(self, a: Fp2) -> Fp2:
        norm = pow(a[0] * a[0] + a[1] * a[1], -1, self.p)
        return (a[0] * norm % self.p, -a[1] * norm % self.p)

    def negate(self, point: Point) -> Point:
        """−P."""
        return None if point is None else (point[0], self._sub((0, 0), point[1]))

    def add(self, a: Point, b: Point) -> Point:
        """P + Q, complete."""
        if a is None or b is None:
            return b if a is None else a
        if a[0] == b[0]:
            if a[1] != b[1] or a[1] == (0, 0):
                return None
            square = self._mul(a[0], a[0])
            slope = self._mul((3 * square[0], 3 * square[1]), self._inverse((2 * a[1][0], 2 * a[1][1])))
        else:
            slope = self._mul(self._sub(b[1], a[1]), self._inverse(self._sub(b[0], a[0])))
        x = self._sub(self._sub(self._mul(slope, slope), a[0]), b[0])
        return (x, self._sub(self._mul(slope, self._sub(a[0], x)), a[1]))

    def multiply(self, point: Point, scalar: int) -> Point:
        """scalar·P by doubling and adding."""
        found: Point = None
        for bit in bin(scalar % self.r)[2:]:
            found = self.add(found, found)
            if bit == "1":
                found = self.add(found, point)
        return found

    def encode(self, point: Point) -> bytes:
        """x ‖ y, little-endian, c0 before c1; zeros for infinity."""
        if point is None:
            return bytes(2 * self.degree * self.size)
        return b"".join(part.to_bytes(self.size, "little") for axis in point for part in axis[: self.degree])


def _g1(x: int, y: int) -> tuple[Fp2, Fp2]:
    return ((x, 0), (y, 0))


GROUPS = (
    Group("bn254-g1", BN254_P, BN254_R, 1, _g1(1, 2)),
    Group(
        "bn254-g2",
        BN254_P,
        BN254_R,
        2,
        (
            (
                10857046999023057135944570762232829481370756359578518086990519993285655852781,
                11559732032986387107991004021392285783925812861821192530917403151452391805634,
            ),
            (
                8495653923123431417604973247489272438418190587263600148770280649306958101930,
                4082367875863433681332203403145435568316851327593401208105741076214120093531,
            ),
        ),
    ),
    Group(
        "bls12-381-g1",
        BLS12_381_P,
        BLS12_381_R,
        1,
        _g1(
            int("17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb", 16),
            int("08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1", 16),
        ),
    ),
    Group(
        "bls12-381-g2",
        BLS12_381_P,
        BLS12_381_R,
        2,
        (
            (
                int(
                    "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8",
                    16,
                ),
                int(
                    "13e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e",
                    16,
                ),
            ),
            (
                int(
                    "0ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801",
                    16,
                ),
                int(
                    "0606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be",
                    16,
                ),
            ),
        ),
    ),
)
