//! Points, scalars and sums that the tests share; no test file uses them all.
#![allow(dead_code)]

use ark_ec::CurveGroup;
use ark_ff::{UniformRand, Zero};
use ark_std::rand::Rng;
use w3bstream_msm::{Curve, Point, Scalar, Sum};

/// `n` points; random ones are dear, so there are 50 of them and their running sums.
pub fn points<C: Curve>(n: usize, rng: &mut impl Rng) -> Vec<Point<C>> {
    let steps: Vec<Sum<C>> = (0..50).map(|_| Sum::<C>::rand(rng)).collect();
    let mut sum = Sum::<C>::zero();
    let sums: Vec<Sum<C>> = (0..n)
        .map(|at| {
            sum += steps[at % steps.len()];
            sum
        })
        .collect();
    Sum::<C>::normalize_batch(&sums)
}

/// `n` uniform scalars.
pub fn scalars<C: Curve>(n: usize, rng: &mut impl Rng) -> Vec<Scalar<C>> {
    (0..n).map(|_| Scalar::<C>::rand(rng)).collect()
}

/// One by one.
pub fn naive<C: Curve>(points: &[Point<C>], scalars: &[Scalar<C>]) -> Sum<C> {
    points.iter().zip(scalars).map(|(&point, scalar)| point * scalar).sum()
}
