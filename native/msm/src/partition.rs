//! Scalars as hits, sorted as far as batches need: a counting sort whose scatter stays in the cache.
//!
//! A chunk of scalars is written as hits into a buffer, and from there into one region of its own, partition by
//! partition: a partition is a run of buckets that will be summed in one batch. The next stage collects a partition's
//! hits from all chunks. No pass over all the hits is random in memory, and chunks and partitions are shared between
//! threads without a lock.

use crate::endomorphism::words;
use crate::engine::{Engine, Hit};
use crate::error::Error;
use crate::progress::Progress;
use crate::workers::{Pool, Sorter};
use ark_ff::PrimeField;
use rayon::prelude::*;

/// Hits of a chunk: 32768 of 8 bytes, twice, are half of a second-level cache of 1 MiB.
const CHUNK_HITS: usize = 32768;

/// Hits in a partition, about: three of the kernel's chunks, so that the last chunk of each, which is not full, weighs
/// little; its hits and entries, 12 bytes each, still fit a second-level cache.
pub(crate) const BATCH: usize = 49152;

/// A batch of fewer hits spreads its inversions too thin to be worth another thread.
const LEAST_BATCH: usize = 2048;

/// Hits by chunk and, within a chunk, by partition.
pub(crate) struct Partitions {
    hits: Vec<u64>,
    /// Hits that a chunk has room for.
    room: usize,
    /// For each chunk, where its partitions start in its region, and the end.
    starts: Vec<u32>,
    /// Partitions.
    pub count: usize,
    /// A partition has 2^shift buckets.
    pub shift: u32,
}

impl Partitions {
    /// The hits of all scalars. Rows of `infinite` bases are passed over.
    pub fn new<F: PrimeField, E: Engine>(
        engine: &E,
        buckets: usize,
        scalars: &[F],
        infinite: Option<&[bool]>,
        sorters: &Pool<Sorter>,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let shift = shift(buckets, scalars.len() * engine.hits());
        let count = buckets.div_ceil(1 << shift);
        let per_chunk = (CHUNK_HITS / engine.hits()).max(1);
        let chunks = scalars.len().div_ceil(per_chunk);
        let room = per_chunk.min(scalars.len()) * engine.hits();
        let (mut hits, mut starts) = (vec![0u64; chunks * room], vec![0u32; chunks * (count + 1)]);
        let regions = hits.par_chunks_mut(room.max(1)).zip(starts.par_chunks_mut(count + 1));
        let columns = engine.row().columns;
        regions.zip(scalars.par_chunks(per_chunk)).enumerate().with_max_len(1).try_for_each(
            |(chunk, ((region, starts), scalars))| {
                sorters.with(|sorter| {
                    let first = chunk * per_chunk;
                    sorter.hits.resize(room, Hit { bucket: 0, entry: 0 });
                    let infinite = infinite.map(|all| &all[first..first + scalars.len()]);
                    let found = recode(engine, scalars, infinite, first * columns, &mut sorter.hits);
                    scatter(&sorter.hits[..found], shift, starts, &mut sorter.cursors, region);
                });
                progress.advance((scalars.len() * engine.hits() / 8) as u64)
            },
        )?;
        Ok(Self { hits, room, starts, count, shift })
    }

    /// Chunks.
    pub fn chunks(&self) -> usize {
        self.starts.len() / (self.count + 1)
    }

    /// The hits that a chunk has in a partition, bucket in the high half and entry in the low.
    pub fn hits(&self, chunk: usize, partition: usize) -> &[u64] {
        let starts = &self.starts[chunk * (self.count + 1)..][partition..partition + 2];
        &self.hits[chunk * self.room..][starts[0] as usize..starts[1] as usize]
    }
}

/// Bits of a partition's buckets: partitions of [`BATCH`] hits at most, about, or less to have several for each thread.
fn shift(buckets: usize, hits: usize) -> u32 {
    let shared = if rayon::current_num_threads() == 1 { 1 } else { 4 * rayon::current_num_threads() };
    let wanted = (hits / BATCH).max(shared.min(hits / LEAST_BATCH)).max(1);
    (buckets / wanted).max(1).ilog2()
}

/// Writes the hits of scalars into `hits` and says how many they are. Row i starts at column `base` + i·columns.
fn recode<F: PrimeField, E: Engine>(
    engine: &E,
    scalars: &[F],
    infinite: Option<&[bool]>,
    base: usize,
    hits: &mut [Hit],
) -> usize {
    let (columns, mut found) = (engine.row().columns, 0);
    for (at, scalar) in scalars.iter().enumerate() {
        if scalar.is_zero() || infinite.is_some_and(|infinite| infinite[at]) {
            continue;
        }
        let row = (base + at * columns) as u32;
        engine.recode(&words(scalar), |hit| {
            hits[found] = Hit { entry: hit.entry + row, ..hit };
            found += 1;
        });
    }
    found
}

/// Sorts hits into `region` by partition and says in `starts` where each begins.
fn scatter(hits: &[Hit], shift: u32, starts: &mut [u32], cursors: &mut Vec<u32>, region: &mut [u64]) {
    for hit in hits {
        starts[(hit.bucket >> shift) as usize + 1] += 1;
    }
    for partition in 1..starts.len() {
        starts[partition] += starts[partition - 1];
    }
    cursors.clear();
    cursors.extend_from_slice(starts);
    for hit in hits {
        let at = &mut cursors[(hit.bucket >> shift) as usize];
        region[*at as usize] = u64::from(hit.bucket) << 32 | u64::from(hit.entry);
        *at += 1;
    }
}
