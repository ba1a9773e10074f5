//! Fuzzes the body `verifying_key` of the Groth16 crate's readers.
#![no_main]

#[path = "../../groth16/tests/readers/mod.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::verifying_key(bytes));
