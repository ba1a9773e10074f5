//! Set-up (Groth16 §3.2): phase 1 draws τ, α, β from the operating system, builds the initial key with γ = δ = 1, and
//! wipes them. A key proves nothing until phase 2 (`ceremony`) has given it a δ.
//!
//! Everything is computed in the scalar field first (Lagrange bases at τ, one pass over the terms), then lifted to the
//! curve with one windowed table a group: three fixed-base multiplications a wire instead of multi-exponentiations
//! over powers of τ, seconds instead of minutes at 2^17 rows.

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::scalar_mul::{BatchMulPreprocessing, ScalarMul};
use ark_ec::{AffineRepr, PrimeGroup};
use ark_ff::{Field, One, Zero};
use zeroize::Zeroizing;

use crate::key::{KeyBody, Points, ProvingKey};
use crate::qap::Domain;
use crate::r1cs::{ConstraintSystem, Matrix};
use crate::{CHUNK, Count, Error, Progress, random, report};

/// The label of a key whose phase 1 one party made.
pub const DEVELOPMENT_LABEL: &str = "development key (single-party set-up made on this installation)";

struct Toxic {
    tau: Zeroizing<Fr>,
    alpha: Zeroizing<Fr>,
    beta: Zeroizing<Fr>,
}

impl Toxic {
    fn draw(domain: &Domain<Fr>) -> Result<Self, Error> {
        loop {
            let tau = random::scalar::<Fr>()?;
            // τ in the domain or its coset would make a Lagrange denominator zero: probability 2^-235, but not zero.
            if tau.pow([2 * domain.size() as u64]) != Fr::one() {
                return Ok(Self { tau, alpha: random::scalar()?, beta: random::scalar()? });
            }
        }
    }
}

/// A_i(τ), B_i(τ) and C_i(τ) of every wire.
struct Polynomials {
    a: Zeroizing<Vec<Fr>>,
    b: Zeroizing<Vec<Fr>>,
    c: Zeroizing<Vec<Fr>>,
}

fn evaluate(system: &ConstraintSystem, domain: &Domain<Fr>, tau: &Fr) -> Polynomials {
    let basis = domain.lagrange(tau);
    let column = |matrix: &Matrix| {
        let mut values = Zeroizing::new(vec![Fr::zero(); system.wires]);
        for (row, weight) in basis[..system.constraints].iter().enumerate() {
            for (wire, coefficient) in matrix.row(row) {
                values[wire] += *weight * system.coefficients[coefficient];
            }
        }
        values
    };
    let (mut a, b, c) = (column(&system.a), column(&system.b), column(&system.c));
    for wire in 0..=system.public {
        a[wire] += basis[system.constraints + wire];
    }
    Polynomials { a, b, c }
}

/// Fixed-base multiplication.
fn lift<G: ScalarMul<ScalarField = Fr>>(
    table: &BatchMulPreprocessing<G>,
    scalars: &[Fr],
    count: &mut Count,
) -> Result<Vec<G::MulBase>, Error> {
    let mut points = Vec::with_capacity(scalars.len());
    for chunk in scalars.chunks(CHUNK) {
        points.extend(table.batch_mul(chunk));
        count.add(chunk.len())?;
    }
    Ok(points)
}

/// Wires with a non-zero value, and those values.
fn sparse(values: &[Fr]) -> (Vec<u32>, Zeroizing<Vec<Fr>>) {
    let wires: Vec<u32> = (0..values.len() as u32).filter(|&wire| !values[wire as usize].is_zero()).collect();
    let kept = wires.iter().map(|&wire| values[wire as usize]).collect();
    (wires, Zeroizing::new(kept))
}

/// Draws a fresh phase 1 for `system` and returns the initial key, which has no contribution and cannot prove.
///
/// Errors: [`Error::Random`], [`Error::Cancelled`], or a system too large for the field's FFT.
pub fn setup(system: ConstraintSystem, label: &str, progress: Progress) -> Result<ProvingKey, Error> {
    let domain = Domain::of(&system)?;
    let toxic = Toxic::draw(&domain)?;
    report(progress, "set-up", 0.0)?;
    let polynomials = evaluate(&system, &domain, &toxic.tau);
    let combined: Zeroizing<Vec<Fr>> = Zeroizing::new(
        (0..system.wires)
            .map(|i| *toxic.beta * polynomials.a[i] + *toxic.alpha * polynomials.b[i] + polynomials.c[i])
            .collect(),
    );
    let quotient = domain.quotient_basis(&toxic.tau);
    let (a_wires, a) = sparse(&polynomials.a);
    let (b_wires, b) = sparse(&polynomials.b);
    let total = a.len() + 2 * b.len() + combined.len() + quotient.len();
    let g1 = BatchMulPreprocessing::new(G1Projective::generator(), total);
    let g2 = BatchMulPreprocessing::new(G2Projective::generator(), b.len() + 1);
    let mut count = Count::new(progress, "set-up", total);
    let mut ic = lift(&g1, &combined, &mut count)?;
    let l = ic.split_off(system.public + 1);
    let points = Points {
        alpha_g1: (G1Affine::generator() * *toxic.alpha).into(),
        beta_g1: (G1Affine::generator() * *toxic.beta).into(),
        beta_g2: (G2Affine::generator() * *toxic.beta).into(),
        delta_g1: G1Affine::generator(),
        delta_g2: G2Affine::generator(),
        ic,
        a_wires,
        a: lift(&g1, &a, &mut count)?,
        b_wires,
        b_g1: lift(&g1, &b, &mut count)?,
        b_g2: lift(&g2, &b, &mut count)?,
        l,
        h: lift(&g1, &quotient, &mut count)?,
    };
    Ok(ProvingKey::new(KeyBody { system, points }, label.to_owned(), Vec::new()))
}
