//! Eight elements: limb k of all eight lies in vector k. Montgomery form for R = 2^260.
//!
//! Sums are not reduced: with p the modulus, a vector may hold any value below 62p, and each function says what it
//! gives. A product of two such values is below 62p again, and below 2p where the factors are below p and 64p or both
//! below 8p. The functions are safe where AVX-512 IFMA is: their callers enable it and are reached with an `Ifma`.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::array::from_fn;
use std::marker::PhantomData;

use ark_ff::{BigInt, Fp, MontConfig};

use crate::limbs::{LIMB, MASK, multiple};
use crate::{Constant, Element, LANES, Wide};

/// One bit a lane, lane 0 the lowest.
pub type Mask = u8;

/// Eight elements, each below 62 times the modulus.
pub struct Lanes<C> {
    pub(crate) limbs: [__m512i; 5],
    field: PhantomData<C>,
}

impl<C> Clone for Lanes<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Lanes<C> {}

impl<C: MontConfig<4>> Lanes<C> {
    /// Vectors of limbs, each a signed number of up to 63 bits, with the carries moved up.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn carried(mut limbs: [__m512i; 5]) -> Self {
        let mask = broadcast(MASK);
        for at in 0..4 {
            limbs[at + 1] = _mm512_add_epi64(limbs[at + 1], _mm512_srai_epi64::<LIMB>(limbs[at]));
            limbs[at] = _mm512_and_si512(limbs[at], mask);
        }
        Self { limbs, field: PhantomData }
    }

    /// The same element in every lane, below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn splat(constant: &Constant<C>) -> Self {
        Self::broadcast(&constant.limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn broadcast(values: &[u64; 5]) -> Self {
        let mut limbs = [_mm512_setzero_si512(); 5];
        for (limb, value) in limbs.iter_mut().zip(values) {
            *limb = broadcast(*value);
        }
        Self { limbs, field: PhantomData }
    }

    /// 0 in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zero() -> Self {
        Self::broadcast(&[0; 5])
    }

    /// These elements, each below 16p: ark-ff's form for 2^256, shifted by four bits, is ours.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn load(elements: [&Element<C>; LANES]) -> Self {
        let (a, b) = (gathered(&elements, 0), gathered(&elements, 1));
        let (c, d) = (gathered(&elements, 2), gathered(&elements, 3));
        let mask = broadcast(MASK);
        let limbs = [
            _mm512_and_si512(_mm512_slli_epi64::<4>(a), mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<48>(a), _mm512_slli_epi64::<16>(b)), mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<36>(b), _mm512_slli_epi64::<28>(c)), mask),
            _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<24>(c), _mm512_slli_epi64::<40>(d)), mask),
            _mm512_srli_epi64::<12>(d),
        ];
        Self { limbs, field: PhantomData }
    }

    /// The elements.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn store(self) -> [Element<C>; LANES] {
        let words = self.times_constant(&Constant::to_ark()).reduced().words();
        from_fn(|lane| Fp(BigInt(words[lane]), PhantomData))
    }

    /// The elements as integers below the modulus.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn integers(self) -> [BigInt<4>; LANES] {
        self.times_constant(&Constant::to_integer()).reduced().words().map(BigInt)
    }

    /// Of values below 2p, those below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduced(self) -> Self {
        let modulus = Self::broadcast(&const { multiple::<C>(1) });
        let mut limbs = self.limbs;
        for (limb, other) in limbs.iter_mut().zip(modulus.limbs) {
            *limb = _mm512_sub_epi64(*limb, other);
        }
        let less = Self::carried(limbs);
        Self::select(_mm512_cmplt_epi64_mask(less.limbs[4], _mm512_setzero_si512()), self, less)
    }

    /// Each lane's value as four words, the lowest first.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn words(self) -> [[u64; 4]; LANES] {
        let [a, b, c, d, e] = self.limbs;
        let limbs = [values(a), values(b), values(c), values(d), values(e)];
        from_fn(|lane| {
            let [a, b, c, d, e] = limbs.map(|limb| limb[lane]);
            [a | b << 52, b >> 12 | c << 40, c >> 24 | d << 28, d >> 36 | e << 16]
        })
    }

    /// `yes` where the mask has a bit, else `no`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn select(mask: Mask, yes: Self, no: Self) -> Self {
        let mut limbs = no.limbs;
        for (limb, other) in limbs.iter_mut().zip(yes.limbs) {
            *limb = _mm512_mask_blend_epi64(mask, *limb, other);
        }
        Self { limbs, field: PhantomData }
    }

    /// The sum, below the sum of what the two are below, which must be 62p or less.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn plus(self, other: Self) -> Self {
        let mut limbs = self.limbs;
        for (limb, other) in limbs.iter_mut().zip(other.limbs) {
            *limb = _mm512_add_epi64(*limb, other);
        }
        Self::carried(limbs)
    }

    /// The sum with a constant: p more.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn plus_constant(self, other: &Constant<C>) -> Self {
        self.plus(Self::splat(other))
    }

    /// The difference, `TIMES` * p more than the left side is below; the right side must be `TIMES` * p or less.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn minus<const TIMES: u64>(self, other: Self) -> Self {
        let room = Self::broadcast(&const { multiple::<C>(TIMES) });
        let mut limbs = self.limbs;
        for ((limb, room), other) in limbs.iter_mut().zip(room.limbs).zip(other.limbs) {
            *limb = _mm512_sub_epi64(_mm512_add_epi64(*limb, room), other);
        }
        Self::carried(limbs)
    }

    /// The product of values below j*p and k*p, below (jk / 64 + 1) * p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn times(self, other: Self) -> Self {
        let mut wide = Wide::zero();
        wide.add_product(&self, &other);
        wide.reduce()
    }

    /// The product with a constant, below 2p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn times_constant(self, other: &Constant<C>) -> Self {
        let mut wide = Wide::zero();
        wide.add_constant_product(&self, other);
        wide.reduce()
    }

    /// The square, bounded like a product.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn squared(self) -> Self {
        Wide::square(&self).reduce()
    }

    /// `times` squarings, one after another.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn squared_often(self, times: usize) -> Self {
        let mut power = self;
        for _ in 0..times {
            power = power.squared();
        }
        power
    }

    /// Where the element is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zeros(self) -> Mask {
        let [a, b, c, d, e] = self.times_constant(&Constant::to_integer()).reduced().limbs;
        let any = _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d)), e);
        _mm512_testn_epi64_mask(any, any)
    }

    /// Where both are the same element; the other one must be below 16p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn equals(self, other: Self) -> Mask {
        self.minus::<16>(other).zeros()
    }
}

/// The same word in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn broadcast(word: u64) -> __m512i {
    _mm512_set1_epi64(word.cast_signed())
}

/// Word `at` of each element.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn gathered<C: MontConfig<4>>(elements: &[&Element<C>; LANES], at: usize) -> __m512i {
    let [a, b, c, d, e, f, g, h] = elements.map(|element| element.0.0[at].cast_signed());
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

/// The words of a vector.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn values(vector: __m512i) -> [u64; LANES] {
    let mut words = [0u64; LANES];
    // SAFETY: `words` has room for the 64 bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}
