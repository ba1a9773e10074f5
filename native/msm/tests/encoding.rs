//! Bytes from outside: every encoding that is not canonical, on the curve and in the group is refused by its index.

mod support;

use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInteger, Field, PrimeField, UniformRand};
use support::{points, scalars};
use w3bstream_msm::encoding::{self, bytes_of_point};
use w3bstream_msm::{Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, Error, Scalar};

fn scalar_bytes<C: Curve>(scalars: &[Scalar<C>]) -> Vec<u8> {
    scalars.iter().flat_map(|scalar| scalar.into_bigint().to_bytes_le()).collect()
}

/// A point of the curve outside the group of prime order.
fn outside<C: Curve>() -> Option<Affine<C::Config>> {
    let mut rng = ark_std::test_rng();
    if <C::Config as ark_ec::CurveConfig>::cofactor_is_one() {
        return None;
    }
    loop {
        let x = <C::Config as ark_ec::CurveConfig>::BaseField::rand(&mut rng);
        let found = Affine::get_point_from_x_unchecked(x, true);
        if let Some(point) = found.filter(|point| !point.is_in_correct_subgroup_assuming_on_curve()) {
            return Some(point);
        }
    }
}

fn everything<C: Curve>() {
    let mut rng = ark_std::test_rng();
    let size = bytes_of_point::<C>();
    let mut some = points::<C>(5, &mut rng);
    some[3] = Affine::identity();
    let bytes = encoding::points_to_bytes::<C>(&some);
    assert_eq!(bytes.len(), 5 * size);
    assert_eq!(encoding::points::<C>(&bytes), Ok(some.clone()));
    assert!(bytes[3 * size..4 * size].iter().all(|&byte| byte == 0), "infinity is zeros");

    let cut = encoding::points::<C>(&bytes[..bytes.len() - 1]);
    assert_eq!(cut, Err(Error::Length { what: "bytes of points", expected: 5 * size, found: 5 * size - 1 }));

    // The modulus in each element of point 2, which is the same as 0 to a reader that reduces.
    let modulus = C::Prime::MODULUS.to_bytes_le();
    for at in (0..size).step_by(C::WORDS * 8) {
        let mut bytes = bytes.clone();
        bytes[2 * size + at..2 * size + at + C::WORDS * 8].copy_from_slice(&modulus[..C::WORDS * 8]);
        assert_eq!(encoding::points::<C>(&bytes), Err(Error::NotCanonical { what: "point", index: 2 }));
    }

    let mut off = some.clone();
    off[4] = Affine::new_unchecked(off[4].x, off[4].y + <C::Config as ark_ec::CurveConfig>::BaseField::ONE);
    let refused = encoding::points::<C>(&encoding::points_to_bytes::<C>(&off));
    assert_eq!(refused, Err(Error::NotOnCurve { index: 4 }));

    if let Some(point) = outside::<C>() {
        let refused = encoding::points::<C>(&encoding::points_to_bytes::<C>(&[some[0], point]));
        assert_eq!(refused, Err(Error::NotInSubgroup { index: 1 }));
    }

    let some = scalars::<C>(4, &mut rng);
    let bytes = scalar_bytes::<C>(&some);
    assert_eq!(encoding::scalars::<C>(&bytes), Ok(some));
    let cut = encoding::scalars::<C>(&bytes[..33]);
    assert_eq!(cut, Err(Error::Length { what: "bytes of scalars", expected: 64, found: 33 }));
    let order = <Scalar<C> as PrimeField>::MODULUS.to_bytes_le();
    for large in [&order[..32], &[255; 32]] {
        let mut bytes = bytes.clone();
        bytes[96..].copy_from_slice(large);
        assert_eq!(encoding::scalars::<C>(&bytes), Err(Error::NotCanonical { what: "scalar", index: 3 }));
    }
}

#[test]
fn bn254_g1() {
    assert_eq!(bytes_of_point::<Bn254G1>(), 64);
    everything::<Bn254G1>();
}

#[test]
fn bn254_g2() {
    assert_eq!(bytes_of_point::<Bn254G2>(), 128);
    everything::<Bn254G2>();
}

#[test]
fn bls12_381_g1() {
    assert_eq!(bytes_of_point::<Bls12381G1>(), 96);
    everything::<Bls12381G1>();
}

#[test]
fn bls12_381_g2() {
    assert_eq!(bytes_of_point::<Bls12381G2>(), 192);
    everything::<Bls12381G2>();
}

#[test]
fn coordinates_of_the_extension_are_c0_then_c1() {
    let generator = encoding::points_to_bytes::<Bn254G2>(&[Affine::new_unchecked(
        <Bn254G2 as Curve>::Config::GENERATOR.x,
        <Bn254G2 as Curve>::Config::GENERATOR.y,
    )]);
    let c0 = ark_bn254::g2::G2_GENERATOR_X_C0.into_bigint().to_bytes_le();
    let c1 = ark_bn254::g2::G2_GENERATOR_X_C1.into_bigint().to_bytes_le();
    assert_eq!((&generator[..32], &generator[32..64]), (&c0[..], &c1[..]));
}
