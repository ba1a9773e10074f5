//! Pippenger's buckets with signed digits of both halves of a scalar: variable bases, no table.
//!
//! Sources: Pippenger, "On the evaluation of powers and monomials" (SIAM J. Comput. 9, 1980), in the bucket form of
//! Bernstein, Doumen, Lange and Oosterwijk, "Faster batch forgery identification" (INDOCRYPT 2012), section 4; the
//! halves are those of `endomorphism`.
//!
//! Cost: h·(2n + |B|) additions, |B| = q/2, h = ⌈128 / c⌉, and 128 doublings. Halves double the points and halve the
//! windows: the same h·n as whole scalars, but half the bucket sets, so a wider window pays (2^14 points: 369 000
//! additions against 410 000; 2^16: 1.31 million against 1.39). The images λ·P are packed beside the points, one product
//! each; turned on the fly they would cost a product for half of all the hits.
//!
//! 128 bits: a half's magnitude is below 2^127, and the last window must not carry out.

use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::digits::{SignedDigits, half_words};
use crate::endomorphism::Splitting;
use crate::engine::{Engine, Hit, Row};
use crate::kernel::NEGATIVE;

/// Bits of a half: a magnitude below 2^127, and one for the carry.
const HALF_BITS: u32 = 128;

/// The engine for one radix.
pub(crate) struct Pippenger {
    digits: SignedDigits,
    splitting: Splitting,
}

impl Pippenger {
    pub fn new<C: Curve>(window: u32) -> Self {
        Self { digits: SignedDigits::new(window, HALF_BITS), splitting: Splitting::of::<C>() }
    }

    /// h.
    pub fn windows(window: u32) -> u32 {
        SignedDigits::new(window, HALF_BITS).count
    }
}

impl Engine for Pippenger {
    fn row(&self) -> Row {
        Row { columns: 2, multiples: 1, images: 2, doublings: 0 }
    }

    fn hits(&self) -> usize {
        2 * self.digits.count as usize
    }

    fn buckets(&self) -> Buckets {
        Buckets::consecutive(self.digits.count as usize, self.digits.buckets(), self.digits.window)
    }

    #[inline]
    fn recode(&self, scalar: &[u64; 4], mut emit: impl FnMut(Hit)) {
        let halves = self.splitting.split(scalar);
        for (column, half) in [halves.x, halves.y].into_iter().enumerate() {
            let (magnitude, negative) = half_words(half);
            let mut set = 0;
            self.digits.each(&magnitude, negative, |magnitude, minus| {
                if magnitude != 0 {
                    let bucket = (set << (self.digits.window - 1)) + magnitude - 1;
                    emit(Hit { bucket, entry: column as u32 | if minus { NEGATIVE } else { 0 } });
                }
                set += 1;
            });
        }
    }
}
