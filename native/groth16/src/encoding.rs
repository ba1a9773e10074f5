//! Canonical big-endian scalars and points: for BN254 as the EVM's precompiles read them (EIP-196, EIP-197), for
//! BLS12-381 the ZCash serialization without compression (which has no flag bits for a finite point).
//!
//! Every reader is strict: a coordinate or scalar that is not below its modulus, a point off the curve or outside the
//! prime-order subgroup, and the point at infinity are refused.

use ark_bn254::{G1Affine, G2Affine};
use ark_ff::{BigInteger, Field, PrimeField};
use zeroize::Zeroizing;

use crate::Error;
use crate::curve::{Point, Scalar};
use crate::error::malformed;
use crate::fixed::Fixed;

/// Bytes of a scalar, and of a word of the EVM.
pub const WORD: usize = 32;
/// Bytes of a G1 point of BN254: x ‖ y.
pub const G1_BYTES: usize = G1Affine::SIZE;
/// Bytes of a G2 point of BN254: x imaginary ‖ x real ‖ y imaginary ‖ y real.
pub const G2_BYTES: usize = G2Affine::SIZE;

/// Bytes of an element of a prime field.
const fn size_of<F: PrimeField>() -> usize {
    8 * F::MODULUS_BIT_SIZE.div_ceil(64) as usize
}

/// An element from its little-endian bytes; `None` when it is not below the modulus.
fn integer<F: PrimeField>(bytes: impl DoubleEndedIterator<Item = u8>) -> Option<F> {
    let mut value = F::BigInt::default();
    for (index, byte) in bytes.enumerate() {
        value.as_mut()[index / 8] |= u64::from(byte) << (8 * (index % 8));
    }
    F::from_bigint(value)
}

fn field<F: PrimeField>(what: &'static str, bytes: &[u8]) -> Result<F, Error> {
    if bytes.len() != size_of::<F>() {
        return Err(malformed(what, format!("{} bytes instead of {}", bytes.len(), size_of::<F>())));
    }
    integer(bytes.iter().rev().copied()).ok_or_else(|| malformed(what, "not below the modulus"))
}

/// A scalar from 32 big-endian bytes, below r.
pub fn read_scalar<F: Scalar>(what: &'static str, bytes: &[u8]) -> Result<F, Error> {
    field(what, bytes)
}

/// A scalar from 32 little-endian bytes, below r (circom's order).
pub fn read_scalar_le<F: Scalar>(what: &'static str, bytes: &[u8; WORD]) -> Result<F, Error> {
    integer(bytes.iter().copied()).ok_or_else(|| malformed(what, "not below the modulus"))
}

/// Scalars from whole words of 32 little-endian bytes, in memory that is wiped when dropped, also after an error.
pub fn read_scalars_le<F: Scalar>(what: &'static str, bytes: &[u8]) -> Result<Zeroizing<Vec<F>>, Error> {
    let (words, rest) = bytes.as_chunks::<WORD>();
    if !rest.is_empty() {
        return Err(malformed(what, format!("{} bytes are not whole words", bytes.len())));
    }
    // All capacity at once: growing would leave copies behind that nothing wipes.
    let mut values = Zeroizing::new(Vec::with_capacity(words.len()));
    for word in words {
        values.push(read_scalar_le(what, word)?);
    }
    Ok(values)
}

fn write_element<F: PrimeField>(value: &F, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.into_bigint().to_bytes_be());
}

/// 32 big-endian bytes of an element of a field of at most 256 bits.
pub fn write_word<F: PrimeField>(value: &F) -> [u8; WORD] {
    value.into_bigint().to_bytes_be().try_into().expect("a field of four limbs has 32-byte elements")
}

/// One coordinate: an element of the prime field, or of its extension with the imaginary part first.
fn coordinate<F: Field>(what: &'static str, bytes: &[u8]) -> Result<F, Error> {
    let size = size_of::<F::BasePrimeField>();
    let parts: Vec<F::BasePrimeField> =
        bytes.rchunks_exact(size).map(|part| field(what, part)).collect::<Result<_, _>>()?;
    F::from_base_prime_field_elems(parts)
        .ok_or_else(|| malformed(what, format!("{} bytes are no coordinate", bytes.len())))
}

/// A point from `P::SIZE` bytes: x ‖ y, each with the imaginary part first.
pub fn read_point<P: Point>(what: &'static str, bytes: &[u8]) -> Result<P, Error> {
    if bytes.len() != P::SIZE {
        return Err(malformed(what, format!("{} bytes instead of {}", bytes.len(), P::SIZE)));
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(malformed(what, "the point at infinity"));
    }
    let (x, y) = bytes.split_at(P::SIZE / 2);
    let point = P::at(coordinate(what, x)?, coordinate(what, y)?);
    if !point.is_on_curve() {
        return Err(malformed(what, "not on the curve"));
    }
    if !point.is_in_subgroup() {
        return Err(malformed(what, "not in the prime-order subgroup"));
    }
    Ok(point)
}

