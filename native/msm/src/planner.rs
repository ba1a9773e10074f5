//! Which engine, window and stride: the fastest that the memory holds, by a model of what each step costs.
//!
//! The model counts additions, h·n + s·|B|, and adds what is not an addition: writing a scalar as digits, moving a hit,
//! missing the cache on a stored point, turning a point, and the complete additions at the end. Unit costs are CPU
//! nanoseconds measured on a shared AMD EPYC of the Zen 4 family; between machines they keep their order, and only
//! their ratios choose.

use crate::curve::{Curve, Scalar};
use crate::engine::{AnyEngine, EngineKind, windows};
use crate::error::Error;
use crate::kernel::{Instructions, Layout};
use crate::table;
use ark_ff::PrimeField;
use std::fmt;

/// What a plan may use.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest {
    /// Bytes that the table may take. Working memory comes on top: see [`Plan::working_bytes`].
    pub memory_bytes: u64,
    /// The instructions to use.
    pub instructions: Instructions,
    /// This engine only; otherwise the fastest.
    pub engine: Option<EngineKind>,
    /// This window only, in bits of the radix; otherwise the fastest.
    pub window: Option<u32>,
}

impl Default for PlanRequest {
    /// The fastest engine within a gibibyte.
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, instructions: Instructions::Detect, engine: None, window: None }
    }
}

/// What will be done and what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The group.
    pub curve: &'static str,
    /// Bases.
    pub points: usize,
    /// The engine.
    pub engine: EngineKind,
    /// c: bits of the radix q = 2^c.
    pub window: u32,
    /// s: bucket sets, and windows that share a stored multiple.
    pub stride: u32,
    /// The kernel's layout of packed points.
    pub layout: Layout,
    /// Point additions of one multiplication by uniform scalars: h·n + s·|B|.
    pub additions: u64,
    /// Bytes of the table.
    pub table_bytes: u64,
    /// Bytes that a multiplication works in beside the table, about.
    pub working_bytes: u64,
    /// CPU nanoseconds that the model expects of one multiplication.
    pub nanoseconds: f64,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} {} points: {} c={} stride={} layout={:?}, {} additions, table {} bytes",
            self.curve,
            self.points,
            self.engine.name(),
            self.window,
            self.stride,
            self.layout,
            self.additions,
            self.table_bytes
        )
    }
}

/// Nanoseconds of one batched affine addition, its share of the inversion included.
fn addition<C: Curve>(layout: Layout) -> f64 {
    match (C::DEGREE, C::WORDS, layout) {
        (1, 4, Layout::Radix52) => 41.0,
        (1, _, Layout::Radix52) => 92.0,
        (_, 4, Layout::Radix52) => 95.0,
        (_, _, Layout::Radix52) => 290.0,
        (1, 4, Layout::Words) => 140.0,
        (1, _, Layout::Words) => 250.0,
        (_, 4, Layout::Words) => 330.0,
        (_, _, Layout::Words) => 660.0,
    }
}

/// Nanoseconds of a cache line of a stored point that is not found in time, although it was asked for ahead. Words are
/// read twice: once for the denominator and once for the sum.
fn miss(layout: Layout) -> f64 {
    match layout {
        Layout::Radix52 => 6.0,
        Layout::Words => 25.0,
    }
}

/// Nanoseconds to write a hit, sort it and read it back.
const HIT: f64 = 15.0;
/// Nanoseconds to look a digit up, for the engines that do: in lookups that fit a second-level cache beside other things,
/// and in larger ones.
const LOOKUP: [f64; 2] = [4.0, 14.0];
/// Bits of the largest radix whose lookups, a word of 32 bits for each digit, fit.
const LOOKUP_BITS: u32 = 17;
/// Nanoseconds of a bucket for each word of its point, beside its additions: fresh pages, gaps in the batches.
const BUCKET_WORD: f64 = 6.0;
/// Bytes of a table whose points are found in time.
const CACHE: f64 = 64e6;
/// Additions that one complete addition costs.
const COMPLETE: f64 = 8.0;
/// Additions that a product by β costs.
const TURN: f64 = 1.0 / 6.5;

/// |B| of one set, in shares of q. The sets of multipliers are counted exactly by their engines; at the windows that pay
/// they differ from these by less than a hundredth.
fn bucket_share(kind: EngineKind) -> f64 {
    match kind {
        EngineKind::Pippenger | EngineKind::Bgmw => 1.0 / 2.0,
        EngineKind::LuoFuGong => 0.2092,
        EngineKind::GeneralizedBuckets => 7.0 / 32.0,
        EngineKind::Eisenstein => 1.0 / 6.0,
    }
}

/// Stored points of a base.
fn columns<C: Curve>(kind: EngineKind, window: u32, stride: u32) -> usize {
    let powers = windows::<C>(kind, window).div_ceil(stride) as usize;
    match kind {
        EngineKind::Pippenger => 2,
        EngineKind::Bgmw | EngineKind::Eisenstein => powers,
        EngineKind::LuoFuGong => 3 * powers,
        // Its last window is of carries alone; with a power to itself it needs no multiples.
        EngineKind::GeneralizedBuckets => {
            let alone = (windows::<C>(kind, window) - 1).is_multiple_of(stride);
            3 * powers - if alone { 2 } else { 0 }
        }
    }
}

impl Plan {
    /// The plan of an engine with a window and stride that it has.
    pub(crate) fn of<C: Curve>(
        points: usize,
        layout: Layout,
        engine: EngineKind,
        window: u32,
        stride: u32,
    ) -> Self {
        plan::<C>(points, layout, engine, window, stride)
    }
}

