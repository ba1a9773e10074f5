//! Baby Jubjub (EIP-2494), EdDSA-Poseidon over it and Poseidon trees, for a batch of readings at a time.
//!
//! The bytes and the equations are docs/reference/encodings.md §1 and §2; `verifier/` is the same in Python and the
//! tests hold the two together. Verification only, of public data: nothing here is constant-time. One part a file:
//!
//! | file | job |
//! |---|---|
//! | `poseidon` | the permutation, its parameters drawn from the Grain LFSR |
//! | `curve` | points in extended coordinates, tables of multiples |
//! | `eddsa` | public keys, signatures, the equation |
//! | `reading` | a reading's bytes as the field element that is signed |
//! | `tree` | the roots of windows' readings |
//! | `lanes` | hashes and the equation for eight readings at a time |

pub mod curve;
pub mod eddsa;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub mod poseidon;
pub mod reading;
pub mod tree;

use ark_ff::{BigInteger, PrimeField};

/// The BN254 scalar field: Baby Jubjub's coordinates and Poseidon's elements.
pub type Fr = ark_bn254::Fr;

/// A field element from 32 big-endian bytes; `None` at the field's order and above, and for another length.
pub fn field_from_be(bytes: &[u8]) -> Option<Fr> {
    if bytes.len() != 32 {
        return None;
    }
    let limb = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Fr::from_bigint(ark_ff::BigInt::new([limb(24), limb(16), limb(8), limb(0)]))
}

/// 32 big-endian bytes of a field element.
pub fn field_to_be(value: &Fr) -> [u8; 32] {
    value.into_bigint().to_bytes_be().try_into().expect("a BN254 element has 32 bytes")
}
