//! Scalars as hits, thrown into partitions: a partition is a run of buckets that will be summed in one batch.
//!
//! Each partition has a block of its own that hits are appended to, and takes a new one when that is full: one pass, no
//! counting before, and memory known in advance however the hits fall. Pieces of scalars have blocks of their own, so
//! that threads share nothing.

use crate::endomorphism::words;
use crate::engine::Engine;
use crate::error::Error;
use crate::memory::{Wipe, Words};
use crate::progress::Progress;
use crate::workers::Pool;
use ark_ff::PrimeField;
use rayon::prelude::*;
use std::hint::black_box;

/// Hits of a block: 4 KiB, so that one for each partition fits a second-level cache.
const BLOCK: usize = 512;

/// Hits in a partition, about: three of the kernel's chunks of the smallest points, so that the last chunk of each, which
/// is not full, weighs little; its hits and entries take 12 bytes each.
pub(crate) const BATCH: usize = 98304;

/// A batch of fewer hits spreads its inversions too thin to be worth another thread.
const LEAST_BATCH: usize = 2048;

/// Hits of a piece at least, where threads share the scalars.
const LEAST_PIECE: usize = 16384;

/// Scalars after which progress is told.
const STEP: usize = 2048;

/// Where some hits of a partition lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    piece: u32,
    /// Blocks before it in its piece.
    before: u32,
    /// Hits in it.
    pub count: u32,
}

/// Hits by partition.
pub(crate) struct Partitions {
    pieces: Vec<Writer>,
    /// All blocks, by partition.
    blocks: Vec<Block>,
    /// Where each partition's blocks start, and the end.
    starts: Vec<usize>,
    /// A partition has 2^shift buckets.
    pub shift: u32,
}

impl Partitions {
    /// The hits of all scalars. Rows of `infinite` bases are passed over.
    ///
    /// # Errors
    /// [`Error::Memory`], [`Error::Cancelled`].
    pub fn new<F: PrimeField, E: Engine>(
        engine: &E,
        buckets: usize,
        scalars: &[F],
        infinite: Option<&[bool]>,
        writers: &Pool<Writer>,
        progress: &Progress,
    ) -> Result<Self, Error> {
        let hits = scalars.len() * engine.hits();
        let shift = shift(buckets, hits);
        let count = buckets.div_ceil(1 << shift);
        let wanted = match rayon::current_num_threads() {
            1 => 1,
            threads => (4 * threads).min(hits / LEAST_PIECE).max(1),
        };
        let size = scalars.len().div_ceil(wanted).max(1);
        let pieces = scalars.par_chunks(size).enumerate().with_max_len(1);
        let written = pieces.map(|(piece, scalars)| {
            let mut writer = Writer::of(writers.take(), scalars.len() * engine.hits(), count)?;
            for (step, scalars) in scalars.chunks(STEP).enumerate() {
                let first = piece * size + step * STEP;
                let infinite = infinite.map(|all| &all[first..first + scalars.len()]);
                writer.write(engine, shift, scalars, infinite, first);
                progress.advance((scalars.len() * engine.hits() / 8) as u64)?;
            }
            Ok(writer)
        });
        Ok(Self::of(written.collect::<Result<_, Error>>()?, count, shift))
    }

    /// The blocks of all pieces, sorted by partition.
    fn of(pieces: Vec<Writer>, count: usize, shift: u32) -> Self {
        let mut starts = vec![0; count + 1];
        for partition in pieces.iter().flat_map(|writer| &writer.blocks) {
            starts[*partition as usize + 1] += 1;
        }
        for partition in 0..count {
            starts[partition + 1] += starts[partition];
        }
        let mut next = starts.clone();
        let mut blocks = vec![Block { piece: 0, before: 0, count: 0 }; starts[count]];
        for (piece, writer) in (0..).zip(&pieces) {
            for (before, partition) in (0..).zip(&writer.blocks) {
                let at = &mut next[*partition as usize];
                blocks[*at] = Block { piece, before, count: writer.filled(before, *partition) };
                *at += 1;
            }
        }
        Self { pieces, blocks, starts, shift }
    }

    /// Leave the memory for the next multiplication, wiped.
    pub fn give(self, writers: &Pool<Writer>) {
        for mut writer in self.pieces {
            writer.wipe();
            writers.give(writer);
        }
    }

    /// The blocks of a partition.
    pub fn blocks(&self, partition: usize) -> &[Block] {
        &self.blocks[self.starts[partition]..self.starts[partition + 1]]
    }

