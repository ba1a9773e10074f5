//! The transform on any CPU: in place, decimation in time (Cooley and Tukey, Math. Comp. 19, 1965), two layers at a
//! time, quarters before the whole so that they stay in the cache. The products of the first two layers, whose factors
//! are 1 and i, are left out.

use rayon::prelude::*;

use crate::domain::{Formula, Scalar};
use crate::tables::{bit_reversed, powers};

/// 2^10 elements are 32 KiB, what a first-level cache holds: from here downwards layer by layer.
const BLOCK: usize = 1 << 10;
/// 2^11 elements are worth a task of their own, about 200 µs.
const TASK: usize = 1 << 11;

/// The powers of the generator: `layers[k]` holds those of order 2^(k+1), 2^k of them.
pub(crate) struct Portable<F> {
    layers: Vec<Vec<F>>,
}

impl<F: Scalar> Portable<F> {
    pub fn new(log_size: u32, generator: F) -> Self {
        let mut layers = vec![powers(F::one(), generator, 1 << (log_size - 1))];
        for _ in 1..log_size {
            let finer = &layers[layers.len() - 1];
            layers.push(finer.iter().copied().step_by(2).collect());
        }
        layers.reverse();
        Self { layers }
    }

    pub fn run(&self, formula: &Formula<F>, values: &mut [F]) {
        if formula.before != F::one() {
            scale(values, F::one(), formula.before);
        }
        reverse_bits(values);
        self.transform(values);
        if formula.inverse {
            // Σ x_i w^(-ik) is what the forward transform leaves at -k.
            values[1..].reverse();
        }
        if formula.scale != F::one() || formula.after != F::one() {
            scale(values, formula.scale, formula.after);
        }
    }

    /// The transform of values in bit-reversed order, to natural order.
    fn transform(&self, values: &mut [F]) {
        let length = values.len();
        if length <= BLOCK {
            return self.layer_by_layer(values);
        }
        if length > TASK && rayon::current_num_threads() > 1 {
            values.par_chunks_mut(length / 4).for_each(|quarter| self.transform(quarter));
            self.join_in_parallel(values);
        } else {
            values.chunks_mut(length / 4).for_each(|quarter| self.transform(quarter));
            self.join(values);
        }
    }

    fn layer_by_layer(&self, values: &mut [F]) {
        let mut done = if values.len().trailing_zeros() % 2 == 1 {
            for pair in values.chunks_exact_mut(2) {
                (pair[0], pair[1]) = (pair[0] + pair[1], pair[0] - pair[1]);
            }
            2
        } else {
            let i = self.layers.get(1).map_or(F::one(), |fourth| fourth[1]);
            for four in values.chunks_exact_mut(4) {
                let (a, b, c, d) = (four[0], four[1], four[2], four[3]);
                let (even, odd) = (a + b, (a - b, (c - d) * i));
                (four[0], four[2]) = (even + c + d, even - c - d);
                (four[1], four[3]) = (odd.0 + odd.1, odd.0 - odd.1);
            }
            4
        };
        while done < values.len() {
            done *= 4;
            values.chunks_exact_mut(done).for_each(|block| self.join(block));
        }
    }

    /// Four transforms of a quarter each become one.
    fn join(&self, block: &mut [F]) {
        let (left, right) = block.split_at_mut(block.len() / 2);
        let quarter = left.len() / 2;
        let ((a, b), (c, d)) = (left.split_at_mut(quarter), right.split_at_mut(quarter));
        self.butterflies(0, quarter, [a, b, c, d]);
    }

    fn join_in_parallel(&self, block: &mut [F]) {
        let (left, right) = block.split_at_mut(block.len() / 2);
        let quarter = left.len() / 2;
        let ((a, b), (c, d)) = (left.split_at_mut(quarter), right.split_at_mut(quarter));
        let part = TASK / 4;
        let parts = a.par_chunks_mut(part).zip(b.par_chunks_mut(part));
        let parts = parts.zip(c.par_chunks_mut(part).zip(d.par_chunks_mut(part)));
        parts
            .enumerate()
            .for_each(|(at, ((a, b), (c, d)))| self.butterflies(at * part, quarter, [a, b, c, d]));
    }

    /// Both layers for the elements from `first` on of each quarter.
    fn butterflies(&self, first: usize, quarter: usize, [a, b, c, d]: [&mut [F]; 4]) {
        let layer = quarter.trailing_zeros() as usize;
        let inner = &self.layers[layer][first..];
        let outer = &self.layers[layer + 1];
        let (low, high) = (&outer[first..], &outer[quarter + first..]);
        for at in 0..a.len() {
            let (right, left) = (b[at] * inner[at], d[at] * inner[at]);
            let (even, odd) = (a[at] + right, a[at] - right);
            let (third, fourth) = ((c[at] + left) * low[at], (c[at] - left) * high[at]);
            (a[at], c[at]) = (even + third, even - third);
            (b[at], d[at]) = (odd + fourth, odd - fourth);
        }
    }
}

fn reverse_bits<F: Scalar>(values: &mut [F]) {
    let log_size = values.len().trailing_zeros();
    for at in 0..values.len() {
        let other = bit_reversed(at, log_size);
        if at < other {
            values.swap(at, other);
        }
    }
}

/// Value k times `first` · `ratio`^k.
fn scale<F: Scalar>(values: &mut [F], first: F, ratio: F) {
    if ratio == F::one() {
        values.par_iter_mut().with_min_len(TASK).for_each(|value| *value *= first);
        return;
    }
    values.par_chunks_mut(TASK).enumerate().for_each(|(at, part)| {
        let mut factor = first * ratio.pow([(at * TASK) as u64]);
        for value in part {
            *value *= factor;
            factor *= ratio;
        }
    });
}
