//! From rows to polynomials (Groth16 §3.2; the reduction of libsnark's `r1cs_to_qap`).
//!
//! The domain holds one point a constraint and one a public wire (the constant one included): row `constraints + j`
//! says wire_j · 0 = 0. It makes the A polynomials of the public wires linearly independent, so no point of the
//! verifying key is zero and no two public inputs can be traded for each other.
//!
//! The quotient h = (A·B − C)/Z is handed to the prover as evaluations on the coset g·H with g^n = −1, where Z is the
//! constant −2; the key holds the matching Lagrange basis, which saves the last inverse FFT.

use ark_bn254::Fr;
use ark_ff::{FftField, Field, One, Zero, batch_inversion};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::Error;
use crate::error::malformed;
use crate::r1cs::{ConstraintSystem, Matrix};

/// The evaluation domain of a constraint system and the coset that the quotient is evaluated on.
pub struct Domain {
    inner: Radix2EvaluationDomain<Fr>,
    shift: Fr,
}

impl Domain {
    /// The smallest power of two ≥ constraints + public + 1.
    pub fn of(system: &ConstraintSystem) -> Result<Self, Error> {
        let rows = system.constraints + system.public + 1;
        let none =
            || malformed("constraint system", format!("{rows} rows are more than the field's FFT allows"));
        let inner = Radix2EvaluationDomain::<Fr>::new(rows).ok_or_else(none)?;
        let shift = Fr::get_root_of_unity(2 * inner.size).ok_or_else(none)?;
        Ok(Self { inner, shift })
    }

    /// Number of points, a power of two.
    pub fn size(&self) -> usize {
        self.inner.size()
    }

    /// L_i(point) for every point of the domain: (point^n − 1)/n · w^i/(point − w^i).
    fn lagrange_at(&self, point: &Fr) -> Zeroizing<Vec<Fr>> {
        let size = self.size();
        let mut roots = Vec::with_capacity(size);
        let mut root = Fr::one();
        for _ in 0..size {
            roots.push(root);
            root *= self.inner.group_gen;
        }
        let scale = Zeroizing::new((point.pow([size as u64]) - Fr::one()) * self.inner.size_inv);
        let mut basis = Zeroizing::new(roots.par_iter().map(|root| *point - root).collect::<Vec<_>>());
        batch_inversion(&mut basis);
        basis.par_iter_mut().zip(&roots).for_each(|(value, root)| *value *= *root * *scale);
        basis
    }

    /// The domain's Lagrange basis at `tau`. `tau` must not be in the domain.
    pub fn lagrange(&self, tau: &Fr) -> Zeroizing<Vec<Fr>> {
        self.lagrange_at(tau)
    }

    /// Lagrange basis of the coset at `tau` times Z(tau)/Z(coset): Σ (A·B − C)(g·w^i) · this[i] = h(tau)·Z(tau).
    pub fn quotient_basis(&self, tau: &Fr) -> Result<Zeroizing<Vec<Fr>>, Error> {
        let inverse = self.shift.inverse().expect("a root of unity is not zero");
        let mut basis = self.lagrange_at(&(*tau * inverse));
        let vanishing = tau.pow([self.inner.size]) - Fr::one();
        let half = -(Fr::from(2u64).inverse().expect("r is odd"));
        let scale = Zeroizing::new(vanishing * half);
        basis.par_iter_mut().for_each(|value| *value *= *scale);
        Ok(basis)
    }

    /// (A·B − C) on the coset, from the three columns of row values (each of `size()` values).
    pub fn quotient_values(&self, rows: Rows) -> Zeroizing<Vec<Fr>> {
        let coset = self.inner.get_coset(self.shift).expect("the shift is not zero");
        let Rows { mut a, mut b, mut c } = rows;
        for column in [&mut a, &mut b, &mut c] {
            self.inner.ifft_in_place(column);
            coset.fft_in_place(column);
        }
        a.par_iter_mut().zip(&*b).zip(&*c).for_each(|((a, b), c)| *a = *a * b - c);
        a
    }
}

/// A·z, B·z and C·z on the domain, the public rows included.
pub struct Rows {
    pub a: Zeroizing<Vec<Fr>>,
    pub b: Zeroizing<Vec<Fr>>,
    pub c: Zeroizing<Vec<Fr>>,
}

fn dot(system: &ConstraintSystem, matrix: &Matrix, row: usize, witness: &[Fr]) -> Fr {
    let mut sum = Fr::zero();
    for (wire, coefficient) in matrix.row(row) {
        match coefficient {
            0 => sum += witness[wire],
            1 => sum -= witness[wire],
            _ => sum += witness[wire] * system.coefficients[coefficient],
        }
    }
    sum
}

/// The rows of `witness`. Errors: [`Error::Unsatisfied`] with the first constraint that does not hold.
pub fn rows(system: &ConstraintSystem, domain: &Domain, witness: &[Fr]) -> Result<Rows, Error> {
    let column = |matrix: &Matrix| {
        let mut values = Zeroizing::new(vec![Fr::zero(); domain.size()]);
        values[..system.constraints]
            .par_iter_mut()
            .enumerate()
            .with_min_len(256)
            .for_each(|(row, value)| *value = dot(system, matrix, row, witness));
        values
    };
    let (mut a, b, c) = (column(&system.a), column(&system.b), column(&system.c));
    let broken = (0..system.constraints).into_par_iter().find_first(|&row| a[row] * b[row] != c[row]);
    if let Some(constraint) = broken {
        return Err(Error::Unsatisfied { constraint, total: system.constraints });
    }
    a[system.constraints..=system.constraints + system.public].copy_from_slice(&witness[..=system.public]);
    Ok(Rows { a, b, c })
}
