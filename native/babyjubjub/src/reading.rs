//! A reading's wire bytes as the field element that a device signs and a circuit sees, encodings.md §1.1 and §1.3.

use std::sync::Arc;

use rayon::prelude::*;
use w3bstream_field::{Ifma, LANES};

use crate::eddsa::{Key, Signature};
#[cfg(target_arch = "x86_64")]
use crate::lanes;
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

/// What §1.3 hashes.
struct Content<'a> {
    /// Project, device, sequence and timestamp.
    fields: [Fr; 4],
    payload: &'a [u8],
}

impl<'a> Content<'a> {
    /// `None` when the bytes are not exactly one reading.
    fn decode(wire: &'a [u8]) -> Option<Self> {
        if wire.len() < PAYLOAD || wire[0] != VERSION {
            return None;
        }
        let length = u32::from_be_bytes(wire[LENGTH..PAYLOAD].try_into().expect("four bytes"));
        let payload = &wire[PAYLOAD..];
        if payload.len() != usize::try_from(length).ok()? {
            return None;
        }
        let fields = [PROJECT..DEVICE, DEVICE..SEQUENCE, SEQUENCE..TIMESTAMP, TIMESTAMP..LENGTH];
        Some(Self { fields: fields.map(|part| element(&wire[part])), payload })
    }

    fn length(&self) -> Fr {
        Fr::from(self.payload.len() as u64)
    }

    fn message(&self) -> Fr {
        let chunks = self.payload.chunks(CHUNK);
        let fold = chunks.fold(self.length(), |state, chunk| p2(&[state, element(chunk)]));
        let [project, device, sequence, timestamp] = self.fields;
        p5(&[project, device, sequence, timestamp, fold])
    }
}

/// m of §1.3; `None` when the bytes are not exactly one reading.
pub fn message(wire: &[u8]) -> Option<Fr> {
    Content::decode(wire).map(|content| content.message())
}

/// A reading with a signature in range and a key of prime order: what is left is to check the equation.
pub(crate) struct Claim<'a> {
    pub(crate) key: Arc<Key>,
    pub(crate) signature: Signature,
    content: Content<'a>,
}

impl<'a> Claim<'a> {
    fn decode(public_key: &[u8], wire: &'a [u8]) -> Option<Self> {
        let content = Content::decode(wire)?;
        let signature = Signature::decode(&wire[SIGNATURE])?;
        (wire[1] == BABYJUBJUB).then_some(())?;
        Some(Self { key: Key::cached(public_key)?, signature, content })
    }

    /// m if the key signed it.
    fn signed(&self) -> Option<Fr> {
        let message = self.content.message();
        self.key.signed(message, &self.signature).then_some(message)
    }
}

/// What the lanes read, one part of eight claims at a time.
#[cfg(target_arch = "x86_64")]
impl Claim<'_> {
    /// Project, device, sequence and timestamp.
    pub(crate) fn fields(&self) -> &[Fr; 4] {
        &self.content.fields
    }

    /// The payload's length in bytes.
    pub(crate) fn length(&self) -> Fr {
        self.content.length()
    }

    /// How many chunks the payload has.
    pub(crate) fn chunks(&self) -> usize {
        self.content.payload.len().div_ceil(CHUNK)
    }

    /// One of the payload's chunks; 0 after the last one.
    pub(crate) fn chunk(&self, at: usize) -> Fr {
        self.content.payload.chunks(CHUNK).nth(at).map(element).unwrap_or_default()
    }
}

/// For each (public key, wire) pair m when the key signed it, in their order, on all of rayon's threads.
pub fn signed_messages<K: AsRef<[u8]> + Sync, W: AsRef<[u8]> + Sync>(pairs: &[(K, W)]) -> Vec<Option<Fr>> {
    signed_messages_on(Ifma::detect(), pairs)
}

/// The same eight at a time where the CPU is said to have lanes, one at a time where not.
pub fn signed_messages_on<K: AsRef<[u8]> + Sync, W: AsRef<[u8]> + Sync>(
    lanes: Option<Ifma>,
    pairs: &[(K, W)],
) -> Vec<Option<Fr>> {
    let signed = pairs.par_chunks(LANES).map(|chunk| {
        let claims = chunk.iter().map(|(key, wire)| Claim::decode(key.as_ref(), wire.as_ref()));
        let claims: Vec<Option<Claim>> = claims.collect();
        let mut known = checked(lanes, &claims.iter().flatten().collect::<Vec<_>>()).into_iter();
        claims.iter().map(|claim| claim.as_ref().and_then(|_| known.next().flatten())).collect::<Vec<_>>()
    });
    signed.flatten_iter().collect()
}

/// For each of up to eight claims its message, where the key signed it.
fn checked(lanes: Option<Ifma>, claims: &[&Claim]) -> Vec<Option<Fr>> {
    match lanes {
        #[cfg(target_arch = "x86_64")]
        Some(ifma) if claims.len() > 1 => lanes::signed(ifma, claims)[..claims.len()].to_vec(),
        _ => claims.iter().map(|claim| claim.signed()).collect(),
    }
}
