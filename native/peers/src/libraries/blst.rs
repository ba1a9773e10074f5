//! blst's Pippenger (assembly with mulx and adx where the CPU has them), by tiles over its own threads, of which there
//! are as many as CPUs that the process may run on.

use blst::{
    MultiPoint, blst_fp, blst_fp_from_lendian, blst_lendian_from_fp, blst_p1, blst_p1_affine,
    blst_p1_to_affine, blst_p2, blst_p2_affine, blst_p2_to_affine,
};

use super::Prepared;
use crate::groups::{Group, Input};

const FIELD_BYTES: usize = 48;
const SCALAR_BITS: usize = 255;

fn read(bytes: &[u8]) -> blst_fp {
    let mut value = blst_fp::default();
    // SAFETY: blst reads 48 bytes, and `bytes` is a slice of so many: `chunks` below makes no other.
    unsafe { blst_fp_from_lendian(&mut value, bytes[..FIELD_BYTES].as_ptr()) };
    value
}

fn write(value: &blst_fp, out: &mut Vec<u8>) {
    let mut bytes = [0; FIELD_BYTES];
    // SAFETY: blst writes 48 bytes.
    unsafe { blst_lendian_from_fp(bytes.as_mut_ptr(), value) };
    out.extend(bytes);
}

fn g1(input: &Input) -> Prepared {
    let read_point = |bytes: &[u8]| {
        let mut parts = bytes.chunks(FIELD_BYTES).map(read);
        let mut next = || parts.next().expect("two coordinates");
        blst_p1_affine { x: next(), y: next() }
    };
    let points: Vec<_> = input.each_point().map(read_point).collect();
    let scalars = input.scalars.to_vec();
    Prepared::plain(move || {
        let sum: blst_p1 = points.as_slice().mult(&scalars, SCALAR_BITS);
        let mut affine = blst_p1_affine::default();
        // SAFETY: both are valid values of blst's types.
        unsafe { blst_p1_to_affine(&mut affine, &sum) };
        let mut out = Vec::new();
        [&affine.x, &affine.y].into_iter().for_each(|part| write(part, &mut out));
        out
    })
}

fn g2(input: &Input) -> Prepared {
    let read_point = |bytes: &[u8]| {
        let mut parts = bytes.chunks(FIELD_BYTES).map(read);
        let mut next = || parts.next().expect("four parts");
        let mut point = blst_p2_affine::default();
        point.x.fp = [next(), next()];
        point.y.fp = [next(), next()];
        point
    };
    let points: Vec<_> = input.each_point().map(read_point).collect();
    let scalars = input.scalars.to_vec();
    Prepared::plain(move || {
        let sum: blst_p2 = points.as_slice().mult(&scalars, SCALAR_BITS);
        let mut affine = blst_p2_affine::default();
        // SAFETY: both are valid values of blst's types.
        unsafe { blst_p2_to_affine(&mut affine, &sum) };
        let mut out = Vec::new();
        affine.x.fp.iter().chain(&affine.y.fp).for_each(|part| write(part, &mut out));
        out
    })
}

/// Ready to sum; blst has BLS12-381 only.
pub fn prepare(input: &Input) -> Option<Prepared> {
    match input.group {
        Group::Bls12381G1 => Some(g1(input)),
        Group::Bls12381G2 => Some(g2(input)),
        Group::Bn254G1 | Group::Bn254G2 => None,
    }
}
