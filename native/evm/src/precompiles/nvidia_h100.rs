//! NVIDIA H100: whether an attestation report is signed by the GPU of its chain, and what it says.
//!
//! Input: [`super::evidence`], with the SPDM transcript as evidence and 2 to 6 certificates, the GPU's first. The answer's
//! words are those of `docs/reference/precompiles.md`. That the root is NVIDIA's, and that nonce, versions and measurements
//! are the right ones, is the caller's to compare; NVIDIA's reference manifests are not read.

use alloy_primitives::Bytes;
use w3bstream_attestation::nvidia_h100::{Measurement, Verified, verify};
use w3bstream_attestation::x509::Trust;

use super::evidence::{Frame, MAX_LISTS, Words, answer, digest};
use super::{Refusal, Verifier, native_address};
use crate::rules::Fork;

/// Certificates: genuine chains have five.
const CERTIFICATES: std::ops::RangeInclusive<u8> = 2..=6;
/// Blocks that have a word of their own: as many as the H100 has.
const BLOCKS: u8 = 64;

/// Gas of as many signatures as there may be, measured as `docs/reference/precompiles.md` says: seven by P-384: five certificates', the report's and a list's.
const BASE_GAS: u64 = 560_000;
/// Gas of reading and hashing a byte, at most 2 measured.
const BYTE_GAS: u64 = 3;

/// Version 1.
pub const VERSION_1: Verifier = Verifier {
    name: "nvidia-h100-verify",
    address: native_address(0x04),
    version: 1,
    fork: Fork::Attestation,
    gas: |length| BASE_GAS + BYTE_GAS * length as u64,
    run,
};

fn run(input: &[u8]) -> Result<Bytes, Refusal> {
    let frame = Frame::read(input, CERTIFICATES, 0..=MAX_LISTS)?;
    let trust = Trust { anchors: &frame.root(), time: frame.time, revocation_lists: &frame.lists };
    let device = digest(frame.certificates[0]);
    answer(verify(frame.evidence, &frame.certificates, trust), |verified| words(verified, &device))
}

fn words(verified: &Verified, device: &[u8; 32]) -> Words {
    let head = Words::new(&verified.root, verified.valid_until, 0)
        .word(&verified.nonce)
        .hash_of(verified.driver_version.as_ref().map(String::as_bytes))
        .hash_of(verified.vbios_version.as_ref().map(String::as_bytes))
        .digest_384(&verified.firmware_digest.unwrap_or([0; 48]))
        .word(device)
        .number(verified.measurements.len() as u64)
        .hash_of(Some(&every_block(&verified.measurements)));
    let mut blocks = verified.measurements.iter().peekable();
    (1..=BLOCKS).fold(head, |words, index| {
        words.hash_of(blocks.next_if(|block| block.index == index).map(|block| &block.value[..]))
    })
}

/// Index, kind, length of two bytes, value, of each block.
fn every_block(blocks: &[Measurement]) -> Vec<u8> {
    let encoded = blocks.iter().map(|block| {
        // A block's length is 16 bits in the report.
        let [.., high, low] = block.value.len().to_be_bytes();
        [&[block.index, block.kind, high, low], &block.value[..]].concat()
    });
    encoded.collect::<Vec<_>>().concat()
}
