//! Sums of products in ten columns of 52 bits, and Montgomery's reduction of such a sum (Math. Comp. 44, 1985).
//!
//! A column is 64 bits wide, and a product adds at most 10 * 2^52 to it: carries wait until the end, for a hundred
//! products.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

use ark_ff::MontConfig;

use crate::lanes::broadcast;
use crate::limbs::{LIMB, multiple, negative_inverse};
use crate::{Constant, Lanes};

/// A sum of products of elements in each lane, not reduced.
pub struct Wide<C> {
    columns: [__m512i; 10],
    field: PhantomData<C>,
}

impl<C: MontConfig<4>> Wide<C> {
    /// The empty sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zero() -> Self {
        Self { columns: [_mm512_setzero_si512(); 10], field: PhantomData }
    }

    /// Add the product of two.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn add_product(&mut self, left: &Lanes<C>, right: &Lanes<C>) {
        for i in 0..5 {
            for j in 0..5 {
                self.add(i + j, left.limbs[i], right.limbs[j]);
            }
        }
    }

    /// Add the product with a constant.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn add_constant_product(&mut self, left: &Lanes<C>, right: &Constant<C>) {
        for j in 0..5 {
            let limb = broadcast(right.limbs[j]);
            for i in 0..5 {
                self.add(i + j, left.limbs[i], limb);
            }
        }
    }

    /// The square of one: each product of two different limbs is made once and counted twice.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn square(of: &Lanes<C>) -> Self {
        let mut sum = Self::zero();
        for i in 0..5 {
            for j in i + 1..5 {
                sum.add(i + j, of.limbs[i], of.limbs[j]);
            }
        }
        for column in &mut sum.columns {
            *column = _mm512_add_epi64(*column, *column);
        }
        for i in 0..5 {
            sum.add(2 * i, of.limbs[i], of.limbs[i]);
        }
        sum
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add(&mut self, column: usize, left: __m512i, right: __m512i) {
        self.columns[column] = _mm512_madd52lo_epu64(self.columns[column], left, right);
        self.columns[column + 1] = _mm512_madd52hi_epu64(self.columns[column + 1], left, right);
    }

    /// The sum divided by 2^260, below p more than it was.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce(mut self) -> Lanes<C> {
        let modulus = const { multiple::<C>(1) };
        let inverse = broadcast(const { negative_inverse::<C>() });
        for at in 0..5 {
            let factor = _mm512_madd52lo_epu64(_mm512_setzero_si512(), self.columns[at], inverse);
            for (j, limb) in modulus.iter().enumerate() {
                self.add(at + j, factor, broadcast(*limb));
            }
            // The low 52 bits are 0 now.
            let carry = _mm512_srli_epi64::<LIMB>(self.columns[at]);
            self.columns[at + 1] = _mm512_add_epi64(self.columns[at + 1], carry);
        }
        let [.., a, b, c, d, e] = self.columns;
        Lanes::carried([a, b, c, d, e])
    }
}
