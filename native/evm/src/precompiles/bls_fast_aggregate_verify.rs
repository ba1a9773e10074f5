//! BLS12-381 FastAggregateVerify: whether many keys signed one message (draft-irtf-cfrg-bls-signature-05 §3.3.4, the
//! ciphersuite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_ of Ethereum and of our votes).
//!
//! | bytes | |
//! |---|---|
//! | 0 to 31 | message |
//! | 32 to 127 | signature: a point of G2, compressed |
//! | 128 + 48 i to 175 + 48 i | key i: a point of G1, compressed; 1 to 4,096 keys |
//!
//! The answer is 32 bytes: 1, or 0 for a signature that these keys did not make together. What is no message, signature
//! and keys at all is refused: another length, an encoding that is not canonical, a point off the curve or outside the
//! subgroup, infinity as a key. So a contract never mistakes "cannot be read" for "did not sign". Infinity as the
//! signature is a point of the subgroup and answers 0 whatever the keys, also where the keys cancel.
//!
//! A key may stand there twice and then counts twice. The answer means something only where every key's owner has
//! proven possession of its secret before (§3.3): that is the caller's to know, as is who may sign.

use alloy_primitives::{B256, Bytes};
use w3bstream_bls::{PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature, fast_aggregate_verify};

use super::{Refusal, Verifier, native_address};
use crate::rules::Fork;

/// Bytes of the message: a digest.
const MESSAGE_BYTES: usize = 32;
/// Where the keys begin.
const HEAD_BYTES: usize = MESSAGE_BYTES + SIGNATURE_BYTES;
/// Above the largest delegate set (144) and Ethereum's sync committee (512); 192 KiB of input.
const MOST_KEYS: usize = 4_096;

/// Gas of the signature's decoding, the message's hash to the curve and two pairings, measured as
/// `docs/reference/precompiles.md` says: 132,000 to 142,100.
const BASE_GAS: u64 = 150_000;
/// Gas of one key's decoding, its subgroup check and its addition: 6,650 to 7,150 measured.
const KEY_GAS: u64 = 8_000;

/// Version 1.
pub const VERSION_1: Verifier = Verifier {
    name: "bls-fast-aggregate-verify",
    address: native_address(0x01),
    version: 1,
    fork: Fork::Verifiers,
    gas,
    run,
};

/// A begun key counts as a whole one, so that a longer input never costs less.
fn gas(length: usize) -> u64 {
    let keys = length.saturating_sub(HEAD_BYTES).div_ceil(PUBLIC_KEY_BYTES);
    BASE_GAS + KEY_GAS * keys as u64
}

fn run(input: &[u8]) -> Result<Bytes, Refusal> {
    let most = HEAD_BYTES + MOST_KEYS * PUBLIC_KEY_BYTES;
    let whole = input.len() > HEAD_BYTES && (input.len() - HEAD_BYTES).is_multiple_of(PUBLIC_KEY_BYTES);
    if !whole || input.len() > most {
        return Err(Refusal(format!(
            "{} bytes of input, expected {HEAD_BYTES} and {PUBLIC_KEY_BYTES} for each of 1 to {MOST_KEYS} keys",
            input.len()
        )));
    }
    let (head, keys) = input.split_at(HEAD_BYTES);
    let (message, signature) = head.split_at(MESSAGE_BYTES);
    let signature = Signature::from_bytes(signature).map_err(|error| Refusal(error.to_string()))?;
    let keys = keys
        .chunks_exact(PUBLIC_KEY_BYTES)
        .enumerate()
        .map(|(index, key)| {
            PublicKey::from_bytes(key).map_err(|error| Refusal(format!("key {index}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let signed = fast_aggregate_verify(&keys.iter().collect::<Vec<_>>(), message, &signature)
        .map_err(|error| Refusal(error.to_string()))?;
    Ok(B256::with_last_byte(u8::from(signed)).into())
}
