//! Radix 2^52: the bits that limbs have and the modulus needs not are room for sums that nobody reduces.

use std::marker::PhantomData;

use ark_ff::{BigInt, MontConfig};

use crate::Element;

pub(crate) const LIMB: u32 = 52;
pub(crate) const MASK: u64 = (1 << LIMB) - 1;

/// `W` words of 64 bits as `L` limbs of 52; those past the last word are 0.
pub(crate) const fn split<const W: usize, const L: usize>(words: [u64; W]) -> [u64; L] {
    let (mut limbs, mut at) = ([0; L], 0);
    while at < L {
        let (word, shift) = (at * 52 / 64, at * 52 % 64);
        if word < W {
            let low = words[word] >> shift;
            let high = if shift > 12 && word + 1 < W { words[word + 1] << (64 - shift) } else { 0 };
            limbs[at] = (low | high) & MASK;
        }
        at += 1;
    }
    limbs
}

/// Bits between ark-ff's R = 2^(64 W) and ours, 2^(52 L).
pub(crate) const fn shift<const W: usize, const L: usize>() -> usize {
    assert!(52 * L >= 64 * W && 52 * L - 64 * W < 52, "the fewest limbs that hold the words");
    52 * L - 64 * W
}

/// How many times the modulus goes into 2^(52 L), rounded down: 84 for both fields of BN254, 35 for the scalars of
/// BLS12-381 and more than 2^35 for its base field.
pub const fn limit<C: MontConfig<W>, const W: usize, const L: usize>() -> u64 {
    let spare = shift::<W, L>() + 64;
    // The modulus is below (top + 1) * 2^(64 (W - 1)).
    let times = (1u128 << spare) / (C::MODULUS.0[W - 1] as u128 + 1);
    assert!(times >= 1 << shift::<W, L>() && times >> 52 == 0, "no room for sums");
    times as u64
}

/// `times` the modulus, which must fit into 52 L bits.
pub(crate) const fn multiple<C: MontConfig<W>, const W: usize, const L: usize>(times: u64) -> [u64; L] {
    assert!(times <= limit::<C, W, L>(), "more bits than the limbs have");
    let (mut limbs, mut carry, mut at) = (split::<W, L>(C::MODULUS.0), 0, 0);
    while at < L {
        let wide = limbs[at] as u128 * times as u128 + carry;
        (limbs[at], carry) = (wide as u64 & MASK, wide >> LIMB);
        at += 1;
    }
    assert!(carry == 0, "more bits than the limbs have");
    limbs
}

/// -1 / modulus, modulo 2^52.
pub(crate) const fn negative_inverse<C: MontConfig<W>, const W: usize>() -> u64 {
    C::INV & MASK
}

/// An element that every lane is multiplied with: Montgomery form for R = 2^(52 L), below the modulus.
#[derive(Clone, Copy, Debug)]
pub struct Constant<C, const W: usize = 4, const L: usize = 5> {
    pub(crate) limbs: [u64; L],
    field: PhantomData<C>,
}

impl<C: MontConfig<W>, const W: usize, const L: usize> Constant<C, W, L> {
    /// The constant of this element.
    pub fn new(element: Element<C, W>) -> Self {
        // ark-ff's form is for 2^(64 W).
        Self::raw((element * Element::<C, W>::from(1u64 << shift::<W, L>())).0)
    }

    /// 2^(64 W) itself: to multiply with it takes an element from our form to ark-ff's.
    pub(crate) const fn to_ark() -> Self {
        Self::raw(C::R)
    }

    /// 1 itself: to multiply with it takes an element out of Montgomery form.
    pub(crate) const fn to_integer() -> Self {
        let mut limbs = [0; L];
        limbs[0] = 1;
        Self { limbs, field: PhantomData }
    }

    const fn raw(words: BigInt<W>) -> Self {
        Self { limbs: split(words.0), field: PhantomData }
    }
}
