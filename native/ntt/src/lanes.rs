//! The transform on AVX-512 IFMA, eight columns, then eight rows at a time.
//!
//! Element i = r·columns + c of the input is in row r and column c; element k = q + rows·s of the output comes from
//! row q, the q-th value of every column's transform, and is the s-th value of that row's transform:
//! X_k = Σ_c w^(cq) · (Σ_r x_rc · (w^columns)^(rq)) · (w^rows)^(cs).
//!
//! Vectors hold ark-ff's words in radix 2^52, and factors are in the form for 2^260: their product is in ark-ff's form
//! again, so numbers change their radix at both ends and nothing else.
//!
//! With p the modulus and M = 35 (BLS12-381; 84 for BN254) what the limbs hold: elements below 36/35 p enter the first
//! step and leave it below 25p; factors between the steps are below 36/35 p, so that products are below 2p, as the
//! second step needs them, and below 2^256, which four words hold; it leaves 28p, of which the last factor makes 1.8p.

use std::arch::x86_64::*;
use std::sync::{Mutex, PoisonError};

use ark_ff::{Field, MontConfig};
use rayon::prelude::*;
use w3bstream_field::{Constant, Element, Ifma, LANES, Lanes};
use zeroize::Zeroize;

use crate::butterflies::Layers;
use crate::domain::Formula;
use crate::moves::{ORDER, load, load_eight, store, store_eight, transposed};
use crate::tables::{bit_reversed, powers};

/// Eight rows and eight columns.
pub(crate) const LEAST_LOG_SIZE: u32 = 6;
/// From 2^12 elements on, about 200 µs, threads share the work.
const LEAST_SHARED: usize = 1 << 12;

/// Four words of eight elements.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Packed([[u64; LANES]; 4]);

/// The powers of a root and of its powers.
struct Root<C: MontConfig<4>> {
    down: Layers<C>,
    along: Layers<C>,
    /// w^c for every column.
    columns: Vec<Element<C>>,
}

/// s^(columns · r) for every row, and s^c for every column.
struct Before<C: MontConfig<4>> {
    rows: Vec<Constant<C>>,
    columns: Vec<Element<C>>,
}

/// What the formula's other factors come to.
struct Factors<C: MontConfig<4>> {
    inverse: bool,
    /// Nothing where s is 1.
    before: Option<Before<C>>,
    /// h.
    after: Constant<C>,
    /// c · h^(rows · k) for every k below the number of columns.
    last: Vec<Constant<C>>,
}

/// Every transform of one domain.
pub(crate) struct Engine<C: MontConfig<4>> {
    ifma: Ifma,
    log_rows: u32,
    log_columns: u32,
    /// The generator and its inverse.
    roots: [Root<C>; 2],
    factors: Vec<Factors<C>>,
    /// Vectors between the two steps, kept for the next call.
    between: Mutex<Vec<Packed>>,
}

