//! The only door to the number-theoretic transform (`w3bstream-ntt`), on iden3's evaluation domain.

use w3bstream_ntt::{Domain, Instructions};

use crate::curve::Scalar;

/// The domain of `size` points w^i, a power of two, and its coset g·w^i with g² = w; `None` when `size` is none, or the
/// field has no root of order 2·size.
pub fn domain<F: Scalar>(size: usize) -> Option<Domain<F>> {
    if !size.is_power_of_two() || size.trailing_zeros() >= F::TWO_ADICITY {
        return None;
    }
    let log_size = size.trailing_zeros();
    let shift = F::from(F::NON_RESIDUE).pow(F::TRACE).pow([1u64 << (F::TWO_ADICITY - 1 - log_size)]);
    Domain::with_roots(log_size, shift.square(), shift, Instructions::Fastest).ok()
}
