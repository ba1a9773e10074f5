//! Multipliers 1, 2 and 3 with the generalised bucket set: fixed bases.
//!
//! Source: FKSX, "Optimal buckets for multi-scalar multiplication" (eprint 2024/750; Journal of Cryptology 2025,
//! doi 10.1007/s00145-025-09540-x), after the authors' artifact of December 2024: both removals of Luo, Fu and Gong are
//! tested against the full set, and q − 6i comes back where i, in [q/12, q/6], is no member. The artifact ends that loop
//! below ⌊q/6⌋; for even c, where q is 4 modulo 6, the i it leaves out is the one that can bring back bucket 4, and at
//! c = 6, 10, 12, 16, 18, 20 and 22 the digits 12 and q − 12 have no pair without it. Here the loop takes ⌊q/6⌋ too; the
//! tests hold both sets to every digit.
//!
//! Cost: h·n + s·|B| additions and (3·h + 1)/s·n stored points, |B| = 7/32·q. Leading digits may be negated, so there is
//! one more window, of carries alone.

use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::engine::{Engine, Hit, Row};
use crate::multipliers::{MultiplierDigits, even_exponents};

/// The engine for one radix and stride.
pub(crate) struct GeneralizedBuckets(MultiplierDigits);

impl GeneralizedBuckets {
    pub fn new<C: Curve>(window: u32, stride: u32) -> Self {
        let radix = 1 << window;
        Self(MultiplierDigits::new::<C>(window, stride, &members(radix, radix / 6)))
    }
}

/// Membership of 0 to q/2 in B, where the last loop goes to `last`.
fn members(radix: u32, last: u32) -> Vec<bool> {
    let full = even_exponents(radix);
    let member = |bucket: u32| full.get(bucket as usize).copied().unwrap_or(false);
    let mut members = full.clone();
    for (low, high, multiplier) in [(radix / 4, radix / 2, 2), (radix / 6, radix / 4, 3)] {
        for i in low..high {
            if member(i) && member(radix - multiplier * i) {
                members[(radix - multiplier * i) as usize] = false;
            }
        }
    }
    for i in radix / 12..=last {
        if !member(i) && member(radix - 6 * i) {
            members[(radix - 6 * i) as usize] = true;
        }
    }
    members
}

impl Engine for GeneralizedBuckets {
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
    use crate::engine::EngineKind;
    use crate::multipliers::uncovered;

    #[test]
    fn every_digit_of_every_radix_is_a_multiplier_times_a_bucket() {
        for window in EngineKind::GeneralizedBuckets.windows() {
            let radix = 1 << window;
            assert_eq!(uncovered(radix, &members(radix, radix / 6)), [], "window {window}");
        }
    }

    #[test]
    fn the_artifacts_set_misses_two_digits_where_the_window_is_even() {
        for window in [6, 10, 12, 16, 18, 20, 22] {
            let radix: u32 = 1 << window;
            let missing = uncovered(radix, &members(radix, radix / 6 - 1));
            assert_eq!(missing, [12, radix - 12], "window {window}");
        }
    }
}
