//! Native verifiers through the executor: the registry, forks, calls of every kind, and each verifier's own answers.

mod bls_fast_aggregate_verify;
mod calls;
mod devnet;
mod forks;
mod registry;
