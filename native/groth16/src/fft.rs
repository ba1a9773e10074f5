//! The only door to the number-theoretic transform (`w3bstream-ntt`), on iden3's evaluation domain.

use w3bstream_ntt::{Domain, Instructions};

use crate::curve::Scalar;

/// A domain of 2^k points w^i and its coset g·w^i with g² = w.
pub struct Fft<F: Scalar> {
    domain: Domain<F>,
}

impl<F: Scalar> Fft<F> {
    /// A domain of `size` points, a power of two; `None` when it is none, or the field has no root of order 2·size.
    pub fn new(size: usize) -> Option<Self> {
        if !size.is_power_of_two() || size.trailing_zeros() >= F::TWO_ADICITY {
            return None;
        }
        let log_size = size.trailing_zeros();
        let shift = F::from(F::NON_RESIDUE).pow(F::TRACE).pow([1u64 << (F::TWO_ADICITY - 1 - log_size)]);
        let domain = Domain::with_roots(log_size, shift.square(), shift, Instructions::Fastest).ok()?;
        Some(Self { domain })
    }

    /// Number of points.
    pub fn size(&self) -> usize {
        self.domain.size()
    }

    /// w.
    pub fn generator(&self) -> F {
        self.domain.generator()
    }

    /// g.
    pub fn shift(&self) -> F {
        self.domain.shift()
    }

    /// From a polynomial's values on the domain to those on the coset. `values` has `size()` elements.
    pub fn to_coset(&self, values: &mut [F]) {
        self.domain.to_coset(values).expect("as many values as the domain has points");
    }
}
