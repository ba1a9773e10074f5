//! BLS signatures over BLS12-381: keys in G1 (48 bytes), signatures in G2 (96 bytes), both compressed as ZCash does.
//!
//! The scheme is draft-irtf-cfrg-bls-signature-05 §3.3, proof of possession, with the ciphersuite that Ethereum uses
//! (consensus-specs, phase 0). The arithmetic is blst's; secret keys are used by its constant-time code only.
//!
//! Everything from outside is checked when it becomes a value: a [`PublicKey`] is a point of the subgroup other than
//! infinity (KeyValidate), a [`Signature`] a point of the subgroup. Verification then needs no further check, so the
//! keys of a [`Committee`] are checked once. Aggregates over one message are sound only for keys whose owners proved
//! possession: whoever may choose a key freely chooses it as his own minus everyone else's.
//!
//! Ethereum's `eth_fast_aggregate_verify`, which takes the infinity signature of nobody as valid, is left out: a
//! quorum of nobody finalizes nothing, so an empty list of signers is an error here.
//!
//! | file | job |
//! |---|---|
//! | `secret` | KeyGen, SkToPk, Sign, PopProve |
//! | `public` | KeyValidate, Verify, PopVerify, sums of keys |
//! | `signature` | signatures from outside, Aggregate |
//! | `verify` | the pairing check, AggregateVerify, FastAggregateVerify |
//! | `batch` | many independent signatures at once |
//! | `committee` | proven keys in a fixed order, and bitmaps of them |

mod batch;
mod committee;
mod error;
mod public;
mod secret;
mod signature;
mod verify;

pub use batch::{Claim, batch_verify, invalid_claims};
pub use committee::Committee;
pub use error::Error;
pub use public::PublicKey;
pub use secret::SecretKey;
pub use signature::Signature;
pub use verify::{aggregate_verify, fast_aggregate_verify};

/// Bytes of a secret key: a big-endian integer from 1 to r - 1.
pub const SECRET_KEY_BYTES: usize = 32;
/// Bytes of a compressed public key.
pub const PUBLIC_KEY_BYTES: usize = 48;
/// Bytes of a compressed signature.
pub const SIGNATURE_BYTES: usize = 96;
/// Least bytes of key material (draft §2.3).
pub const KEY_MATERIAL_BYTES: usize = 32;

/// Domain of signatures (draft §4.2.3).
pub(crate) const SIGNATURE_DOMAIN: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
/// Domain of proofs of possession: another one, so that no signature is a proof.
pub(crate) const POSSESSION_DOMAIN: &[u8] = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
