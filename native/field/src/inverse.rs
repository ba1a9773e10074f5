//! One inversion for eight lanes: products of lanes with lanes (Montgomery, Math. Comp. 48, 1987, section 10.3.1).

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;

use ark_ff::MontConfig;

use crate::{Constant, Lanes};

impl<C: MontConfig<W>, const W: usize, const L: usize> Lanes<C, W, L> {
    /// Each lane's inverse, below 2p, or nothing where one of them is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn inverse(self) -> Option<Self> {
        let halves = self.turned::<0x4E>();
        let fours = self.times(halves);
        let quarters = fours.turned::<0xB1>();
        let twos = fours.times(quarters);
        let neighbours = twos.swapped();
        // Every lane holds the product of all now.
        let inverse = crate::divsteps::inverse(&twos.times(neighbours).store()[0])?;
        Some(Self::splat(&Constant::new(inverse)).times(neighbours).times(quarters).times(halves))
    }

    /// Lanes by pairs in another order.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn turned<const ORDER: i32>(self) -> Self {
        let mut limbs = self.limbs;
        for limb in &mut limbs {
            *limb = _mm512_shuffle_i64x2::<ORDER>(*limb, *limb);
        }
        Self::of(limbs)
    }

    /// Each lane with its neighbour's element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn swapped(self) -> Self {
        let mut limbs = self.limbs;
        for limb in &mut limbs {
            *limb = _mm512_permutex_epi64::<0xB1>(*limb);
        }
        Self::of(limbs)
    }
}
