//! Eight elements: limb k of all eight lies in vector k. Montgomery form for R = 2^(52 L).
//!
//! Sums are not reduced: with p the modulus and M = `limit()`, a vector may hold any value below (M - 2)p, and each
//! function says what it gives. A product of two such values is below (M - 2)p again, and below 2p where the factors are
//! below p and Mp or both below the root of M times p: 9p in the fields of BN254, 5p for the scalars of BLS12-381, and
//! 2^17 p in its base field. The functions are safe where AVX-512 IFMA is: their callers enable it and are reached with an `Ifma`.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::array::from_fn;
use std::marker::PhantomData;

use ark_ff::{BigInt, Fp, MontConfig};

use crate::limbs::{LIMB, MASK, multiple, shift};
use crate::rows::to_rows;
use crate::{Constant, Element, LANES, Wide};

/// One bit a lane, lane 0 the lowest.
pub type Mask = u8;

/// Eight elements, each below `limit()` - 2 times the modulus.
pub struct Lanes<C, const W: usize = 4, const L: usize = 5> {
    pub(crate) limbs: [__m512i; L],
    field: PhantomData<C>,
}

impl<C, const W: usize, const L: usize> Clone for Lanes<C, W, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, const W: usize, const L: usize> Copy for Lanes<C, W, L> {}