/// The bytes that [`read_point`] reads; infinity is all zero.
pub fn write_point<P: Point>(point: &P, out: &mut Vec<u8>) {
    let Some((x, y)) = point.xy() else {
        out.resize(out.len() + P::SIZE, 0);
        return;
    };
    for value in [x, y] {
        let parts: Vec<_> = value.to_base_prime_field_elements().collect();
        parts.iter().rev().for_each(|part| write_element(part, out));
    }
}

/// A G1 point of BN254 from 64 bytes.
pub fn read_g1(what: &'static str, bytes: &[u8]) -> Result<G1Affine, Error> {
    read_point(what, bytes)
}

/// A G2 point of BN254 from 128 bytes.
pub fn read_g2(what: &'static str, bytes: &[u8]) -> Result<G2Affine, Error> {
    read_point(what, bytes)
}

/// 64 bytes of a G1 point of BN254; infinity is all zero.
pub fn write_g1(point: &G1Affine) -> [u8; G1_BYTES] {
    let mut out = Vec::with_capacity(G1_BYTES);
    write_point(point, &mut out);
    out.try_into().expect("a point has its size")
}

/// 128 bytes of a G2 point of BN254; infinity is all zero.
pub fn write_g2(point: &G2Affine) -> [u8; G2_BYTES] {
    let mut out = Vec::with_capacity(G2_BYTES);
    write_point(point, &mut out);
    out.try_into().expect("a point has its size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bn254::{Fq, Fq2};
    use ark_ec::AffineRepr;
    use ark_std::UniformRand;

    fn round_trips<P: Point>() {
        let point: P = UniformRand::rand(&mut ark_std::test_rng());
        let mut bytes = Vec::new();
        write_point(&point, &mut bytes);
        assert_eq!(bytes.len(), P::SIZE);
        assert_eq!(read_point::<P>("p", &bytes).unwrap(), point);
    }

    #[test]
    fn points_round_trip() {
        round_trips::<G1Affine>();
        round_trips::<G2Affine>();
        round_trips::<ark_bls12_381::G1Affine>();
        round_trips::<ark_bls12_381::G2Affine>();
    }

    #[test]
    fn bls12_381_has_the_zcash_serialization() {
        // The generators' x without flag bits: zkcrypto/pairing, src/bls12_381/README.md, "Generators".
        let (mut g1, mut g2) = (Vec::new(), Vec::new());
        write_point(&ark_bls12_381::G1Affine::generator(), &mut g1);
        write_point(&ark_bls12_381::G2Affine::generator(), &mut g2);
        assert_eq!(g1[..6], [0x17, 0xf1, 0xd3, 0xa7, 0x31, 0x97]);
        assert_eq!(g2[..6], [0x13, 0xe0, 0x2b, 0x60, 0x52, 0x71]);
    }

    #[test]
    fn a_coordinate_plus_the_modulus_is_refused() {
        let mut bytes = write_g1(&G1Affine::generator());
        let mut x = G1Affine::generator().x.into_bigint();
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
        assert!(read_point::<ark_bls12_381::G1Affine>("p", &[0; 96]).is_err());
        assert!(read_point::<ark_bls12_381::G2Affine>("p", &[0; 192]).is_err());
        let mut bytes = write_g1(&G1Affine::generator());
        bytes[63] ^= 1;
        assert!(
            matches!(read_g1("p", &bytes), Err(Error::Malformed { detail, .. }) if detail.contains("curve"))
        );
    }

    fn refused_outside_the_subgroup<P: Point>(point: P) {
        assert!(point.is_on_curve() && !point.is_in_subgroup());
        let mut bytes = Vec::new();
        write_point(&point, &mut bytes);
        assert!(
            matches!(read_point::<P>("p", &bytes), Err(Error::Malformed { detail, .. }) if detail.contains("subgroup"))
        );
    }

    #[test]
    fn a_point_outside_the_subgroup_is_refused() {
        let found =
            |x: u64| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::from(1u64)), false);
        refused_outside_the_subgroup((0u64..).find_map(found).unwrap());
        let found = |x: u64| ark_bls12_381::G1Affine::get_point_from_x_unchecked(x.into(), false);
        refused_outside_the_subgroup((0u64..).find_map(found).unwrap());
        let found = |x: u64| {
            let x = ark_bls12_381::Fq2::new(x.into(), 1u64.into());
            ark_bls12_381::G2Affine::get_point_from_x_unchecked(x, false)
        };
        refused_outside_the_subgroup((0u64..).find_map(found).unwrap());
    }
}
