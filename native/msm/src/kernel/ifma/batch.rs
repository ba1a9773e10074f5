//! Many additions with one inversion: products of denominators (Montgomery, Math. Comp. 48, 1987, section 10.3.1), in
//! eight lanes and four chains.
//!
//! Bounds, with p the modulus: packed coordinates are below 5p / 2. Differences of x are below 11p / 2, slopes'
//! numerators below 10p, products below 3p; the comments say the rest.
//!
//! Equal points, opposite points and infinity: infinity is seen when points are loaded. Equal x make the product of all
//! denominators 0, which costs nothing to see; the batch then looks for those lanes and mends them.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use ark_ff::MontConfig;
use w3bstream_field::{Constant, LANES, Mask};

use super::coordinates::{Coordinates, LooseCoordinates};
use super::points::{Points, Rows, store};
use crate::kernel::Entry;

/// Products that grow side by side: the next could start long before the one that it waits for is there.
const CHAINS: usize = 4;

/// Bytes of a batch's slots: they stay in a second-level cache of 1 MiB beside the points of a round.
const BATCH_BYTES: usize = 256 << 10;

/// Vectors whose points are asked for ahead: 192 lines or more. Fewer wait for memory, and more are gone again.
const AHEAD: usize = 12;

/// Lanes that the formulas do not hold for.
#[derive(Clone, Copy, Default)]
struct Special {
    /// The sum is the slot's x and y.
    fixed: Mask,
    /// The sum is infinity. These are fixed, too.
    infinite: Mask,
    /// Both points are the same.
    doubled: Mask,
}

/// Eight additions under way.
struct Slot<C, const W: usize, const L: usize, const D: usize> {
    /// The first points, whatever their signs.
    first: Points<C, W, L, D>,
    /// x2 - x1 + 3p, or 2y where points are doubled.
    denominator: Coordinates<C, W, L, D>,
    numerator: Coordinates<C, W, L, D>,
    /// Product of the chain's denominators before this one.
    before: Coordinates<C, W, L, D>,
    special: Special,
}

/// Additions under way.
pub struct Batch<C, const W: usize, const L: usize, const D: usize> {
    slots: Vec<Slot<C, W, L, D>>,
}

impl<C, const W: usize, const L: usize, const D: usize> Default for Batch<C, W, L, D> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<C: MontConfig<W>, const W: usize, const L: usize, const D: usize> Batch<C, W, L, D> {
    const WORDS: usize = 2 * D * W;
    /// Vectors in a batch.
    const SLOTS: usize = BATCH_BYTES / size_of::<Slot<C, W, L, D>>();

    /// See `Adder::add`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add<const TURNED: bool>(
        &mut self,
        beta: &[Constant<C, W, L>; 2],
        points: &[u64],
        pairs: [&[Entry]; 2],
        sums: &mut [u64],
    ) {
        assert!(pairs[0].len() == pairs[1].len() && sums.len() == pairs[0].len() * Self::WORDS);
        let [first, second] = pairs.map(|entries| Rows::new(points, entries, Self::WORDS));
        for (batch, sums) in sums.chunks_mut(Self::SLOTS * LANES * Self::WORDS).enumerate() {
            let (mut products, mut other) = ([Coordinates::one(); CHAINS], Points::infinity());
            for (own, slot) in self.slots(sums.len()).iter_mut().enumerate() {
                let at = batch * Self::SLOTS + own;
                if TURNED {
                    first.prefetch(at + AHEAD);
                    second.prefetch(at + AHEAD);
                }
                first.load::<_, _, _, _, TURNED>(at, beta, &mut slot.first);
                second.load::<_, _, _, _, TURNED>(at, beta, &mut other);
                slot.set_sum(&other);
                slot.multiply(&mut products[own % CHAINS]);
            }
            finish(self.slots(sums.len()), products, sums);
        }
    }

    /// See `Adder::double`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn double(&mut self, beta: &[Constant<C, W, L>; 2], points: &mut [u64]) {
        let mut entries = [0; LANES];
        for points in points.chunks_mut(Self::SLOTS * LANES * Self::WORDS) {
            let mut products = [Coordinates::one(); CHAINS];
            let slots = self.slots(points.len());
            for (at, slot) in slots.iter_mut().enumerate() {
                let eight = &points[at * LANES * Self::WORDS..];
                for (lane, entry) in entries.iter_mut().enumerate() {
                    *entry = if lane < eight.len() / Self::WORDS { lane as Entry } else { 0 };
                }
                let rows = Rows::new(eight, &entries, Self::WORDS);
                rows.load::<_, _, _, _, false>(0, beta, &mut slot.first);
                slot.set_double();
                slot.multiply(&mut products[at % CHAINS]);
            }
            finish(slots, products, points);
        }
    }

    /// As many slots as sums of so many words need.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn slots(&mut self, words: usize) -> &mut [Slot<C, W, L, D>] {
        let count = words.div_ceil(LANES * Self::WORDS);
        while self.slots.len() < count {
            self.slots.push(Slot::empty());
        }
        &mut self.slots[..count]
    }
}

