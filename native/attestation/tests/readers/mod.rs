//! What holds for any bytes: no panic, the same answer twice, and nothing accepted but what a vendor signed. libFuzzer
//! (`native/fuzz`) and the property tests drive the same functions.
#![allow(dead_code)] // a fuzz target takes one of them

use w3bstream_attestation::x509::{Certificate, RevocationList, Trust};
use w3bstream_attestation::{Error, nitro, nvidia_h100, sev_snp};

use crate::vectors::{self, Vector};

/// The answer, which is the same when asked again.
fn settled<T: PartialEq + std::fmt::Debug>(ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let answer = ask();
    assert_eq!(answer, ask());
    if let Err(error) = &answer {
        assert!(!error.field().is_empty() && !error.text().is_empty());
    }
    answer
}

/// Bytes as a report under a genuine chain.
pub fn sev_snp(vector: &Vector, bytes: &[u8]) {
    let answer = settled(|| sev_snp::verify(bytes, &vector.chain(), vector.trust()));
    assert!(answer.is_err() || bytes == vector.evidence);
}

/// Bytes as a document.
pub fn nitro(vector: &Vector, bytes: &[u8]) {
    let answer = settled(|| nitro::verify(bytes, vector.trust()));
    assert!(answer.is_err() || bytes == vector.evidence || bytes == [&[0xd2], &vector.evidence[..]].concat());
}

/// Bytes as a report under a genuine chain.
pub fn nvidia_h100(vector: &Vector, bytes: &[u8]) {
    let answer = settled(|| nvidia_h100::verify(bytes, &vector.chain(), vector.trust()));
    assert!(answer.is_err() || bytes == vector.evidence);
}

/// Bytes as any certificate of a genuine chain, and as a revocation list of it.
pub fn certificate(vector: &Vector, bytes: &[u8]) {
    if let Ok(certificate) = Certificate::parse(bytes) {
        assert_eq!(certificate.der, bytes);
    }
    for index in 0..vector.certificates.len() {
        let mut chain = vector.chain();
        chain[index] = bytes;
        let answer = settled(|| nvidia_h100::verify(&vector.evidence, &chain, vector.trust()));
        assert!(answer.is_err() || bytes == vector.certificates[index]);
    }
}

/// Bytes as a revocation list under a genuine chain, which no vendor's list goes with.
pub fn revocation_list(vector: &Vector, bytes: &[u8]) {
    let _ = RevocationList::parse(bytes);
    let trust = Trust { revocation_lists: &[bytes], ..vector.trust() };
    let answer = settled(|| sev_snp::verify(&vector.evidence, &vector.chain(), trust));
    assert!(answer.is_err());
}

/// A body with the evidence that it starts from.
pub type Body = (fn() -> Vector, fn(&Vector, &[u8]));

pub const BODIES: [Body; 5] = [
    (vectors::sev_snp, sev_snp),
    (vectors::nitro, nitro),
    (vectors::nvidia_h100, nvidia_h100),
    (vectors::nvidia_h100, certificate),
    (vectors::sev_snp, revocation_list),
];
