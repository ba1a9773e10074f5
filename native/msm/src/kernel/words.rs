//! The kernel for any CPU: additions one after another in arkworks' arithmetic, with one inversion for many
//! (Montgomery, Math. Comp. 48, 1987, section 10.3.1).
//!
//! Six products an addition: three for the inversion, two and a square for the sum.

use std::marker::PhantomData;

use ark_ec::AffineRepr;
use ark_ff::{Field, Zero};

use super::montgomery::{Montgomery, Subtract};
use super::tree::{Adder, Tree, index};
use super::{Entry, Kernel, Layout, NEGATIVE, POWER_SHIFT};
use crate::curve::{Coordinate, Curve, Point};

/// Additions that share an inversion, which takes the time of a hundred products: two per cent of theirs.
const BATCH: usize = 1024;

/// Entries whose points are asked for ahead.
const AHEAD: usize = 12;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// The kernel of group `C`.
pub struct Words<C> {
    group: PhantomData<C>,
}

impl<C> Default for Words<C> {
    fn default() -> Self {
        Self { group: PhantomData }
    }
}

/// An addition under way.
#[derive(Clone, Copy)]
struct Slot<F> {
    first: Pair<F>,
    /// x of the second point.
    x: F,
    /// x2 - x1, or 2y where points are doubled.
    denominator: F,
    numerator: F,
    /// Product of the denominators before this one.
    before: F,
    /// The sum is `first`.
    fixed: bool,
}

/// Additions under way.
pub struct Batch<F> {
    slots: Vec<Slot<F>>,
}

impl<F> Default for Batch<F> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

/// Coordinates; both 0 for infinity.
#[derive(Clone, Copy)]
struct Pair<F> {
    x: F,
    y: F,
}

impl<F: Subtract> Pair<F> {
    const INFINITY: Self = Self { x: F::ZERO, y: F::ZERO };

    #[inline]
    fn is_infinity(&self) -> bool {
        self.y.is_zero()
    }
}

impl<F: Subtract> Slot<F> {
    fn empty() -> Self {
        Self {
            first: Pair::INFINITY,
            x: F::ZERO,
            denominator: F::ONE,
            numerator: F::ZERO,
            before: F::ONE,
            fixed: true,
        }
    }

    /// The slope between two points, and its denominator into the product.
    #[inline]
    fn set_sum(&mut self, first: &Pair<F>, second: &Pair<F>, product: &mut F) {
        self.first = *first;
        self.x = second.x;
        self.denominator = second.x.minus(&first.x);
        self.numerator = second.y.minus(&first.y);
        self.fixed = false;
        if first.is_infinity() {
            self.fix(*second);
        } else if second.is_infinity() {
            self.fix(*first);
        } else if self.denominator.is_zero() {
            match self.numerator.is_zero() {
                true => self.become_double(),
                false => self.fix(Pair::INFINITY),
            }
        }
        self.multiply(product);
    }

    /// The slope of a point's tangent, and its denominator into the product.
    #[inline]
    fn set_double(&mut self, first: &Pair<F>, product: &mut F) {
        (self.first, self.x, self.fixed) = (*first, first.x, false);
        match first.is_infinity() {
            true => self.fix(*first),
            false => self.become_double(),
        }
        self.multiply(product);
    }

    /// 3x² / 2y.
    fn become_double(&mut self) {
        let square = self.first.x.square();
        self.numerator = square.double() + square;
        self.denominator = self.first.y.double();
    }

    fn fix(&mut self, sum: Pair<F>) {
        (self.first, self.denominator, self.fixed) = (sum, F::ONE, true);
    }

    #[inline]
    fn multiply(&mut self, product: &mut F) {
        self.before = *product;
        *product *= self.denominator;
    }

    /// The sum, for the denominator's inverse.
    #[inline]
    fn point(&self, inverse: &F) -> Pair<F> {
        if self.fixed {
            return self.first;
        }
        let Pair { x: x1, y: y1 } = self.first;
        let slope = self.numerator * inverse;
        let x = slope.square().minus(&x1).minus(&self.x);
        Pair { x, y: (slope * x1.minus(&x)).minus(&y1) }
    }
}

impl<F: Subtract> Batch<F> {
    /// So many slots.
    fn slots(&mut self, count: usize) -> &mut [Slot<F>] {
        if self.slots.len() < count {
            self.slots.resize(count, Slot::empty());
        }
        &mut self.slots[..count]
    }
}

/// Each slot's number and sum, the last one first.
#[inline]
fn finish<F: Subtract>(slots: &[Slot<F>], product: F, mut of: impl FnMut(usize, Pair<F>)) {
    let mut rest = product.inverted().expect("no denominator is 0");
    for (at, slot) in slots.iter().enumerate().rev() {
        let inverse = rest * slot.before;
        rest *= slot.denominator;
        of(at, slot.point(&inverse));
    }
}

impl<C: Curve> Words<C> {
    #[inline]
    fn coordinate(words: &[u64]) -> Coordinate<C> {
        let parts = words.chunks_exact(C::WORDS).map(C::Prime::from_words);
        Coordinate::<C>::from_base_prime_field_elems(parts).expect("as many parts as the degree")
    }

