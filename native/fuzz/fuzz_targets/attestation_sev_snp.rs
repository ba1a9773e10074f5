//! Fuzzes SEV-SNP reports: `sev_snp` of the attestation crate's tests.
#![no_main]

#[path = "../../attestation/tests/readers/mod.rs"]
mod readers;
#[path = "../../attestation/tests/vectors/mod.rs"]
mod vectors;

use std::sync::LazyLock;

static GENUINE: LazyLock<vectors::Vector> = LazyLock::new(vectors::sev_snp);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::sev_snp(&GENUINE, bytes));
