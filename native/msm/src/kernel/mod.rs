//! Batched affine addition: what every engine spends its time on, once for each instruction set.
//!
//! Points lie packed, `Curve::POINT_WORDS` words each, in the kernel's own layout; engines only move them. The point at
//! infinity is all zero words: no curve here has a point with x = y = 0. Every function is complete: equal points,
//! opposite points and infinity give the right sum.
//!
//! | file | job |
//! |---|---|
//! | `tree` | groups as trees of pairwise sums, in chunks that stay in the cache |
//! | `ifma` | eight additions side by side, with AVX-512 IFMA |
//! | `words` | additions one after another, on any CPU |
//! | `arithmetic`, `mulx` | the field under `words`: arkworks' on any CPU, and with `mulx` and `adx` |
//! | `montgomery` | what these need of arkworks' fields |
//! | `select` | the best of them on this CPU |
//!
//! Not constant-time: public points only, and sums that a proof hides by itself.

pub mod arithmetic;
#[cfg(target_arch = "x86_64")]
pub mod ifma;
pub mod montgomery;
#[cfg(target_arch = "x86_64")]
pub mod mulx;
mod select;
pub mod tree;
pub mod words;

use crate::curve::{Curve, Point};
use crate::memory::Wipe;
pub use select::{Instructions, Scratch, Selected, select};

/// How coordinates lie in a packed point. Table files say which one they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Montgomery form for R = 2^(64 · words), below the modulus, as arkworks has it.
    Words,
    /// Montgomery form for R = 2^(52 · limbs), below 5/2 of the modulus, in words of 64 bits.
    Radix52,
}

/// A reference to one packed point: bits 0 to 28 its index, bits 29 and 30 how often the endomorphism is applied to it
/// (0, 1 or 2 times), bit 31 whether it is negated.
pub type Entry = u32;

/// Bits of an [`Entry`] that hold the index.
pub const INDEX_BITS: u32 = 29;
/// The first bit of the endomorphism's power in an [`Entry`].
pub const POWER_SHIFT: u32 = 29;
/// The bit of an [`Entry`] that negates.
pub const NEGATIVE: Entry = 1 << 31;

/// Batched affine arithmetic of one group on one instruction set.
pub trait Kernel<C: Curve>: Sync {
    /// Working memory of one thread, reused from call to call. Entries, which tell scalars, stay in it until it is wiped.
    type Scratch: Default + Send + Wipe;

    /// The layout of packed points.
    fn layout(&self) -> Layout;

    /// Packs points into `packed`, which has room for exactly so many.
    fn pack(&self, points: &[Point<C>], packed: &mut [u64]);

    /// Points that lie packed.
    fn unpack(&self, packed: &[u64]) -> Vec<Point<C>>;

    /// For each group, the sum of its entries. `entries` lists the groups one after another, `counts` says how many each
    /// has (none: the sum is infinity), and `sums` has room for one packed point a group. Every index lies in `points`.
    fn sum_groups(
        &self,
        scratch: &mut Self::Scratch,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    );

    /// Doubles every packed point `times` times, in place.
    fn double_all(&self, scratch: &mut Self::Scratch, points: &mut [u64], times: u32);
}
