//! Export to snarkjs' `.zkey` format (Groth16, version 1), so that other people's provers can use and check our keys.
//!
//! The layout is that of iden3's binary files: magic, version, then sections of type u32, length u64, body. Our H query
//! is snarkjs' already: the odd points of the Lagrange basis over the domain of twice the size. Coefficients are written
//! as value·R^2 mod r, which is what snarkjs multiplies a plain witness with. Section 10 carries no contributions: our
//! chain has its own log (`transcript`).

use ark_bn254::{Fq, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, Fp, MontBackend, MontConfig, One, PrimeField};

use crate::key::ProvingKey;
use crate::qap::Domain;
use crate::{Error, r1cs::Matrix};

fn raw<C: MontConfig<4>>(value: &Fp<MontBackend<C, 4>, 4>, out: &mut Vec<u8>) {
    out.extend(value.0.0.iter().flat_map(|limb| limb.to_le_bytes()));
}

fn g1(point: &G1Affine, out: &mut Vec<u8>) {
    raw(&point.x, out);
    raw(&point.y, out);
}

fn g2(point: &G2Affine, out: &mut Vec<u8>) {
    for part in [&point.x.c0, &point.x.c1, &point.y.c0, &point.y.c1] {
        raw(part, out);
    }
}

fn g1_all(points: &[G1Affine]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * points.len());
    points.iter().for_each(|point| g1(point, &mut out));
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
    let body = &key.body;
    let mut out = Vec::new();
    for modulus in [Fq::MODULUS, Fr::MODULUS] {
        u32s(&[32], &mut out);
        out.extend(modulus.to_bytes_le());
    }
    u32s(&[body.system.wires, body.system.public, domain], &mut out);
    g1(&body.alpha_g1, &mut out);
    g1(&body.beta_g1, &mut out);
    g2(&body.beta_g2, &mut out);
    g2(&G2Affine::generator(), &mut out);
    g1(&body.delta_g1, &mut out);
    g2(&body.delta_g2, &mut out);
    out
}

fn coefficients(key: &ProvingKey) -> Vec<u8> {
    let system = &key.body.system;
    // As a field element, so that the Montgomery limbs of value·r_one are value·R^2.
    let r_one = Fr::from(Fr::one().0);
    let scaled: Vec<Fr> = system.coefficients.iter().map(|value| *value * r_one).collect();
    let mut out = Vec::new();
    u32s(&[system.a.wires.len() + system.b.wires.len() + system.public + 1], &mut out);
    let mut term = |matrix: usize, row: usize, wire: usize, value: &Fr| {
        u32s(&[matrix, row, wire], &mut out);
        raw(value, &mut out);
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
    let domain = Domain::of(&body.system)?.size();
    let mut b_g2 = Vec::with_capacity(128 * wires);
    dense(wires, &body.b_wires, &body.b_g2).iter().for_each(|point| g2(point, &mut b_g2));
    let sections = [
        vec![1, 0, 0, 0],
        header(key, domain),
        g1_all(&body.ic),
        coefficients(key),
        g1_all(&dense(wires, &body.a_wires, &body.a)),
        g1_all(&dense(wires, &body.b_wires, &body.b_g1)),
        b_g2,
        g1_all(&body.l),
        g1_all(&body.h),
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
