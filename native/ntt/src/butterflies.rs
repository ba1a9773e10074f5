//! The layers of a transform over a column of vectors, each lane by itself, every lane with the same factors.
//!
//! Decimation in time, from bit-reversed to natural order, two layers at a time. With p the modulus, values below 2p
//! come in; the first layers make 8p or 4p of it, every two layers more add 4p, and 2^12 vectors end below 28p, which
//! the 35p of the smaller of the two ranges hold: nothing is reduced on the way but by the products.

use ark_ff::{Field, MontConfig};
use w3bstream_field::{Constant, Element, Lanes, limit};

use crate::tables::powers;

/// 2^6 vectors are 20 KiB, which a first-level cache holds: from here downwards layer by layer.
const BLOCK: usize = 1 << 6;

/// The factors of a transform of 2^k vectors.
pub(crate) struct Layers<C> {
    /// i, the root of order 4.
    fourth: Constant<C>,
    /// Whether one layer comes before those that go by twos.
    odd: bool,
    /// For every two layers, which join four blocks of m to one of 4m, and every j < m: w^2j, w^j and i·w^j where w is
    /// the root of order 4m.
    joins: Vec<Vec<[Constant<C>; 3]>>,
}

impl<C: MontConfig<4>> Layers<C> {
    /// The factors of a transform of 2^`log_size` vectors, 4 or more, with a root of that order.
    pub fn new(root: Element<C>, log_size: u32) -> Self {
        let fourth = root.pow([1 << (log_size - 2)]);
        let odd = log_size % 2 == 1;
        let joins = (if odd { 3 } else { 4 }..=log_size).step_by(2).map(|log_block| {
            let of_block = root.pow([1 << (log_size - log_block)]);
            let factors = powers(Element::<C>::ONE, of_block, 1 << (log_block - 2));
            factors.into_iter().map(|w| [w.square(), w, w * fourth].map(Constant::new)).collect()
        });
        Self { fourth: Constant::new(fourth), odd, joins: joins.collect() }
    }

    /// The transform of vectors below 2p in bit-reversed order, to vectors below 28p in natural order.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn transform(&self, column: &mut [Lanes<C>]) {
        const { assert!(limit::<C, 4, 5>() >= 30, "limbs hold 28p, and two p more") };
        self.transform_block(column, &self.joins);
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn transform_block(&self, block: &mut [Lanes<C>], joins: &[Vec<[Constant<C>; 3]>]) {
        if let [before @ .., last] = joins
            && block.len() > BLOCK
        {
            for quarter in block.chunks_exact_mut(block.len() / 4) {
                self.transform_block(quarter, before);
            }
            return join(block, last);
        }
        if self.odd {
            first_layer(block)
        } else {
            first_layers(block, &self.fourth)
        }
        for factors in joins {
            for part in block.chunks_exact_mut(4 * factors.len()) {
                join(part, factors);
            }
        }
    }
}

/// Pairs: from below 2p to below 4p.
#[target_feature(enable = "avx512f,avx512ifma")]
fn first_layer<C: MontConfig<4>>(column: &mut [Lanes<C>]) {
    for pair in column.chunks_exact_mut(2) {
        (pair[0], pair[1]) = (pair[0].plus(pair[1]), pair[0].minus::<2>(pair[1]));
    }
}

/// Fours: from below 2p to below 8p.
#[target_feature(enable = "avx512f,avx512ifma")]
fn first_layers<C: MontConfig<4>>(column: &mut [Lanes<C>], fourth: &Constant<C>) {
    for four in column.chunks_exact_mut(4) {
        let [a, b, c, d] = [four[0].loose(), four[1].loose(), four[2].loose(), four[3].loose()];
        let turned = c.minus(d).settled::<2>().times_constant(fourth).loose();
        four[0] = a.plus(b).plus(c.plus(d)).settled::<0>();
        four[1] = a.minus(b).plus(turned).settled::<2>();
        four[2] = a.plus(b).minus(c.plus(d)).settled::<4>();
        four[3] = a.minus(b).minus(turned).settled::<4>();
    }
}

