//! From rows to polynomials (Groth16 §3.2; the reduction of libsnark's `r1cs_to_qap`).
//!
//! The domain holds one point a constraint and one a public wire (the constant one included): row `constraints + j`
//! says wire_j · 0 = 0. It makes the A polynomials of the public wires linearly independent, so no point of the
//! verifying key is zero and no two public inputs can be traded for each other.
//!
//! The quotient h = (A·B − C)/Z is handed to the prover as evaluations on the coset g·H with g^n = −1, where Z is the
//! constant −2; the key holds the matching Lagrange basis, which saves the last inverse FFT.

use ark_ff::batch_inversion;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::Error;
use crate::curve::Scalar;
use crate::error::malformed;
use crate::ntt;
use crate::r1cs::{ConstraintSystem, Matrix};

/// The most points that the transform takes.
const LARGEST: usize = 1 << w3bstream_ntt::MAX_LOG_SIZE;

/// Number of points of a system's domain: the smallest power of two ≥ constraints + public + 1, at least 2. Checked
/// without making the domain, whose tables take memory.
pub fn domain_size<F: Scalar>(system: &ConstraintSystem<F>) -> Result<usize, Error> {
    let rows = system.constraints + system.public + 1;
    let size = rows.max(2).checked_next_power_of_two().unwrap_or(usize::MAX);
    if size > LARGEST {
        return Err(malformed(
            "constraint system",
            format!("{rows} rows are more than the {LARGEST} that the transform takes"),
        ));
    }
    Ok(size)
}

/// Errors when there is no domain of `size` points. `what` names the size's source.
pub fn require_domain_size(what: &'static str, size: usize) -> Result<(), Error> {
    if !size.is_power_of_two() || !(2..=LARGEST).contains(&size) {
        return Err(malformed(
            what,
            format!("its domain of {size} points is not a power of two from 2 to {LARGEST}"),
        ));
    }
    Ok(())
}

/// The evaluation domain of a constraint system and the coset that the quotient is evaluated on.
pub struct Domain<F: Scalar> {
    ntt: w3bstream_ntt::Domain<F>,
}

impl<F: Scalar> Domain<F> {
    /// The domain of [`domain_size`] points.
    pub fn of(system: &ConstraintSystem<F>) -> Result<Self, Error> {
        Self::of_size("constraint system", domain_size(system)?)
    }

    /// A domain of exactly `size` points. `what` names its source in the error.
    pub fn of_size(what: &'static str, size: usize) -> Result<Self, Error> {
        require_domain_size(what, size)?;
        let ntt = ntt::domain(size).ok_or_else(|| malformed(what, format!("no domain of {size} points")))?;
        Ok(Self { ntt })
    }

    /// Number of points, a power of two.
    pub fn size(&self) -> usize {
        self.ntt.size()
    }

    /// L_i(point) for every point of the domain: (point^n − 1)/n · w^i/(point − w^i). `point` must not be in the domain.
    pub fn lagrange(&self, point: &F) -> Zeroizing<Vec<F>> {
        let size = self.size();
        let mut roots = Vec::with_capacity(size);
        let (generator, mut root) = (self.ntt.generator(), F::one());
        for _ in 0..size {
            roots.push(root);
            root *= generator;
        }
        let size_inverse = F::from(size as u64).inverse().expect("a power of two is not a multiple of r");
        let scale = Zeroizing::new((point.pow([size as u64]) - F::one()) * size_inverse);
        let mut basis = Zeroizing::new(roots.par_iter().map(|root| *point - root).collect::<Vec<_>>());
        batch_inversion(&mut basis);
        basis.par_iter_mut().zip(&roots).for_each(|(value, root)| *value *= *root * *scale);
        basis
    }

