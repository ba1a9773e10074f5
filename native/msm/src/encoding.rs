//! Bytes from outside: canonical little-endian scalars and affine coordinates, every one checked.
//!
//! A scalar has 32 bytes. A point has its coordinates one after another, x then y, an element of the quadratic extension
//! as c0 then c1: 64 bytes in BN254 G1, 128 in BN254 G2, 96 in BLS12-381 G1, 192 in BLS12-381 G2. Zeros are infinity.

use crate::curve::{Curve, Point, Scalar, Sum};
use crate::error::Error;
use crate::table_file::point_bytes;
use ark_ec::CurveGroup;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{Field, PrimeField};
use rayon::prelude::*;

/// Bytes of a scalar.
pub const SCALAR_BYTES: usize = 32;

/// Bytes of a point.
pub const fn bytes_of_point<C: Curve>() -> usize {
    C::POINT_WORDS * 8
}

/// The element below the modulus that little-endian bytes are.
fn element<F: PrimeField>(bytes: &[u8]) -> Option<F> {
    let mut integer = F::BigInt::default();
    for (word, bytes) in integer.as_mut().iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    F::from_bigint(integer)
}

/// How many elements of `size` bytes there are.
fn count(what: &'static str, bytes: &[u8], size: usize) -> Result<usize, Error> {
    let expected = bytes.len().next_multiple_of(size);
    if expected != bytes.len() {
        return Err(Error::Length { what, expected, found: bytes.len() });
    }
    Ok(bytes.len() / size)
}

/// Scalars from n·32 bytes.
///
/// # Errors
/// [`Error::Length`], [`Error::NotCanonical`] at the group's order and above.
pub fn scalars<C: Curve>(bytes: &[u8]) -> Result<Vec<Scalar<C>>, Error> {
    count("bytes of scalars", bytes, SCALAR_BYTES)?;
    let scalar = |(index, bytes)| element(bytes).ok_or(Error::NotCanonical { what: "scalar", index });
    bytes.par_chunks_exact(SCALAR_BYTES).enumerate().map(scalar).collect()
}

/// Points from bytes.
///
/// # Errors
/// [`Error::Length`], [`Error::NotCanonical`] for a coordinate at its modulus and above, [`Error::NotOnCurve`],
/// [`Error::NotInSubgroup`].
pub fn points<C: Curve>(bytes: &[u8]) -> Result<Vec<Point<C>>, Error> {
    count("bytes of points", bytes, bytes_of_point::<C>())?;
    let chunks = bytes.par_chunks_exact(bytes_of_point::<C>()).enumerate();
    chunks.map(|(index, bytes)| point::<C>(index, bytes)).collect()
}

fn point<C: Curve>(index: usize, bytes: &[u8]) -> Result<Point<C>, Error> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(Affine::identity());
    }
    let elements: Option<Vec<_>> = bytes.chunks_exact(C::WORDS * 8).map(element).collect();
    let elements = elements.ok_or(Error::NotCanonical { what: "point", index })?;
    let coordinate = |elements: &[_]| <_ as Field>::from_base_prime_field_elems(elements.iter().copied());
    let (x, y) = elements.split_at(C::DEGREE);
    let (Some(x), Some(y)) = (coordinate(x), coordinate(y)) else {
        return Err(Error::NotCanonical { what: "point", index });
    };
    let point = Affine::new_unchecked(x, y);
    if !point.is_on_curve() {
        return Err(Error::NotOnCurve { index });
    }
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(Error::NotInSubgroup { index });
    }
    Ok(point)
}

/// The bytes of points.
pub fn points_to_bytes<C: Curve>(points: &[Point<C>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(points.len() * bytes_of_point::<C>());
    points.iter().for_each(|point| point_bytes::<C>(point, &mut bytes));
    bytes
}

/// The bytes of a sum's affine point.
pub fn sum_to_bytes<C: Curve>(sum: &Sum<C>) -> Vec<u8> {
    points_to_bytes::<C>(&[sum.into_affine()])
}
