//! Eight lanes against one element: hashes, square roots and multiples.

use ark_ff::{BigInt, Field, PrimeField};

use super::*;
use crate::curve::{Affine, Extended, ORDER, table_of_eightfold};
use crate::poseidon;

/// Elements that reach every bit: powers of a generator of the field's units, and the edges.
fn elements(count: usize) -> Vec<Fr> {
    let edges = [Fr::ZERO, Fr::ONE, -Fr::ONE, Fr::from(168700u64), -Fr::from(168696u64), Fr::from(u64::MAX)];
    let powers = std::iter::successors(Some(Fr::from(5u64).pow([1000])), |last| Some(*last * Fr::from(5u64)));
    edges.into_iter().chain(powers).take(count).collect()
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn hashes_agree() {
    let inputs = elements(LANES * 5 * 13);
    for some in inputs.chunks_exact(LANES * 5) {
        let input = |at: usize| Lanes::load(std::array::from_fn(|lane| &some[lane * 5 + at]));
        let (twos, fives) = (
            super::poseidon::p2([input(0), input(1)]).store(),
            super::poseidon::p5([input(0), input(1), input(2), input(3), input(4)]).store(),
        );
        for lane in 0..LANES {
            let own: [Fr; 5] = std::array::from_fn(|at| some[lane * 5 + at]);
            assert_eq!(twos[lane], poseidon::p2(&[own[0], own[1]]));
            assert_eq!(fives[lane], poseidon::p5(&own));
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn points_are_found_alike() {
    let (mut found, mut missing) = (0, 0);
    for chunk in elements(2048).chunks_exact(LANES) {
        let y = Lanes::load(std::array::from_fn(|lane| &chunk[lane]));
        for negative in [false, true] {
            let (x, good) = curve::decompress(y, [negative; LANES]);
            for (lane, x) in x.store().into_iter().enumerate() {
                let expected = Affine::decompress(chunk[lane], negative);
                assert_eq!(
                    (good >> lane & 1 == 1).then_some(x),
                    expected.map(|point| point.x),
                    "{}",
                    chunk[lane]
                );
                *(if expected.is_some() { &mut found } else { &mut missing }) += 1;
            }
        }
    }
    assert!(found > 1000 && missing > 1000, "{found} points, {missing} without");
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn multiples_agree() {
    let less_one = BigInt::new([ORDER.0[0] - 1, ORDER.0[1], ORDER.0[2], ORDER.0[3]]);
    let mut scalars =
        vec![BigInt::new([0; 4]), BigInt::new([1, 0, 0, 0]), BigInt::new([128, 0, 0, 0]), less_one];
    scalars.extend([7u64, 8, 9, 127, 129, u64::MAX].map(|low| BigInt::new([low, low, low, low >> 5])));
    scalars.extend(elements(38).iter().map(|value| value.into_bigint()));
    let keys: Vec<_> = scalars[3..11]
        .iter()
        .map(|s| base_table().accumulate(Extended::IDENTITY, s, false).to_affine())
        .collect();
    let tables: Vec<_> = keys.iter().map(table_of_eightfold).collect();
    for (shift, chunk) in scalars.chunks_exact(LANES).enumerate() {
        let own: [BigInt<4>; LANES] = std::array::from_fn(|lane| chunk[lane]);
        let of = std::array::from_fn(|lane| &tables[(lane + shift) % LANES]);
        let points = curve::Points::identity()
            .accumulate([base_table(); LANES], &own, false)
            .accumulate(of, &own, true);
        let expected: [Affine; LANES] = std::array::from_fn(|lane| {
            let left = base_table().accumulate(Extended::IDENTITY, &own[lane], false);
            of[lane].accumulate(left, &own[lane], true).to_affine()
        });
        let (xs, ys) = (expected.map(|point| point.x), expected.map(|point| point.y));
        let (x, y) = (Lanes::load(xs.each_ref()), Lanes::load(ys.each_ref()));
        assert_eq!(points.are(x, y), Mask::MAX);
        assert_eq!(points.are(y, x), 0);
        let one = Lanes::splat(&Constant::new(Fr::ONE));
        assert_eq!(points.are(x.plus(one), y) | points.are(x, y.plus(one)), 0);
    }
}

#[test]
fn lanes_do_what_single_elements_do() {
    if Ifma::detect().is_some() {
        // SAFETY: the CPU has the features, as `detect` says.
        unsafe {
            hashes_agree();
            points_are_found_alike();
            multiples_agree();
        }
    }
}
