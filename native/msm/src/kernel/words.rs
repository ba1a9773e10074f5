//! The kernel for any CPU: additions one after another, with one inversion for many (Montgomery, Math. Comp. 48, 1987,
//! section 10.3.1).
//!
//! Six products an addition: three for the inversion, two and a square for the sum. One pass over a batch multiplies the
//! denominators, x2 - x1; another, from the last to the first, makes the sums. Only denominators and their products are
//! kept between the two; points are read again.

use std::marker::PhantomData;

use ark_ec::AffineRepr;
use ark_ff::{AdditiveGroup, Field, Zero};

use super::arithmetic::{Arithmetic, load, store};
use super::montgomery::{Montgomery, Subtract};
use super::tree::{Adder, Tree, index};
use super::{Entry, Kernel, Layout, NEGATIVE, POWER_SHIFT};
use crate::curve::{Coordinate, Curve, Point};

/// Additions that share an inversion, which takes the time of a hundred products: two per cent of theirs.
const BATCH: usize = 1024;

/// Entries whose points are asked for ahead.
const AHEAD: usize = 12;

/// Entries whose points, in a second-level cache by then, are asked for ahead on the way back.
const BACK: usize = 4;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Words of the largest coordinate.
const MOST: usize = 12;

/// The kernel of group `C` with arithmetic `A`.
pub struct Words<C: Curve, A> {
    arithmetic: A,
    /// β and its square.
    beta: [[u64; MOST]; 2],
    group: PhantomData<C>,
}

impl<C: Curve, A> Words<C, A> {
    /// The kernel.
    pub fn new(arithmetic: A) -> Self {
        const { assert!(C::DEGREE * C::WORDS <= MOST) };
        let words = |beta: C::Prime| {
            let mut words = [0; MOST];
            beta.write_words(&mut words);
            words
        };
        Self { arithmetic, beta: [words(C::BETA), words(C::BETA.square())], group: PhantomData }
    }
}

/// What an addition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// The sum of points with different x.
    Sum,
    /// Twice the first point.
    Double,
    /// The first point: the other is infinity.
    First,
    /// The second point.
    Second,
    /// Infinity.
    Infinity,
}

/// Additions under way.
#[derive(Default)]
pub struct Batch {
    denominators: Vec<u64>,
    /// Products of the denominators before each, and of all.
    products: Vec<u64>,
    /// x of both points where the endomorphism turned them.
    turned: Vec<u64>,
    cases: Vec<Case>,
}

impl Batch {
    /// Room for so many additions, whose first product is 1.
    fn reserve<C: Curve>(&mut self, count: usize) {
        let words = C::DEGREE * C::WORDS;
        if self.denominators.len() < count * words {
            self.denominators.resize(count * words, 0);
            self.products.resize((count + 1) * words, 0);
            self.turned.resize(2 * count * words, 0);
            store::<C>(&Coordinate::<C>::ONE, &mut self.products);
        }
        self.cases.clear();
    }
}

/// Words of a coordinate that comes and goes.
type Room = [u64; MOST];

/// What an addition needs on its way.
#[derive(Default)]
struct Workspace {
    inverse: Room,
    numerator: Room,
    slope: Room,
    square: Room,
    difference: Room,
}

impl<C: Curve, A: Arithmetic<C>> Words<C, A> {
    /// Words of a coordinate.
    const WORDS: usize = C::DEGREE * C::WORDS;

    /// The row of an index.
    #[inline(always)]
    fn row(points: &[u64], at: usize) -> (&[u64], &[u64]) {
        points[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS].split_at(Self::WORDS)
    }

    #[inline(always)]
    fn position<const TURNED: bool>(entry: Entry) -> usize {
        if TURNED { index(entry) } else { entry as usize }
    }

    /// How often the endomorphism is applied to the entry's point; three times is never.
    #[inline(always)]
    fn power<const TURNED: bool>(entry: Entry) -> usize {
        if TURNED { (entry >> POWER_SHIFT & 3) as usize % 3 } else { 0 }
    }

