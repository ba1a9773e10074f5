//! Powers and orders.

use ark_ff::Field;

/// `count` numbers: `first`, `first` · `ratio`, `first` · `ratio`², …
pub(crate) fn powers<F: Field>(first: F, ratio: F, count: usize) -> Vec<F> {
    std::iter::successors(Some(first), |power| Some(*power * ratio)).take(count).collect()
}

/// The lowest `bits` bits of `number` in the opposite order.
pub(crate) fn bit_reversed(number: usize, bits: u32) -> usize {
    number.reverse_bits() >> (usize::BITS - bits)
}
