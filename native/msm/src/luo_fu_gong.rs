//! Multipliers 1, 2 and 3 and about 0.21·q buckets: fixed bases.
//!
//! Source: Luo, Fu and Gong, "Speeding up multi-scalar multiplication over fixed points towards efficient zkSNARKs"
//! (TCHES 2023/2), section 4: the set of numbers with an even sum of the exponents of 2 and 3, less those that another
//! member reaches as q − 2i or q − 3i, and with the even ones up to the leading digit, which is never negated.
//!
//! Cost: h·n + s·|B| additions and 3·h/s·n stored points, |B| ≈ 0.21·q. Against BGMW that is up to 12 % fewer additions
//! for three times the memory. No set for these multipliers is below 0.203·q (exact integer programs at c = 8, 10, 12),
//! so a better one would save less than 1 % of all additions.

use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::digits::{Order, SignedDigits, centred_bits};
use crate::engine::{Engine, Hit, Row};
use crate::multipliers::{MultiplierDigits, even_exponents, twos_and_threes};

/// The engine for one radix and stride.
pub(crate) struct LuoFuGong(MultiplierDigits);

impl LuoFuGong {
    pub fn new<C: Curve>(window: u32, stride: u32) -> Self {
        let digits = SignedDigits::new(window, centred_bits::<C>());
        let leading = Order::of::<C>().leading(window, digits.count);
        Self(MultiplierDigits::new::<C>(window, stride, &members(1 << window, leading)))
    }
}

/// Membership of 0 to q/2 in B for a leading digit, before its carry, of at most `leading`.
pub(crate) fn members(radix: u32, leading: u32) -> Vec<bool> {
    let mut members = even_exponents(radix);
    for i in radix / 4..radix / 2 {
        if members[i as usize] && members[(radix - 2 * i) as usize] {
            members[(radix - 2 * i) as usize] = false;
        }
    }
    for i in radix / 6..radix / 4 {
        // At i = ⌊q/6⌋ below q/6 the image q − 3i lies above q/2, where there is no bucket.
        let image = (radix - 3 * i) as usize;
        if members[i as usize] && image < members.len() && members[image] {
            members[image] = false;
        }
    }
    for bucket in 1..=(leading + 1).min(radix / 2) {
        members[bucket as usize] |= twos_and_threes(bucket).is_multiple_of(2);
    }
    members
}

impl Engine for LuoFuGong {
    fn row(&self) -> Row {
        self.0.row()
    }

    fn hits(&self) -> usize {
        self.0.hits()
    }

    fn buckets(&self) -> Buckets {
        self.0.buckets()
    }

    #[inline]
    fn recode(&self, scalar: &[u64; 4], emit: impl FnMut(Hit)) {
        self.0.recode(scalar, emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381G1, Bn254G1};
    use crate::engine::EngineKind;
    use crate::multipliers::uncovered;

    fn covers<C: Curve>() {
        for window in EngineKind::LuoFuGong.windows() {
            let digits = SignedDigits::new(window, centred_bits::<C>());
            let leading = Order::of::<C>().leading(window, digits.count);
            let members = members(1 << window, leading);
            assert_eq!(uncovered(1 << window, &members), [], "{} window {window}", C::NAME);
            assert!(!LuoFuGong::new::<C>(window, 1).0.carries(), "{} window {window}", C::NAME);
        }
    }

    #[test]
    fn every_digit_of_every_radix_is_a_multiplier_times_a_bucket() {
        covers::<Bn254G1>();
        covers::<Bls12381G1>();
    }

    #[test]
    fn sets_are_as_small_as_the_paper_says() {
        // The artifact's sizes for BLS12-381, whose scalars are not halved; they count bucket 0, which nothing is
        // added to.
        for (window, leading, size) in
            [(13, 231, 1725), (14, 7, 3417), (16, 29677, 18343), (19, 231, 109_244)]
        {
            let count = members(1 << window, leading).iter().filter(|&&member| member).count();
            assert_eq!(count, size, "window {window}");
        }
    }
}
