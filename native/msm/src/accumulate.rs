//! Partitions of hits as bucket sums: each partition is sorted by bucket, in the cache, and summed in one batch.
//!
//! A witness of zeros and ones puts half of all its hits into one bucket. A partition of many times the usual batch is
//! therefore cut by blocks; the parts are summed by any thread and their sums added in one more batch.

use crate::curve::Curve;
use crate::error::Error;
use crate::kernel::{Entry, Kernel};
use crate::memory::occupied;
use crate::partition::{BATCH, Block, Partitions};
use crate::progress::Progress;
use crate::workers::{Worker, Workers};
use rayon::prelude::*;

/// A partition with more hits than this is cut; the windows at the top of a scalar reach twice the average by nature.
const CUT: usize = 3 * BATCH;

/// Sums every bucket into `sums`, which has a packed point for each.
pub(crate) fn accumulate<C: Curve, K: Kernel<C>>(
    kernel: &K,
    workers: &Workers<K::Scratch>,
    points: &[u64],
    partitions: &Partitions,
    sums: &mut [u64],
    progress: &Progress,
) -> Result<(), Error> {
    let words = C::POINT_WORDS << partitions.shift;
    sums.par_chunks_mut(words).enumerate().with_max_len(1).try_for_each(|(partition, sums)| {
        let parts = parts(partitions, partition);
        if let [all] = &parts[..] {
            return workers.with(|worker| {
                batch::<C, K>(kernel, worker, points, partitions, partition, all, sums);
                progress.advance(worker.entries.len() as u64)
            });
        }
        let mut partial = vec![0u64; parts.len() * sums.len()];
        let tasks = partial.par_chunks_mut(sums.len()).zip(parts).with_max_len(1);
        tasks.try_for_each(|(sums, blocks)| {
            workers.with(|worker| {
                batch::<C, K>(kernel, worker, points, partitions, partition, blocks, sums);
                progress.advance(worker.entries.len() as u64)
            })
        })?;
        workers.with(|worker| merge::<C, K>(kernel, worker, &partial, sums));
        Ok(())
    })
}

/// Runs of blocks that have about a batch of a partition's hits each; one run for all if they are few.
fn parts(partitions: &Partitions, partition: usize) -> Vec<&[Block]> {
    let blocks = partitions.blocks(partition);
    if blocks.iter().map(|block| block.count as usize).sum::<usize>() <= CUT {
        return vec![blocks];
    }
    let (mut parts, mut start, mut held) = (Vec::new(), 0, 0);
    for (at, block) in blocks.iter().enumerate() {
        held += block.count as usize;
        if held >= BATCH || at + 1 == blocks.len() {
            parts.push(&blocks[start..=at]);
            (start, held) = (at + 1, 0);
        }
    }
    parts
}

/// Sums the hits of some blocks of a partition, bucket by bucket.
fn batch<C: Curve, K: Kernel<C>>(
    kernel: &K,
    worker: &mut Worker<K::Scratch>,
    points: &[u64],
    partitions: &Partitions,
    partition: usize,
    blocks: &[Block],
    sums: &mut [u64],
) {
    let buckets = sums.len() / C::POINT_WORDS;
    let first = (partition << partitions.shift) as u32;
    let bucket = |hit: u64| ((hit >> 32) as u32 - first) as usize;
    worker.counts.clear();
    worker.counts.resize(buckets, 0);
    for block in blocks {
        for &hit in partitions.hits(*block) {
            worker.counts[bucket(hit)] += 1;
        }
    }
    worker.cursors.clear();
    let mut total = 0;
    worker.cursors.extend(worker.counts.iter().map(|count| {
        total += count;
        total - count
    }));
    worker.entries.resize(total as usize, 0);
    for block in blocks {
        for &hit in partitions.hits(*block) {
            let at = &mut worker.cursors[bucket(hit)];
            worker.entries[*at as usize] = hit as Entry;
            *at += 1;
        }
    }
    kernel.sum_groups(&mut worker.scratch, points, &worker.entries, &worker.counts, sums);
}

/// Adds several rows of bucket sums.
fn merge<C: Curve, K: Kernel<C>>(
    kernel: &K,
    worker: &mut Worker<K::Scratch>,
    partial: &[u64],
    sums: &mut [u64],
) {
    let buckets = sums.len() / C::POINT_WORDS;
    let (entries, counts) = (&mut worker.entries, &mut worker.counts);
    entries.clear();
    counts.clear();
    for bucket in 0..buckets {
        let before = entries.len();
        let rows = (bucket..partial.len() / C::POINT_WORDS).step_by(buckets);
        let filled = rows.filter(|at| occupied(&partial[at * C::POINT_WORDS..(at + 1) * C::POINT_WORDS]));
        entries.extend(filled.map(|at| at as Entry));
        counts.push((entries.len() - before) as u32);
    }
    kernel.sum_groups(&mut worker.scratch, partial, entries, counts, sums);
}