impl<C: MontConfig<4>> Drop for Engine<C> {
    fn drop(&mut self) {
        wipe(self.between.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

fn wipe(vectors: &mut [Packed]) {
    for vector in vectors {
        vector.0.zeroize();
    }
}

impl<C: MontConfig<4>> Root<C> {
    fn new(root: Element<C>, log_rows: u32, log_columns: u32) -> Self {
        Self {
            down: Layers::new(root.pow([1 << log_columns]), log_rows),
            along: Layers::new(root.pow([1 << log_rows]), log_columns),
            columns: powers(Element::<C>::ONE, root, 1 << log_columns),
        }
    }
}

impl<C: MontConfig<4>> Factors<C> {
    fn new(formula: &Formula<Element<C>>, log_rows: u32, log_columns: u32) -> Self {
        let (rows, columns) = (1 << log_rows, 1 << log_columns);
        let constants = |first, ratio: Element<C>, count| {
            powers(first, ratio, count).into_iter().map(Constant::new).collect::<Vec<_>>()
        };
        let one = Element::<C>::ONE;
        let before = || Before {
            rows: constants(one, formula.before.pow([1 << log_columns]), rows),
            columns: powers(one, formula.before, columns),
        };
        Self {
            inverse: formula.inverse,
            before: (formula.before != one).then(before),
            after: Constant::new(formula.after),
            last: constants(formula.scale, formula.after.pow([1 << log_rows]), columns),
        }
    }
}

impl<C: MontConfig<4>> Engine<C> {
    /// An engine for formulas over 2^`log_size` elements, 2^6 or more, and a root of that order.
    pub fn new(ifma: Ifma, log_size: u32, root: Element<C>, formulas: Vec<Formula<Element<C>>>) -> Self {
        let log_rows = log_size / 2;
        let log_columns = log_size - log_rows;
        let inverse = root.inverse().expect("a root of unity is not zero");
        let roots = [root, inverse].map(|root| Root::new(root, log_rows, log_columns));
        let factors = formulas.iter().map(|formula| Factors::new(formula, log_rows, log_columns)).collect();
        Self { ifma, log_rows, log_columns, roots, factors, between: Mutex::default() }
    }

    /// Apply formula number `kind`.
    pub fn run(&self, kind: usize, values: &mut [Element<C>]) {
        let factors = &self.factors[kind];
        let pass = Pass {
            rows: 1 << self.log_rows,
            columns: 1 << self.log_columns,
            root: &self.roots[usize::from(factors.inverse)],
            factors,
        };
        let mut between = self.take(values.len() / LANES);
        let tasks = if values.len() < LEAST_SHARED { 1 } else { 4 * rayon::current_num_threads() };
        pass.down(self.ifma, values, &mut between, tasks);
        pass.along(self.ifma, &between, values, tasks);
        self.put_back(between);
    }

    fn take(&self, length: usize) -> Vec<Packed> {
        let kept = std::mem::take(&mut *self.between.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.len() == length { kept } else { vec![Packed([[0; LANES]; 4]); length] }
    }

    fn put_back(&self, mut vectors: Vec<Packed>) {
        let mut kept = self.between.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            *kept = vectors;
        } else {
            wipe(&mut vectors);
        }
    }
}

/// One transform over a matrix.
struct Pass<'a, C: MontConfig<4>> {
    rows: usize,
    columns: usize,
    root: &'a Root<C>,
    factors: &'a Factors<C>,
}

/// A column of elements that threads write different elements of.
struct Shared<C: MontConfig<4>>(*mut Element<C>);

// SAFETY: `Pass::rows_along` writes only the elements of its own rows, and nothing reads until every row is done.
unsafe impl<C: MontConfig<4>> Sync for Shared<C> {}

impl<C: MontConfig<4>> Pass<'_, C> {
    /// The first step: transforms down the columns, and the factors w^(cq) · s^c · h^q. Eight columns make `rows`
    /// vectors of `between`, in which lanes are rows again.
    fn down(&self, _: Ifma, values: &[Element<C>], between: &mut [Packed], tasks: usize) {
        let blocks = (self.columns / LANES).div_ceil(tasks);
        let task = |(at, out): (usize, &mut [Packed])| {
            // SAFETY: whoever calls has an `Ifma`, so this CPU runs AVX-512 IFMA.
            unsafe { self.columns_down(values, at * blocks, out) }
        };
        let length = blocks * self.rows;
        if tasks == 1 {
            between.chunks_mut(length).enumerate().for_each(task);
        } else {
            between.par_chunks_mut(length).enumerate().for_each(task);
        }
    }

    /// Blocks of eight columns from number `first` on, as many as `out` has room for.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn columns_down(&self, values: &[Element<C>], first: usize, out: &mut [Packed]) {
        let mut vectors = vec![Lanes::zero(); self.rows];
        for (block, out) in out.chunks_exact_mut(self.rows).enumerate() {
            let column = LANES * (first + block);
            let log_rows = self.rows.trailing_zeros();
            for row in 0..self.rows {
                let eight = &values[row * self.columns + column..][..LANES];
                let mut vector = Lanes::unpacked(load_eight(eight.try_into().expect("eight elements")));
                if let Some(before) = &self.factors.before {
                    vector = vector.times_constant(&before.rows[row]);
                }
                vectors[bit_reversed(row, log_rows)] = vector;
            }
            self.root.down.transform(&mut vectors);
            self.twist(column, &vectors, out);
        }
        forget(&mut vectors);
    }

