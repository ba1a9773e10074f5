//! Verification (Groth16 §3.2): e(A, B) = e(α, β)·e(Σ signal_i·ic_i, γ)·e(C, δ), on strictly decoded input.

use ark_bn254::Bn254;
use ark_ec::CurveGroup;
use ark_ff::{One, Zero};

use crate::Error;
use crate::curve::{Curve, Scalar};
use crate::encoding::{G1_BYTES, G2_BYTES, WORD, read_point, read_scalar, write_point};
use crate::error::malformed;
use crate::fixed::Fixed;
use crate::msm::Msm;

/// Bytes of an encoded proof over BN254: a (64) ‖ b (128) ‖ c (64).
pub const PROOF_BYTES: usize = Proof::<Bn254>::BYTES;

/// What a verifier holds; γ is the generator of G2 in the keys that we make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey<E: Curve = Bn254> {
    pub alpha_g1: E::G1Affine,
    pub beta_g2: E::G2Affine,
    pub gamma_g2: E::G2Affine,
    pub delta_g2: E::G2Affine,
    /// One point more than there are public signals.
    pub ic: Vec<E::G1Affine>,
}

/// A proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<E: Curve = Bn254> {
    pub a: E::G1Affine,
    pub b: E::G2Affine,
    pub c: E::G1Affine,
}

const KEY: &str = "verifying key";
/// Bytes of the ABI encoding before its tail: alpha, three G2 points and the offset of `ic`.
const HEAD: usize = G1_BYTES + 3 * G2_BYTES + WORD;

fn word(value: usize) -> [u8; WORD] {
    let mut out = [0u8; WORD];
    out[WORD - 8..].copy_from_slice(&(value as u64).to_be_bytes());
    out
}

impl<E: Curve> VerifyingKey<E> {
    /// Bytes of α, β, γ and δ.
    const FIXED: usize = E::G1Affine::SIZE + 3 * E::G2Affine::SIZE;

    /// The key's canonical encoding: the ABI's for BN254, the plain points for BLS12-381.
    pub fn to_bytes(&self) -> Vec<u8> {
        E::key_to_bytes(self)
    }

    /// The key from its canonical encoding. Any other encoding, an invalid point and δ = ±γ are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        E::key_from_bytes(bytes)
    }

    /// α ‖ β ‖ γ ‖ δ ‖ every ic, as `encoding::write_point` writes points.
    pub fn to_points(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::FIXED + E::G1Affine::SIZE * self.ic.len());
        self.write_fixed(&mut out);
        self.ic.iter().for_each(|point| write_point(point, &mut out));
        out
    }

    /// The key from the bytes of [`Self::to_points`]. An invalid point, no ic and δ = ±γ are refused.
    pub fn from_points(bytes: &[u8]) -> Result<Self, Error> {
        let (fixed, ic) = bytes.split_at_checked(Self::FIXED).unwrap_or((bytes, &[]));
        if ic.is_empty() || !ic.len().is_multiple_of(E::G1Affine::SIZE) {
            return Err(malformed(KEY, format!("{} bytes do not fit the encoding", bytes.len())));
        }
        Self::read(fixed, ic)
    }

    fn write_fixed(&self, out: &mut Vec<u8>) {
        write_point(&self.alpha_g1, out);
        [&self.beta_g2, &self.gamma_g2, &self.delta_g2].into_iter().for_each(|point| write_point(point, out));
    }

    /// From the bytes of α, β, γ and δ, and those of `ic`; both are of the right length.
    fn read(fixed: &[u8], ic: &[u8]) -> Result<Self, Error> {
        let (alpha, rest) = fixed.split_at(E::G1Affine::SIZE);
        let g2 = |index: usize| read_point(KEY, &rest[index * E::G2Affine::SIZE..][..E::G2Affine::SIZE]);
        let key = Self {
            alpha_g1: read_point(KEY, alpha)?,
            beta_g2: g2(0)?,
            gamma_g2: g2(1)?,
            delta_g2: g2(2)?,
            ic: ic
                .chunks_exact(E::G1Affine::SIZE)
                .map(|point| read_point(KEY, point))
                .collect::<Result<_, _>>()?,
        };
        if key.is_open() {
            return Err(malformed(
                KEY,
                "delta equals gamma up to sign: nobody contributed to it, so anyone can forge",
            ));
        }
        Ok(key)
    }

    /// Whether δ = ±γ: then anyone can forge.
    pub fn is_open(&self) -> bool {
        self.delta_g2 == self.gamma_g2 || self.delta_g2 == -self.gamma_g2
    }

    /// Number of public signals.
    pub fn signals(&self) -> usize {
        self.ic.len() - 1
    }

    /// Errors when there is another number of signals than the key has.
    pub(crate) fn require_count(&self, signals: &[E::ScalarField]) -> Result<(), Error> {
        if signals.len() == self.signals() {
            return Ok(());
        }
        Err(malformed("public signals", format!("{} instead of {}", signals.len(), self.signals())))
    }
}

