//! Reader of snarkjs' `.zkey` (Groth16 over BN254, version 1) and `.wtns` files for arkworks' prover.
//!
//! The files come from our own key a moment before: they are read for their layout, not checked against an adversary.
//! Coordinates lie in Montgomery form with R = 2^256, as arkworks keeps them; coefficients are value·R² mod r.

use std::collections::HashMap;

use ark_bn254::{Bn254, Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ff::{BigInt, Field, PrimeField};
use ark_groth16::{ProvingKey, VerifyingKey};
use ark_relations::utils::matrix::Matrix;

const WORD: usize = 32;
const G1_BYTES: usize = 2 * WORD;
const G2_BYTES: usize = 4 * WORD;

/// A key as arkworks' prover takes it, with the rows of A and B.
pub struct Key {
    pub proving: ProvingKey<Bn254>,
    pub matrices: Vec<Matrix<Fr>>,
    /// Wires that are public, the constant one included.
    pub inputs: usize,
    pub constraints: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize, String> {
    let word = bytes.get(at..at + 4).ok_or("the file ends early")?;
    Ok(u32::from_le_bytes(word.try_into().expect("4 bytes")) as usize)
}

/// Sections of an iden3 file, by type.
fn sections<'a>(bytes: &'a [u8], magic: &[u8]) -> Result<HashMap<usize, &'a [u8]>, String> {
    if !bytes.starts_with(magic) {
        return Err(format!("does not start with {}", String::from_utf8_lossy(magic)));
    }
    let mut found = HashMap::new();
    let mut at = 12;
    for _ in 0..u32_at(bytes, 8)? {
        let kind = u32_at(bytes, at)?;
        let length = u32_at(bytes, at + 4)? | u32_at(bytes, at + 8)? << 32;
        at += 12;
        found.insert(kind, bytes.get(at..at + length).ok_or("a section ends early")?);
        at += length;
    }
    Ok(found)
}

fn limbs(bytes: &[u8]) -> BigInt<4> {
    let mut limbs = [0; 4];
    for (limb, word) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(word.try_into().expect("8 bytes"));
    }
    BigInt(limbs)
}

fn fq(bytes: &[u8]) -> Fq {
    Fq::new_unchecked(limbs(bytes))
}

fn g1(bytes: &[u8]) -> G1Affine {
    if bytes.iter().all(|&byte| byte == 0) {
        return G1Affine::identity();
    }
    G1Affine::new_unchecked(fq(&bytes[..WORD]), fq(&bytes[WORD..]))
}

fn g2(bytes: &[u8]) -> G2Affine {
    if bytes.iter().all(|&byte| byte == 0) {
        return G2Affine::identity();
    }
    let part = |index: usize| fq(&bytes[index * WORD..][..WORD]);
    G2Affine::new_unchecked(Fq2::new(part(0), part(1)), Fq2::new(part(2), part(3)))
}

fn all_g1(bytes: &[u8]) -> Vec<G1Affine> {
    bytes.chunks_exact(G1_BYTES).map(g1).collect()
}

fn matrices(bytes: &[u8], rows: usize) -> Result<Vec<Matrix<Fr>>, String> {
    let mut found = vec![vec![Vec::new(); rows]; 2];
    // Limbs of value·R² stand for value·R as a field element; one multiplication by R⁻¹ gives the value.
    let r_inverse = Fr::from(2u64).pow([256]).inverse().expect("R is not 0");
    for term in bytes.get(4..).ok_or("no coefficients")?.chunks_exact(12 + WORD) {
        let (matrix, row, wire) = (u32_at(term, 0)?, u32_at(term, 4)?, u32_at(term, 8)?);
        let value = Fr::new_unchecked(limbs(&term[12..])) * r_inverse;
        found
            .get_mut(matrix)
            .and_then(|matrix| matrix.get_mut(row))
            .ok_or("a row past the last")?
            .push((value, wire));
    }
    Ok(found)
}

/// Reads the key. The last rows, one a public wire, are left to arkworks, which adds them itself.
pub fn read_key(bytes: &[u8]) -> Result<Key, String> {
    let found = sections(bytes, b"zkey")?;
    let section = |kind: usize| found.get(&kind).copied().ok_or(format!("section {kind} is missing"));
    let header = section(2)?;
    let counts = 2 * (4 + WORD);
    let (public, domain) = (u32_at(header, counts + 4)?, u32_at(header, counts + 8)?);
    let points = header.get(counts + 12..).filter(|rest| rest.len() == 3 * G1_BYTES + 3 * G2_BYTES);
    let points = points.ok_or("the header has another length")?;
    let (alpha_beta_g1, rest) = points.split_at(2 * G1_BYTES);
    let (beta_gamma_g2, rest) = rest.split_at(2 * G2_BYTES);
    let (delta_g1, delta_g2) = rest.split_at(G1_BYTES);
    let mut matrices = matrices(section(4)?, domain)?;
    let last = matrices[0].iter().rposition(|row| !row.is_empty()).ok_or("no constraints")?;
    let constraints = last - public;
    matrices.iter_mut().for_each(|matrix| matrix.truncate(constraints));
    let proving = ProvingKey {
        vk: VerifyingKey {
            alpha_g1: g1(&alpha_beta_g1[..G1_BYTES]),
            beta_g2: g2(&beta_gamma_g2[..G2_BYTES]),
            gamma_g2: g2(&beta_gamma_g2[G2_BYTES..]),
            delta_g2: g2(delta_g2),
            gamma_abc_g1: all_g1(section(3)?),
        },
        beta_g1: g1(&alpha_beta_g1[G1_BYTES..]),
        delta_g1: g1(delta_g1),
        a_query: all_g1(section(5)?),
        b_g1_query: all_g1(section(6)?),
        b_g2_query: section(7)?.chunks_exact(G2_BYTES).map(g2).collect(),
        l_query: all_g1(section(8)?),
        h_query: all_g1(section(9)?),
    };
    Ok(Key { proving, matrices, inputs: public + 1, constraints })
}

/// Reads every wire of a witness.
pub fn read_witness(bytes: &[u8]) -> Result<Vec<Fr>, String> {
    let found = sections(bytes, b"wtns")?;
    let values = found.get(&2).ok_or("section 2 is missing")?;
    Ok(values.chunks_exact(WORD).map(Fr::from_le_bytes_mod_order).collect())
}
