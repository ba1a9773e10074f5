//! AWS Nitro Enclaves: whether a document is signed by the certificate in it, and what it says.
//!
//! Input: [`super::evidence`], with the document as evidence, which has its certificates in it: no others, no lists. The
//! answer's words are those of `docs/reference/precompiles.md`. That the root is AWS', and that the enclave is not in debug
//! mode, is the right one and says the right thing, is the caller's to compare.

use alloy_primitives::Bytes;
use w3bstream_attestation::nitro::{MILLISECONDS, Verified, root_of, verify};
use w3bstream_attestation::x509::Trust;

use super::evidence::{Frame, Words, answer};
use super::{Refusal, Verifier, native_address};
use crate::rules::Fork;

/// Gas of as many signatures as there may be, measured as `docs/reference/precompiles.md` says: eight by P-384: seven certificates' and the document's.
const BASE_GAS: u64 = 640_000;
/// Gas of reading and hashing a byte, at most 2 measured.
const BYTE_GAS: u64 = 3;

/// Version 1.
pub const VERSION_1: Verifier = Verifier {
    name: "nitro-verify",
    address: native_address(0x03),
    version: 1,
    fork: Fork::Attestation,
    gas: |length| BASE_GAS + BYTE_GAS * length as u64,
    run,
};

fn run(input: &[u8]) -> Result<Bytes, Refusal> {
    let frame = Frame::read(input, 0..=0, 0..=0)?;
    let verified = root_of(frame.evidence).and_then(|root| {
        verify(frame.evidence, Trust { anchors: &[root], time: frame.time, revocation_lists: &[] })
    });
    if let Ok(verified) = &verified {
        for number in 0..3 {
            register(verified, number)
                .ok_or_else(|| Refusal(format!("payload.pcrs: register {number} is missing")))?;
        }
    }
    answer(verified, words)
}

fn register(verified: &Verified, number: u8) -> Option<[u8; 48]> {
    verified.pcrs.iter().find(|(found, _)| *found == number).map(|(_, value)| *value)
}

fn words(verified: &Verified) -> Words {
    let head = Words::new(&verified.root, verified.valid_until, verified.timestamp / MILLISECONDS);
    let registers = (0..3).filter_map(|number| register(verified, number));
    let words = registers.fold(head, |words, value| words.digest_384(&value)).number(verified.is_debug());
    [&verified.user_data, &verified.nonce, &verified.public_key]
        .into_iter()
        .map(Option::as_deref)
        .fold(words, |words, data| words.number(data.map_or(0, <[u8]>::len) as u64).hash_of(data))
        .hash_of(Some(verified.module_id.as_bytes()))
}
