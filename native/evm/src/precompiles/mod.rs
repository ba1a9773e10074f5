//! Native verifiers: proofs that consensus itself checks, as precompiled contracts keyed by hard fork.
//!
//! To add one:
//! 1. Write a file beside [`bls_fast_aggregate_verify`], which is the example: a pure function from bytes to bytes or a
//!    [`Refusal`], and gas as a function of the input's length alone. The function sees no state, clock, randomness or
//!    thread, and answers the same on every machine; its gas is that of the slowest input of the length.
//! 2. Measure it in `benches/verifiers.rs` against the precompiles of Ethereum, and fix the gas from what it prints.
//! 3. Give it the next free [`native_address`] and a [`Fork`] that no chain has passed yet, and add it to [`REGISTRY`].
//! 4. Describe it in `docs/reference/precompiles.md`; a test compares that page's table with the registry.
//!
//! An entry that some chain's fork activated is never changed: another price, layout or rule is another version with a
//! fork of its own, at the same address where the input keeps its meaning and at the next free one where it does not.
//! Of the versions at one address the last one whose fork is active answers.

pub mod bls_fast_aggregate_verify;
pub mod evidence;
pub mod nitro;
pub mod nvidia_h100;
mod provider;
pub mod sev_snp;

use std::fmt;

use alloy_primitives::{Address, Bytes};
use revm::precompile::{EthPrecompileOutput, EthPrecompileResult, PrecompileHalt};

use crate::rules::{Fork, Forks};

pub(crate) use provider::Precompiles;

/// Everything but the last byte of a native verifier's address: zeros, then "W3" in ASCII.
///
/// Ethereum counts up from 0x01 and rollups' common precompiles (RIPs) from 0x0100; other chains chose numbers below
/// 0xffff or prefixes in the high bytes. No key or CREATE address will ever be found with 17 zero bytes in front.
const PREFIX: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x57, 0x33];

/// The native verifiers' address with this last byte: 0x…573301 is the first.
pub const fn native_address(number: u8) -> Address {
    let mut bytes = [0; 20];
    let mut index = 0;
    while index < PREFIX.len() {
        bytes[index] = PREFIX[index];
        index += 1;
    }
    bytes[19] = number;
    Address::new(bytes)
}

/// Why an input is malformed. The call fails and takes all the gas that it was given (as in EIP-2537).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// One version of one native verifier.
#[derive(Debug)]
pub struct Verifier {
    /// Lower case, stable.
    pub name: &'static str,
    /// Where contracts call it: a [`native_address`].
    pub address: Address,
    /// Counts from 1 at each address.
    pub version: u32,
    /// The fork that activates it.
    pub fork: Fork,
    /// Gas by the input's length in bytes; never less for a longer input.
    pub gas: fn(usize) -> u64,
    /// The answer, or why the input is malformed.
    pub run: fn(&[u8]) -> Result<Bytes, Refusal>,
}

impl Verifier {
    /// Charges, then runs.
    ///
    /// # Errors
    /// `OutOfGas` before any work; the refusal with the verifier's name.
    pub fn execute(&self, input: &[u8], gas_limit: u64) -> EthPrecompileResult {
        let gas = (self.gas)(input.len());
        if gas > gas_limit {
            return Err(PrecompileHalt::OutOfGas);
        }
        match (self.run)(input) {
            Ok(output) => Ok(EthPrecompileOutput::new(gas, output)),
            Err(refusal) => Err(PrecompileHalt::other(format!("{}: {refusal}", self.name))),
        }
    }
}

/// Every version of every native verifier: by address, then by version.
pub const REGISTRY: &[Verifier] =
    &[bls_fast_aggregate_verify::VERSION_1, sev_snp::VERSION_1, nitro::VERSION_1, nvidia_h100::VERSION_1];

/// The versions that answer in a block: at each address the last one whose fork is active.
fn active(registry: &'static [Verifier], forks: &Forks, block: u64) -> Vec<&'static Verifier> {
    let mut found: Vec<&Verifier> = Vec::new();
    for entry in registry.iter().filter(|entry| forks.active(entry.fork, block)) {
        found.retain(|earlier| earlier.address != entry.address);
        found.push(entry);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn answering(address: Address, version: u32) -> Verifier {
        Verifier {
            name: "test",
            address,
            version,
            fork: Fork::Verifiers,
            gas: |length| length as u64,
            run: |_| Err(Refusal("nothing is right".into())),
        }
    }

    #[test]
    fn the_last_version_at_an_address_answers_and_only_after_its_fork() {
        static ENTRIES: [Verifier; 3] = [
            answering(native_address(1), 1),
            answering(native_address(1), 2),
            answering(native_address(2), 1),
        ];
        let forks = Forks::default().with(Fork::Verifiers, 7);
        let at = |block| {
            active(&ENTRIES, &forks, block).iter().map(|e| (e.address, e.version)).collect::<Vec<_>>()
        };
        assert_eq!(at(6), []);
        assert_eq!(at(7), [(native_address(1), 2), (native_address(2), 1)]);
        assert_eq!(active(&ENTRIES, &Forks::default(), u64::MAX).len(), 0);
    }

    #[test]
    fn gas_is_taken_before_any_work() {
        let entry = answering(native_address(1), 1);
        assert_eq!(entry.execute(&[0; 5], 4), Err(PrecompileHalt::OutOfGas));
        assert_eq!(entry.execute(&[0; 5], 5), Err(PrecompileHalt::other("test: nothing is right")));
    }
}
