//! What the word kernel asks of a coordinate field, and arkworks' answer for every CPU.
//!
//! Coordinates are words in Montgomery form for R = 2^(64 · words), below the modulus; the parts of one lie one after
//! another. Slices have the words of one coordinate. Operands stay where they are and results go where they belong: words
//! that were just written make a vector that copies them wait, longer than it takes to add them.

use ark_ff::Field;

use super::montgomery::{Montgomery, Subtract};
use crate::curve::{Coordinate, Curve};

/// Arithmetic on coordinates of `C`.
pub trait Arithmetic<C: Curve>: Send + Sync {
    /// Writes the product. Parts of the factors may be the modulus itself.
    fn multiply(&self, out: &mut [u64], a: &[u64], b: &[u64]);

    /// Writes the product with an element of the prime field.
    fn scale(&self, out: &mut [u64], a: &[u64], by: &[u64]);

    /// Writes the square.
    fn square(&self, out: &mut [u64], a: &[u64]);

    /// Writes the sum.
    fn add(&self, out: &mut [u64], a: &[u64], b: &[u64]);

    /// Writes the difference. Parts of both may be the modulus itself; those of the result only where parts of `a` are.
    fn subtract(&self, out: &mut [u64], a: &[u64], b: &[u64]);

    /// Writes the negative if `yes`, in which 0 may be the modulus itself; else the coordinate.
    fn negate_if(&self, out: &mut [u64], a: &[u64], yes: bool);
}

/// The words of each part.
#[inline]
fn parts<C: Curve>(words: &[u64]) -> impl Iterator<Item = &[u64]> {
    words[..C::DEGREE * C::WORDS].chunks_exact(C::WORDS)
}

#[inline]
fn parts_mut<C: Curve>(words: &mut [u64]) -> impl Iterator<Item = &mut [u64]> {
    words[..C::DEGREE * C::WORDS].chunks_exact_mut(C::WORDS)
}

/// The coordinate of these words.
#[inline]
pub fn load<C: Curve>(words: &[u64]) -> Coordinate<C> {
    let parts = words[..C::DEGREE * C::WORDS].chunks_exact(C::WORDS).map(C::Prime::from_words);
    Coordinate::<C>::from_base_prime_field_elems(parts).expect("as many parts as the degree")
}

/// Writes a coordinate.
#[inline]
pub fn store<C: Curve>(coordinate: &Coordinate<C>, words: &mut [u64]) {
    for (part, words) in coordinate.to_base_prime_field_elements().zip(words.chunks_exact_mut(C::WORDS)) {
        part.write_words(words);
    }
}

/// arkworks'.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<C: Curve> Arithmetic<C> for Plain {
    #[inline]
    fn multiply(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        store::<C>(&(load::<C>(a) * load::<C>(b)), out);
    }

    #[inline]
    fn scale(&self, out: &mut [u64], a: &[u64], by: &[u64]) {
        store::<C>(&load::<C>(a).mul_by_base_prime_field(&C::Prime::from_words(by)), out);
    }

    #[inline]
    fn square(&self, out: &mut [u64], a: &[u64]) {
        store::<C>(&load::<C>(a).square(), out);
    }

    #[inline]
    fn add(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        for ((out, a), b) in parts_mut::<C>(out).zip(parts::<C>(a)).zip(parts::<C>(b)) {
            (C::Prime::from_words(a) + C::Prime::from_words(b)).write_words(out);
        }
    }

    #[inline]
    fn subtract(&self, out: &mut [u64], a: &[u64], b: &[u64]) {
        for ((out, a), b) in parts_mut::<C>(out).zip(parts::<C>(a)).zip(parts::<C>(b)) {
            C::Prime::from_words(a).minus(&C::Prime::from_words(b)).write_words(out);
        }
    }

    #[inline]
    fn negate_if(&self, out: &mut [u64], a: &[u64], yes: bool) {
        for (out, a) in parts_mut::<C>(out).zip(parts::<C>(a)) {
            C::Prime::from_words(a).negated_if(yes).write_words(out);
        }
    }
}
