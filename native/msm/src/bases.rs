//! Precomputed bases: what callers keep between multiplications.

use crate::buckets::Buckets;
use crate::curve::{Curve, Point, Scalar, Sum};
use crate::engine::AnyEngine;
use crate::error::{Error, TableFault};
use crate::kernel::{Instructions, Kernel, select};
use crate::memory::{Storage, occupied};
use crate::multiply::{Memory, Multiplier};
use crate::planner::{Plan, PlanRequest, engine_of, fastest};
use crate::progress::Report;
use crate::table;
use crate::table_file::{self, BasesDigest};
use crate::workers::Workers;
use ark_ec::AffineRepr;
use rayon::prelude::*;
use std::path::Path;

/// Bases that scalars can be multiplied with: the door for an engine on a device, which would hold its own table and
/// copy the scalars over. Nothing here implements it but the tables of this crate.
pub trait FixedBases<C: Curve>: Send + Sync {
    /// Number of bases.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Σ scalars[i]·bases[i]; fewer scalars than bases take the first ones.
    ///
    /// # Errors
    /// [`Error::Length`] for more scalars than bases, [`Error::Cancelled`], [`Error::Memory`].
    fn msm(&self, scalars: &[Scalar<C>], progress: Report) -> Result<Sum<C>, Error>;
}

/// Bases in a table.
pub(crate) trait Table<C: Curve>: FixedBases<C> {
    /// What was picked and what it takes.
    fn plan(&self) -> &Plan;

    /// Names the bases.
    fn digest(&self) -> &BasesDigest;

    /// Bytes of the table.
    fn table_bytes(&self) -> u64;

    /// Writes the table to `path`, whole or not at all.
    fn save(&self, path: &Path) -> Result<(), Error>;
}

/// What this crate does with a group's points, on the kernel that the instructions pick: one value for each group, so
/// that the kernels are compiled here and not again in every crate that calls.
pub trait Entries<C: Curve>: Sync {
    #[doc(hidden)]
    fn build(&self, points: &[Point<C>], request: &PlanRequest, progress: Report) -> Result<Made<C>, Error>;

    #[doc(hidden)]
    fn open(&self, path: &Path, bases: &BasesDigest, instructions: Instructions) -> Result<Made<C>, Error>;

    #[doc(hidden)]
    fn multiply(
        &self,
        points: &[Point<C>],
        scalars: &[Scalar<C>],
        request: &PlanRequest,
        progress: Report,
    ) -> Result<Sum<C>, Error>;
}

/// A table that was built or opened.
pub struct Made<C: Curve>(pub(crate) Box<dyn Table<C>>);

/// The entries of every group.
pub(crate) struct OnThisCpu;

impl<C: Curve> Entries<C> for OnThisCpu {
    fn build(&self, points: &[Point<C>], request: &PlanRequest, progress: Report) -> Result<Made<C>, Error> {
        let bases = Bases::build(select::<C>(request.instructions), points, request, progress)?;
        Ok(Made(Box::new(bases)))
    }

    fn open(&self, path: &Path, bases: &BasesDigest, instructions: Instructions) -> Result<Made<C>, Error> {
        Ok(Made(Box::new(Bases::open(select::<C>(instructions), path, bases)?)))
    }

    fn multiply(
        &self,
        points: &[Point<C>],
        scalars: &[Scalar<C>],
        request: &PlanRequest,
        progress: Report,
    ) -> Result<Sum<C>, Error> {
        variable(&select::<C>(request.instructions), points, scalars, request, progress)
    }
}

/// Bases in a table, on one kernel.
struct Bases<C: Curve, K: Kernel<C>> {
    kernel: K,
    plan: Plan,
    engine: AnyEngine,
    buckets: Buckets,
    storage: Storage,
    infinite: Option<Vec<bool>>,
    digest: BasesDigest,
    workers: Workers<K::Scratch>,
    memory: Memory,
}

impl<C: Curve, K: Kernel<C>> Bases<C, K> {
    /// Plans a table, refuses it if it is over the budget, and builds it on the current rayon pool. The points are
    /// trusted to be in the group of prime order: `encoding` checks bytes.
    ///
    /// # Errors
    /// [`Error::Budget`], [`Error::Plan`], [`Error::TooMany`], [`Error::Memory`], [`Error::Cancelled`].
    pub fn build(
        kernel: K,
        points: &[Point<C>],
        request: &PlanRequest,
        progress: Report,
    ) -> Result<Self, Error> {
        let plan = fastest::<C>(points.len(), kernel.layout(), request)?;
        let engine = engine_of::<C>(&plan)?;
        let needed = table::bytes::<C>(engine.row(), points.len())?;
        if needed > request.memory_bytes {
            return Err(Error::Budget { needed, allowed: request.memory_bytes });
        }
        let workers = Workers::default();
        let rows = table::rows::<C, K>(&kernel, &workers, engine.row(), points, progress)?;
        let digest = BasesDigest::of::<C>(points);
        Ok(Self::new(kernel, plan, engine, Storage::Owned(rows), digest, workers))
    }

