//! Sums and differences whose carries wait: limbs are signed numbers of up to 63 bits, and the value may be negative.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

use ark_ff::MontConfig;

use crate::lanes::{Mask, broadcast};
use crate::limbs::{LIMB, multiple, split};
use crate::{LANES, Lanes};

/// A sum of a few elements in each lane, not carried.
pub struct Loose<C, const W: usize = 4, const L: usize = 5> {
    limbs: [__m512i; L],
    field: PhantomData<C>,
}

impl<C, const W: usize, const L: usize> Clone for Loose<C, W, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, const W: usize, const L: usize> Copy for Loose<C, W, L> {}

impl<C: MontConfig<W>, const W: usize, const L: usize> Lanes<C, W, L> {
    /// The same value, to be added to.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn loose(self) -> Loose<C, W, L> {
        Loose { limbs: self.limbs, field: PhantomData }
    }
}

impl<C: MontConfig<W>, const W: usize, const L: usize> Loose<C, W, L> {
    /// The sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn plus(mut self, other: Self) -> Self {
        for (limb, other) in self.limbs.iter_mut().zip(other.limbs) {
            *limb = _mm512_add_epi64(*limb, other);
        }
        self
    }

    /// The difference.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn minus(mut self, other: Self) -> Self {
        for (limb, other) in self.limbs.iter_mut().zip(other.limbs) {
            *limb = _mm512_sub_epi64(*limb, other);
        }
        self
    }

    /// The sum with `TIMES` * p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn plus_multiple<const TIMES: u64>(mut self) -> Self {
        for (limb, room) in self.limbs.iter_mut().zip(const { multiple::<C, W, L>(TIMES) }) {
            *limb = _mm512_add_epi64(*limb, broadcast(room));
        }
        self
    }

    /// The negative in lanes whose bit is set.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn negated(mut self, lanes: Mask) -> Self {
        for limb in &mut self.limbs {
            *limb = _mm512_mask_sub_epi64(*limb, lanes, _mm512_setzero_si512(), *limb);
        }
        self
    }

    /// `yes` where the mask has a bit, else `no`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn select(mask: Mask, yes: Self, mut no: Self) -> Self {
        for (limb, other) in no.limbs.iter_mut().zip(yes.limbs) {
            *limb = _mm512_mask_blend_epi64(mask, *limb, other);
        }
        no
    }

    /// The value plus `TIMES` * p, carried. The value must be above -`TIMES` * p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn settled<const TIMES: u64>(self) -> Lanes<C, W, L> {
        Lanes::carried(self.plus_multiple::<TIMES>().limbs)
    }

    /// The same element, at least 0 and below 5/2 p. The value must be above -`TIMES` * p and below (8 - `TIMES`) * p.
    ///
    /// The bits from the modulus's highest upwards tell how often it goes into the value, or once less.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn lowered<const TIMES: u64>(self) -> Lanes<C, W, L> {
        let mut limbs = self.plus_multiple::<TIMES>().limbs;
        let top = _mm512_add_epi64(limbs[L - 1], _mm512_srai_epi64::<LIMB>(limbs[L - 2]));
        let times = _mm512_srav_epi64(top, broadcast(const { top_bits::<C, W, L>() } as u64));
        for (limb, multiples) in limbs.iter_mut().zip(const { &multiples_below::<C, W, L>() }) {
            // SAFETY: `multiples` are the 64 bytes that the load reads; it asks for no alignment.
            let multiples = unsafe { _mm512_loadu_si512(multiples.as_ptr().cast()) };
            *limb = _mm512_sub_epi64(*limb, _mm512_permutexvar_epi64(times, multiples));
        }
        Lanes::carried(limbs)
    }
}

/// Bits of the modulus's highest limb.
const fn top_bits<C: MontConfig<W>, const W: usize, const L: usize>() -> u32 {
    64 - split::<W, L>(C::MODULUS.0)[L - 1].leading_zeros()
}

/// For each limb, that of the eight multiples of the modulus to take from a value whose bits from `top_bits` upwards are
/// 0 to 7: the greatest that is no greater than any such value. A carry that has not arrived changes the highest limb
/// by one at most.
const fn multiples_below<C: MontConfig<W>, const W: usize, const L: usize>() -> [[u64; LANES]; L] {
    let unit = 1u64 << top_bits::<C, W, L>();
    let (mut found, mut at) = ([[0; LANES]; L], 1);
    while at < LANES {
        let mut times = 0;
        while multiple::<C, W, L>(times + 1)[L - 1] + 1 < unit * at as u64 {
            times += 1;
        }
        let (limbs, mut limb) = (multiple::<C, W, L>(times), 0);
        while limb < L {
            found[limb][at] = limbs[limb];
            limb += 1;
        }
        at += 1;
    }
    found
}
