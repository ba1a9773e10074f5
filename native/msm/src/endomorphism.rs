//! Scalars as Eisenstein integers: s = x + y·λ modulo r with |x|, |y| < 2^127.
//!
//! Source: Gallant, Lambert and Vanstone, "Faster point multiplication on elliptic curves with efficient endomorphisms"
//! (CRYPTO 2001), section 4, done as division in Z[ω], ω² + ω + 1 = 0. r splits there, r = π·π̄ for a π = a + bω with
//! a + bλ = 0 modulo r, so s and its remainder modulo π are the same scalar. The remainder is the one of least norm
//! x² − xy + y² ≤ r/3: the hexagonal cell around 0, not the parallelogram, because the digits of `eisenstein` end one
//! window earlier for it.
//!
//! The associate of π with the smallest |b| is taken: a > 0 > b for both orders, and |x| ≤ 2/3·√r < 2^127.

use crate::curve::{Curve, Scalar};
use ark_ff::PrimeField;

/// What division by π needs, for one group order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splitting {
    /// a of π = a + bω.
    a: u128,
    /// −b of π = a + bω.
    minus_b: u128,
    /// (a − b)·2^320 / r, rounded.
    first: [u64; 4],
    /// −b·2^320 / r, rounded.
    second: [u64; 4],
    /// √(r/3), rounded up: no remainder is longer.
    pub radius: f64,
    /// How often φ is applied to multiply by λ: 1 or 2.
    pub power: u32,
}

const BN254: Splitting = Splitting {
    a: 0x6f4d8248eeb859fc8211bbeb7d4f1128,
    minus_b: 0x89d3256894d213e3,
    first: [0x149d540fd5e495cc, 0x5398fd0300ff6565, 0x4ccef014a773d2d2, 2],
    second: [0x6eb9c714773a6ef3, 0xd91d232ec7e0b3d7, 2, 0],
    radius: 8.5418e37,
    power: 1,
};

const BLS12_381: Splitting = Splitting {
    a: 0xac45a4010001a40200000000ffffffff,
    minus_b: 1,
    first: [0x389f49a7268bf7a4, 0x63f6e522f6cfee30, 0x7c6becf1e01faadd, 1],
    second: [0x355094edfede377c, 2, 0, 0],
    radius: 1.32207e38,
    power: 1,
};

/// A scalar as x + y·λ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halves {
    pub x: i128,
    pub y: i128,
}

impl Splitting {
    /// That of the group's order and of φ with `Curve::BETA`: λ on G1, and the other root, λ², on G2.
    pub fn of<C: Curve>() -> Self {
        let bits = <Scalar<C> as PrimeField>::MODULUS_BIT_SIZE;
        let of_order = if bits == 254 { BN254 } else { BLS12_381 };
        Self { power: C::DEGREE as u32, ..of_order }
    }

    /// The least x + y·λ that is `scalar` modulo r.
    pub fn split(&self, scalar: &[u64; 4]) -> Halves {
        let (mut p, f) = rounded(scalar, &self.first);
        let (mut q, g) = rounded(scalar, &self.second);
        if (2.0 * f - g).abs().max((2.0 * g - f).abs()) > 1.0 {
            // Outside the hexagon: f and g have opposite signs, and the longer one moves to the next multiple of π.
            let (nearest, rest) = if f.abs() >= g.abs() { (&mut p, f) } else { (&mut q, g) };
            *nearest = if rest > 0.0 { nearest.wrapping_add(1) } else { nearest.wrapping_sub(1) };
        }
        let low = u128::from(scalar[0]) | u128::from(scalar[1]) << 64;
        // s − (p + qω)(a + bω) with ω² = −1 − ω, modulo 2^128: both parts are below 2^127 in magnitude.
        let x = low.wrapping_sub(p.wrapping_mul(self.a)).wrapping_sub(q.wrapping_mul(self.minus_b));
        let y = p.wrapping_mul(self.minus_b).wrapping_sub(q.wrapping_mul(self.a.wrapping_add(self.minus_b)));
        Halves { x: x as i128, y: y as i128 }
    }
}

