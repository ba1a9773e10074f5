//! Writes our key as a `.zkey`, so that other people's provers can use and check it. Section 10 carries no contributions:
//! our chain has its own log (`transcript`).

use ark_bn254::{Fq, Fr, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, PrimeField};

use super::montgomery_radix;
use crate::curve::Point;
use crate::fixed::Fixed;
use crate::key::ProvingKey;
use crate::qap::domain_size;
use crate::{Error, r1cs::Matrix};

fn all<P: Point>(points: &[P]) -> Vec<u8> {
    let mut out = Vec::with_capacity(P::SIZE * points.len());
    points.iter().for_each(|point| point.write(&mut out));
    out
}

fn u32s(values: &[usize], out: &mut Vec<u8>) {
    values.iter().for_each(|&value| out.extend((value as u32).to_le_bytes()));
}

/// One point a wire, infinity where the wire has none.
fn dense<P: AffineRepr>(wires: usize, used: &[u32], points: &[P]) -> Vec<P> {
    let mut all = vec![P::zero(); wires];
    for (&wire, point) in used.iter().zip(points) {
        all[wire as usize] = *point;
    }
    all
}

fn header(key: &ProvingKey, domain: usize) -> Vec<u8> {
    let (system, points) = (&key.body.system, &key.body.points);
    let mut out = Vec::new();
    for modulus in [Fq::MODULUS, Fr::MODULUS] {
        u32s(&[32], &mut out);
        out.extend(modulus.to_bytes_le());
    }
    u32s(&[system.wires, system.public, domain], &mut out);
    points.alpha_g1.write(&mut out);
    points.beta_g1.write(&mut out);
    points.beta_g2.write(&mut out);
    G2Affine::generator().write(&mut out);
    points.delta_g1.write(&mut out);
    points.delta_g2.write(&mut out);
    out
}

fn coefficients(key: &ProvingKey) -> Vec<u8> {
    let system = &key.body.system;
    // The Montgomery limbs of value·R are value·R^2.
    let r_one: Fr = montgomery_radix();
    let scaled: Vec<Fr> = system.coefficients.iter().map(|value| *value * r_one).collect();
    let mut out = Vec::new();
    u32s(&[system.a.wires.len() + system.b.wires.len() + system.public + 1], &mut out);
    let mut term = |matrix: usize, row: usize, wire: usize, value: &Fr| {
        u32s(&[matrix, row, wire], &mut out);
        value.write(&mut out);
    };
    for row in 0..system.constraints {
        for (index, matrix) in [&system.a, &system.b].into_iter().enumerate() {
            let matrix: &Matrix = matrix;
            matrix.row(row).for_each(|(wire, id)| term(index, row, wire, &scaled[id]));
        }
    }
    for wire in 0..=system.public {
        term(0, system.constraints + wire, wire, &r_one);
    }
    out
}

/// The `.zkey` file. Errors: [`Error::NoContribution`].
pub fn export(key: &ProvingKey) -> Result<Vec<u8>, Error> {
    key.require_contribution()?;
    let body = &key.body;
    let wires = body.system.wires;
    let domain = domain_size(&body.system)?;
    let points = &body.points;
    let sections = [
        vec![1, 0, 0, 0],
        header(key, domain),
        all(&points.ic),
        coefficients(key),
        all(&dense(wires, &points.a_wires, &points.a)),
        all(&dense(wires, &points.b_wires, &points.b_g1)),
        all(&dense(wires, &points.b_wires, &points.b_g2)),
        all(&points.l),
        all(&points.h),
        vec![0; 68],
    ];
    let mut out = b"zkey".to_vec();
    u32s(&[1, sections.len()], &mut out);
    for (index, section) in sections.iter().enumerate() {
        u32s(&[index + 1], &mut out);
        out.extend((section.len() as u64).to_le_bytes());
        out.extend(section);
    }
    Ok(out)
}
