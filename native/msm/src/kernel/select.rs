//! The kernel that this CPU runs best, picked once.

#[cfg(target_arch = "x86_64")]
use w3bstream_field::{Ifma, Mulx};

use super::arithmetic::Plain;
use super::words::Words;
use super::{Entry, Kernel, Layout};
use crate::curve::{Curve, Point};
use crate::memory::Wipe;

/// Which instructions a kernel may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instructions {
    /// The best that this CPU is found to have.
    #[default]
    Detect,
    /// No vectors: `mulx` and `adx` where this CPU has them.
    Portable,
    /// Those that every CPU has.
    Baseline,
}

/// A kernel of group `C`.
pub enum Selected<C: Curve> {
    /// Eight additions side by side.
    #[cfg(target_arch = "x86_64")]
    Lanewise(C::Lanewise),
    /// One after another, with `mulx` and `adx`.
    #[cfg(target_arch = "x86_64")]
    Mulx(Words<C, C::Assembly>),
    /// One after another.
    Words(Words<C, Plain>),
}

/// The best kernel with these instructions.
pub fn select<C: Curve>(instructions: Instructions) -> Selected<C> {
    #[cfg(target_arch = "x86_64")]
    if instructions == Instructions::Detect
        && let Some(proof) = Ifma::detect()
    {
        return Selected::Lanewise(proof.into());
    }
    #[cfg(target_arch = "x86_64")]
    if instructions != Instructions::Baseline
        && let Some(proof) = Mulx::detect()
    {
        return Selected::Mulx(Words::new(proof.into()));
    }
    // Other CPUs have one kernel to choose from.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = instructions;
    Selected::Words(Words::new(Plain))
}

/// Working memory of whichever kernel it is; the other one's stays empty.
pub struct Scratch<C: Curve> {
    #[cfg(target_arch = "x86_64")]
    lanewise: <C::Lanewise as Kernel<C>>::Scratch,
    words: <Words<C, Plain> as Kernel<C>>::Scratch,
}

impl<C: Curve> Default for Scratch<C> {
    fn default() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            lanewise: Default::default(),
            words: Default::default(),
        }
    }
}

impl<C: Curve> Wipe for Scratch<C> {
    fn wipe(&mut self) {
        #[cfg(target_arch = "x86_64")]
        self.lanewise.wipe();
        self.words.wipe();
    }
}

impl<C: Curve> Kernel<C> for Selected<C> {
    type Scratch = Scratch<C>;

    fn layout(&self) -> Layout {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanewise(kernel) => kernel.layout(),
            #[cfg(target_arch = "x86_64")]
            Self::Mulx(kernel) => kernel.layout(),
            Self::Words(kernel) => kernel.layout(),
        }
    }

    fn pack(&self, points: &[Point<C>], packed: &mut [u64]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanewise(kernel) => kernel.pack(points, packed),
            #[cfg(target_arch = "x86_64")]
            Self::Mulx(kernel) => kernel.pack(points, packed),
            Self::Words(kernel) => kernel.pack(points, packed),
        }
    }

    fn unpack(&self, packed: &[u64]) -> Vec<Point<C>> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanewise(kernel) => kernel.unpack(packed),
            #[cfg(target_arch = "x86_64")]
            Self::Mulx(kernel) => kernel.unpack(packed),
            Self::Words(kernel) => kernel.unpack(packed),
        }
    }

    fn sum_groups(
        &self,
        scratch: &mut Self::Scratch,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanewise(kernel) => {
                kernel.sum_groups(&mut scratch.lanewise, points, entries, counts, sums);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Mulx(kernel) => kernel.sum_groups(&mut scratch.words, points, entries, counts, sums),
            Self::Words(kernel) => kernel.sum_groups(&mut scratch.words, points, entries, counts, sums),
        }
    }

    fn double_all(&self, scratch: &mut Self::Scratch, points: &mut [u64], times: u32) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanewise(kernel) => kernel.double_all(&mut scratch.lanewise, points, times),
            #[cfg(target_arch = "x86_64")]
            Self::Mulx(kernel) => kernel.double_all(&mut scratch.words, points, times),
            Self::Words(kernel) => kernel.double_all(&mut scratch.words, points, times),
        }
    }
}
