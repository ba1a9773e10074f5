//! Digits that are Eisenstein integers, six of which share a bucket: a third of the storage of multipliers 1, 2 and 3.
//!
//! Sources: the endomorphism recoding that the abstract of FKSX (eprint 2024/750) announces, reconstructed, as its text
//! was not to be had; Gallant, Lambert and Vanstone (CRYPTO 2001) for the splitting.
//!
//! A scalar is x + yω in Z[ω]/(π), `endomorphism`. With radix R = 2^k, q = R², a digit is the member of least norm
//! x² − xy + y² of its class modulo R: the hexagonal cell of R·Z[ω]. The six units ±1, ±ω, ±ω² cost nothing or a
//! product by β on a stored point, so only the digits with 0 ≤ y < x have buckets: |B| = q/6.
//!
//! Cost: h·n + s·|B| additions, h/s·n stored points, h ≈ ⌈128 / k⌉, and a product by β for two thirds of the hits,
//! which is a tenth of an addition each: storage is the gain, not time. A bucket's weight is x + yω itself, so the
//! rows and columns of the reduction are the sums over equal x and over equal y.
//!
//! h: a remainder's length is at most ρ = √(r/3), one step takes z to (z − d)/R with |d| ≤ R/√3, and a rest inside the
//! cell's inscribed circle, of radius R/2, is a digit itself.

use crate::buckets::Buckets;
use crate::curve::Curve;
use crate::endomorphism::Splitting;
use crate::engine::{Engine, Hit, Row};
use crate::kernel::{Entry, NEGATIVE, POWER_SHIFT};

/// Bits 0 to 21 of a lookup: the slot of the bucket and one, 0 for the digit zero.
const SLOT_MASK: u32 = (1 << 22) - 1;
/// Where the carry of x, and one, lies: 0, 1 or 2.
const CARRY_X: u32 = 22;
/// Where the carry of y, and one, lies.
const CARRY_Y: u32 = 24;
/// The bits of an [`Entry`] that turn a point; they lie in a lookup as they do there.
const TURN_MASK: u32 = NEGATIVE | 3 << POWER_SHIFT;

/// The engine for one radix and stride.
pub(crate) struct Eisenstein {
    splitting: Splitting,
    /// k: bits of R.
    part: u32,
    windows: u32,
    stride: u32,
    /// Bucket, turn and carries for each x and y modulo R.
    lookup: Vec<u32>,
    /// Digits with a bucket.
    digits: Vec<[u32; 2]>,
}

impl Eisenstein {
    pub fn new<C: Curve>(window: u32, stride: u32) -> Self {
        let (splitting, part) = (Splitting::of::<C>(), window / 2);
        let (lookup, digits) = lookup(part, splitting.power);
        Self { splitting, part, windows: Self::windows::<C>(window), stride, lookup, digits }
    }

    /// h.
    pub fn windows<C: Curve>(window: u32) -> u32 {
        let radix = 2f64.powi(window as i32 / 2);
        let mut rest = Splitting::of::<C>().radius;
        let mut count = 1;
        while rest >= radix / 2.0 {
            rest = rest / radix + 3f64.sqrt().recip();
            count += 1;
        }
        count
    }
}

/// x² − xy + y².
fn norm(x: i32, y: i32) -> i64 {
    let (x, y) = (i64::from(x), i64::from(y));
    x * x - x * y + y * y
}

/// The member of least norm in the class of (x, y) modulo R; of several, the one with the least x, then y.
fn nearest(x: i32, y: i32, radix: i32) -> (i32, i32) {
    let mut best = (i64::MAX, 0, 0);
    for across in -1..=1 {
        for up in -1..=1 {
            let (x, y) = (x + across * radix, y + up * radix);
            best = best.min((norm(x, y), x, y));
        }
    }
    (best.1, best.2)
}

/// The digit 0 ≤ y < x that a unit takes (x, y) to, and the turn that takes a point from there to here: λ is
/// φ^`power`.
fn canonical(mut x: i32, mut y: i32, power: u32) -> ([u32; 2], Entry) {
    for turns in 0..3 {
        for negative in [false, true] {
            let (x, y) = if negative { (-x, -y) } else { (x, y) };
            if 0 <= y && y < x {
                let back = (3 - turns) * power % 3;
                return ([x as u32, y as u32], back << POWER_SHIFT | if negative { NEGATIVE } else { 0 });
            }
        }
        (x, y) = (-y, x - y);
    }
    unreachable!("one of six rotations by sixty degrees lies in the sector")
}