    /// The hits of a block, bucket in the high half and entry in the low.
    pub fn hits(&self, block: Block) -> &[u64] {
        &self.pieces[block.piece as usize].hits.as_slice()[block.before as usize * BLOCK..]
            [..block.count as usize]
    }
}

/// Bits of a partition's buckets: partitions of [`BATCH`] hits at most, about, or less to have several for each thread.
fn shift(buckets: usize, hits: usize) -> u32 {
    let shared = if rayon::current_num_threads() == 1 { 1 } else { 4 * rayon::current_num_threads() };
    let wanted = (hits / BATCH).max(shared.min(hits / LEAST_BATCH)).max(1);
    (buckets / wanted).max(1).ilog2()
}

/// The hits of a piece of scalars.
pub(crate) struct Writer {
    hits: Words,
    /// Each block's partition.
    blocks: Vec<u32>,
    /// Where each partition's next hit goes; at the start of a block, a new block is needed first.
    cursors: Vec<usize>,
}

/// The blocks that were written; nothing where they are wiped already.
impl Wipe for Writer {
    fn wipe(&mut self) {
        let written = &mut self.hits.as_mut_slice()[..self.blocks.len() * BLOCK];
        written.fill(0);
        black_box(written);
        self.blocks.clear();
        self.cursors.wipe();
    }
}

/// A multiplication that is stopped leaves digits too.
impl Drop for Writer {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Writer {
    /// An empty one with room for so many hits, however they fall; the memory of `former` if it is enough.
    fn of(former: Option<Self>, hits: usize, partitions: usize) -> Result<Self, Error> {
        let most = hits.div_ceil(BLOCK) + partitions;
        let mut writer = match former.filter(|former| former.hits.as_slice().len() >= most * BLOCK) {
            Some(former) => former,
            None => Self {
                hits: Words::zeroed(most * BLOCK)?,
                blocks: Vec::with_capacity(most),
                cursors: Vec::new(),
            },
        };
        writer.blocks.clear();
        writer.cursors.clear();
        writer.cursors.resize(partitions, 0);
        Ok(writer)
    }

    /// Adds the hits of scalars. Row i starts at column (`first` + i)·columns.
    fn write<F: PrimeField, E: Engine>(
        &mut self,
        engine: &E,
        shift: u32,
        scalars: &[F],
        infinite: Option<&[bool]>,
        first: usize,
    ) {
        let (columns, hits) = (engine.row().columns, self.hits.as_mut_slice());
        for (at, scalar) in scalars.iter().enumerate() {
            if scalar.is_zero() || infinite.is_some_and(|infinite| infinite[at]) {
                continue;
            }
            let row = ((first + at) * columns) as u32;
            engine.recode(&words(scalar), |hit| {
                let partition = (hit.bucket >> shift) as usize;
                let cursor = &mut self.cursors[partition];
                if cursor.is_multiple_of(BLOCK) {
                    *cursor = self.blocks.len() * BLOCK;
                    self.blocks.push(partition as u32);
                }
                hits[*cursor] = u64::from(hit.bucket) << 32 | u64::from(hit.entry + row);
                *cursor += 1;
            });
        }
    }

    /// Hits in a block of a partition: all blocks but its last are full.
    fn filled(&self, block: u32, partition: u32) -> u32 {
        let last = self.cursors[partition as usize] - 1;
        (if last / BLOCK == block as usize { last % BLOCK + 1 } else { BLOCK }) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::{Bn254G1, Scalar};
    use crate::pippenger::Pippenger;
    use crate::progress::unheard;
    use ark_std::UniformRand;

    #[test]
    fn memory_that_is_left_has_no_digits() {
        let (engine, mut rng, writers) = (Pippenger::new::<Bn254G1>(8), ark_std::test_rng(), Pool::default());
        let scalars: Vec<Scalar<Bn254G1>> = (0..1000).map(|_| UniformRand::rand(&mut rng)).collect();
        let buckets = engine.buckets().total();
        let progress = Progress::new(&unheard, 1);
        let partitions =
            Partitions::new(&engine, buckets, &scalars, None, &writers, &progress).expect("small");
        assert!(partitions.pieces[0].hits.as_slice().iter().any(|hit| *hit != 0));
        partitions.give(&writers);
        let writer = writers.take().expect("one was left");
        assert!(writer.hits.as_slice().iter().all(|hit| *hit == 0));
        assert!(writer.blocks.is_empty() && writer.cursors.iter().all(|cursor| *cursor == 0));
    }
}
