//! revm's view of the precompiles of one block: Ethereum's and the native verifiers whose forks are active.

use alloy_primitives::{Address, map::AddressSet};
use revm::context::{Cfg, ContextTr, JournalTr, LocalContextTr};
use revm::handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::precompile::PrecompileOutput;
use revm::primitives::hardfork::SpecId;

use super::{REGISTRY, Verifier, active};
use crate::rules::Forks;

/// Warm from the start of each transaction, and without code, as EIP-2929 and EIP-7702 say of precompiles.
#[derive(Debug)]
pub(crate) struct Precompiles {
    ethereum: EthPrecompiles,
    native: Vec<&'static Verifier>,
    warm: AddressSet,
}

impl Precompiles {
    pub(crate) fn new(spec: SpecId, forks: &Forks, block: u64) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let native = active(REGISTRY, forks, block);
        let mut warm = ethereum.warm_addresses().clone();
        warm.extend(native.iter().map(|verifier| verifier.address));
        Self { ethereum, native, warm }
    }

    fn native(&self, address: &Address) -> Option<&'static Verifier> {
        self.native.iter().find(|verifier| verifier.address == *address).copied()
    }
}

impl<CTX: ContextTr<Cfg: Cfg<Spec = SpecId>>> PrecompileProvider<CTX> for Precompiles {
    type Output = InterpreterResult;

    /// One block has one set of rules: the set is chosen when the block's EVM is made, and never changes.
    fn set_spec(&mut self, _spec: SpecId) -> bool {
        false
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        let Some(verifier) = self.native(&inputs.bytecode_address) else {
            return self.ethereum.run(context, inputs);
        };
        let result = verifier.execute(&inputs.input.as_bytes(context), inputs.gas_limit);
        if let Err(halt) = &result
            && !halt.is_oog()
            && context.journal().depth() == 1
        {
            context.local_mut().set_precompile_error_context(halt.to_string());
        }
        let output = PrecompileOutput::from_eth_result(result, inputs.reservoir);
        Ok(Some(precompile_output_to_interpreter_result(output, inputs.gas_limit)))
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }
}