/// Two layers, which make one transform of four: 4p more.
#[target_feature(enable = "avx512f,avx512ifma")]
fn join<C: MontConfig<4>>(block: &mut [Lanes<C>], factors: &[[Constant<C>; 3]]) {
    let (left, right) = block.split_at_mut(block.len() / 2);
    let ((a, b), (c, d)) = (left.split_at_mut(factors.len()), right.split_at_mut(factors.len()));
    let quarters = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
    for (((a, b), (c, d)), [inner, low, high]) in quarters.zip(factors) {
        let (right, left) = (b.times_constant(inner).loose(), d.times_constant(inner).loose());
        let third = c.loose().plus(left).settled::<0>().times_constant(low).loose();
        let fourth = c.loose().minus(left).settled::<2>().times_constant(high).loose();
        let (even, odd) = (a.loose().plus(right), a.loose().minus(right));
        *a = even.plus(third).settled::<0>();
        *b = odd.plus(fourth).settled::<2>();
        *c = even.minus(third).settled::<2>();
        *d = odd.minus(fourth).settled::<4>();
    }
}

#[cfg(test)]
mod tests {
    use std::arch::x86_64::_mm512_set1_epi64;

    use ark_ff::{BigInt, BigInteger, Fp, UniformRand, Zero};
    use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
    use w3bstream_field::{Ifma, LANES};

    use super::*;
    use crate::tables::bit_reversed;

    /// In every lane the number as it stands: an element in ark-ff's form, or that plus the modulus.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn vector<C: MontConfig<4>>(number: BigInt<4>) -> Lanes<C> {
        Lanes::unpacked(number.0.map(|word| _mm512_set1_epi64(word.cast_signed())))
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn agree<C: MontConfig<4>>(log_size: u32, elements: &[Element<C>]) {
        let domain = Radix2EvaluationDomain::<Element<C>>::new(elements.len()).expect("a domain");
        let mut column = vec![Lanes::zero(); elements.len()];
        for (at, element) in elements.iter().enumerate() {
            let mut number = element.0;
            assert!(!number.add_with_carry(&C::MODULUS), "2p is below 2^256");
            column[bit_reversed(at, log_size)] = vector(number);
        }
        Layers::new(domain.group_gen, log_size).transform(&mut column);
        for (vector, expected) in column.iter().zip(domain.fft(elements)) {
            // Times 16: from ark-ff's form to ours, which `store` takes.
            let sixteen = Constant::new(Element::<C>::from(16u64));
            assert_eq!(vector.times_constant(&sixteen).store(), [expected; LANES], "2^{log_size}");
        }
    }

    fn columns_up_to_the_largest<C: MontConfig<4>>() {
        let Some(_) = Ifma::detect() else { return };
        let mut source = ark_std::test_rng();
        for log_size in 3..=12 {
            // The greatest number below 2p: -1 as it stands.
            let mut greatest = C::MODULUS;
            greatest.sub_with_borrow(&BigInt::one());
            let greatest = Fp(greatest, std::marker::PhantomData);
            let size = 1 << log_size;
            let all = vec![greatest; size];
            let half = (0..size).map(|at| if at % 3 == 0 { greatest } else { Element::<C>::zero() });
            let random = (0..size).map(|_| Element::<C>::rand(&mut source)).collect::<Vec<_>>();
            for elements in [all, half.collect(), random] {
                // SAFETY: there is an `Ifma`, so this CPU runs AVX-512 IFMA.
                unsafe { agree(log_size, &elements) };
            }
        }
    }

    #[test]
    fn greatest_values_in_the_largest_columns() {
        columns_up_to_the_largest::<ark_bn254::FrConfig>();
        columns_up_to_the_largest::<ark_bls12_381::FrConfig>();
    }
}
