//! Bases as an object: what an engine keeps of each, built once with the kernel, used any number of times.
//!
//! A row holds the stored multiples of one base, so a table grows by bases and a batch of rows is built without touching
//! another: q^(s·a)·P for each a by doubling all of a batch's points at once, then twice and three times those where the
//! engine wants them, then images under λ. Doublings are affine and share their inversions: 2^16 bases of BN254 take
//! about half a second where one complete doubling after another takes six.

use crate::curve::{Curve, Point};
use crate::endomorphism::Splitting;
use crate::engine::Row;
use crate::error::Error;
use crate::kernel::{Entry, INDEX_BITS, Kernel, Layout, POWER_SHIFT};
use crate::memory::Words;
use crate::progress::{Progress, Report};
use crate::workers::{Worker, Workers};
use ark_ff::PrimeField;
use rayon::prelude::*;

/// Bases of a batch: enough to spread an inversion thin, few enough that a batch stays in a second-level cache.
const BATCH: usize = 1024;

/// Bytes of the rows of `points` bases.
///
/// # Errors
/// [`Error::TooMany`] where an entry could not address them.
pub(crate) fn bytes<C: Curve>(row: Row, points: usize) -> Result<u64, Error> {
    let (packed, limit) = (points as u128 * row.columns as u128, 1u128 << INDEX_BITS);
    if packed > limit {
        return Err(Error::TooMany { points: packed.min(u64::MAX.into()) as u64, limit: limit as u64 });
    }
    Ok(packed as u64 * C::POINT_WORDS as u64 * 8)
}

/// Whether every coordinate is one that kernels write in this layout; they count on it where they wait with reductions.
pub(crate) fn in_bounds<C: Curve>(rows: &[u64], layout: Layout) -> bool {
    let modulus = C::Prime::MODULUS;
    let modulus = modulus.as_ref();
    // The greatest: p - 1, or 5p / 2 rounded down, which is 2p + (p - 1) / 2. Both have room in the words.
    let mut greatest = modulus.to_vec();
    greatest[0] -= 1;
    if layout == Layout::Radix52 {
        let mut carry = 0;
        for at in 0..greatest.len() {
            let above = modulus.get(at + 1).map_or(0, |word| word << 63);
            let sum = 2 * u128::from(modulus[at]) + u128::from(modulus[at] >> 1 | above) + carry;
            greatest[at] = sum as u64;
            carry = sum >> 64;
        }
    }
    let holds = |words: &[u64]| words.iter().rev().le(greatest.iter().rev());
    rows.par_chunks(C::WORDS).with_min_len(4096).all(holds)
}

/// The rows of all bases.
///
/// # Errors
/// [`Error::Memory`], [`Error::Cancelled`].
pub(crate) fn rows<C: Curve, K: Kernel<C>>(
    kernel: &K,
    workers: &Workers<K::Scratch>,
    row: Row,
    points: &[Point<C>],
    report: Report,
) -> Result<Words, Error> {
    let row_words = row.columns * C::POINT_WORDS;
    let mut rows = Words::zeroed(points.len() * row_words)?;
    let progress = Progress::new(report, points.len() as u64);
    let out = &mut rows.as_mut_slice()[..points.len() * row_words];
    out.par_chunks_mut(BATCH * row_words).zip(points.par_chunks(BATCH)).with_max_len(1).try_for_each(
        |(out, points)| {
            workers.with(|worker| batch::<C, K>(kernel, worker, row, points, out));
            progress.advance(points.len() as u64)
        },
    )?;
    Ok(rows)
}

/// The rows of one batch of bases.
fn batch<C: Curve, K: Kernel<C>>(
    kernel: &K,
    worker: &mut Worker<K::Scratch>,
    row: Row,
    points: &[Point<C>],
    out: &mut [u64],
) {
    let words = C::POINT_WORDS;
    let count = points.len();
    // The multiples of one power lie one after another, so that the third is a sum of the first two.
    let mut multiples = vec![0u64; row.multiples * count * words];
    kernel.pack(points, &mut multiples[..count * words]);
    let mut turned = vec![0u64; count * words];
    let mut column = 0;
    while column < row.columns {
        if column > 0 {
            kernel.double_all(&mut worker.scratch, &mut multiples[..count * words], row.doublings);
        }
        for multiple in 1..=row.multiples {
            if column == row.columns {
                break;
            }
            let at = (multiple - 1) * count * words;
            fill::<C, K>(kernel, worker, &mut multiples, multiple, count);
            store(&multiples[at..at + count * words], out, row.columns, column, words);
            column += 1;
            if row.images == 2 {
                let entries = (0..count as Entry).map(|at| at | Splitting::of::<C>().power << POWER_SHIFT);
                worker.entries.clear();
                worker.entries.extend(entries);
                let (entries, counts) = (&worker.entries, vec![1; count]);
                kernel.sum_groups(&mut worker.scratch, &multiples[at..], entries, &counts, &mut turned);
                store(&turned, out, row.columns, column, words);
                column += 1;
            }
        }
    }
}

/// Fills in a multiple of the first `count` points; the first is there.
fn fill<C: Curve, K: Kernel<C>>(
    kernel: &K,
    worker: &mut Worker<K::Scratch>,
    multiples: &mut [u64],
    multiple: usize,
    count: usize,
) {
    if multiple == 1 {
        return;
    }
    let (below, rest) = multiples.split_at_mut((multiple - 1) * count * C::POINT_WORDS);
    let target = &mut rest[..count * C::POINT_WORDS];
    if multiple == 2 {
        target.copy_from_slice(below);
        kernel.double_all(&mut worker.scratch, target, 1);
        return;
    }
    let before = (multiple - 2) * count;
    worker.entries.clear();
    worker.entries.extend((0..count).flat_map(|at| [at as Entry, (before + at) as Entry]));
    kernel.sum_groups(&mut worker.scratch, below, &worker.entries, &vec![2; count], target);
}

/// Writes one column of a batch's rows.
fn store(points: &[u64], rows: &mut [u64], columns: usize, column: usize, words: usize) {
    for (point, row) in points.chunks_exact(words).zip(rows.chunks_exact_mut(columns * words)) {
        row[column * words..(column + 1) * words].copy_from_slice(point);
    }
}