    /// The entry's y in `room`, negated as it says, or where it is.
    #[inline(always)]
    fn y<'a, const TURNED: bool>(&self, entry: Entry, y: &'a [u64], room: &'a mut [u64]) -> &'a [u64] {
        if !TURNED {
            return y;
        }
        self.arithmetic.negate_if(room, y, entry & NEGATIVE != 0);
        &room[..Self::WORDS]
    }

    /// Ask for two rows.
    #[inline(always)]
    fn prefetch(points: &[u64], rows: [usize; 2]) {
        #[cfg(target_arch = "x86_64")]
        for at in rows {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let row = points.as_ptr().wrapping_add(at * C::POINT_WORDS);
            for line in 0..(row.addr() % LINE + C::POINT_WORDS * 8).div_ceil(LINE) {
                // SAFETY: the instruction reads nothing, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_byte_add(line * LINE).cast()) };
            }
        }
        // Other CPUs are not asked: stable Rust has no prefetch for them.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (points, rows);
    }

    /// Writes the denominator of an addition that is no sum of points with different x, and says what it is.
    #[cold]
    fn special<const TURNED: bool>(
        &self,
        points: &[u64],
        entries: [Entry; 2],
        denominator: &mut [u64],
    ) -> Case {
        let ys = entries.map(|entry| {
            let y = load::<C>(Self::row(points, Self::position::<TURNED>(entry)).1);
            y.negated_if(TURNED && entry & NEGATIVE != 0)
        });
        let case = match ys.map(|y| y.is_zero()) {
            [true, _] => Case::Second,
            [_, true] => Case::First,
            _ if denominator.iter().any(|word| *word != 0) => return Case::Sum,
            _ if ys[0] == ys[1] => Case::Double,
            _ => Case::Infinity,
        };
        let value = if case == Case::Double { ys[0].double() } else { Coordinate::<C>::ONE };
        store::<C>(&value, denominator);
        case
    }

    /// The product of all denominators so far and the next.
    #[inline(always)]
    fn push(&self, products: &mut [u64], at: usize, denominator: &[u64]) {
        let (before, after) = products.split_at_mut((at + 1) * Self::WORDS);
        self.arithmetic.multiply(&mut after[..Self::WORDS], &before[at * Self::WORDS..], denominator);
    }

    /// The inverse of the product of all denominators.
    fn rest(&self, products: &[u64]) -> Room {
        let mut rest = [0; MOST];
        let product = load::<C>(&products[products.len() - Self::WORDS..]);
        store::<C>(&product.inverted().expect("no denominator is 0"), &mut rest);
        rest
    }

    /// Writes the sum of two points, for the slope's numerator and its denominator's inverse.
    #[inline(always)]
    fn finish(&self, work: &mut Workspace, xs: [&[u64]; 2], y: &[u64], sum: &mut [u64]) {
        let (arithmetic, (x_out, y_out)) = (&self.arithmetic, sum.split_at_mut(Self::WORDS));
        arithmetic.multiply(&mut work.slope, &work.numerator, &work.inverse);
        arithmetic.square(&mut work.square, &work.slope);
        arithmetic.subtract(&mut work.difference, &work.square, xs[0]);
        arithmetic.subtract(x_out, &work.difference, xs[1]);
        arithmetic.subtract(&mut work.difference, xs[0], x_out);
        arithmetic.multiply(&mut work.square, &work.slope, &work.difference);
        arithmetic.subtract(y_out, &work.square, y);
    }

    /// The numerator of a tangent's slope, 3x².
    #[inline(always)]
    fn tangent(&self, work: &mut Workspace, x: &[u64]) {
        self.arithmetic.square(&mut work.square, x);
        self.arithmetic.add(&mut work.difference, &work.square, &work.square);
        self.arithmetic.add(&mut work.numerator, &work.difference, &work.square);
    }

