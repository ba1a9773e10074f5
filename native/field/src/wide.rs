//! Sums of products in 2 L columns of 52 bits, and Montgomery's reduction of such a sum (Math. Comp. 44, 1985).
//!
//! A column is 64 bits wide, and a product adds at most 2 L * 2^52 to it: carries wait until the end, for 4000 / 2 L
//! products (400 or 256).

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

use ark_ff::MontConfig;

use crate::lanes::broadcast;
use crate::limbs::{LIMB, MASK, multiple, negative_inverse};
use crate::{Constant, Lanes};

/// The body for every limb, written out: LLVM keeps a loop over eight limbs as one, and the columns then lie in memory.
macro_rules! for_limbs {
    ($at:ident, $body:block) => {
        for_limbs!($at, $body, 0, 1, 2, 3, 4, 5, 6, 7)
    };
    ($at:ident, $body:block, $($limb:literal),*) => {
        const { assert!(L <= 8) };
        $(if $limb < L {
            let $at = $limb;
            $body
        })*
    };
}

/// A sum of products of elements in each lane, not reduced.
pub struct Wide<C, const W: usize = 4, const L: usize = 5> {
    /// The lower half of the columns, and the upper one.
    columns: [[__m512i; L]; 2],
    field: PhantomData<C>,
}

impl<C, const W: usize, const L: usize> Clone for Wide<C, W, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, const W: usize, const L: usize> Copy for Wide<C, W, L> {}

impl<C: MontConfig<W>, const W: usize, const L: usize> Wide<C, W, L> {
    /// The empty sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zero() -> Self {
        Self { columns: [[_mm512_setzero_si512(); L]; 2], field: PhantomData }
    }

    /// Add the product of two.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn add_product(&mut self, left: &Lanes<C, W, L>, right: &Lanes<C, W, L>) {
        for_limbs!(i, {
            for j in 0..L {
                self.add(i + j, left.limbs[i], right.limbs[j]);
            }
        });
    }

    /// Add the product with a constant.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn add_constant_product(&mut self, left: &Lanes<C, W, L>, right: &Constant<C, W, L>) {
        for_limbs!(j, {
            let limb = broadcast(right.limbs[j]);
            for i in 0..L {
                self.add(i + j, left.limbs[i], limb);
            }
        });
    }

    /// The square of one: each product of two different limbs is made once and counted twice.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn square(of: &Lanes<C, W, L>) -> Self {
        let mut sum = Self::zero();
        for_limbs!(i, {
            for j in i + 1..L {
                sum.add(i + j, of.limbs[i], of.limbs[j]);
            }
        });
        for half in &mut sum.columns {
            for column in half {
                *column = _mm512_add_epi64(*column, *column);
            }
        }
        for i in 0..L {
            sum.add(2 * i, of.limbs[i], of.limbs[i]);
        }
        sum
    }

    /// The difference; it may be negative, if what is taken is below 2^(52 L) p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn minus(mut self, other: &Self) -> Self {
        for (half, other) in self.columns.iter_mut().zip(&other.columns) {
            for (column, other) in half.iter_mut().zip(other) {
                *column = _mm512_sub_epi64(*column, *other);
            }
        }
        self
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add(&mut self, column: usize, left: __m512i, right: __m512i) {
        let low = &mut self.columns[column / L][column % L];
        *low = _mm512_madd52lo_epu64(*low, left, right);
        self.add_high(column, left, right);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add_high(&mut self, column: usize, left: __m512i, right: __m512i) {
        let high = &mut self.columns[(column + 1) / L][(column + 1) % L];
        *high = _mm512_madd52hi_epu64(*high, left, right);
    }

    /// The sum divided by 2^(52 L), below p more than it was. It must not be negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce(mut self) -> Lanes<C, W, L> {
        for_limbs!(at, { self.reduce_column(at) });
        Lanes::carried(self.columns[1])
    }

    /// The sum divided by 2^(52 L) and `TIMES` * p, below p more than it was. The sum must be above -`TIMES` 2^(52 L) p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduce_above<const TIMES: u64>(mut self) -> Lanes<C, W, L> {
        for (column, room) in self.columns[1].iter_mut().zip(const { multiple::<C, W, L>(TIMES) }) {
            *column = _mm512_add_epi64(*column, broadcast(room));
        }
        self.reduce()
    }

    /// Make a column of the lower half 0 by adding a multiple of the modulus, and move its carry up.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce_column(&mut self, at: usize) {
        let modulus = const { multiple::<C, W, L>(1) };
        let inverse = broadcast(const { negative_inverse::<C, W>() });
        let column = self.columns[0][at];
        // The low half of the product with the lowest limb makes the low 52 bits 0: it carries unless they were.
        let carry = _mm512_srai_epi64::<LIMB>(_mm512_add_epi64(column, broadcast(MASK)));
        let next = &mut self.columns[(at + 1) / L][(at + 1) % L];
        *next = _mm512_add_epi64(*next, carry);
        let factor = _mm512_madd52lo_epu64(_mm512_setzero_si512(), column, inverse);
        self.add_high(at, factor, broadcast(modulus[0]));
        for (j, limb) in modulus.iter().enumerate().skip(1) {
            self.add(at + j, factor, broadcast(*limb));
        }
    }
}
