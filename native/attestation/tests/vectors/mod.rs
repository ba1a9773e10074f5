//! Genuine evidence of the vendors' hardware, from `tests/vectors/attestation` (sources and licences: its README).
#![allow(dead_code)] // every test takes a part of it

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use w3bstream_attestation::x509::Trust;
use w3bstream_attestation::{Fingerprint, roots};

/// The bytes of a file, wherever below the repository the program was built.
pub fn file(name: &str) -> Vec<u8> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder =
        folders.map(|folder| folder.join("tests/vectors/attestation")).find(|folder| folder.is_dir());
    let path = folder.expect("no tests/vectors/attestation above this package").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The file's characters without white space.
fn characters(name: &str) -> String {
    String::from_utf8(file(name)).unwrap().split_whitespace().collect()
}

pub fn hex(name: &str) -> Vec<u8> {
    const_hex::decode(characters(name)).unwrap()
}

pub fn base64(name: &str) -> Vec<u8> {
    STANDARD.decode(characters(name)).unwrap()
}

/// The certificates of a PEM file, in its order.
pub fn pem(name: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(file(name)).unwrap();
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .map(|block| {
            let body: String = block.split("-----END").next().unwrap().split_whitespace().collect();
            STANDARD.decode(body).unwrap()
        })
        .collect()
}

/// Evidence with its chain, the roots it goes back to, and times around its validity.
pub struct Vector {
    pub evidence: Vec<u8>,
    pub certificates: Vec<Vec<u8>>,
    pub anchors: Vec<Fingerprint>,
    /// A time at which everything holds.
    pub time: i64,
    /// First and last second at which the chain holds.
    pub from: i64,
    pub to: i64,
}

impl Vector {
    pub fn chain(&self) -> Vec<&[u8]> {
        self.certificates.iter().map(Vec::as_slice).collect()
    }

    pub fn trust(&self) -> Trust<'_> {
        self.trust_at(self.time)
    }

    pub fn trust_at(&self, time: i64) -> Trust<'_> {
        Trust { anchors: &self.anchors, time, revocation_lists: &[] }
    }
}

pub fn anchors(roots: &[roots::Root]) -> Vec<Fingerprint> {
    roots.iter().map(|(_, fingerprint)| *fingerprint).collect()
}

/// Milan, version 2, no debug policy.
pub fn sev_snp() -> Vector {
    Vector {
        evidence: hex("sev_snp/report_milan.hex"),
        certificates: [vec![file("sev_snp/vcek_milan.der")], pem("sev_snp/cert_chain_milan")].concat(),
        anchors: anchors(&roots::SEV_SNP),
        time: 1_700_000_000,
        from: 1_680_549_823,
        to: 1_901_474_623,
    }
}

/// Milan, version 2, debug policy.
pub fn sev_snp_debug() -> Vector {
    Vector {
        evidence: file("sev_snp/report_milan_debug.bin"),
        certificates: [vec![file("sev_snp/vcek_milan_debug.der")], pem("sev_snp/cert_chain_milan")].concat(),
        anchors: anchors(&roots::SEV_SNP),
        time: 1_700_000_000,
        from: 0,
        to: 0,
    }
}

/// A debug enclave of 2024 with public key, user data and nonce.
pub fn nitro() -> Vector {
    Vector {
        evidence: base64("nitro/debug_2024.b64"),
        certificates: Vec::new(),
        anchors: anchors(&roots::NITRO),
        time: 1_725_911_353,
        from: 1_725_911_349,
        to: 1_725_922_152,
    }
}

/// An enclave that is not in debug mode, with a public key.
pub fn nitro_enclave() -> Vector {
    Vector {
        evidence: base64("nitro/enclave_2024.b64"),
        time: 1_734_707_283,
        from: 1_734_707_279,
        to: 1_734_718_082,
        ..nitro()
    }
}

/// H100, driver 550.90.07; certificates without an end.
pub fn nvidia_h100() -> Vector {
    Vector {
        evidence: hex("nvidia_h100/hopperAttestationReport.txt"),
        certificates: pem("nvidia_h100/hopperCertChain.txt"),
        anchors: anchors(&roots::NVIDIA_DEVICE),
        time: 1_725_911_353,
        from: 1_646_092_800,
        to: 253_402_300_799,
    }
}