/// The lookups for radix 2^part and the digits with a bucket.
fn lookup(part: u32, power: u32) -> (Vec<u32>, Vec<[u32; 2]>) {
    let radix = 1i32 << part;
    let mut slots = vec![0u32; 1 << (2 * part)];
    let mut lookup = vec![0u32; 1 << (2 * part)];
    let mut digits = Vec::new();
    for x in 0..radix {
        for y in 0..radix {
            let (dx, dy) = nearest(x, y, radix);
            let carry = |from: i32, to: i32| (1 + (from - to) / radix) as u32;
            let mut found = carry(x, dx) << CARRY_X | carry(y, dy) << CARRY_Y;
            if (dx, dy) != (0, 0) {
                let (digit, turn) = canonical(dx, dy, power);
                // A canonical digit lies in the cell, so both parts are below R.
                let slot = &mut slots[(digit[0] as usize) << part | digit[1] as usize];
                if *slot == 0 {
                    digits.push(digit);
                    *slot = digits.len() as u32;
                }
                found |= *slot | turn;
            }
            lookup[(x as usize) << part | y as usize] = found;
        }
    }
    (lookup, digits)
}

impl Engine for Eisenstein {
    fn row(&self) -> Row {
        let columns = self.windows.div_ceil(self.stride) as usize;
        Row { columns, multiples: 1, images: 1, doublings: self.part * self.stride }
    }

    fn hits(&self) -> usize {
        self.windows as usize
    }

    fn buckets(&self) -> Buckets {
        Buckets::plane(self.stride as usize, self.digits.clone(), self.splitting.power, self.part)
    }

    #[inline]
    fn recode(&self, scalar: &[u64; 4], mut emit: impl FnMut(Hit)) {
        let halves = self.splitting.split(scalar);
        let (mut x, mut y) = (halves.x, halves.y);
        let mask = (1i128 << self.part) - 1;
        let slots = self.digits.len() as u32;
        let (mut column, mut set) = (0, 0);
        for _ in 0..self.windows {
            let found = self.lookup[((x & mask) as usize) << self.part | (y & mask) as usize];
            x = (x >> self.part) + i128::from(found >> CARRY_X & 3) - 1;
            y = (y >> self.part) + i128::from(found >> CARRY_Y & 3) - 1;
            let slot = found & SLOT_MASK;
            if slot != 0 {
                emit(Hit { bucket: set * slots + slot - 1, entry: column | found & TURN_MASK });
            }
            set += 1;
            if set == self.stride {
                (set, column) = (0, column + 1);
            }
        }
        debug_assert_eq!((x, y), (0, 0), "the windows take every remainder");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bls12381G1, Bn254G1};

    #[test]
    fn a_sixth_of_the_digits_have_buckets() {
        for (part, expected) in [(3, 12), (5, 176), (8, 10965)] {
            let (_, digits) = lookup(part, 1);
            assert_eq!(digits.len(), expected, "part {part}");
        }
    }

    #[test]
    fn digits_are_congruent_and_turn_back() {
        for part in 2..=9 {
            let (found, digits) = lookup(part, 1);
            let radix = 1i32 << part;
            for (at, found) in found.iter().enumerate() {
                let (x, y) = ((at >> part) as i32, at as i32 & (radix - 1));
                let slot = found & SLOT_MASK;
                let [mut dx, mut dy] =
                    if slot == 0 { [0, 0] } else { digits[slot as usize - 1].map(|d| d as i32) };
                for _ in 0..found >> POWER_SHIFT & 3 {
                    (dx, dy) = (-dy, dx - dy);
                }
                if found & NEGATIVE != 0 {
                    (dx, dy) = (-dx, -dy);
                }
                assert_eq!(dx + ((found >> CARRY_X & 3) as i32 - 1) * radix, x);
                assert_eq!(dy + ((found >> CARRY_Y & 3) as i32 - 1) * radix, y);
                assert!(3 * norm(dx, dy) <= i64::from(radix) * i64::from(radix));
            }
        }
    }

    #[test]
    fn windows_are_those_of_the_bound() {
        assert_eq!(Eisenstein::windows::<Bn254G1>(16), 16);
        assert_eq!(Eisenstein::windows::<Bls12381G1>(16), 16);
        assert_eq!(Eisenstein::windows::<Bn254G1>(20), 13);
        assert_eq!(Eisenstein::windows::<Bls12381G1>(20), 13);
    }
}
