//! Buckets and their weights, and how weighted sums of buckets are taken.
//!
//! A bucket's weight is u + m·v, where m is a power of two or λ. Σ (u + m·v)·S is Σ u·U_u + m·Σ v·V_v for the sums U_u and
//! V_v of buckets with equal u and with equal v: two additions a bucket, all of them in batches, where running sums take
//! two additions one after another. What is left are sums of a few hundred points weighted by consecutive numbers, and
//! the same step takes their weights apart again until [`LEAF`] are left; those are summed by running sums. Buckets need
//! not have consecutive weights, and empty ones cost nothing.
//!
//! Source: the row and column sums are folklore in batched affine form; see Bernstein, Doumen, Lange and Oosterwijk
//! (INDOCRYPT 2012) for the running sums.

use crate::curve::{Curve, Sum};
use crate::error::Error;
use crate::kernel::{Entry, Kernel, POWER_SHIFT};
use crate::memory::occupied;
use crate::progress::Progress;
use crate::workers::Workers;
use ark_ff::{AdditiveGroup, Zero};
use rayon::prelude::*;

/// Up to so many weights are summed by running sums: 2·8 complete additions cost less than one more round of batches
/// with its inversion.
const LEAF: usize = 8;

/// Entries of one call of the kernel: enough to spread an inversion thin, few enough that the points of a round stay in
/// a second-level cache of 1 MiB (16384 · 64 bytes).
const BATCH: usize = 16384;

/// Buckets with equal weight in one coordinate, for every weight.
#[derive(Clone, Debug)]
struct Lines {
    /// Slots, by rising weight.
    slots: Vec<u32>,
    /// Where each weight's slots start, and the end.
    starts: Vec<u32>,
}

impl Lines {
    fn new(coordinates: &[[u32; 2]], axis: usize) -> Self {
        let weights = coordinates.iter().map(|weight| weight[axis] + 1).max().unwrap_or(0) as usize;
        let mut starts = vec![0u32; weights + 1];
        for weight in coordinates {
            starts[weight[axis] as usize + 1] += 1;
        }
        for weight in 0..weights {
            starts[weight + 1] += starts[weight];
        }
        let (mut next, mut slots) = (starts.clone(), vec![0; coordinates.len()]);
        for (slot, weight) in coordinates.iter().enumerate() {
            let at = &mut next[weight[axis] as usize];
            slots[*at as usize] = slot as u32;
            *at += 1;
        }
        Self { slots, starts }
    }

    fn weights(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, weight: usize) -> &[u32] {
        &self.slots[self.starts[weight] as usize..self.starts[weight + 1] as usize]
    }
}

/// What the second coordinate of a weight is multiplied with.
#[derive(Clone, Copy, Debug)]
enum Second {
    /// 2^bits.
    Shift(u32),
    /// λ = φ^power.
    Lambda(u32),
}

/// Bucket sets of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    /// Sets; a set weighs 2^radix_bits times the one before.
    pub sets: usize,
    /// Buckets of a set.
    pub slots: usize,
    radix_bits: u32,
    second: Second,
    lines: [Lines; 2],
}

impl Buckets {
    /// Weights u + λ·v, for the pairs (u, v) given.
    pub fn plane(sets: usize, coordinates: Vec<[u32; 2]>, power: u32, radix_bits: u32) -> Self {
        Self::new(sets, &coordinates, Second::Lambda(power), radix_bits)
    }

    /// Weights u + 2^low·v, for the pairs (u, v) given.
    pub fn spread(sets: usize, coordinates: Vec<[u32; 2]>, low: u32, radix_bits: u32) -> Self {
        Self::new(sets, &coordinates, Second::Shift(low), radix_bits)
    }

    /// Weights 1 to `slots`.
    pub fn consecutive(sets: usize, slots: usize, radix_bits: u32) -> Self {
        let low = slots.ilog2().div_ceil(2);
        let weights = 1..=slots as u32;
        Self::spread(
            sets,
            weights.map(|weight| [weight & ((1 << low) - 1), weight >> low]).collect(),
            low,
            radix_bits,
        )
    }

    fn new(sets: usize, coordinates: &[[u32; 2]], second: Second, radix_bits: u32) -> Self {
        let lines = [Lines::new(coordinates, 0), Lines::new(coordinates, 1)];
        Self { sets, slots: coordinates.len(), radix_bits, second, lines }
    }

    /// Buckets of all sets.
    pub fn total(&self) -> usize {
        self.sets * self.slots
    }