    fn new(
        kernel: K,
        plan: Plan,
        engine: AnyEngine,
        storage: Storage,
        digest: BasesDigest,
        workers: Workers<K::Scratch>,
    ) -> Self {
        let row_words = engine.row().columns * C::POINT_WORDS;
        // The planner counts a column for a leading carry that some windows of some orders cannot have.
        let plan = Plan { table_bytes: (plan.points * row_words * 8) as u64, ..plan };
        let rows = &storage.as_slice()[..plan.points * row_words];
        let infinite: Vec<bool> = rows
            .par_chunks(row_words)
            .with_min_len(4096)
            .map(|row| !occupied(&row[..C::POINT_WORDS]))
            .collect();
        let infinite = infinite.contains(&true).then_some(infinite);
        Self {
            buckets: engine.buckets(),
            kernel,
            plan,
            engine,
            storage,
            infinite,
            digest,
            workers,
            memory: Memory::default(),
        }
    }

    /// Maps the table at `path` read-only, after checking that it is whole and made of these bases. Processes that open
    /// the same file share its memory.
    ///
    /// # Errors
    /// [`Error::Table`] and [`Error::Io`].
    fn open(kernel: K, path: &Path, bases: &BasesDigest) -> Result<Self, Error> {
        let mut engine = None;
        let (header, storage) = table_file::open::<C>(path, kernel.layout(), bases, |header| {
            let made = AnyEngine::new::<C>(header.engine, header.window, header.stride);
            let found = TableFault::Header { field: "window or stride", value: header.window.into() };
            let made = made.map_err(|_| found)?;
            let bytes = table::bytes::<C>(made.row(), header.points);
            engine = Some(made);
            let found = TableFault::Header { field: "number of bases", value: header.points as u64 };
            Ok(bytes.map_err(|_| found)? / 8)
        })?;
        let plan = Plan::of::<C>(header.points, kernel.layout(), header.engine, header.window, header.stride);
        let engine = engine.map_or_else(|| engine_of::<C>(&plan), Ok)?;
        let words = header.points * engine.row().columns * C::POINT_WORDS;
        if !table::in_bounds::<C>(&storage.as_slice()[..words], kernel.layout()) {
            return Err(TableFault::Coordinate.into());
        }
        Ok(Self::new(kernel, plan, engine, storage, *bases, Workers::default()))
    }

    /// Words of the rows.
    fn words(&self) -> usize {
        self.plan.points * self.engine.row().columns * C::POINT_WORDS
    }
}

impl<C: Curve, K: Kernel<C> + Send> Table<C> for Bases<C, K> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn digest(&self) -> &BasesDigest {
        &self.digest
    }

    fn table_bytes(&self) -> u64 {
        self.words() as u64 * 8
    }

    fn save(&self, path: &Path) -> Result<(), Error> {
        let rows = &self.storage.as_slice()[..self.words()];
        table_file::save::<C>(path, &self.plan, &self.digest, rows)
    }
}

impl<C: Curve, K: Kernel<C> + Send> FixedBases<C> for Bases<C, K> {
    fn len(&self) -> usize {
        self.plan.points
    }

    fn msm(&self, scalars: &[Scalar<C>], progress: Report) -> Result<Sum<C>, Error> {
        if scalars.len() > self.plan.points {
            return Err(Error::Length { what: "scalars", expected: self.plan.points, found: scalars.len() });
        }
        let multiplier = Multiplier::<C, K> {
            kernel: &self.kernel,
            engine: &self.engine,
            buckets: &self.buckets,
            workers: &self.workers,
            memory: &self.memory,
            points: self.storage.as_slice(),
            infinite: self.infinite.as_deref(),
        };
        multiplier.multiply(scalars, progress)
    }
}

/// Σ scalars[i]·points[i] without a table to keep, on the current rayon pool: the request's engine or the fastest one
/// that needs no doublings.
///
/// # Errors
/// [`Error::Length`], [`Error::Plan`], [`Error::TooMany`], [`Error::Memory`], [`Error::Cancelled`].
fn variable<C: Curve, K: Kernel<C>>(
    kernel: &K,
    points: &[Point<C>],
    scalars: &[Scalar<C>],
    request: &PlanRequest,
    progress: Report,
) -> Result<Sum<C>, Error> {
    if points.len() != scalars.len() {
        return Err(Error::Length { what: "scalars", expected: points.len(), found: scalars.len() });
    }
    if points.len() <= FEW {
        return Ok(points.iter().zip(scalars).map(|(&point, scalar)| point * scalar).sum());
    }
    let plan = crate::planner::without_table::<C>(points.len(), kernel.layout(), request)?;
    let engine = engine_of::<C>(&plan)?;
    table::bytes::<C>(engine.row(), points.len())?;
    let workers = Workers::default();
    let rows = table::rows::<C, K>(kernel, &workers, engine.row(), points, &|_| progress(0.0))?;
    let infinite: Vec<bool> = points.iter().map(AffineRepr::is_zero).collect();
    let multiplier = Multiplier::<C, K> {
        kernel,
        engine: &engine,
        buckets: &engine.buckets(),
        workers: &workers,
        memory: &Memory::default(),
        points: rows.as_slice(),
        infinite: infinite.contains(&true).then_some(&infinite[..]),
    };
    multiplier.multiply(scalars, progress)
}

/// Up to so many points are multiplied one by one: no bucket would hold two.
const FEW: usize = 8;