    /// Value q of columns c times w^(cq) · s^c · h^q, and blocks of 8 x 8 transposed.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn twist(&self, column: usize, vectors: &[Lanes<C>], out: &mut [Packed]) {
        let one = Constant::new(Element::<C>::ONE);
        let eight = |of: &[Element<C>], factor: &Constant<C>| {
            Lanes::load(ORDER.map(|lane| &of[column + lane])).times_constant(factor).reduced()
        };
        let ratio = eight(&self.root.columns, &self.factors.after);
        let first = match &self.factors.before {
            Some(before) => eight(&before.columns, &one),
            None => Lanes::splat(&one),
        };
        // Eight progressions with the ratio's eighth power: one would wait for its own last product.
        let mut factors = [first; LANES];
        for at in 1..LANES {
            factors[at] = factors[at - 1].times(ratio);
        }
        let ratio = ratio.squared_often(3);
        for (vectors, out) in vectors.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
            let mut words = [[_mm512_setzero_si512(); LANES]; 4];
            for (lane, &at) in ORDER.iter().enumerate() {
                let product = vectors[at].times(factors[at]).packed();
                for (words, word) in words.iter_mut().zip(product) {
                    words[lane] = word;
                }
                factors[at] = factors[at].times(ratio);
            }
            for (word, words) in words.into_iter().enumerate() {
                for (&at, vector) in ORDER.iter().zip(transposed(words)) {
                    store(&mut out[at].0[word], vector);
                }
            }
        }
    }

    /// The second step: transforms along the rows, and the factors c · h^(rows · s).
    fn along(&self, _: Ifma, between: &[Packed], values: &mut [Element<C>], tasks: usize) {
        let shared = Shared(values.as_mut_ptr());
        let blocks = self.rows / LANES;
        let share = blocks.div_ceil(tasks);
        let task = |first: usize| {
            let shared = &shared;
            // SAFETY: whoever calls has an `Ifma`. The blocks of different tasks are different rows, and `values` has
            // `rows` · `columns` elements.
            unsafe { self.rows_along(between, first..blocks.min(first + share), shared) }
        };
        if tasks == 1 {
            task(0);
        } else {
            (0..blocks.div_ceil(share)).into_par_iter().for_each(|at| task(at * share));
        }
    }

    /// These blocks of eight rows.
    ///
    /// # Safety
    ///
    /// `target` points to `rows` · `columns` elements, and nobody else uses those of these rows: k · `rows` + 8 · block
    /// up to the next block's, for every k.
    #[target_feature(enable = "avx512f,avx512ifma")]
    unsafe fn rows_along(&self, between: &[Packed], blocks: std::ops::Range<usize>, target: &Shared<C>) {
        let mut vectors = vec![Lanes::zero(); self.columns];
        let log_columns = self.columns.trailing_zeros();
        for block in blocks {
            for columns in 0..self.columns / LANES {
                let eight = &between[columns * self.rows + block * LANES..][..LANES];
                for (at, packed) in eight.iter().enumerate() {
                    let place = bit_reversed(columns * LANES + at, log_columns);
                    vectors[place] = Lanes::unpacked(packed.0.each_ref().map(|words| load(words)));
                }
            }
            self.root.along.transform(&mut vectors);
            for (at, (vector, factor)) in vectors.iter().zip(&self.factors.last).enumerate() {
                let words = vector.times_constant(factor).reduced().packed();
                // SAFETY: below `rows` · `columns`, and eight elements of rows that are ours.
                unsafe { store_eight(target.0.add(at * self.rows + block * LANES), words) };
            }
        }
        forget(&mut vectors);
    }
}

/// Overwrite values that may be a witness's.
#[target_feature(enable = "avx512f,avx512ifma")]
fn forget<C: MontConfig<4>>(vectors: &mut [Lanes<C>]) {
    vectors.fill(Lanes::zero());
    // The values that were written count as read, so that the writes stay.
    std::hint::black_box(vectors);
}