    /// The sum of all buckets, each as often as it weighs. `sums` holds the packed sums of all sets' buckets.
    pub fn reduce<C: Curve, K: Kernel<C>>(
        &self,
        kernel: &K,
        workers: &Workers<K::Scratch>,
        sums: &[u64],
        progress: &Progress,
    ) -> Result<Sum<C>, Error> {
        let per_set = self.lines[0].weights() + self.lines[1].weights();
        let filled: Vec<bool> = sums.par_chunks(C::POINT_WORDS).with_min_len(4096).map(occupied).collect();
        let mut lines = vec![0u64; self.sets * per_set * C::POINT_WORDS];
        let per_line = (2 * self.slots).div_ceil(per_set).max(1);
        let per_task = (BATCH / per_line).max(1);
        lines.par_chunks_mut(per_task * C::POINT_WORDS).enumerate().with_max_len(1).try_for_each(
            |(task, out)| {
                workers.with(|worker| {
                    let (entries, counts) = (&mut worker.entries, &mut worker.counts);
                    entries.clear();
                    counts.clear();
                    for line in task * per_task..task * per_task + out.len() / C::POINT_WORDS {
                        let before = entries.len();
                        let base = (line / per_set * self.slots) as u32;
                        let members = self.line(line % per_set).iter().map(|slot| base + slot);
                        entries.extend(members.filter(|&bucket| filled[bucket as usize]));
                        counts.push((entries.len() - before) as u32);
                    }
                    kernel.sum_groups(&mut worker.scratch, sums, entries, counts, out);
                    progress.advance(entries.len() as u64)
                })
            },
        )?;
        let mut families = Vec::with_capacity(2 * self.sets);
        for set in 0..self.sets {
            let (start, split) = (set * per_set, set * per_set + self.lines[0].weights());
            families.push(Family { start, weights: split - start, turn: 0 });
            let turn = if let Second::Lambda(power) = self.second { power << POWER_SHIFT } else { 0 };
            families.push(Family { start: split, weights: start + per_set - split, turn });
        }
        let values = workers.with(|worker| weighted(kernel, &mut worker.scratch, &lines, &families));
        Ok(self.combine::<C>(&values))
    }

    /// The slots of one line of a set; weight 0 needs no sum.
    fn line(&self, line: usize) -> &[u32] {
        let first = self.lines[0].weights();
        let (axis, weight) = if line < first { (0, line) } else { (1, line - first) };
        if weight == 0 { &[] } else { self.lines[axis].of(weight) }
    }

    /// Σ 2^(radix_bits·set)·(first + m·second) over the sets.
    fn combine<C: Curve>(&self, values: &[Sum<C>]) -> Sum<C> {
        let mut total = Sum::<C>::zero();
        for pair in values.chunks_exact(2).rev() {
            doubled(&mut total, self.radix_bits);
            let mut second = pair[1];
            if let Second::Shift(bits) = self.second {
                doubled(&mut second, bits);
            }
            total += pair[0] + second;
        }
        total
    }
}

/// `sum` times 2^times.
fn doubled<P: AdditiveGroup>(sum: &mut P, times: u32) {
    for _ in 0..times {
        sum.double_in_place();
    }
}

/// Points that are weighted 0, 1, 2, …, and how they are turned first.
#[derive(Clone, Copy, Debug)]
struct Family {
    start: usize,
    weights: usize,
    turn: Entry,
}

/// The weighted sum of every family of packed points.
fn weighted<C: Curve, K: Kernel<C>>(
    kernel: &K,
    scratch: &mut K::Scratch,
    points: &[u64],
    families: &[Family],
) -> Vec<Sum<C>> {
    if families.iter().all(|family| family.turn == 0 && family.weights <= LEAF) {
        return families.iter().map(|family| running::<C, K>(kernel, points, family)).collect();
    }
    let (mut entries, mut counts, mut parts, mut lows) = (vec![], vec![], vec![], vec![]);
    for family in families {
        let low = usize::BITS - family.weights.saturating_sub(1).leading_zeros();
        let low = low.div_ceil(2);
        let high = (family.weights.saturating_sub(1) >> low) + 1;
        let weight_of =
            |weight: usize, axis: usize| if axis == 0 { weight & ((1 << low) - 1) } else { weight >> low };
        for (axis, weights) in [(0, 1 << low), (1, high)] {
            parts.push(Family { start: counts.len(), weights, turn: 0 });
            for part in 0..weights {
                let before = entries.len();
                let members =
                    (1..family.weights).filter(|&weight| part != 0 && weight_of(weight, axis) == part);
                let members = members.map(|weight| family.start + weight);
                let filled =
                    members.filter(|at| occupied(&points[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS]));
                entries.extend(filled.map(|at| at as Entry | family.turn));
                counts.push((entries.len() - before) as u32);
            }
        }
        lows.push(low);
    }
    let mut sums = vec![0u64; counts.len() * C::POINT_WORDS];
    kernel.sum_groups(scratch, points, &entries, &counts, &mut sums);
    let values = weighted(kernel, scratch, &sums, &parts);
    let join = |(pair, low): (&[Sum<C>], u32)| {
        let mut high = pair[1];
        doubled(&mut high, low);
        pair[0] + high
    };
    values.chunks_exact(2).zip(lows).map(join).collect()
}

/// The weighted sum of one short family.
fn running<C: Curve, K: Kernel<C>>(kernel: &K, points: &[u64], family: &Family) -> Sum<C> {
    let words = family.start * C::POINT_WORDS..(family.start + family.weights) * C::POINT_WORDS;
    let (mut above, mut total) = (Sum::<C>::zero(), Sum::<C>::zero());
    for point in kernel.unpack(&points[words]).iter().skip(1).rev() {
        above += point;
        total += above;
    }
    total
}
