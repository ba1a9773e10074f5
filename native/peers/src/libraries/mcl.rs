//! mcl's `mulVec`: GLV with Pippenger; in BLS12-381's G1 it takes AVX-512 IFMA where the CPU has it. One thread.

use mcl_rust::{CurveType, Fp, Fr, G1, G2};

use super::Prepared;
use crate::groups::{Group, Input, SCALAR_BYTES};

/// mcl works on one curve at a time; its points keep their meaning when it comes back to theirs.
fn switch_to(curve: CurveType) {
    assert!(mcl_rust::init(curve), "mcl has the curve");
}

fn read(bytes: &[u8]) -> Fp {
    let mut value = Fp::zero();
    assert!(value.set_little_endian(bytes), "below the modulus");
    value
}

/// mcl's own serialization is canonical and little-endian.
fn write(value: &Fp, out: &mut Vec<u8>) {
    out.extend(value.serialize());
}

fn scalars(input: &Input) -> Vec<Fr> {
    let read_scalar = |bytes: &[u8]| {
        let mut value = Fr::zero();
        assert!(value.set_little_endian(bytes), "{SCALAR_BYTES} bytes below r");
        value
    };
    input.each_scalar().map(read_scalar).collect()
}

fn g1(input: &Input, curve: fn() -> CurveType) -> Prepared {
    switch_to(curve());
    let read_point = |bytes: &[u8]| {
        let (x, y) = bytes.split_at(bytes.len() / 2);
        G1 { x: read(x), y: read(y), z: Fp::from_int(1) }
    };
    let points: Vec<_> = input.each_point().map(read_point).collect();
    let scalars = scalars(input);
    Prepared::after(
        move || switch_to(curve()),
        move || {
            let mut sum = G1::zero();
            G1::mul_vec(&mut sum, &points, &scalars);
            let mut affine = G1::zero();
            G1::normalize(&mut affine, &sum);
            let mut out = Vec::new();
            [&affine.x, &affine.y].into_iter().for_each(|part| write(part, &mut out));
            out
        },
    )
}

fn g2(input: &Input, curve: fn() -> CurveType) -> Prepared {
    switch_to(curve());
    let read_point = |bytes: &[u8]| {
        let mut parts = bytes.chunks(bytes.len() / 4).map(read);
        let mut point = G2::zero();
        let mut next = || parts.next().expect("four parts");
        point.x.d = [next(), next()];
        point.y.d = [next(), next()];
        point.z.d[0] = Fp::from_int(1);
        point
    };
    let points: Vec<_> = input.each_point().map(read_point).collect();
    let scalars = scalars(input);
    Prepared::after(
        move || switch_to(curve()),
        move || {
            let mut sum = G2::zero();
            G2::mul_vec(&mut sum, &points, &scalars);
            let mut affine = G2::zero();
            G2::normalize(&mut affine, &sum);
            let mut out = Vec::new();
            affine.x.d.iter().chain(&affine.y.d).for_each(|part| write(part, &mut out));
            out
        },
    )
}

/// Ready to sum, on one thread.
pub fn prepare(input: &Input, threads: usize) -> Option<Prepared> {
    (threads == 1).then(|| match input.group {
        Group::Bn254G1 => g1(input, || CurveType::SNARK),
        Group::Bn254G2 => g2(input, || CurveType::SNARK),
        Group::Bls12381G1 => g1(input, || CurveType::BLS12_381),
        Group::Bls12381G2 => g2(input, || CurveType::BLS12_381),
    })
}
