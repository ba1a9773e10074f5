//! The root of a window's readings under `poseidon-bn254-v1`, encodings.md §2.

use ark_ff::AdditiveGroup;

use crate::Fr;
use crate::poseidon::p2;

/// Root of the tree of P2 with `capacity` leaves (a power of two, not less than the leaves given), the rest 0.
pub fn root(leaves: &[Fr], capacity: usize) -> Option<Fr> {
    if !capacity.is_power_of_two() || leaves.len() > capacity {
        return None;
    }
    let (mut row, mut empty) = (leaves.to_vec(), Fr::ZERO);
    for _ in 0..capacity.trailing_zeros() {
        if row.len() % 2 == 1 {
            row.push(empty);
        }
        row = row.chunks(2).map(|pair| p2(&[pair[0], pair[1]])).collect();
        empty = p2(&[empty, empty]);
    }
    Some(row.first().copied().unwrap_or(empty))
}
