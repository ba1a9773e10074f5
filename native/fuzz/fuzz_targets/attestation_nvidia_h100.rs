//! Fuzzes H100 reports: `nvidia_h100` of the attestation crate's tests.
#![no_main]

#[path = "../../attestation/tests/readers/mod.rs"]
mod readers;
#[path = "../../attestation/tests/vectors/mod.rs"]
mod vectors;

use std::sync::LazyLock;

static GENUINE: LazyLock<vectors::Vector> = LazyLock::new(vectors::nvidia_h100);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::nvidia_h100(&GENUINE, bytes));
