//! Scalars in windows of c bits with signed digits.
//!
//! Source: Brickell, Gordon, McCurley and Wilson, "Fast exponentiation with precomputation" (EUROCRYPT 1992; revised
//! 1995), section 3, for a basic digit set with negatives. A digit t above q/2, q = 2^c, becomes t − q and carries one
//! into the next, so digits lie in (−q/2, q/2] and a bucket serves both signs. The top window never carries out where
//! count·c is above the magnitude's bits.

use crate::curve::{Curve, Scalar};
use ark_ff::PrimeField;

/// Bits that a magnitude has after [`Order::centred`], and one for the carry.
pub(crate) fn centred_bits<C: Curve>() -> u32 {
    <Scalar<C> as PrimeField>::MODULUS_BIT_SIZE
}

/// The order r of a group, for scalars taken between −r/2 and r/2: one bit less, which at c = 17 and 255 bits is one
/// window less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    modulus: [u64; 4],
    /// (r − 1) / 2.
    half: [u64; 4],
}

impl Order {
    pub fn of<C: Curve>() -> Self {
        let mut half = [0; 4];
        half.copy_from_slice(<Scalar<C> as PrimeField>::MODULUS_MINUS_ONE_DIV_TWO.as_ref());
        let mut modulus = [0; 4];
        modulus.copy_from_slice(<Scalar<C> as PrimeField>::MODULUS.as_ref());
        Self { modulus, half }
    }

    /// The magnitude of the scalar nearest to zero, at most (r − 1)/2, and whether it is negative.
    pub fn centred(&self, scalar: &[u64; 4]) -> ([u64; 4], bool) {
        if scalar.iter().rev().le(self.half.iter().rev()) {
            return (*scalar, false);
        }
        let mut negated = [0; 4];
        let mut borrow = false;
        for (word, (&modulus, &part)) in negated.iter_mut().zip(self.modulus.iter().zip(scalar)) {
            let (difference, first) = modulus.overflowing_sub(part);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *word = difference;
            borrow = first || second;
        }
        (negated, true)
    }

    /// The highest window of the largest magnitude.
    pub fn leading(&self, window: u32, count: u32) -> u32 {
        bits(&self.half, window * (count - 1), window)
    }
}

/// `width` bits of `words` from bit `at`, zero above bit 255; `width` is at most 32.
#[inline]
pub(crate) fn bits(words: &[u64; 4], at: u32, width: u32) -> u32 {
    let (word, shift) = ((at / 64) as usize, at % 64);
    let Some(&low) = words.get(word) else { return 0 };
    let mut value = low >> shift;
    if shift + width > 64
        && let Some(&high) = words.get(word + 1)
    {
        value |= high << (64 - shift);
    }
    (value & ((1 << width) - 1)) as u32
}

/// Windows of signed digits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedDigits {
    /// c.
    pub window: u32,
    /// h.
    pub count: u32,
}

impl SignedDigits {
    /// For magnitudes below 2^(bits − 1).
    pub fn new(window: u32, bits: u32) -> Self {
        Self { window, count: bits.div_ceil(window) }
    }

    /// Buckets: a digit's magnitude is 1 to q/2.
    pub fn buckets(&self) -> usize {
        1 << (self.window - 1)
    }

    /// Hands every digit to `emit`, from the lowest on: its magnitude and whether it is negative.
    #[inline]
    pub fn each(&self, words: &[u64; 4], negative: bool, mut emit: impl FnMut(u32, bool)) {
        let half = 1u32 << (self.window - 1);
        // A word of zeros above the last spares every digit a branch.
        let padded: [u64; 5] = std::array::from_fn(|at| words.get(at).copied().unwrap_or(0));
        let mut carry = 0;
        for window in 0..self.count {
            let (word, shift) = ((window * self.window / 64) as usize, window * self.window % 64);
            let value = padded[word] >> shift | padded[word + 1] << 1 << (63 - shift);
            let digit = (value & (2 * u64::from(half) - 1)) as u32 + carry;
            carry = u32::from(digit > half);
            let magnitude = if digit > half { 2 * half - digit } else { digit };
            emit(magnitude, negative ^ (digit > half));
        }
    }
}

/// The words of a half of a scalar, and whether it is negative.
#[inline]
pub(crate) fn half_words(half: i128) -> ([u64; 4], bool) {
    let magnitude = half.unsigned_abs();
    ([magnitude as u64, (magnitude >> 64) as u64, 0, 0], half < 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381G1, Bn254G1};
    use crate::endomorphism::words;
    use ark_ff::{Field, One, UniformRand, Zero};

    fn recombines<C: Curve>() {
        let order = Order::of::<C>();
        let mut rng = ark_std::test_rng();
        let one = Scalar::<C>::from(1u8);
        let half = Scalar::<C>::from(2u8).inverse().expect("two is not zero");
        let mut scalars = vec![Scalar::<C>::zero(), one, -one, half, half - one, -half];
        scalars.extend((0..50).map(|_| Scalar::<C>::rand(&mut rng)));
        for window in 2..=24 {
            let digits = SignedDigits::new(window, centred_bits::<C>());
            let radix = Scalar::<C>::from(1u64 << window);
            for scalar in &scalars {
                let (magnitude, negative) = order.centred(&words(scalar));
                let (mut sum, mut place, mut count) = (Scalar::<C>::zero(), Scalar::<C>::one(), 0);
                digits.each(&magnitude, negative, |magnitude, minus| {
                    assert!(magnitude as usize <= digits.buckets());
                    let term = place * Scalar::<C>::from(magnitude);
                    sum += if minus { -term } else { term };
                    place *= radix;
                    count += 1;
                });
                assert_eq!(count, digits.count);
                assert_eq!(sum, *scalar, "window {window}");
            }
        }
    }

    #[test]
    fn digits_recombine_to_the_scalar() {
        recombines::<Bn254G1>();
        recombines::<Bls12381G1>();
    }

    #[test]
    fn windows_take_a_half_at_its_largest() {
        for window in 2..=24 {
            let digits = SignedDigits::new(window, 128);
            let (largest, _) = half_words(i128::MAX);
            let (mut sum, mut place) = (0i128, 0);
            digits.each(&largest, false, |magnitude, minus| {
                let term = i128::from(magnitude).wrapping_shl(place);
                sum = if minus { sum.wrapping_sub(term) } else { sum.wrapping_add(term) };
                place += window;
            });
            assert_eq!(sum, i128::MAX, "window {window}");
        }
    }
}
