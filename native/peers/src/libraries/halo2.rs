//! halo2curves' `msm_best` (assembly on): Booth windows, affine buckets batched by a scheduler.

use halo2curves::ff::{Field, PrimeField};
use halo2curves::ff_ext::quadratic::QuadExtField;
use halo2curves::group::Curve;
use halo2curves::msm::msm_best;
use halo2curves::{Coordinates, CurveAffine, bls12381, bn256};

use super::Prepared;
use crate::groups::{Group, Input};

/// Coordinates from their bytes and back.
trait Coordinate: Sized + Copy {
    fn read(bytes: &[u8]) -> Self;
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! prime {
    ($field:ty) => {
        impl Coordinate for $field {
            fn read(bytes: &[u8]) -> Self {
                let mut repr = <$field as PrimeField>::Repr::default();
                repr.as_mut().copy_from_slice(bytes);
                <$field>::from_repr(repr).expect("below the modulus")
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_repr().as_ref());
            }
        }

        impl Coordinate for QuadExtField<$field> {
            fn read(bytes: &[u8]) -> Self {
                let (c0, c1) = bytes.split_at(bytes.len() / 2);
                Self::new(Coordinate::read(c0), Coordinate::read(c1))
            }

            fn write(&self, out: &mut Vec<u8>) {
                self.c0().write(out);
                self.c1().write(out);
            }
        }
    };
}

prime!(bn256::Fq);
prime!(bls12381::Fq);

fn prepared<C: CurveAffine>(input: &Input) -> Prepared
where
    C::Base: Coordinate,
    C::Curve: Curve<AffineRepr = C>,
{
    let points: Vec<C> = input
        .each_point()
        .map(|bytes| {
            let (x, y) = bytes.split_at(bytes.len() / 2);
            // As it keeps infinity itself: both coordinates 0.
            if bytes.iter().all(|&byte| byte == 0) {
                return C::identity();
            }
            C::from_xy(Coordinate::read(x), Coordinate::read(y)).expect("on the curve")
        })
        .collect();
    let scalars: Vec<C::ScalarExt> = input
        .each_scalar()
        .map(|bytes| {
            let mut repr = <C::ScalarExt as PrimeField>::Repr::default();
            repr.as_mut().copy_from_slice(bytes);
            C::ScalarExt::from_repr(repr).expect("below r")
        })
        .collect();
    Prepared::plain(move || {
        let sum: Option<Coordinates<C>> = msm_best(&scalars, &points).to_affine().coordinates().into();
        let (x, y) = sum.map_or((C::Base::ZERO, C::Base::ZERO), |sum| (*sum.x(), *sum.y()));
        let mut out = Vec::new();
        x.write(&mut out);
        y.write(&mut out);
        out
    })
}

/// Ready to sum.
pub fn prepare(input: &Input) -> Option<Prepared> {
    Some(match input.group {
        Group::Bn254G1 => prepared::<bn256::G1Affine>(input),
        Group::Bn254G2 => prepared::<bn256::G2Affine>(input),
        Group::Bls12381G1 => prepared::<bls12381::G1Affine>(input),
        Group::Bls12381G2 => prepared::<bls12381::G2Affine>(input),
    })
}
