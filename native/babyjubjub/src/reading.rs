//! A reading's wire bytes as the field element that a device signs and a circuit sees, encodings.md §1.1 and §1.3.

use rayon::prelude::*;

use crate::eddsa::Key;
use crate::poseidon::{p2, p5};
use crate::{Fr, field_from_be};

const SIGNATURE: std::ops::Range<usize> = 2..66;
const PROJECT: usize = 66;
const DEVICE: usize = 74;
const SEQUENCE: usize = 94;
const TIMESTAMP: usize = 102;
const LENGTH: usize = 110;
const PAYLOAD: usize = 114;
const VERSION: u8 = 1;
const BABYJUBJUB: u8 = 3;
const CHUNK: usize = 31;

fn element(bytes: &[u8]) -> Fr {
    let mut padded = [0u8; 32];
    padded[32 - bytes.len()..].copy_from_slice(bytes);
    field_from_be(&padded).expect("31 bytes are below the field's order")
}

/// m of §1.3; `None` when the bytes are not exactly one reading.
pub fn message(wire: &[u8]) -> Option<Fr> {
    if wire.len() < PAYLOAD || wire[0] != VERSION {
        return None;
    }
    let length = u32::from_be_bytes(wire[LENGTH..PAYLOAD].try_into().expect("four bytes"));
    let payload = &wire[PAYLOAD..];
    if payload.len() != usize::try_from(length).ok()? {
        return None;
    }
    let fold =
        payload.chunks(CHUNK).fold(Fr::from(u64::from(length)), |state, chunk| p2(&[state, element(chunk)]));
    Some(p5(&[
        element(&wire[PROJECT..DEVICE]),
        element(&wire[DEVICE..SEQUENCE]),
        element(&wire[SEQUENCE..TIMESTAMP]),
        element(&wire[TIMESTAMP..LENGTH]),
        fold,
    ]))
}

/// m of the reading if the Baby Jubjub key (x ‖ y, 64 bytes) signed it.
fn signed_message(public_key: &[u8], wire: &[u8]) -> Option<Fr> {
    let key = Key::cached(public_key)?;
    let message = message(wire)?;
    (wire[1] == BABYJUBJUB && key.verifies(message, &wire[SIGNATURE])).then_some(message)
}

/// For each (public key, wire) pair m when the key signed it, in their order, on all of rayon's threads.
pub fn signed_messages<K: AsRef<[u8]> + Sync, W: AsRef<[u8]> + Sync>(pairs: &[(K, W)]) -> Vec<Option<Fr>> {
    pairs.par_iter().with_min_len(8).map(|(key, wire)| signed_message(key.as_ref(), wire.as_ref())).collect()
}