/// Sums that are waiting, to consecutive rows.
#[target_feature(enable = "avx512f,avx512ifma")]
fn finish<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    slots: &mut [Slot<C, W, L, D>],
    products: [Coordinates<C, W, L, D>; CHAINS],
    sums: &mut [u64],
) {
    let mut inverses = match inverses(products) {
        Some(inverses) => inverses,
        None => inverses(mend(slots)).expect("no denominator is 0 any more"),
    };
    let (mut slopes, mut x, mut y) = (inverses, inverses, inverses);
    for (block, slots) in slots.chunks(CHAINS).enumerate().rev() {
        // Products that do not wait for each other stand side by side: a product takes about as long as its result
        // stays away, and the CPU looks only two or three products ahead.
        for (at, slot) in slots.iter().enumerate() {
            slopes[at] = inverses[at].times(slot.before);
            inverses[at] = inverses[at].times(slot.denominator);
        }
        for (slope, slot) in slopes.iter_mut().zip(slots) {
            *slope = slot.numerator.times(*slope);
        }
        for (at, slot) in slots.iter().enumerate() {
            x[at] = slot.x(slopes[at]);
        }
        for (at, slot) in slots.iter().enumerate() {
            y[at] = slot.y(slopes[at], x[at]);
        }
        for (at, slot) in slots.iter().enumerate() {
            let (x, y) = slot.mended(x[at], y[at]);
            let row = (block * CHAINS + at) * LANES * 2 * D * W;
            let end = sums.len().min(row + LANES * 2 * D * W);
            store(&x, &y, &mut sums[row..end]);
        }
    }
}

/// Slots without denominators that are 0, and their products.
#[target_feature(enable = "avx512f,avx512ifma")]
fn mend<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    slots: &mut [Slot<C, W, L, D>],
) -> [Coordinates<C, W, L, D>; CHAINS] {
    let mut products = [Coordinates::one(); CHAINS];
    for (at, slot) in slots.iter_mut().enumerate() {
        slot.mend();
        slot.multiply(&mut products[at % CHAINS]);
    }
    products
}

/// The inverse of each chain's product, or nothing if one is 0.
#[target_feature(enable = "avx512f,avx512ifma")]
fn inverses<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    products: [Coordinates<C, W, L, D>; CHAINS],
) -> Option<[Coordinates<C, W, L, D>; CHAINS]> {
    let [a, b, c, d] = products;
    let (ab, cd) = (a.times(b), c.times(d));
    let inverse = ab.times(cd).inverse()?;
    let (ab, cd) = (inverse.times(cd), inverse.times(ab));
    Some([ab.times(b), ab.times(a), cd.times(d), cd.times(c)])
}

