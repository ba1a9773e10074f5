//! The root of a window's readings under `poseidon-bn254-v1`, encodings.md §2.

use ark_ff::AdditiveGroup;
use rayon::prelude::*;
use w3bstream_field::{Ifma, LANES};

use crate::Fr;
#[cfg(target_arch = "x86_64")]
use crate::lanes;
use crate::poseidon::p2;

/// Roots of trees of P2 with `capacity` leaves each (a power of two, not less than the leaves given), the rest 0. All
/// trees go up together, a level at a time, on all of rayon's threads.
pub fn roots(trees: Vec<Vec<Fr>>, capacity: usize) -> Option<Vec<Fr>> {
    roots_on(Ifma::detect(), trees, capacity)
}

/// The same with eight hashes at a time where the CPU is said to have lanes, one at a time where not.
pub fn roots_on(lanes: Option<Ifma>, trees: Vec<Vec<Fr>>, capacity: usize) -> Option<Vec<Fr>> {
    if !capacity.is_power_of_two() || trees.iter().any(|leaves| leaves.len() > capacity) {
        return None;
    }
    let (mut rows, mut empty) = (trees, Fr::ZERO);
    for _ in 0..capacity.trailing_zeros() {
        let mut pairs = vec![[empty, empty]];
        for row in &rows {
            pairs.extend(row.chunks(2).map(|pair| [pair[0], pair.get(1).copied().unwrap_or(empty)]));
        }
        let mut hashes = p2_of_each(lanes, &pairs).into_iter();
        empty = hashes.next().unwrap_or(empty);
        for row in &mut rows {
            *row = hashes.by_ref().take(row.len().div_ceil(2)).collect();
        }
    }
    Some(rows.iter().map(|row| row.first().copied().unwrap_or(empty)).collect())
}

fn p2_of_each(lanes: Option<Ifma>, pairs: &[[Fr; 2]]) -> Vec<Fr> {
    let hashed = pairs.par_chunks(LANES).map(|some| match lanes {
        #[cfg(target_arch = "x86_64")]
        Some(ifma) if some.len() > 1 => lanes::p2(ifma, some)[..some.len()].to_vec(),
        _ => some.iter().map(p2).collect::<Vec<_>>(),
    });
    hashed.flatten_iter().collect()
}
