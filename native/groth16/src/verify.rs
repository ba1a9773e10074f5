//! Verification (Groth16 §3.2): e(A, B) = e(α, β)·e(Σ signal_i·ic_i, γ)·e(C, δ), on strictly decoded input.

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Affine};
use ark_ec::CurveGroup;
use ark_ec::pairing::Pairing;
use ark_ff::{One, Zero};

use crate::Error;
use crate::encoding::{G1_BYTES, G2_BYTES, WORD, read_g1, read_g2, read_scalar, write_g1, write_g2};
use crate::error::malformed;
use crate::msm::msm;

/// Bytes of an encoded proof: a (64) ‖ b (128) ‖ c (64).
pub const PROOF_BYTES: usize = 256;

/// What a verifier holds; γ is the generator of G2 in the keys that we make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    pub alpha_g1: G1Affine,
    pub beta_g2: G2Affine,
    pub gamma_g2: G2Affine,
    pub delta_g2: G2Affine,
    /// One point more than there are public signals.
    pub ic: Vec<G1Affine>,
}

/// A proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub a: G1Affine,
    pub b: G2Affine,
    pub c: G1Affine,
}

const KEY: &str = "verifying key";
/// Bytes before the tail: alpha, three G2 points and the offset of `ic`.
const HEAD: usize = G1_BYTES + 3 * G2_BYTES + WORD;

fn word(value: usize) -> [u8; WORD] {
    let mut out = [0u8; WORD];
    out[WORD - 8..].copy_from_slice(&(value as u64).to_be_bytes());
    out
}

impl VerifyingKey {
    /// `abi.encode(uint256[2] alpha1, uint256[2][2] beta2, uint256[2][2] gamma2, uint256[2][2] delta2, uint256[2][] ic)`,
    /// docs/reference/encodings.md §4.
    pub fn to_abi(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + WORD + G1_BYTES * self.ic.len());
        out.extend_from_slice(&write_g1(&self.alpha_g1));
        for point in [&self.beta_g2, &self.gamma_g2, &self.delta_g2] {
            out.extend_from_slice(&write_g2(point));
        }
        out.extend_from_slice(&word(HEAD));
        out.extend_from_slice(&word(self.ic.len()));
        for point in &self.ic {
            out.extend_from_slice(&write_g1(point));
        }
        out
    }

    /// The key from its canonical ABI encoding. Any other encoding, an invalid point and δ = ±γ are refused.
    pub fn from_abi(bytes: &[u8]) -> Result<Self, Error> {
        let tail = HEAD + WORD;
        if bytes.len() < tail + G1_BYTES || !(bytes.len() - tail).is_multiple_of(G1_BYTES) {
            return Err(malformed(KEY, format!("{} bytes do not fit the encoding", bytes.len())));
        }
        let count = (bytes.len() - tail) / G1_BYTES;
        if bytes[HEAD - WORD..HEAD] != word(HEAD) || bytes[HEAD..tail] != word(count) {
            return Err(malformed(KEY, "its offset or length word is not canonical"));
        }
        let g2 = |index: usize| {
            let start = G1_BYTES + index * G2_BYTES;
            read_g2(KEY, &bytes[start..start + G2_BYTES])
        };
        let ic = bytes[tail..]
            .chunks_exact(G1_BYTES)
            .map(|point| read_g1(KEY, point))
            .collect::<Result<_, _>>()?;
        let key = Self {
            alpha_g1: read_g1(KEY, &bytes[..G1_BYTES])?,
            beta_g2: g2(0)?,
            gamma_g2: g2(1)?,
            delta_g2: g2(2)?,
            ic,
        };
        if key.delta_g2 == key.gamma_g2 || key.delta_g2 == -key.gamma_g2 {
            return Err(malformed(
                KEY,
                "delta equals gamma up to sign: nobody contributed to it, so anyone can forge",
            ));
        }
        Ok(key)
    }

    /// Number of public signals.
    pub fn signals(&self) -> usize {
        self.ic.len() - 1
    }
}

impl Proof {
    /// 256 bytes, big-endian, G2 in EIP-197 order.
    pub fn to_bytes(&self) -> [u8; PROOF_BYTES] {
        let mut out = [0u8; PROOF_BYTES];
        out[..64].copy_from_slice(&write_g1(&self.a));
        out[64..192].copy_from_slice(&write_g2(&self.b));
        out[192..].copy_from_slice(&write_g1(&self.c));
        out
    }

    /// A proof from exactly 256 bytes; no point may be infinity.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != PROOF_BYTES {
            return Err(malformed("proof", format!("{} bytes instead of {PROOF_BYTES}", bytes.len())));
        }
        Ok(Self {
            a: read_g1("proof point a", &bytes[..64])?,
            b: read_g2("proof point b", &bytes[64..192])?,
            c: read_g1("proof point c", &bytes[192..])?,
        })
    }
}

/// Public signals from their words, 32 big-endian bytes each, every one below r.
pub fn signals_from_bytes(bytes: &[u8]) -> Result<Vec<Fr>, Error> {
    if !bytes.len().is_multiple_of(WORD) {
        return Err(malformed("public signals", format!("{} bytes are not whole words", bytes.len())));
    }
    bytes.chunks_exact(WORD).map(|word| read_scalar("public signal", word)).collect()
}

/// Whether `proof` proves `signals` under `key`. Errors: a wrong number of signals.
pub fn verify(key: &VerifyingKey, signals: &[Fr], proof: &Proof) -> Result<bool, Error> {
    if signals.len() != key.signals() {
        return Err(malformed("public signals", format!("{} instead of {}", signals.len(), key.signals())));
    }
    let scalars: Vec<Fr> = std::iter::once(Fr::one()).chain(signals.iter().copied()).collect();
    let inputs = msm::<G1Projective>(&key.ic, &scalars).into_affine();
    let left = [-proof.a, key.alpha_g1, inputs, proof.c];
    let right = [proof.b, key.beta_g2, key.gamma_g2, key.delta_g2];
    Ok(Bn254::multi_pairing(left, right).is_zero())
}
