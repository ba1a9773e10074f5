//! Eight packed points at a time, from any rows of memory into vectors and back.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use std::arch::x86_64::*;
use std::array::from_fn;

use ark_ff::MontConfig;
use w3bstream_field::{Constant, LANES, Lanes, Mask, rows};

use super::coordinates::{Coordinates, LooseCoordinates};
use crate::kernel::tree::index;
use crate::kernel::{Entry, NEGATIVE, POWER_SHIFT};

/// Words that are turned at a time.
const BLOCK: usize = 4;
/// Words of the largest point.
const MOST_WORDS: usize = 24;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Eight points; x is below 5p / 2 and y between -5p / 2 and 5p / 2. Infinity is 0, 0.
#[derive(Clone, Copy)]
pub(super) struct Points<C, const W: usize, const L: usize, const D: usize> {
    pub x: Coordinates<C, W, L, D>,
    pub y: LooseCoordinates<C, W, L, D>,
    pub infinite: Mask,
}

/// Rows that hold packed points. Every entry that is looked up lies in them: `new` is where that is checked.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    points: &'a [u64],
    entries: &'a [Entry],
    words: usize,
    /// Cache lines that a row touches at most.
    lines: usize,
}

impl<'a> Rows<'a> {
    /// # Panics
    ///
    /// If an entry's index does not lie in `points`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn new(points: &'a [u64], entries: &'a [Entry], words: usize) -> Self {
        let mut most = 0;
        for entry in entries {
            most = most.max(index(*entry));
        }
        assert!(entries.is_empty() || most < points.len() / words, "index {most} lies in the points");
        let bytes = words * 8;
        let start = |row: usize| points.as_ptr().wrapping_add(row * words).addr() % LINE;
        let lines = (0..LINE / 8).map(|row| (start(row) + bytes).div_ceil(LINE)).max().unwrap_or(1);
        Self { points, entries, words, lines }
    }

    /// The entries of vector `at`; past the end, the vector's first again.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn entries(&self, at: usize) -> [Entry; LANES] {
        let own = &self.entries[at * LANES..];
        match own.first_chunk() {
            Some(eight) => *eight,
            None => from_fn(|lane| *own.get(lane).unwrap_or(&own[0])),
        }
    }

    /// Ask for the points of vector `at`, if there is one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn prefetch(&self, at: usize) {
        if let Some(own) = self.entries.get(at * LANES..(at + 1) * LANES) {
            for line in 0..self.lines {
                for entry in own {
                    let row = self.points.as_ptr().wrapping_add(index(*entry) * self.words);
                    _mm_prefetch::<_MM_HINT_T0>(row.wrapping_byte_add(line * LINE).cast());
                }
            }
        }
    }

    /// The points of vector `at`, turned and negated as their entries say if `TURNED`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn load<C: MontConfig<W>, const W: usize, const L: usize, const D: usize, const TURNED: bool>(
        &self,
        at: usize,
        beta: &[Constant<C, W, L>; 2],
        loaded: &mut Points<C, W, L, D>,
    ) {
        let entries = self.entries(at);
        let mut rows = [self.points.as_ptr(); LANES];
        for (row, entry) in rows.iter_mut().zip(entries) {
            *row = row.wrapping_add(index(entry) * self.words);
        }
        // SAFETY: `new` found the indices in `points`, where each has 2 D W words.
        unsafe { loaded.gather(rows) };
        if TURNED {
            // SAFETY: `entries` are the 32 bytes that the load reads; it asks for no alignment.
            let entries = unsafe { _mm256_loadu_si256(entries.as_ptr().cast()) };
            loaded.turn(_mm512_cvtepu32_epi64(entries), beta);
        }
    }
}

impl<C: MontConfig<W>, const W: usize, const L: usize, const D: usize> Points<C, W, L, D> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn infinity() -> Self {
        Self { x: Coordinates::zero(), y: Coordinates::zero().loose(), infinite: Mask::MAX }
    }

    /// Turn and negate points as their entries say.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn turn(&mut self, entries: __m512i, beta: &[Constant<C, W, L>; 2]) {
        let with = |bit: Entry| _mm512_test_epi64_mask(entries, _mm512_set1_epi64(i64::from(bit)));
        self.y = self.y.negated(with(NEGATIVE));
        let (once, twice) = (with(1 << POWER_SHIFT), with(2 << POWER_SHIFT));
        if once | twice != 0 {
            let power = Lanes::select(twice, Lanes::splat(&beta[1]), Lanes::splat(&beta[0]));
            self.x = Coordinates::select(once | twice, self.x.scaled(power), self.x);
        }
    }

    /// The points in eight rows.
    ///
    /// # Safety
    ///
    /// Each row must have 2 D W words that may be read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn gather(&mut self, rows: [*const u64; LANES]) {
        let mut words = [_mm512_setzero_si512(); MOST_WORDS];
        for block in (0..2 * D * W).step_by(BLOCK) {
            let mut four = [_mm256_setzero_si256(); LANES];
            for (four, row) in four.iter_mut().zip(rows) {
                // SAFETY: `block` + 4 <= 2 D W, because W is even.
                *four = unsafe { _mm256_loadu_si256(row.add(block).cast()) };
            }
            words[block..block + BLOCK].copy_from_slice(&rows::to_columns(four));
        }
        let mut any = _mm512_setzero_si512();
        for part in 0..D {
            let (mut x, mut y) = ([any; W], [any; W]);
            x.copy_from_slice(&words[part * W..(part + 1) * W]);
            y.copy_from_slice(&words[(D + part) * W..(D + part + 1) * W]);
            (self.x.0[part], self.y.0[part]) = (Lanes::unpacked(x), Lanes::unpacked(y).loose());
        }
        for word in &words[D * W..2 * D * W] {
            any = _mm512_or_si512(any, *word);
        }
        // y is never 0 elsewhere: no group here has points of order two.
        self.infinite = _mm512_testn_epi64_mask(any, any);
    }
}

/// Writes eight points, or as many as there is room for, to consecutive rows. Their coordinates are below 5p / 2.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn store<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    x: &Coordinates<C, W, L, D>,
    y: &Coordinates<C, W, L, D>,
    rows: &mut [u64],
) {
    if rows.len() >= LANES * 2 * D * W {
        // SAFETY: that many words are there.
        unsafe { scatter(x, y, rows.as_mut_ptr()) }
    } else {
        let mut all = [0; LANES * MOST_WORDS];
        // SAFETY: 2 D W is at most `MOST_WORDS`.
        unsafe { scatter(x, y, all.as_mut_ptr()) }
        rows.copy_from_slice(&all[..rows.len()]);
    }
}

/// Writes eight points to consecutive rows.
///
/// # Safety
///
/// There must be 16 D W words that may be written.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn scatter<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    x: &Coordinates<C, W, L, D>,
    y: &Coordinates<C, W, L, D>,
    rows: *mut u64,
) {
    let mut words = [_mm512_setzero_si512(); MOST_WORDS];
    for part in 0..D {
        words[part * W..(part + 1) * W].copy_from_slice(&x.0[part].packed());
        words[(D + part) * W..(D + part + 1) * W].copy_from_slice(&y.0[part].packed());
    }
    for block in (0..2 * D * W).step_by(BLOCK) {
        let four = [words[block], words[block + 1], words[block + 2], words[block + 3]];
        for (lane, row) in rows::to_rows(four).into_iter().enumerate() {
            // SAFETY: lane < 8 and `block` + 4 <= 2 D W, because W is even.
            unsafe { _mm256_storeu_si256(rows.add(lane * 2 * D * W + block).cast(), row) };
        }
    }
}
