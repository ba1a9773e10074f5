//! Digits as a multiplier of {1, 2, 3} times a bucket: the lookup that both bucket constructions share.
//!
//! Source: Luo, Fu and Gong, "Speeding up multi-scalar multiplication over fixed points towards efficient zkSNARKs"
//! (TCHES 2023/2), section 3: a digit t in [0, q] is m·b (nothing carried) or q − m·b (negated, one carried) for a
//! multiplier m in {1, 2, 3} and a bucket b of the set B.

use crate::buckets::Buckets;
use crate::digits::{Order, SignedDigits, bits, centred_bits};
use crate::engine::{Hit, Row};
use crate::kernel::NEGATIVE;

/// The multipliers 1, 2 and 3.
pub(crate) const MULTIPLIERS: u32 = 3;

/// Bits 0 to 26 the slot of the bucket and one, 0 for no bucket; 27 and 28 the multiplier less one.
const SLOT_BITS: u32 = 27;
/// Set where one is carried and the digit is negative.
const CARRIED: u32 = 1 << 31;
/// No digit reaches this value.
const MISSING: u32 = u32::MAX;

/// The sum of the exponents of 2 and 3 in a number that is not zero.
pub(crate) fn twos_and_threes(mut number: u32) -> u32 {
    let twos = number.trailing_zeros();
    number >>= twos;
    let mut threes = 0;
    while number.is_multiple_of(3) {
        number /= 3;
        threes += 1;
    }
    twos + threes
}

/// Membership of 0 to q/2 in the set that both constructions start from: 0, 1, and every b with an even sum of the
/// exponents of 2 and 3.
pub(crate) fn even_exponents(radix: u32) -> Vec<bool> {
    (0..=radix / 2).map(|bucket| bucket == 0 || twos_and_threes(bucket).is_multiple_of(2)).collect()
}

/// Digits of one radix over one bucket set.
pub(crate) struct MultiplierDigits {
    order: Order,
    digits: SignedDigits,
    stride: u32,
    /// Slot, multiplier and carry for every digit 0 to q.
    lookup: Vec<u32>,
    /// The buckets above zero, rising.
    buckets: Vec<u32>,
    /// Whether the leading window can carry out.
    carries_out: bool,
}

impl MultiplierDigits {
    /// For the set whose members are marked, over [0, q/2]. A digit that several pairs give takes one that carries
    /// nothing if there is any.
    pub fn new<C: crate::curve::Curve>(window: u32, stride: u32, members: &[bool]) -> Self {
        let (order, digits) = (Order::of::<C>(), SignedDigits::new(window, centred_bits::<C>()));
        let buckets: Vec<u32> =
            (1..members.len() as u32).filter(|&bucket| members[bucket as usize]).collect();
        let lookup = lookup(1 << window, &buckets);
        let leading = order.leading(window, digits.count) + 1;
        let carries_out = lookup[..=leading as usize].iter().any(|&found| found & CARRIED != 0);
        Self { order, digits, stride, lookup, buckets, carries_out }
    }

    /// Windows, with the one that a leading carry goes to.
    fn windows(&self) -> u32 {
        self.digits.count + u32::from(self.carries_out)
    }

    pub fn row(&self) -> Row {
        let multiples = MULTIPLIERS as usize;
        let mut columns = self.windows().div_ceil(self.stride) as usize * multiples;
        if self.carries_out && self.digits.count.is_multiple_of(self.stride) {
            // The last power serves a leading carry alone, which is 1: it needs no multiples.
            columns -= multiples - 1;
        }
        Row { columns, multiples, images: 1, doublings: self.digits.window * self.stride }
    }

    /// Whether the leading window can be negated.
    #[cfg(test)]
    pub fn carries(&self) -> bool {
        self.carries_out
    }

    pub fn hits(&self) -> usize {
        self.windows() as usize
    }

    pub fn buckets(&self) -> Buckets {
        let low = self.digits.window / 2;
        let coordinates = self.buckets.iter().map(|&b| [b & ((1 << low) - 1), b >> low]).collect();
        Buckets::spread(self.stride.min(self.windows()) as usize, coordinates, low, self.digits.window)
    }

    #[inline]
    pub fn recode(&self, scalar: &[u64; 4], mut emit: impl FnMut(Hit)) {
        let (magnitude, negative) = self.order.centred(scalar);
        let slots = self.buckets.len() as u32;
        let (mut column, mut set, mut carry) = (0, 0, 0);
        for window in 0..self.windows() {
            let digit = bits(&magnitude, window * self.digits.window, self.digits.window) + carry;
            let found = self.lookup[digit as usize];
            carry = found >> 31;
            let slot = found & ((1 << SLOT_BITS) - 1);
            if slot != 0 {
                let multiplier = (found >> SLOT_BITS) & 3;
                let minus = negative ^ (found & CARRIED != 0);
                let entry = (column + multiplier) | if minus { NEGATIVE } else { 0 };
                emit(Hit { bucket: set * slots + slot - 1, entry });
            }
            set += 1;
            if set == self.stride {
                (set, column) = (0, column + MULTIPLIERS);
            }
        }
    }
}

/// The digits 0 to q over the buckets; [`MISSING`] where no pair gives the digit.
fn lookup(radix: u32, buckets: &[u32]) -> Vec<u32> {
    let mut lookup = vec![MISSING; radix as usize + 1];
    (lookup[0], lookup[radix as usize]) = (0, CARRIED);
    for carried in [0, CARRIED] {
        for (slot, bucket) in buckets.iter().enumerate() {
            for multiplier in 1..=MULTIPLIERS {
                let product = multiplier * bucket;
                if product > radix {
                    continue;
                }
                let digit = if carried == 0 { product } else { radix - product };
                let found = &mut lookup[digit as usize];
                if *found == MISSING {
                    *found = (slot as u32 + 1) | (multiplier - 1) << SLOT_BITS | carried;
                }
            }
        }
    }
    lookup
}

/// The digits 0 to q that no multiplier and bucket give.
#[cfg(test)]
pub(crate) fn uncovered(radix: u32, members: &[bool]) -> Vec<u32> {
    let buckets: Vec<u32> = (1..members.len() as u32).filter(|&b| members[b as usize]).collect();
    let lookup = lookup(radix, &buckets);
    (0..=radix).filter(|&digit| lookup[digit as usize] == MISSING).collect()
}
