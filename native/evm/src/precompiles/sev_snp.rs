//! AMD SEV-SNP: whether a report is signed by the VCEK or VLEK of its chain, and what it says.
//!
//! Input: [`super::evidence`], with the report as evidence and three certificates: VCEK or VLEK, ASK or ASVK, ARK. The
//! answer's words are those of `docs/reference/precompiles.md`. That the root is AMD's, and that policy, privilege level,
//! TCB, measurement and report data are the right ones, is the caller's to compare.

use alloy_primitives::Bytes;
use w3bstream_attestation::sev_snp::{Product, SigningKey, Verified, verify};
use w3bstream_attestation::x509::Trust;

use super::evidence::{Frame, MAX_LISTS, Words, answer};
use super::{Refusal, Verifier, native_address};
use crate::rules::Fork;

/// VCEK or VLEK, ASK or ASVK, ARK.
const CERTIFICATES: u8 = 3;

/// Gas of as many signatures as there may be, measured as `docs/reference/precompiles.md` says: two by RSA-4096, two by P-384: the report's and a list's.
const BASE_GAS: u64 = 200_000;
/// Gas of reading and hashing a byte, at most 2 measured.
const BYTE_GAS: u64 = 3;

/// Version 1.
pub const VERSION_1: Verifier = Verifier {
    name: "sev-snp-verify",
    address: native_address(0x02),
    version: 1,
    fork: Fork::Attestation,
    gas: |length| BASE_GAS + BYTE_GAS * length as u64,
    run,
};

fn run(input: &[u8]) -> Result<Bytes, Refusal> {
    let frame = Frame::read(input, CERTIFICATES..=CERTIFICATES, 0..=MAX_LISTS)?;
    let trust = Trust { anchors: &frame.root(), time: frame.time, revocation_lists: &frame.lists };
    answer(verify(frame.evidence, &frame.certificates, trust), words)
}

fn words(verified: &Verified) -> Words {
    let report = &verified.report;
    let product = match verified.endorsement.product {
        Product::Milan => 1u8,
        Product::Genoa => 2,
        Product::Turin => 3,
    };
    let signing_key = match report.signing_key {
        SigningKey::Vcek => 0u8,
        SigningKey::Vlek => 1,
    };
    let tcb = &report.reported_tcb;
    Words::new(&verified.root, verified.valid_until, 0)
        .double(&report.report_data)
        .digest_384(&report.measurement)
        .word(&report.host_data)
        .digest_384(&report.id_key_digest)
        .number(report.policy)
        .number(report.vmpl)
        .number(report.guest_svn)
        .number(report.platform_info)
        .number(product)
        .number(signing_key)
        .number(tcb.bootloader)
        .number(tcb.tee)
        .number(tcb.snp)
        .number(tcb.microcode)
        .number(tcb.fmc.unwrap_or_default())
        .hash_of(Some(&report.chip_id))
}