/// scalar·factor / 2^320 to the nearest integer, and what rounding left, between −1/2 and 1/2.
fn rounded(scalar: &[u64; 4], factor: &[u64; 4]) -> (u128, f64) {
    let mut product = [0u64; 8];
    for (i, &word) in scalar.iter().enumerate() {
        let mut carry = 0u128;
        for (j, &other) in factor.iter().enumerate() {
            let sum = u128::from(word) * u128::from(other) + u128::from(product[i + j]) + carry;
            product[i + j] = sum as u64;
            carry = sum >> 64;
        }
        product[i + 4] = carry as u64;
    }
    let whole = u128::from(product[5]) | u128::from(product[6]) << 64;
    let fraction = product[4];
    // 2^-64 of precision lost to f64 moves a remainder by nothing that the radius does not cover.
    (whole.wrapping_add(u128::from(fraction >> 63)), fraction as i64 as f64 / 2f64.powi(64))
}

/// The words of a scalar below its order.
pub(crate) fn words<F: PrimeField>(scalar: &F) -> [u64; 4] {
    let integer = scalar.into_bigint();
    let mut words = [0; 4];
    words.copy_from_slice(integer.as_ref());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Coordinate};
    use ark_ec::CurveGroup;
    use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
    use ark_ff::{Field, UniformRand, Zero};

    fn signed<C: Curve>(value: i128) -> Scalar<C> {
        let magnitude = Scalar::<C>::from(value.unsigned_abs());
        if value < 0 { -magnitude } else { magnitude }
    }

    fn splits<C: Curve>(of_phi: Scalar<C>) {
        let splitting = Splitting::of::<C>();
        let lambda = of_phi.pow([u64::from(splitting.power)]);
        let mut rng = ark_std::test_rng();
        let edge = |small: u64| -Scalar::<C>::from(small);
        let half = Scalar::<C>::from(2u8).inverse().expect("two is not zero");
        let mut scalars = vec![Scalar::<C>::zero(), edge(1), edge(2), lambda, -lambda, half, half - edge(1)];
        scalars.extend((0..20_000).map(|_| Scalar::<C>::rand(&mut rng)));
        for scalar in scalars {
            let Halves { x, y } = splitting.split(&words(&scalar));
            assert_eq!(signed::<C>(x) + signed::<C>(y) * lambda, scalar);
            let (x, y) = (x as f64, y as f64);
            assert!((x * x - x * y + y * y).sqrt() <= splitting.radius);
            assert!(x.abs().max(y.abs()) < 2f64.powi(127));
        }
    }

    /// λ of φ: φ(P) = λ·P on the generator.
    fn of_phi<C: Curve>() -> Scalar<C> {
        let generator = C::Config::GENERATOR;
        let beta = Coordinate::<C>::from_base_prime_field(C::BETA);
        let image = Affine::new_unchecked(generator.x * beta, generator.y);
        let roots = cube_roots::<C>();
        *roots.iter().find(|&&root| (generator * root).into_affine() == image).expect("an eigenvalue of φ")
    }

    /// The two primitive cube roots of one modulo r.
    fn cube_roots<C: Curve>() -> [Scalar<C>; 2] {
        let root = (-Scalar::<C>::from(3u8)).sqrt().expect("r is 1 modulo 3");
        let half = Scalar::<C>::from(2u8).inverse().expect("two is not zero");
        [(root - Scalar::<C>::from(1u8)) * half, (-root - Scalar::<C>::from(1u8)) * half]
    }

    #[test]
    fn remainders_are_the_scalar_and_lie_in_the_hexagon() {
        splits::<Bn254G1>(of_phi::<Bn254G1>());
        splits::<Bn254G2>(of_phi::<Bn254G2>());
        splits::<Bls12381G1>(of_phi::<Bls12381G1>());
        splits::<Bls12381G2>(of_phi::<Bls12381G2>());
    }
}