    /// Writes the entry's point, turned and negated as it says.
    fn write_turned<const TURNED: bool>(&self, points: &[u64], entry: Entry, turned: &mut [u64]) {
        let (x, y) = Self::row(points, Self::position::<TURNED>(entry));
        match Self::power::<TURNED>(entry) {
            0 => turned[..Self::WORDS].copy_from_slice(x),
            power => self.arithmetic.scale(turned, x, &self.beta[power - 1]),
        }
        let y = load::<C>(y).negated_if(TURNED && entry & NEGATIVE != 0);
        store::<C>(&y, &mut turned[Self::WORDS..]);
    }

    /// Doubles points in place.
    fn double_batch(&self, memory: &mut Batch, points: &mut [u64]) {
        let Batch { denominators, products, cases, .. } = memory;
        let words = Self::WORDS;
        for (at, point) in points.chunks_exact(C::POINT_WORDS).enumerate() {
            let (y, denominator) = (&point[words..], &mut denominators[at * words..(at + 1) * words]);
            self.arithmetic.add(denominator, y, y);
            let infinite = y.iter().all(|word| *word == 0);
            if infinite {
                store::<C>(&Coordinate::<C>::ONE, denominator);
            }
            cases.push(if infinite { Case::Infinity } else { Case::Double });
            self.push(products, at, denominator);
        }
        let (mut work, [mut x, mut y]) = (Workspace::default(), [[0; MOST]; 2]);
        let (mut rest, mut room) = (self.rest(&products[..(cases.len() + 1) * words]), [0; MOST]);
        let (mut rest, mut next) = (&mut rest, &mut room);
        for (at, point) in points.chunks_exact_mut(C::POINT_WORDS).enumerate().rev() {
            self.arithmetic.multiply(&mut work.inverse, rest, &products[at * words..]);
            self.arithmetic.multiply(next, rest, &denominators[at * words..]);
            (rest, next) = (next, rest);
            if cases[at] == Case::Infinity {
                continue;
            }
            x[..words].copy_from_slice(&point[..words]);
            y[..words].copy_from_slice(&point[words..]);
            self.tangent(&mut work, &x);
            self.finish(&mut work, [&x, &x], &y, point);
        }
    }

    /// The additions of a batch: denominators and their products.
    fn gather<const TURNED: bool>(&self, memory: &mut Batch, points: &[u64], ends: [&[Entry]; 2]) {
        let Batch { denominators, products, turned, cases } = memory;
        let rooms = turned.chunks_exact_mut(2 * Self::WORDS);
        let slots = denominators.chunks_exact_mut(Self::WORDS).zip(rooms);
        for (at, (denominator, room)) in slots.take(ends[0].len()).enumerate() {
            if TURNED && at + AHEAD < ends[0].len() {
                Self::prefetch(points, ends.map(|entries| index(entries[at + AHEAD])));
            }
            let entries = ends.map(|entries| entries[at]);
            let [(mut x1, _), (mut x2, _)] =
                entries.map(|entry| Self::row(points, Self::position::<TURNED>(entry)));
            let (one, two) = room.split_at_mut(Self::WORDS);
            let [power, other] = entries.map(Self::power::<TURNED>);
            if power != 0 {
                self.arithmetic.scale(one, x1, &self.beta[power - 1]);
                x1 = one;
            }
            if other != 0 {
                self.arithmetic.scale(two, x2, &self.beta[other - 1]);
                x2 = two;
            }
            self.arithmetic.subtract(denominator, x2, x1);
            // A glance: most elements with a first word of 0 are no 0.
            cases.push(if x1[0] == 0 || x2[0] == 0 || denominator[0] == 0 {
                self.special::<TURNED>(points, entries, denominator)
            } else {
                Case::Sum
            });
            self.push(products, at, denominator);
        }
    }