    #[inline]
    fn load(points: &[u64], at: usize) -> Pair<Coordinate<C>> {
        let (x, y) = points[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS].split_at(C::POINT_WORDS / 2);
        Pair { x: Self::coordinate(x), y: Self::coordinate(y) }
    }

    /// The entry's point, turned and negated as it says.
    #[inline]
    fn turned(points: &[u64], entry: Entry) -> Pair<Coordinate<C>> {
        let mut point = Self::load(points, index(entry));
        for _ in 0..entry >> POWER_SHIFT & 3 {
            point.x = point.x.mul_by_base_prime_field(&C::BETA);
        }
        point.y = point.y.negated_if(entry & NEGATIVE != 0);
        point
    }

    /// Ask for an entry's point.
    #[inline]
    fn prefetch(points: &[u64], entry: Entry) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let row = points.as_ptr().wrapping_add(index(entry) * C::POINT_WORDS);
            for line in 0..(row.addr() % LINE + C::POINT_WORDS * 8).div_ceil(LINE) {
                // SAFETY: the instruction reads nothing, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_byte_add(line * LINE).cast()) };
            }
        }
        // Other CPUs are not asked: stable Rust has no prefetch for them.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (points, entry);
    }

    #[inline]
    fn store(point: &Pair<Coordinate<C>>, words: &mut [u64]) {
        let parts = point.x.to_base_prime_field_elements().chain(point.y.to_base_prime_field_elements());
        for (part, words) in parts.zip(words.chunks_exact_mut(C::WORDS)) {
            part.write_words(words);
        }
    }
}

impl<C: Curve> Adder for Words<C> {
    type Memory = Batch<Coordinate<C>>;

    const POINT_WORDS: usize = C::POINT_WORDS;

    fn add<const TURNED: bool>(
        &self,
        memory: &mut Self::Memory,
        points: &[u64],
        first: &[Entry],
        second: &[Entry],
        sums: &mut [u64],
    ) {
        let ends = first.chunks(BATCH).zip(second.chunks(BATCH));
        for ((first, second), sums) in ends.zip(sums.chunks_mut(BATCH * C::POINT_WORDS)) {
            let load = |entry: Entry| {
                if TURNED { Self::turned(points, entry) } else { Self::load(points, entry as usize) }
            };
            let (slots, mut product) = (memory.slots(first.len()), Coordinate::<C>::ONE);
            for (at, slot) in slots.iter_mut().enumerate() {
                if TURNED && let (Some(a), Some(b)) = (first.get(at + AHEAD), second.get(at + AHEAD)) {
                    Self::prefetch(points, *a);
                    Self::prefetch(points, *b);
                }
                slot.set_sum(&load(first[at]), &load(second[at]), &mut product);
            }
            finish(slots, product, |at, sum| {
                Self::store(&sum, &mut sums[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS]);
            });
        }
    }

    fn turn(&self, points: &[u64], entries: &[Entry], turned: &mut [u64]) {
        for (entry, turned) in entries.iter().zip(turned.chunks_exact_mut(C::POINT_WORDS)) {
            Self::store(&Self::turned(points, *entry), turned);
        }
    }

    fn double(&self, memory: &mut Self::Memory, points: &mut [u64]) {
        for points in points.chunks_mut(BATCH * C::POINT_WORDS) {
            let slots = memory.slots(points.len() / C::POINT_WORDS);
            let mut product = Coordinate::<C>::ONE;
            for (at, slot) in slots.iter_mut().enumerate() {
                slot.set_double(&Self::load(points, at), &mut product);
            }
            finish(slots, product, |at, double| {
                Self::store(&double, &mut points[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS]);
            });
        }
    }
}

impl<C: Curve> Kernel<C> for Words<C> {
    type Scratch = Tree<Batch<Coordinate<C>>>;

    fn layout(&self) -> Layout {
        Layout::Words
    }

    fn pack(&self, points: &[Point<C>], packed: &mut [u64]) {
        assert_eq!(packed.len(), points.len() * C::POINT_WORDS, "room for the points");
        for (point, words) in points.iter().zip(packed.chunks_exact_mut(C::POINT_WORDS)) {
            let (x, y) = point.xy().unwrap_or_default();
            Self::store(&Pair { x, y }, words);
        }
    }

    fn unpack(&self, packed: &[u64]) -> Vec<Point<C>> {
        assert!(packed.len().is_multiple_of(C::POINT_WORDS), "whole points");
        let point = |at| {
            let Pair { x, y } = Self::load(packed, at);
            if y.is_zero() { Point::<C>::identity() } else { Point::<C>::new_unchecked(x, y) }
        };
        (0..packed.len() / C::POINT_WORDS).map(point).collect()
    }

    fn sum_groups(
        &self,
        scratch: &mut Self::Scratch,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    ) {
        scratch.sum_groups(self, points, entries, counts, sums);
    }

    fn double_all(&self, scratch: &mut Self::Scratch, points: &mut [u64], times: u32) {
        scratch.double_all(self, points, times);
    }
}
