//! Radix 2^52: five limbs hold 260 bits, so that a modulus below 2^254 leaves six bits for sums that nobody reduces.

use std::marker::PhantomData;

use ark_ff::{BigInt, MontConfig};

use crate::Element;

pub(crate) const LIMB: u32 = 52;
pub(crate) const MASK: u64 = (1 << LIMB) - 1;

/// Four words of 64 bits as five limbs of 52.
pub(crate) const fn split(words: [u64; 4]) -> [u64; 5] {
    let [a, b, c, d] = words;
    [a & MASK, (a >> 52 | b << 12) & MASK, (b >> 40 | c << 24) & MASK, (c >> 28 | d << 36) & MASK, d >> 16]
}

/// `times` the modulus; below 2^260 where `times` is at most 64.
pub(crate) const fn multiple<C: MontConfig<4>>(times: u64) -> [u64; 5] {
    assert!(C::MODULUS.0[3] >> 62 == 0, "the modulus must be below 2^254");
    assert!(times <= 64, "more than 260 bits");
    let (mut limbs, mut carry, mut at) = (split(C::MODULUS.0), 0, 0);
    while at < 5 {
        let wide = limbs[at] * times + carry;
        (limbs[at], carry) = (wide & MASK, wide >> LIMB);
        at += 1;
    }
    limbs
}

/// -1 / modulus, modulo 2^52.
pub(crate) const fn negative_inverse<C: MontConfig<4>>() -> u64 {
    C::INV & MASK
}

/// An element that every lane is multiplied with: Montgomery form for R = 2^260, below the modulus.
#[derive(Clone, Copy, Debug)]
pub struct Constant<C> {
    pub(crate) limbs: [u64; 5],
    field: PhantomData<C>,
}

impl<C: MontConfig<4>> Constant<C> {
    /// The constant of this element.
    pub fn new(element: Element<C>) -> Self {
        // ark-ff's form is for 2^256.
        Self::raw((element * Element::<C>::from(16u64)).0)
    }

    /// 2^256 itself: to multiply with it takes an element from our form to ark-ff's.
    pub(crate) const fn to_ark() -> Self {
        Self::raw(C::R)
    }

    /// 1 itself: to multiply with it takes an element out of Montgomery form.
    pub(crate) const fn to_integer() -> Self {
        Self::raw(BigInt([1, 0, 0, 0]))
    }

    const fn raw(words: BigInt<4>) -> Self {
        Self { limbs: split(words.0), field: PhantomData }
    }
}
