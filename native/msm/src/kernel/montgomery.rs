//! What the portable kernel needs of arkworks' fields beside products: their words, and differences without a branch.
//!
//! arkworks compares before it subtracts. On random elements every second guess of that branch is wrong, which takes
//! longer than the subtraction.

use std::array::from_fn;
use std::marker::PhantomData;

use ark_ff::{
    AdditiveGroup, BigInt, Field, Fp, MontBackend, MontConfig, PrimeField, QuadExtConfig, QuadExtField,
};

/// Fields with differences that take the same time for every value, and faster inverses.
pub trait Subtract: Field {
    /// The difference.
    fn minus(&self, other: &Self) -> Self;

    /// The negative if `yes`.
    fn negated_if(&self, yes: bool) -> Self;

    /// The inverse, or nothing for 0.
    fn inverted(&self) -> Option<Self>;
}

/// Elements of prime fields that are words in Montgomery form.
pub trait Montgomery: PrimeField + Subtract {
    /// The element whose form these words are; they are below the modulus.
    fn from_words(words: &[u64]) -> Self;

    /// Writes its form.
    fn write_words(&self, words: &mut [u64]);
}

/// The word, read by itself: the compiler would copy vectors of words, and one that was just written word by word has to
/// wait until they have reached the cache.
#[inline(always)]
fn word(word: &u64) -> u64 {
    // SAFETY: a reference may be read.
    unsafe { std::ptr::read_volatile(word) }
}

impl<C: MontConfig<W>, const W: usize> Montgomery for Fp<MontBackend<C, W>, W> {
    #[inline]
    fn from_words(words: &[u64]) -> Self {
        let words = &words[..W];
        Fp(BigInt(from_fn(|at| word(&words[at]))), PhantomData)
    }

    #[inline]
    fn write_words(&self, words: &mut [u64]) {
        for (to, from) in words[..W].iter_mut().zip(&self.0.0) {
            *to = word(from);
        }
    }
}

impl<C: MontConfig<W>, const W: usize> Subtract for Fp<MontBackend<C, W>, W> {
    #[inline]
    fn minus(&self, other: &Self) -> Self {
        let (mut words, mut borrow) = ([0; W], false);
        for (at, word) in words.iter_mut().enumerate() {
            (*word, borrow) = self.0.0[at].borrowing_sub(other.0.0[at], borrow);
        }
        let (below, mut carry) = (0u64.wrapping_sub(u64::from(borrow)), false);
        for (word, modulus) in words.iter_mut().zip(C::MODULUS.0) {
            (*word, carry) = word.carrying_add(modulus & below, carry);
        }
        Fp(BigInt(words), PhantomData)
    }

    #[inline]
    fn negated_if(&self, yes: bool) -> Self {
        let (negative, mask) = (Self::ZERO.minus(self), 0u64.wrapping_sub(u64::from(yes)));
        let word = |at: usize| negative.0.0[at] & mask | self.0.0[at] & !mask;
        Fp(BigInt(from_fn(word)), PhantomData)
    }

    fn inverted(&self) -> Option<Self> {
        w3bstream_field::inverse(self)
    }
}

impl<P: QuadExtConfig<BaseField: Subtract>> Subtract for QuadExtField<P> {
    #[inline]
    fn minus(&self, other: &Self) -> Self {
        Self::new(self.c0.minus(&other.c0), self.c1.minus(&other.c1))
    }

    #[inline]
    fn negated_if(&self, yes: bool) -> Self {
        Self::new(self.c0.negated_if(yes), self.c1.negated_if(yes))
    }

    fn inverted(&self) -> Option<Self> {
        let norm = self.norm().inverted()?;
        Some(Self::new(self.c0 * norm, -(self.c1 * norm)))
    }
}