impl<C: MontConfig<W>, const W: usize, const L: usize, const D: usize> Slot<C, W, L, D> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn empty() -> Self {
        let zero = Coordinates::zero();
        Self {
            first: Points::infinity(),
            denominator: zero,
            numerator: zero,
            before: zero,
            special: Special::default(),
        }
    }

    /// The slope from the first points to others.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn set_sum(&mut self, other: &Points<C, W, L, D>) {
        let Points { x, y, infinite } = self.first;
        self.denominator = other.x.loose().minus(x.loose()).settled::<3>();
        self.numerator = other.y.minus(y).settled::<5>();
        self.special = Special::default();
        if infinite | other.infinite != 0 {
            self.first.x = Coordinates::select(infinite, other.x, x);
            self.first.y = LooseCoordinates::select(infinite, other.y, y);
            self.fix(infinite | other.infinite, infinite & other.infinite);
        }
    }

    /// The slope of the first points' tangent.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn set_double(&mut self) {
        self.special = Special::default();
        self.become_double(Mask::MAX);
        self.fix(self.first.infinite, self.first.infinite);
    }

    /// Take the denominator into its chain.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply(&mut self, product: &mut Coordinates<C, W, L, D>) {
        self.before = *product;
        *product = product.times(self.denominator);
    }

    /// The slope of the tangent in these lanes: 3x² / 2y, below 6p and 10p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn become_double(&mut self, lanes: Mask) {
        let square = self.first.x.squared().loose();
        let numerator = square.plus(square).plus(square).settled::<0>();
        let denominator = self.first.y.plus(self.first.y).settled::<5>();
        self.numerator = Coordinates::select(lanes, numerator, self.numerator);
        self.denominator = Coordinates::select(lanes, denominator, self.denominator);
        self.special.doubled |= lanes;
    }

    /// Sums that are known, and those of them that are infinity.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn fix(&mut self, lanes: Mask, infinite: Mask) {
        self.denominator = Coordinates::select(lanes, Coordinates::one(), self.denominator);
        self.special.fixed |= lanes;
        self.special.infinite |= infinite;
    }

    /// Lanes with denominator 0 made to hold: points that are equal are doubled, the others are opposite.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn mend(&mut self) {
        let same_x = self.denominator.zeros();
        if same_x != 0 {
            self.become_double(same_x & self.numerator.zeros() & !self.special.doubled);
            // No point of these groups has order two; if words that are no point look so, they have a sum, too.
            let opposite = self.denominator.zeros();
            self.fix(opposite, opposite);
        }
    }

    /// The sum's x, for the slope.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn x(&self, slope: Coordinates<C, W, L, D>) -> Coordinates<C, W, L, D> {
        let x1 = self.first.x.loose();
        let mut step = self.denominator.loose();
        if self.special.doubled != 0 {
            let none = Coordinates::zero().loose().settled::<3>().loose();
            step = LooseCoordinates::select(self.special.doubled, none, step);
        }
        // slope² - x1 - x2 = slope² - 2 x1 - (x2 - x1 + 3p) + 3p; above -5p, and slope² is below 2p.
        slope.squared().loose().minus(x1).minus(x1).minus(step).lowered::<8>()
    }

    /// The sum's y, for the slope and x.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn y(&self, slope: Coordinates<C, W, L, D>, x: Coordinates<C, W, L, D>) -> Coordinates<C, W, L, D> {
        let Points { x: x1, y: y1, .. } = self.first;
        slope.times(x1.loose().minus(x.loose()).settled::<3>()).loose().minus(y1).lowered::<3>()
    }

    /// The sum where the formulas hold, else what is known.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn mended(
        &self,
        x: Coordinates<C, W, L, D>,
        y: Coordinates<C, W, L, D>,
    ) -> (Coordinates<C, W, L, D>, Coordinates<C, W, L, D>) {
        let Special { fixed, infinite, .. } = self.special;
        if fixed == 0 {
            return (x, y);
        }
        let Points { x: x1, y: y1, .. } = self.first;
        let (x, y) = (Coordinates::select(fixed, x1, x), Coordinates::select(fixed, y1.lowered::<3>(), y));
        let zero = Coordinates::zero();
        (Coordinates::select(infinite, zero, x), Coordinates::select(infinite, zero, y))
    }
}
