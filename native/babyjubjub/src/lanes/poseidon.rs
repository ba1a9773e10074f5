//! Poseidon over eight states at a time; see `crate::poseidon` for the permutation.
//!
//! Bounds, with r the modulus: inputs are below 17r. A product is below 2r, so each partial round adds less than 2r to
//! the elements that it passes by; they are brought down again every `REDUCED_EVERY` rounds, and no value reaches 62r.

use std::sync::OnceLock;

use ark_ff::Field;

use super::{Constant, Lanes, Wide};
use crate::Fr;
use crate::poseidon::{HALF, Poseidon, of_five, of_two};

const REDUCED_EVERY: usize = 16;

/// P2 of each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn p2(inputs: [Lanes; 2]) -> Lanes {
    static P: OnceLock<Poseidon<3, Constant>> = OnceLock::new();
    hash(P.get_or_init(|| of_two().held(Constant::new)), [Lanes::zero(), inputs[0], inputs[1]])
}

/// P5 of each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn p5(inputs: [Lanes; 5]) -> Lanes {
    static P: OnceLock<Poseidon<6, Constant>> = OnceLock::new();
    let [a, b, c, d, e] = inputs;
    hash(P.get_or_init(|| of_five().held(Constant::new)), [Lanes::zero(), a, b, c, d, e])
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn hash<const T: usize>(of: &Poseidon<T, Constant>, mut state: [Lanes; T]) -> Lanes {
    for (k, constants) in of.first.iter().enumerate() {
        state = full_round(&state, constants, if k + 1 == HALF { &of.entry } else { &of.matrix });
    }
    let one = Constant::new(Fr::ONE);
    for (k, ((scalar, row), column)) in of.scalars.iter().zip(&of.rows).zip(&of.columns).enumerate() {
        let boxed = fifth(state[0].plus_constant(scalar));
        state[0] = boxed;
        let head = product(row, &state);
        for i in 1..T {
            state[i] = state[i].plus(boxed.times_constant(&column[i]));
            if k % REDUCED_EVERY == REDUCED_EVERY - 1 {
                state[i] = state[i].times_constant(&one);
            }
        }
        state[0] = head;
    }
    for constants in &of.last {
        state = full_round(&state, constants, &of.matrix);
    }
    state[0]
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn fifth(value: Lanes) -> Lanes {
    value.squared_often(2).times(value)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn product<const T: usize>(row: &[Constant; T], state: &[Lanes; T]) -> Lanes {
    let mut sum = Wide::zero();
    for (factor, element) in row.iter().zip(state) {
        sum.add_constant_product(element, factor);
    }
    sum.reduce()
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn full_round<const T: usize>(
    state: &[Lanes; T],
    constants: &[Constant; T],
    matrix: &[[Constant; T]; T],
) -> [Lanes; T] {
    let mut boxed = *state;
    for (element, constant) in boxed.iter_mut().zip(constants) {
        *element = fifth(element.plus_constant(constant));
    }
    let mut after = boxed;
    for (element, row) in after.iter_mut().zip(matrix) {
        *element = product(row, &boxed);
    }
    after
}