    /// Lagrange basis of the coset at `tau` times Z(tau)/Z(coset): Σ (A·B − C)(g·w^i) · this[i] = h(tau)·Z(tau).
    pub fn quotient_basis(&self, tau: &F) -> Zeroizing<Vec<F>> {
        let inverse = self.ntt.shift().inverse().expect("a root of unity is not zero");
        let mut basis = self.lagrange(&(*tau * inverse));
        let vanishing = tau.pow([self.size() as u64]) - F::one();
        let half = -(F::from(2u64).inverse().expect("r is odd"));
        let scale = Zeroizing::new(vanishing * half);
        basis.par_iter_mut().for_each(|value| *value *= *scale);
        basis
    }

    /// (A·B − C) on the coset, from the three columns of row values (each of `size()` values).
    pub fn quotient_values(&self, rows: Rows<F>) -> Zeroizing<Vec<F>> {
        let Rows { mut a, mut b, mut c } = rows;
        for column in [&mut a, &mut b, &mut c] {
            self.ntt.to_coset(column).expect("as many values as the domain has points");
        }
        a.par_iter_mut().zip(&*b).zip(&*c).for_each(|((a, b), c)| *a = *a * b - c);
        a
    }
}

/// A·z, B·z and C·z on the domain, the public rows included.
pub struct Rows<F: Scalar> {
    pub a: Zeroizing<Vec<F>>,
    pub b: Zeroizing<Vec<F>>,
    pub c: Zeroizing<Vec<F>>,
}

fn dot<F: Scalar>(coefficients: &[F], matrix: &Matrix, row: usize, witness: &[F]) -> F {
    let mut sum = F::zero();
    for (wire, coefficient) in matrix.row(row) {
        match coefficient {
            0 => sum += witness[wire],
            1 => sum -= witness[wire],
            _ => sum += witness[wire] * coefficients[coefficient],
        }
    }
    sum
}

/// The matrix times the witness, filled up with zeros to `size` values.
fn column<F: Scalar>(coefficients: &[F], matrix: &Matrix, size: usize, witness: &[F]) -> Zeroizing<Vec<F>> {
    let mut values = Zeroizing::new(vec![F::zero(); size]);
    values[..matrix.starts.len() - 1]
        .par_iter_mut()
        .enumerate()
        .with_min_len(256)
        .for_each(|(row, value)| *value = dot(coefficients, matrix, row, witness));
    values
}

/// The rows of `witness`. Errors: [`Error::Unsatisfied`] with the first constraint that does not hold.
pub fn rows<F: Scalar>(
    system: &ConstraintSystem<F>,
    domain: &Domain<F>,
    witness: &[F],
) -> Result<Rows<F>, Error> {
    let column = |matrix: &Matrix| column(&system.coefficients, matrix, domain.size(), witness);
    let (mut a, b, c) = (column(&system.a), column(&system.b), column(&system.c));
    let broken = (0..system.constraints).into_par_iter().find_first(|&row| a[row] * b[row] != c[row]);
    if let Some(constraint) = broken {
        return Err(Error::Unsatisfied { constraint, total: system.constraints });
    }
    a[system.constraints..=system.constraints + system.public].copy_from_slice(&witness[..=system.public]);
    Ok(Rows { a, b, c })
}

/// The two matrices that a `.zkey` holds, one row a point of the domain, the public rows among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halves<F> {
    /// As in [`ConstraintSystem::coefficients`].
    pub coefficients: Vec<F>,
    pub a: Matrix,
    pub b: Matrix,
}

impl<F: Scalar> Halves<F> {
    /// The rows of `witness`, with C·z taken to be what it must be: a broken constraint is not seen here.
    pub fn rows(&self, witness: &[F]) -> Rows<F> {
        let column = |matrix: &Matrix| column(&self.coefficients, matrix, matrix.starts.len() - 1, witness);
        let (a, b) = (column(&self.a), column(&self.b));
        let mut c = Zeroizing::new(vec![F::zero(); a.len()]);
        c.par_iter_mut().zip(&*a).zip(&*b).for_each(|((c, a), b)| *c = *a * b);
        Rows { a, b, c }
    }
}