    /// The sums of a batch.
    fn scatter<const TURNED: bool>(
        &self,
        memory: &Batch,
        points: &[u64],
        ends: [&[Entry]; 2],
        sums: &mut [u64],
    ) {
        let (count, words) = (ends[0].len(), Self::WORDS);
        let mut work = Workspace::default();
        let (mut rest, mut room) = (self.rest(&memory.products[..(count + 1) * words]), [0; MOST]);
        let (mut rest, mut next) = (&mut rest, &mut room);
        let [mut first, mut second] = [[0; MOST]; 2];
        for at in (0..count).rev() {
            if TURNED && at >= BACK {
                Self::prefetch(points, ends.map(|entries| index(entries[at - BACK])));
            }
            let (product, denominator) = (&memory.products[at * words..], &memory.denominators[at * words..]);
            self.arithmetic.multiply(&mut work.inverse, rest, product);
            self.arithmetic.multiply(next, rest, denominator);
            (rest, next) = (next, rest);
            let sum = &mut sums[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS];
            let entries = ends.map(|entries| entries[at]);
            let [(mut x1, y1), (mut x2, y2)] =
                entries.map(|entry| Self::row(points, Self::position::<TURNED>(entry)));
            let [power, other] = entries.map(Self::power::<TURNED>);
            if power != 0 {
                x1 = &memory.turned[2 * at * words..][..words];
            }
            if other != 0 {
                x2 = &memory.turned[(2 * at + 1) * words..][..words];
            }
            let y1 = self.y::<TURNED>(entries[0], y1, &mut first);
            match memory.cases[at] {
                Case::Sum => {
                    let y2 = self.y::<TURNED>(entries[1], y2, &mut second);
                    self.arithmetic.subtract(&mut work.numerator, y2, y1);
                    self.finish(&mut work, [x1, x2], y1, sum);
                }
                Case::Double => {
                    self.tangent(&mut work, x1);
                    self.finish(&mut work, [x1, x2], y1, sum);
                }
                Case::First => self.write_turned::<TURNED>(points, entries[0], sum),
                Case::Second => self.write_turned::<TURNED>(points, entries[1], sum),
                Case::Infinity => sum.fill(0),
            }
        }
    }
}

impl<C: Curve, A: Arithmetic<C>> Adder for Words<C, A> {
    type Memory = Batch;

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
            memory.reserve::<C>(first.len());
            self.gather::<TURNED>(memory, points, [first, second]);
            self.scatter::<TURNED>(memory, points, [first, second], sums);
        }
    }

    fn turn(&self, points: &[u64], entries: &[Entry], turned: &mut [u64]) {
        for (entry, turned) in entries.iter().zip(turned.chunks_exact_mut(C::POINT_WORDS)) {
            self.write_turned::<true>(points, *entry, turned);
        }
    }

    fn double(&self, memory: &mut Self::Memory, points: &mut [u64]) {
        for points in points.chunks_mut(BATCH * C::POINT_WORDS) {
            memory.reserve::<C>(points.len() / C::POINT_WORDS);
            self.double_batch(memory, points);
        }
    }
}

impl<C: Curve, A: Arithmetic<C>> Kernel<C> for Words<C, A> {
    type Scratch = Tree<Batch>;

    fn layout(&self) -> Layout {
        Layout::Words
    }

    fn pack(&self, points: &[Point<C>], packed: &mut [u64]) {
        assert_eq!(packed.len(), points.len() * C::POINT_WORDS, "room for the points");
        for (point, words) in points.iter().zip(packed.chunks_exact_mut(C::POINT_WORDS)) {
            // Infinity, which has no coordinates, is packed as zeros: a point with y = 0 has order two, and none has here.
            let ((x, y), (x_out, y_out)) = (point.xy().unwrap_or_default(), words.split_at_mut(Self::WORDS));
            store::<C>(&x, x_out);
            store::<C>(&y, y_out);
        }
    }

    fn unpack(&self, packed: &[u64]) -> Vec<Point<C>> {
        assert!(packed.len().is_multiple_of(C::POINT_WORDS), "whole points");
        let point = |at| {
            let (x, y) = Self::row(packed, at);
            let (x, y) = (load::<C>(x), load::<C>(y));
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
