//! What the targets of the MSM crate share: its four groups, and points whose discrete logarithms are known.
#![allow(dead_code, unused_macros, unused_imports, reason = "each target takes what it needs")]

use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{Field, One, Zero};
use w3bstream_msm::{Curve, Point, Scalar, Sum};

/// A call of a generic function in the group that a number picks.
macro_rules! in_group {
    ($number:expr, $function:ident($($argument:expr),*)) => {
        match $number % 4 {
            0 => $function::<w3bstream_msm::Bn254G1>($($argument),*),
            1 => $function::<w3bstream_msm::Bn254G2>($($argument),*),
            2 => $function::<w3bstream_msm::Bls12381G1>($($argument),*),
            _ => $function::<w3bstream_msm::Bls12381G2>($($argument),*),
        }
    };
}
pub(crate) use in_group;

/// One by one, by arkworks.
pub fn naive<C: Curve>(points: &[Point<C>], scalars: &[Scalar<C>]) -> Sum<C> {
    points.iter().zip(scalars).map(|(&point, scalar)| point * scalar).sum()
}

/// λ of the group: the endomorphism takes the generator to λ times the generator.
pub fn lambda<C: Curve>() -> Scalar<C> {
    let root = (-Scalar::<C>::from(3u8)).sqrt().expect("three divides the order less one");
    let half = Scalar::<C>::from(2u8).inverse().expect("two is not zero");
    let image = turned::<C>(&Point::<C>::generator());
    let lambda = [(root - Scalar::<C>::one()) * half, (-root - Scalar::<C>::one()) * half];
    let fits = |lambda: &Scalar<C>| (Sum::<C>::generator() * lambda).into_affine() == image;
    lambda.into_iter().find(fits).expect("one of the two is the eigenvalue")
}

/// The endomorphism's image of a point.
fn turned<C: Curve>(point: &Point<C>) -> Point<C> {
    let (x, y) = point.xy().expect("not infinity");
    Point::<C>::new(x.mul_by_base_prime_field(&C::BETA), y)
}

/// Points and their logarithms to the generator's base: infinity, the generator, its small multiples and opposite, its
/// images under the endomorphism, and two whose logarithm is large.
pub fn logarithms<C: Curve>() -> Vec<(Scalar<C>, Point<C>)> {
    let one = Scalar::<C>::one();
    let lambda = lambda::<C>();
    let large = Scalar::<C>::from(u64::MAX).pow([7]);
    let small = [0u64, 1, 2, 3, 4, 5].map(Scalar::<C>::from);
    let others = [-one, lambda, -lambda, lambda * lambda, lambda + one, -lambda - lambda];
    let large = [large, large.square(), -large, lambda * large];
    let all: Vec<_> = small.into_iter().chain(others).chain(large).collect();
    let points: Vec<_> = all.iter().map(|logarithm| Sum::<C>::generator() * logarithm).collect();
    assert!(points[0].is_zero());
    all.into_iter().zip(Sum::<C>::normalize_batch(&points)).collect()
}