impl<C: MontConfig<W>, const W: usize, const L: usize> Lanes<C, W, L> {
    /// Limbs below 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn of(limbs: [__m512i; L]) -> Self {
        Self { limbs, field: PhantomData }
    }

    /// Vectors of limbs, each a signed number of up to 63 bits, with the carries moved up.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(crate) fn carried(mut limbs: [__m512i; L]) -> Self {
        let mask = broadcast(MASK);
        for at in 0..L - 1 {
            limbs[at + 1] = _mm512_add_epi64(limbs[at + 1], _mm512_srai_epi64::<LIMB>(limbs[at]));
            limbs[at] = _mm512_and_si512(limbs[at], mask);
        }
        Self::of(limbs)
    }

    /// The same element in every lane, below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn splat(constant: &Constant<C, W, L>) -> Self {
        Self::broadcast(&constant.limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn broadcast(values: &[u64; L]) -> Self {
        let mut limbs = [_mm512_setzero_si512(); L];
        for (limb, value) in limbs.iter_mut().zip(values) {
            *limb = broadcast(*value);
        }
        Self::of(limbs)
    }

    /// 0 in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zero() -> Self {
        Self::broadcast(&[0; L])
    }

    /// These elements, each below 2^(52 L - 64 W) p (16p where W is 4): ark-ff's form, shifted by those bits, is ours.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn load(elements: [&Element<C, W>; LANES]) -> Self {
        let mut words = [_mm512_setzero_si512(); W];
        for (at, word) in words.iter_mut().enumerate() {
            *word = gathered(&elements, at);
        }
        Self::from_words::<true>(words)
    }

    /// Vectors of words as vectors of limbs. `SHIFTED` takes ark-ff's form to ours, else the number stays what it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn from_words<const SHIFTED: bool>(words: [__m512i; W]) -> Self {
        let up = if SHIFTED { const { shift::<W, L>() } } else { 0 };
        let mut limbs = [_mm512_setzero_si512(); L];
        for (at, limb) in limbs.iter_mut().enumerate() {
            // The limb starts `up` bits lower in the words.
            let start = (52 * at).saturating_sub(up);
            let (word, bit) = (start / 64, start % 64);
            if word < W {
                *limb = _mm512_srlv_epi64(words[word], broadcast(bit as u64));
            }
            if 52 * at < up {
                *limb = _mm512_sllv_epi64(words[0], broadcast((up - 52 * at) as u64));
            }
            if bit > 12 && word + 1 < W {
                let high = _mm512_sllv_epi64(words[word + 1], broadcast((64 - bit) as u64));
                *limb = _mm512_or_si512(*limb, high);
            }
            *limb = _mm512_and_si512(*limb, broadcast(MASK));
        }
        Self::of(limbs)
    }

    /// Values in our form, below 2^(64 W), as vectors of words: what [`Self::packed`] gave.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn unpacked(words: [__m512i; W]) -> Self {
        Self::from_words::<false>(words)
    }

    /// Values in our form, which must be below 2^(64 W), as vectors of words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn packed(self) -> [__m512i; W] {
        let mut words = [_mm512_setzero_si512(); W];
        for (at, word) in words.iter_mut().enumerate() {
            let (limb, bit) = (64 * at / 52, 64 * at % 52);
            *word = _mm512_srlv_epi64(self.limbs[limb], broadcast(bit as u64));
            for next in 1..3 {
                let up = 52 * next - bit;
                if up < 64 && limb + next < L {
                    let high = _mm512_sllv_epi64(self.limbs[limb + next], broadcast(up as u64));
                    *word = _mm512_or_si512(*word, high);
                }
            }
        }
        words
    }

    /// The elements.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn store(self) -> [Element<C, W>; LANES] {
        let words = self.times_constant(&Constant::to_ark()).reduced().words();
        from_fn(|lane| Fp(BigInt(words[lane]), PhantomData))
    }

    /// The elements as integers below the modulus.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn integers(self) -> [BigInt<W>; LANES] {
        self.times_constant(&Constant::to_integer()).reduced().words().map(BigInt)
    }

    /// Of values below 2p, those below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn reduced(self) -> Self {
        let modulus = Self::broadcast(&const { multiple::<C, W, L>(1) });
        let mut limbs = self.limbs;
        for (limb, other) in limbs.iter_mut().zip(modulus.limbs) {
            *limb = _mm512_sub_epi64(*limb, other);
        }
        let less = Self::carried(limbs);
        Self::select(_mm512_cmplt_epi64_mask(less.limbs[L - 1], _mm512_setzero_si512()), self, less)
    }

    /// Each lane's value as words, the lowest first.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn words(self) -> [[u64; W]; LANES] {
        let columns = self.packed();
        let mut words = [[0; W]; LANES];
        for start in (0..W).step_by(4) {
            let count = if W - start < 4 { W - start } else { 4 };
            let mut four = [_mm512_setzero_si512(); 4];
            four[..count].copy_from_slice(&columns[start..start + count]);
            for (words, row) in words.iter_mut().zip(to_rows(four)) {
                words[start..start + count].copy_from_slice(&values(row)[..count]);
            }
        }
        words
    }

    /// `yes` where the mask has a bit, else `no`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn select(mask: Mask, yes: Self, no: Self) -> Self {
        let mut limbs = no.limbs;
        for (limb, other) in limbs.iter_mut().zip(yes.limbs) {
            *limb = _mm512_mask_blend_epi64(mask, *limb, other);
        }
        Self::of(limbs)
    }

    /// The sum, below the sum of what the two are below, which must be (M - 2)p or less.
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
    pub fn plus_constant(self, other: &Constant<C, W, L>) -> Self {
        self.plus(Self::splat(other))
    }

    /// The difference, `TIMES` * p more than the left side is below; the right side must be `TIMES` * p or less.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn minus<const TIMES: u64>(self, other: Self) -> Self {
        self.minus_from(other, &const { multiple::<C, W, L>(TIMES) })
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn minus_from(self, other: Self, room: &[u64; L]) -> Self {
        let room = Self::broadcast(room);
        let mut limbs = self.limbs;
        for ((limb, room), other) in limbs.iter_mut().zip(room.limbs).zip(other.limbs) {
            *limb = _mm512_sub_epi64(_mm512_add_epi64(*limb, room), other);
        }
        Self::carried(limbs)
    }

    /// The product of values below j*p and k*p, below (jk / M + 1) * p.
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
    pub fn times_constant(self, other: &Constant<C, W, L>) -> Self {
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
        let mut any = _mm512_setzero_si512();
        for limb in self.times_constant(&Constant::to_integer()).reduced().limbs {
            any = _mm512_or_si512(any, limb);
        }
        _mm512_testn_epi64_mask(any, any)
    }

    /// Where both are the same element; the other one must be at most 2^(52 L - 64 W) p, like what was loaded.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn equals(self, other: Self) -> Mask {
        self.minus_from(other, &const { multiple::<C, W, L>(1 << shift::<W, L>()) }).zeros()
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
fn gathered<C: MontConfig<W>, const W: usize>(elements: &[&Element<C, W>; LANES], at: usize) -> __m512i {
    let [a, b, c, d, e, f, g, h] = elements.map(|element| element.0.0[at].cast_signed());
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

/// The words of a row.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn values(row: __m256i) -> [u64; 4] {
    let mut words = [0u64; 4];
    // SAFETY: `words` has room for the 32 bytes, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), row) };
    words
}