/// The plan of an engine with a window and stride that it has.
fn plan<C: Curve>(points: usize, layout: Layout, kind: EngineKind, window: u32, stride: u32) -> Plan {
    let halves = if kind == EngineKind::Pippenger { 2.0 } else { 1.0 };
    let hits = halves * f64::from(windows::<C>(kind, window)) * points as f64;
    let buckets = f64::from(stride) * bucket_share(kind) * 2f64.powi(window as i32);
    let additions = hits + buckets;
    let point_bytes = C::POINT_WORDS as f64 * 8.0;
    let table_bytes = (columns::<C>(kind, window, stride) * points) as f64 * point_bytes;
    let lines = (C::POINT_WORDS as f64 / 8.0).ceil();
    let misses = hits * lines * miss(layout) * (1.0 - CACHE / table_bytes).max(0.0);
    let lookup = match kind {
        EngineKind::Pippenger | EngineKind::Bgmw => 0.0,
        _ => LOOKUP[usize::from(window > LOOKUP_BITS)],
    };
    let turns = if kind == EngineKind::Eisenstein { 2.0 / 3.0 * hits * TURN } else { 0.0 };
    let last = f64::from(stride) * 64.0 * COMPLETE + f64::from(<Scalar<C> as PrimeField>::MODULUS_BIT_SIZE);
    // An empty bucket costs no addition, but memory: with hits thrown at random, this share is filled.
    let filled = buckets * (1.0 - (-hits / buckets).exp());
    let nanoseconds = (hits + filled + turns + last) * addition::<C>(layout)
        + hits * (HIT + lookup)
        + misses
        + buckets * BUCKET_WORD * C::POINT_WORDS as f64;
    Plan {
        curve: C::NAME,
        points,
        engine: kind,
        window,
        stride,
        layout,
        additions: additions as u64,
        table_bytes: table_bytes as u64,
        working_bytes: (hits * 8.0 + buckets * point_bytes) as u64,
        nanoseconds,
    }
}

/// The engine of a plan.
///
/// # Errors
/// [`Error::Plan`] for a window or stride that the engine does not have.
pub(crate) fn engine_of<C: Curve>(plan: &Plan) -> Result<AnyEngine, Error> {
    AnyEngine::new::<C>(plan.engine, plan.window, plan.stride)
}

/// Every plan of an engine for so many points: each window with each number of stored powers.
fn plans<C: Curve>(points: usize, layout: Layout, kind: EngineKind, window: Option<u32>) -> Vec<Plan> {
    let mut plans = Vec::new();
    for width in kind.windows().filter(|&width| window.is_none_or(|wanted| wanted == width)) {
        let count = windows::<C>(kind, width);
        let mut last = 0;
        for powers in 1..=count {
            let stride = if kind == EngineKind::Pippenger { count } else { count.div_ceil(powers) };
            if stride != last {
                plans.push(plan::<C>(points, layout, kind, width, stride));
            }
            last = stride;
        }
    }
    plans
}

/// The fastest plan of each engine that the request allows, fastest first: the honest table's rows.
///
/// # Errors
/// [`Error::Plan`] for a window that no engine allowed has, [`Error::Budget`] if none fits.
pub fn candidates<C: Curve>(
    points: usize,
    layout: Layout,
    request: &PlanRequest,
) -> Result<Vec<Plan>, Error> {
    let kinds =
        EngineKind::ALL.into_iter().filter(|&kind| request.engine.is_none_or(|wanted| wanted == kind));
    let mut best: Vec<Plan> = Vec::new();
    let mut needed: Option<u64> = None;
    for kind in kinds {
        let all = plans::<C>(points, layout, kind, request.window);
        needed = all.iter().map(|plan| plan.table_bytes).chain(needed).min();
        let fits = |plan: &&Plan| {
            plan.table_bytes <= request.memory_bytes
                && plan.table_bytes / (C::POINT_WORDS as u64 * 8) <= 1 << crate::kernel::INDEX_BITS
        };
        let fastest = |a: &&Plan, b: &&Plan| a.nanoseconds.total_cmp(&b.nanoseconds);
        best.extend(all.iter().filter(fits).min_by(fastest));
    }
    best.sort_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    match needed {
        None => Err(Error::Plan { what: "the window", value: request.window.unwrap_or(0).into() }),
        Some(needed) if best.is_empty() && needed <= request.memory_bytes => {
            let row = crate::engine::Row { columns: 1, multiples: 1, images: 1, doublings: 0 };
            Err(table::bytes::<C>(row, points)
                .err()
                .unwrap_or(Error::Budget { needed, allowed: request.memory_bytes }))
        }
        Some(needed) if best.is_empty() => Err(Error::Budget { needed, allowed: request.memory_bytes }),
        Some(_) => Ok(best),
    }
}

/// The fastest plan that the request allows.
///
/// # Errors
/// As [`candidates`].
pub fn fastest<C: Curve>(points: usize, layout: Layout, request: &PlanRequest) -> Result<Plan, Error> {
    Ok(candidates::<C>(points, layout, request)?[0])
}

/// The fastest plan that stores nothing but the points and their images: Pippenger, or the engine asked for with a
/// bucket set for every window. The budget does not count, as there is no table.
///
/// # Errors
/// [`Error::Plan`] for a window that the engine does not have.
pub(crate) fn without_table<C: Curve>(
    points: usize,
    layout: Layout,
    request: &PlanRequest,
) -> Result<Plan, Error> {
    let kind = request.engine.unwrap_or(EngineKind::Pippenger);
    let all = plans::<C>(points, layout, kind, request.window).into_iter();
    let bare = all.filter(|plan| plan.stride == windows::<C>(kind, plan.window));
    let fastest = bare.min_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    fastest.ok_or(Error::Plan { what: "the window", value: request.window.unwrap_or(0).into() })
}
