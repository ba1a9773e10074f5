//! One multiplication: recode and partition, accumulate, reduce.

use crate::accumulate::accumulate;
use crate::buckets::Buckets;
use crate::curve::{Curve, Scalar, Sum};
use crate::engine::{AnyEngine, Engine, with_engine};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::memory::Words;
use crate::partition::{Partitions, Writer};
use crate::progress::{Progress, Report};
use crate::workers::{Pool, Workers};
use ark_ff::Zero;

/// Memory of multiplications by the same bases. Bucket sums of the last one stay in it; digits are wiped.
#[derive(Default)]
pub(crate) struct Memory {
    writers: Pool<Writer>,
    sums: Pool<Words>,
}

/// An engine over packed points, ready for scalars.
pub(crate) struct Multiplier<'a, C: Curve, K: Kernel<C>> {
    pub kernel: &'a K,
    pub engine: &'a AnyEngine,
    pub buckets: &'a Buckets,
    pub workers: &'a Workers<K::Scratch>,
    pub memory: &'a Memory,
    /// A row for each base.
    pub points: &'a [u64],
    /// Which bases are the point at infinity, if any is.
    pub infinite: Option<&'a [bool]>,
}

impl<C: Curve, K: Kernel<C>> Multiplier<'_, C, K> {
    /// Σ scalars[i]·bases[i], on the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Memory`].
    pub fn multiply(&self, scalars: &[Scalar<C>], report: Report) -> Result<Sum<C>, Error> {
        let sum = with_engine!(self.engine, engine => self.with(engine, scalars, report));
        self.workers.wipe();
        sum
    }

    fn with<E: Engine>(&self, engine: &E, scalars: &[Scalar<C>], report: Report) -> Result<Sum<C>, Error> {
        if scalars.iter().all(Zero::is_zero) {
            return Ok(Sum::<C>::zero());
        }
        let (hits, buckets) = (scalars.len() * engine.hits(), self.buckets.total());
        let progress = Progress::new(report, (hits + hits / 8 + 2 * buckets) as u64);
        let Memory { writers, sums: idle } = self.memory;
        let partitions = Partitions::new(engine, buckets, scalars, self.infinite, writers, &progress)?;
        let words = buckets * C::POINT_WORDS;
        let mut sums = match idle.take() {
            Some(former) => former.at_least(words)?,
            None => Words::zeroed(words)?,
        };
        let packed = &mut sums.as_mut_slice()[..words];
        accumulate::<C, K>(self.kernel, self.workers, self.points, &partitions, packed, &progress)?;
        let sum = self.buckets.reduce::<C, K>(self.kernel, self.workers, packed, &progress);
        partitions.give(writers);
        idle.give(sums);
        sum
    }
}
