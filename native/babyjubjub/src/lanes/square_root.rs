//! Square roots of eight quotients: Tonelli and Shanks with tables (Sarkar, eprint 2020/1407), without an inversion.
//!
//! r - 1 = 2^28 * t with t odd. For a quotient q = u/v, q^((t+1)/2) is a root of q up to a power of g, which has order
//! 2^28; that power's exponent is read off in four digits of 7 bits. q^((t-1)/2) = (u * v^(2^29 - 1))^((t-1)/2) *
//! v^(2^28), since v^(r-1) = 1 (the joint form of pasta_curves' `sqrt_ratio`).

use std::sync::OnceLock;

use ark_ff::{BigInt, BigInteger, FftField, Field, PrimeField};

use w3bstream_field::LANES;

use super::Lanes;
use crate::Fr;

const DIGIT: usize = 7;
const DIGITS: usize = Fr::TWO_ADICITY as usize / DIGIT;
const VALUES: usize = 1 << DIGIT;
/// 128 numbers find places of their own among 2^13 for about every third multiplier.
const INDEX_BITS: u32 = 13;
/// Bits of the exponent (t-1)/2 taken at a time.
const WINDOW: usize = 4;

struct Logarithms {
    /// g^-(j * 2^(7i)) in row i at j.
    powers: [Vec<Fr>; DIGITS],
    multiplier: u64,
    /// Where g^(j * 2^21) is found: j, by the number's lowest word.
    index: Vec<u8>,
}

impl Logarithms {
    fn kept() -> &'static Self {
        static KEPT: OnceLock<Logarithms> = OnceLock::new();
        KEPT.get_or_init(Self::make)
    }

    fn make() -> Self {
        let generator = Fr::TWO_ADIC_ROOT_OF_UNITY;
        let inverse = generator.inverse().expect("a root of unity is not zero");
        let powers = std::array::from_fn(|row| {
            let step = inverse.pow([1u64 << (DIGIT * row)]);
            std::iter::successors(Some(Fr::ONE), |last| Some(*last * step)).take(VALUES).collect()
        });
        let root = generator.pow([1u64 << (DIGIT * (DIGITS - 1))]);
        let words: Vec<u64> = std::iter::successors(Some(Fr::ONE), |last| Some(*last * root))
            .map(|power| lowest_word(&power.into_bigint()))
            .take(VALUES)
            .collect();
        let multiplier = (0..).map(|k| 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(2 * k + 1));
        let (multiplier, index) = multiplier
            .filter_map(|multiplier| Some((multiplier, index_of(&words, multiplier)?)))
            .next()
            .expect("every third multiplier tells the numbers apart");
        Self { powers, multiplier, index }
    }

    /// j where the value is g^(j * 2^21); any number below 128 where it is no such power.
    fn digit(&self, value: &BigInt<4>) -> usize {
        usize::from(self.index[place(lowest_word(value), self.multiplier)])
    }
}

fn lowest_word(value: &BigInt<4>) -> u64 {
    value.0[0]
}

fn place(word: u64, multiplier: u64) -> usize {
    (word.wrapping_mul(multiplier) >> (64 - INDEX_BITS)) as usize
}

/// Each word's number at its place, if no two share one.
fn index_of(words: &[u64], multiplier: u64) -> Option<Vec<u8>> {
    let mut index = vec![u8::MAX; 1 << INDEX_BITS];
    for (number, word) in (0..).zip(words) {
        let slot = &mut index[place(*word, multiplier)];
        if *slot != u8::MAX {
            return None;
        }
        *slot = number;
    }
    index.iter_mut().filter(|slot| **slot == u8::MAX).for_each(|slot| *slot = 0);
    Some(index)
}

/// A root of u/v in each lane that has one, below 2r; what the other lanes hold is no root. v must not be 0, and both
/// below 16r.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn of_quotients(u: Lanes, v: Lanes) -> Lanes {
    let tables = Logarithms::kept();
    let c = power_of_ones(v);
    let z = power_of_half_trace(u.times(c.squared()).times(v)).times(c);
    let near = u.times(z);
    let mut towers = [near.times(z.times(v)); DIGITS];
    for row in 1..DIGITS {
        towers[row] = towers[row - 1].squared_often(DIGIT);
    }
    let mut logarithms = [0usize; LANES];
    for (digit, tower) in towers.iter().rev().enumerate() {
        let mut rest = *tower;
        for known in 0..digit {
            rest = rest.times(powers(tables, DIGITS - 1 - digit + known, known, &logarithms));
        }
        for (logarithm, value) in logarithms.iter_mut().zip(rest.integers()) {
            *logarithm |= tables.digit(&value) << (DIGIT * digit);
        }
    }
    let halves = logarithms.map(|logarithm| logarithm / 2);
    let mut root = near;
    for row in 0..DIGITS {
        root = root.times(powers(tables, row, row, &halves));
    }
    root
}

/// Row `row`'s power for the digit of each lane's logarithm.
#[target_feature(enable = "avx512f,avx512ifma")]
fn powers(tables: &Logarithms, row: usize, digit: usize, logarithms: &[usize; LANES]) -> Lanes {
    let row = &tables.powers[row];
    Lanes::load(logarithms.each_ref().map(|logarithm| &row[logarithm >> (DIGIT * digit) & (VALUES - 1)]))
}

/// value^(2^28 - 1).
#[target_feature(enable = "avx512f,avx512ifma")]
fn power_of_ones(value: Lanes) -> Lanes {
    let two = value.squared().times(value);
    let three = two.squared().times(value);
    let four = two.squared_often(2).times(two);
    let seven = four.squared_often(3).times(three);
    let fourteen = seven.squared_often(7).times(seven);
    fourteen.squared_often(14).times(fourteen)
}

/// value^((t - 1) / 2).
#[target_feature(enable = "avx512f,avx512ifma")]
fn power_of_half_trace(value: Lanes) -> Lanes {
    let exponent = Fr::TRACE_MINUS_ONE_DIV_TWO;
    let mut multiples = [value; 1 << WINDOW];
    for at in 2..multiples.len() {
        multiples[at] = multiples[at - 1].times(value);
    }
    let digit = |at: usize| (exponent.0[at / 64] >> (at % 64)) as usize & ((1 << WINDOW) - 1);
    let top = (exponent.num_bits() as usize - 1) / WINDOW * WINDOW;
    let mut power = multiples[digit(top)];
    for at in (0..top).step_by(WINDOW).rev() {
        power = power.squared_often(WINDOW);
        if digit(at) > 0 {
            power = power.times(multiples[digit(at)]);
        }
    }
    power
}
