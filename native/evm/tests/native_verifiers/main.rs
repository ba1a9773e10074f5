//! Native verifiers through the executor: the registry, forks, calls of every kind, and each verifier's own answers.

mod attestation;
mod bls_fast_aggregate_verify;
mod calls;
mod devnet;
mod forks;
#[path = "../../../attestation/tests/vectors/mod.rs"]
mod genuine;
mod hierarchy;
mod registry;
