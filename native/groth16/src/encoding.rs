//! Canonical big-endian words and points, as the EVM's precompiles read them (EIP-196, EIP-197).
//!
//! Every reader is strict: a coordinate or scalar that is not below its modulus, a point off the curve or outside the
//! prime-order subgroup, and the point at infinity are refused.

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInt, BigInteger, PrimeField};

use crate::Error;
use crate::error::malformed;

/// Bytes of a word.
pub const WORD: usize = 32;
/// Bytes of a G1 point: x ‖ y.
pub const G1_BYTES: usize = 64;
/// Bytes of a G2 point: x imaginary ‖ x real ‖ y imaginary ‖ y real.
pub const G2_BYTES: usize = 128;

fn integer(bytes: &[u8]) -> BigInt<4> {
    let mut limbs = [0u64; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_be_bytes(chunk.try_into().expect("8 bytes"));
    }
    BigInt(limbs)
}

fn field<F: PrimeField<BigInt = BigInt<4>>>(what: &'static str, bytes: &[u8]) -> Result<F, Error> {
    if bytes.len() != WORD {
        return Err(malformed(what, format!("{} bytes instead of {WORD}", bytes.len())));
    }
    F::from_bigint(integer(bytes)).ok_or_else(|| malformed(what, "not below the modulus"))
}

/// A scalar from 32 big-endian bytes, below r.
pub fn read_scalar(what: &'static str, bytes: &[u8]) -> Result<Fr, Error> {
    field(what, bytes)
}

/// A scalar from 32 little-endian bytes, below r (circom's witness order).
pub fn read_scalar_le(what: &'static str, bytes: &[u8; WORD]) -> Result<Fr, Error> {
    let mut reversed = *bytes;
    reversed.reverse();
    field(what, &reversed)
}

/// 32 big-endian bytes of a field element.
pub fn write_word<F: PrimeField>(value: &F) -> [u8; WORD] {
    value.into_bigint().to_bytes_be().try_into().expect("a 254-bit field has 32-byte elements")
}

/// A G1 point from 64 bytes.
pub fn read_g1(what: &'static str, bytes: &[u8]) -> Result<G1Affine, Error> {
    if bytes.len() != G1_BYTES {
        return Err(malformed(what, format!("{} bytes instead of {G1_BYTES}", bytes.len())));
    }
    let point = G1Affine::new_unchecked(field::<Fq>(what, &bytes[..32])?, field::<Fq>(what, &bytes[32..])?);
    if point.is_zero() {
        return Err(malformed(what, "the point at infinity"));
    }
    if !point.is_on_curve() {
        return Err(malformed(what, "not on the curve"));
    }
    Ok(point)
}

/// A G2 point from 128 bytes.
pub fn read_g2(what: &'static str, bytes: &[u8]) -> Result<G2Affine, Error> {
    if bytes.len() != G2_BYTES {
        return Err(malformed(what, format!("{} bytes instead of {G2_BYTES}", bytes.len())));
    }
    let word = |index: usize| field::<Fq>(what, &bytes[index * WORD..(index + 1) * WORD]);
    let point = G2Affine::new_unchecked(Fq2::new(word(1)?, word(0)?), Fq2::new(word(3)?, word(2)?));
    if point.is_zero() {
        return Err(malformed(what, "the point at infinity"));
    }
    if !point.is_on_curve() {
        return Err(malformed(what, "not on the curve"));
    }
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(malformed(what, "not in the prime-order subgroup"));
    }
    Ok(point)
}

/// 64 bytes of a G1 point; infinity is all zero.
pub fn write_g1(point: &G1Affine) -> [u8; G1_BYTES] {
    let mut out = [0u8; G1_BYTES];
    if let Some((x, y)) = point.xy() {
        out[..32].copy_from_slice(&write_word(&x));
        out[32..].copy_from_slice(&write_word(&y));
    }
    out
}

/// 128 bytes of a G2 point; infinity is all zero.
pub fn write_g2(point: &G2Affine) -> [u8; G2_BYTES] {
    let mut out = [0u8; G2_BYTES];
    if let Some((x, y)) = point.xy() {
        for (index, word) in [x.c1, x.c0, y.c1, y.c0].iter().enumerate() {
            out[index * WORD..(index + 1) * WORD].copy_from_slice(&write_word(word));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_std::UniformRand;

    #[test]
    fn points_round_trip() {
        let mut rng = ark_std::test_rng();
        let (g1, g2) = (G1Affine::rand(&mut rng), G2Affine::rand(&mut rng));
        assert_eq!(read_g1("p", &write_g1(&g1)).unwrap(), g1);
        assert_eq!(read_g2("p", &write_g2(&g2)).unwrap(), g2);
    }

    #[test]
    fn a_coordinate_plus_the_modulus_is_refused() {
        let mut bytes = write_g1(&G1Affine::generator());
        let mut x = integer(&bytes[..32]);
        assert!(!x.add_with_carry(&Fq::MODULUS));
        bytes[..32].copy_from_slice(&x.to_bytes_be());
        assert!(
            matches!(read_g1("p", &bytes), Err(Error::Malformed { detail, .. }) if detail.contains("modulus"))
        );
    }

    #[test]
    fn infinity_and_off_curve_are_refused() {
        assert!(read_g1("p", &[0; 64]).is_err());
        assert!(read_g2("p", &[0; 128]).is_err());
        let mut bytes = write_g1(&G1Affine::generator());
        bytes[63] ^= 1;
        assert!(
            matches!(read_g1("p", &bytes), Err(Error::Malformed { detail, .. }) if detail.contains("curve"))
        );
    }

    #[test]
    fn a_g2_point_outside_the_subgroup_is_refused() {
        let point = (0u64..)
            .find_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::from(1u64)), false))
            .unwrap();
        assert!(!point.is_in_correct_subgroup_assuming_on_curve());
        assert!(
            matches!(read_g2("p", &write_g2(&point)), Err(Error::Malformed { detail, .. }) if detail.contains("subgroup"))
        );
    }
}
