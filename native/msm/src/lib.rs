//! Multi-scalar multiplication Σ kᵢ·Pᵢ over BN254 and BLS12-381, in G1 and G2: with and without precomputed bases.
//!
//! Batched affine additions on AVX-512 IFMA where the CPU has it, the same results on any other. Everything runs on the
//! current rayon pool, so the caller picks the number of threads. Not constant-time: time tells scalars, so these engines
//! prove and verify and must never sign.
//!
//! | file | job |
//! |---|---|
//! | `curve` | the four groups |
//! | `kernel` | batched affine addition, one implementation for each instruction set |
//! | `pippenger`, `bgmw`, `luo_fu_gong`, `generalized_buckets`, `eisenstein` | the engines, named after their sources |
//! | `engine` | what an engine is |
//! | `digits`, `endomorphism`, `multipliers` | scalars as digits |
//! | `partition`, `accumulate`, `buckets` | hits sorted by bucket, bucket sums, weighted sums of buckets |
//! | `multiply` | these three, one after another |
//! | `table`, `table_file` | stored multiples of bases, in memory and on disk |
//! | `planner` | which engine, window and stride |
//! | `bases` | precomputed bases as an object, and multiplication without them |
//! | `encoding` | bytes from outside, checked |

mod accumulate;
mod bases;
mod bgmw;
mod buckets;
pub mod curve;
mod digits;
mod eisenstein;
pub mod encoding;
mod endomorphism;
mod engine;
mod error;
mod generalized_buckets;
pub mod kernel;
mod luo_fu_gong;
mod memory;
mod multipliers;
mod multiply;
mod partition;
mod pippenger;
pub mod planner;
mod progress;
mod table;
mod table_file;
mod workers;

pub use bases::FixedBases;
pub use curve::{Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, Point, Scalar, Sum};
pub use engine::EngineKind;
pub use error::{Error, TableFault};
pub use kernel::Instructions;
pub use planner::{Plan, PlanRequest};
pub use progress::{Report, unheard};
pub use table_file::BasesDigest;

use bases::Made;
use std::path::Path;

/// Bases in a table, on the kernel that this CPU runs.
pub struct PrecomputedBases<C: Curve>(Made<C>);

impl<C: Curve> PrecomputedBases<C> {
    /// Plans a table, refuses it if it is over the budget, and builds it on the current rayon pool. The points are
    /// trusted to be in the group of prime order: `encoding` checks bytes. `progress` hears the share done from any
    /// thread, and stops the work by returning false.
    ///
    /// # Errors
    /// [`Error::Budget`], [`Error::Plan`], [`Error::TooMany`], [`Error::Memory`], [`Error::Cancelled`].
    pub fn build(points: &[Point<C>], request: &PlanRequest, progress: Report) -> Result<Self, Error> {
        C::entries().build(points, request, progress).map(Self)
    }

    /// Maps the table at `path` read-only, after checking that it is whole and made of these bases. Processes that open
    /// the same file share its memory.
    ///
    /// # Errors
    /// [`Error::Table`] and [`Error::Io`].
    pub fn open(path: &Path, bases: &BasesDigest, instructions: Instructions) -> Result<Self, Error> {
        C::entries().open(path, bases, instructions).map(Self)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.0.0.save(path)
    }

    /// What was picked and what it takes.
    pub fn plan(&self) -> &Plan {
        self.0.0.plan()
    }

    /// Names the bases, for [`PrecomputedBases::open`].
    pub fn digest(&self) -> &BasesDigest {
        self.0.0.digest()
    }

    /// Bytes of the table.
    pub fn table_bytes(&self) -> u64 {
        self.0.0.table_bytes()
    }

    /// Number of bases.
    pub fn len(&self) -> usize {
        self.0.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Σ scalars[i]·bases[i] on the current rayon pool; fewer scalars than bases take the first ones. `progress` hears
    /// the share done from any thread, and stops the computation by returning false.
    ///
    /// # Errors
    /// [`Error::Length`] for more scalars than bases, [`Error::Cancelled`], [`Error::Memory`].
    pub fn msm(&self, scalars: &[Scalar<C>], progress: Report) -> Result<Sum<C>, Error> {
        self.0.0.msm(scalars, progress)
    }
}

impl<C: Curve> FixedBases<C> for PrecomputedBases<C> {
    fn len(&self) -> usize {
        self.len()
    }

    fn msm(&self, scalars: &[Scalar<C>], progress: Report) -> Result<Sum<C>, Error> {
        self.msm(scalars, progress)
    }
}

/// Σ scalars[i]·points[i] without precomputation, on the current rayon pool. Points are trusted to be in the group of
/// prime order. The request's memory is that of tables and does not count here.
///
/// # Errors
/// [`Error::Length`], [`Error::Plan`], [`Error::TooMany`], [`Error::Memory`], [`Error::Cancelled`].
pub fn msm<C: Curve>(
    points: &[Point<C>],
    scalars: &[Scalar<C>],
    request: &PlanRequest,
    progress: Report,
) -> Result<Sum<C>, Error> {
    C::entries().multiply(points, scalars, request, progress)
}