impl VerifyingKey<Bn254> {
    /// `abi.encode(uint256[2] alpha1, uint256[2][2] beta2, uint256[2][2] gamma2, uint256[2][2] delta2, uint256[2][] ic)`,
    /// docs/reference/encodings.md §4.
    pub fn to_abi(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + WORD + G1_BYTES * self.ic.len());
        self.write_fixed(&mut out);
        out.extend_from_slice(&word(HEAD));
        out.extend_from_slice(&word(self.ic.len()));
        self.ic.iter().for_each(|point| write_point(point, &mut out));
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
        Self::read(&bytes[..HEAD - WORD], &bytes[tail..])
    }
}

impl<E: Curve> Proof<E> {
    /// Bytes of an encoded proof: a ‖ b ‖ c.
    pub const BYTES: usize = 2 * E::G1Affine::SIZE + E::G2Affine::SIZE;

    /// a ‖ b ‖ c, as `encoding::write_point` writes points: for BN254 256 bytes, G2 in EIP-197 order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        write_point(&self.a, &mut out);
        write_point(&self.b, &mut out);
        write_point(&self.c, &mut out);
        out
    }

    /// A proof from exactly [`Self::BYTES`] bytes; every point is checked, and none may be infinity.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != Self::BYTES {
            return Err(malformed("proof", format!("{} bytes instead of {}", bytes.len(), Self::BYTES)));
        }
        let (a, rest) = bytes.split_at(E::G1Affine::SIZE);
        let (b, c) = rest.split_at(E::G2Affine::SIZE);
        Ok(Self {
            a: read_point("proof point a", a)?,
            b: read_point("proof point b", b)?,
            c: read_point("proof point c", c)?,
        })
    }
}

/// Public signals from their words, 32 big-endian bytes each, every one below r.
pub fn signals_from_bytes<F: Scalar>(bytes: &[u8]) -> Result<Vec<F>, Error> {
    if !bytes.len().is_multiple_of(WORD) {
        return Err(malformed("public signals", format!("{} bytes are not whole words", bytes.len())));
    }
    bytes.chunks_exact(WORD).map(|word| read_scalar("public signal", word)).collect()
}

/// Whether `proof` proves `signals` under `key`. Errors: a wrong number of signals.
pub fn verify<E: Curve>(
    key: &VerifyingKey<E>,
    signals: &[E::ScalarField],
    proof: &Proof<E>,
) -> Result<bool, Error> {
    key.require_count(signals)?;
    let scalars: Vec<_> = std::iter::once(E::ScalarField::one()).chain(signals.iter().copied()).collect();
    let inputs = E::G1::checked_sum(&key.ic, &scalars).into_affine();
    let left = [-proof.a, key.alpha_g1, inputs, proof.c];
    let right = [proof.b, key.beta_g2, key.gamma_g2, key.delta_g2];
    Ok(E::multi_pairing(left, right).is_zero())
}
