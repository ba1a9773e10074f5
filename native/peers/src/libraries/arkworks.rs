//! arkworks' `msm_bigint` (ark-ec, assembly on): signed-window Pippenger with XYZZ buckets.

use ark_ec::short_weierstrass::{Projective, SWCurveConfig};
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::PrimeField;

use super::Prepared;
use crate::groups::{Group, Input, encode};

fn prepared<C: SWCurveConfig>(input: &Input) -> Prepared {
    let points = input.ark_points::<C>();
    let scalars: Vec<_> =
        input.ark_scalars::<C::ScalarField>().into_iter().map(PrimeField::into_bigint).collect();
    Prepared::plain(move || encode(&Projective::<C>::msm_bigint(&points, &scalars).into_affine()))
}

/// Ready to sum.
pub fn prepare(input: &Input) -> Option<Prepared> {
    Some(match input.group {
        Group::Bn254G1 => prepared::<ark_bn254::g1::Config>(input),
        Group::Bn254G2 => prepared::<ark_bn254::g2::Config>(input),
        Group::Bls12381G1 => prepared::<ark_bls12_381::g1::Config>(input),
        Group::Bls12381G2 => prepared::<ark_bls12_381::g2::Config>(input),
    })
}
