//! Fuzzes the MSM crate's readers of points and scalars: what is accepted has these bytes, lies on the curve and has the
//! group's order; what lies there is accepted.
#![no_main]

mod groups;

use ark_ec::short_weierstrass::Affine;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField, Zero};
use groups::in_group;
use w3bstream_msm::encoding::{self, bytes_of_point};
use w3bstream_msm::{Curve, Error, Point, Scalar, Sum};

/// The bytes as they are.
fn read<C: Curve>(bytes: &[u8]) {
    match encoding::points::<C>(bytes) {
        Ok(points) => {
            assert_eq!(points.len() * bytes_of_point::<C>(), bytes.len());
            assert_eq!(encoding::points_to_bytes::<C>(&points), bytes);
            for point in &points {
                assert!(point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve());
            }
        }
        Err(Error::Length { .. }) => assert!(!bytes.len().is_multiple_of(bytes_of_point::<C>())),
        Err(error) => {
            assert!(bytes.len().is_multiple_of(bytes_of_point::<C>()), "{error}");
            assert!(bytes.iter().any(|&byte| byte != 0), "{error}");
        }
    }
    if let Ok(scalars) = encoding::scalars::<C>(bytes) {
        let found: Vec<u8> = scalars.iter().flat_map(|scalar| scalar.into_bigint().to_bytes_le()).collect();
        assert_eq!(found, bytes);
    }
}

/// Whether the order times a point is infinity, by doubling and adding alone.
fn has_the_order<C: Curve>(point: Point<C>) -> bool {
    let bits = Scalar::<C>::MODULUS.to_bits_be();
    let sum = bits.into_iter().fold(Sum::<C>::zero(), |sum, bit| {
        let twice = sum.double();
        if bit { twice + point } else { twice }
    });
    sum.is_zero()
}

/// The bytes as an x: the points of the curve there, which are in the group or not, and their products by the cofactor,
/// which are. Gives the bytes of such a product.
fn solve<C: Curve>(bytes: &[u8]) -> Option<Vec<u8>> {
    let parts = bytes.chunks_exact(C::WORDS * 8).take(C::DEGREE).map(C::Prime::from_le_bytes_mod_order);
    let x = <Point<C> as AffineRepr>::BaseField::from_base_prime_field_elems(parts)?;
    let point = Affine::<C::Config>::get_point_from_x_unchecked(x, bytes[0] & 1 == 1)?;
    let expected =
        if has_the_order::<C>(point) { Ok(vec![point]) } else { Err(Error::NotInSubgroup { index: 0 }) };
    assert_eq!(encoding::points::<C>(&encoding::points_to_bytes::<C>(&[point])), expected);
    let cleared = point.mul_by_cofactor_to_group();
    let bytes = encoding::sum_to_bytes::<C>(&cleared);
    assert_eq!(encoding::points::<C>(&bytes), Ok(vec![cleared.into_affine()]));
    Some(bytes)
}

/// A valid point with its modulus added to one element: the same to a reader that reduces.
fn unreduced<C: Curve>(valid: &[u8], element: u8) {
    let size = C::WORDS * 8;
    let at = usize::from(element) % (valid.len() / size) * size;
    let modulus = C::Prime::MODULUS.to_bytes_le();
    let (mut bytes, mut carry) = (valid.to_vec(), 0);
    for (byte, more) in bytes[at..at + size].iter_mut().zip(&modulus) {
        let sum = u16::from(*byte) + u16::from(*more) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0, "both moduli leave two bits free");
    let found = encoding::points::<C>(&bytes);
    assert_eq!(found, Err(Error::NotCanonical { what: "point", index: 0 }));
}

/// The bytes as an x and then as changes of the valid point that it leads to, twice in a row.
fn change<C: Curve>(bytes: &[u8]) {
    let (x, changes) = bytes.split_at(bytes.len().min(C::WORDS * 8 * C::DEGREE));
    let Some(valid) = solve::<C>(x) else { return };
    if valid.iter().any(|&byte| byte != 0) {
        unreduced::<C>(&valid, x[0]);
    }
    let mut both = [&valid[..], &valid[..]].concat();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % both.len();
        both[at] ^= change[2];
    }
    read::<C>(&both);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((group, bytes)) = bytes.split_first() else { return };
    in_group!(group, read(bytes));
    if group & 4 != 0 {
        in_group!(group, change(bytes));
    }
});
