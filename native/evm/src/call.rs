//! Calls without a transaction: eth_call, eth_estimateGas and state reads at one block.

use alloy_consensus::Header;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecutionResult, HaltReason};
use revm::context_interface::transaction::AccessList;
use revm::primitives::KECCAK_EMPTY;
use revm::primitives::eip7825::TX_GAS_LIMIT_CAP;
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};

use crate::block::block_environment;
use crate::error::TransactionError;
use crate::execution::{configuration, precompiles};
use crate::overlay::{BlockHashes, Overlay};
use crate::rules::Rules;
use crate::state::WorldState;

/// Gas of a plain transfer (execution-specs `TX_BASE_COST`).
const TX_BASE_COST: u64 = 21_000;
/// Gas that a call with value hands over on top (execution-specs `GAS_CALL_STIPEND`).
const GAS_CALL_STIPEND: u64 = 2_300;

/// A message to try on a state.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// Caller; zero when nobody.
    pub from: Address,
    /// Callee; `None` deploys.
    pub to: Option<Address>,
    /// Gas limit; `None` takes the most that is allowed.
    pub gas: Option<u64>,
    /// Fee cap in wei per gas; zero asks no balance for gas.
    pub gas_price: u128,
    /// Tip cap (EIP-1559).
    pub tip: Option<u128>,
    /// Wei sent along.
    pub value: U256,
    /// Call data or init code.
    pub data: Bytes,
    /// EIP-2930.
    pub access_list: AccessList,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// Returned.
    Success,
    /// REVERT: the output is the revert data.
    Revert,
    /// An exceptional halt, in geth's words.
    Halt(String),
}

/// Result of a call.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// How it ended.
    pub status: CallStatus,
    /// Gas after refunds.
    pub gas_used: u64,
    /// Gas before refunds.
    pub gas_spent: u64,
    /// Return or revert data.
    pub output: Bytes,
}

/// The state after one block, with that block's environment.
#[derive(Clone, Debug)]
pub struct StateView {
    /// The constants of the chain.
    pub rules: Rules,
    /// The block whose environment calls see.
    pub header: Header,
    /// State after that block.
    pub state: WorldState,
    /// For BLOCKHASH.
    pub ancestors: BlockHashes,
}

impl StateView {
    /// Executes a message and throws its writes away.
    ///
    /// # Errors
    /// A [`TransactionError`] when the message cannot start: too little gas or balance.
    pub fn call(&self, request: &CallRequest, gas_cap: u64) -> Result<CallOutcome, TransactionError> {
        let mut cfg = configuration(self.rules.chain_id);
        cfg.disable_nonce_check = true;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        cfg.disable_base_fee = request.gas_price == 0;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let gas_limit = request.gas.unwrap_or(gas_cap).min(gas_cap);
        let mut overlay = Overlay::new(self.state.clone(), self.ancestors.clone());
        let mut evm = Context::mainnet()
            .with_db(&mut overlay)
            .with_cfg(cfg)
            .with_block(block_environment(&self.header))
            .build_mainnet()
            .with_precompiles(precompiles(&self.rules, &self.header));
        let result = evm.transact(self.environment(request, gas_limit)).map_err(|error| match error {
            EVMError::Transaction(error) => TransactionError::from(error),
            other => TransactionError::Other(other.to_string()),
        });
        Ok(outcome(result?.result))
    }

    /// The smallest gas limit with which the message succeeds, by binary search.
    ///
    /// # Errors
    /// `Ok(Err(outcome))` when it fails with all the gas allowed; `Err` when it cannot start.
    pub fn estimate_gas(
        &self,
        request: &CallRequest,
        gas_cap: u64,
    ) -> Result<Result<u64, CallOutcome>, TransactionError> {
        let ceiling = self.header.gas_limit.min(TX_GAS_LIMIT_CAP).min(gas_cap);
        let mut high = request.gas.filter(|gas| *gas >= TX_BASE_COST).unwrap_or(ceiling).min(ceiling);
        if request.gas_price > 0 {
            high = high.min(self.affordable_gas(request)?);
        }
        if self.is_plain_transfer(request) && self.try_with(request, TX_BASE_COST)?.is_some() {
            return Ok(Ok(TX_BASE_COST));
        }
        let full = self.call(&CallRequest { gas: Some(high), ..request.clone() }, high)?;
        if full.status != CallStatus::Success {
            return Ok(Err(full));
        }
        let mut low = full.gas_used.saturating_sub(1);
        // EIP-150 keeps 1/64 back in each frame: this guess usually fits, and halves the search.
        let guess = (full.gas_spent + GAS_CALL_STIPEND) * 64 / 63;
        if guess < high {
            match self.try_with(request, guess)? {
                Some(()) => high = guess,
                None => low = guess,
            }
        }
        while low + 1 < high {
            let middle = if high > low.saturating_mul(2) { low * 2 } else { low.midpoint(high) };
            match self.try_with(request, middle)? {
                Some(()) => high = middle,
                None => low = middle,
            }
        }
        Ok(Ok(high))
    }

    /// `None` when this much gas is too little.
    fn try_with(&self, request: &CallRequest, gas: u64) -> Result<Option<()>, TransactionError> {
        match self.call(&CallRequest { gas: Some(gas), ..request.clone() }, gas) {
            Ok(outcome) => Ok((outcome.status == CallStatus::Success).then_some(())),
            Err(TransactionError::IntrinsicGas { .. } | TransactionError::FloorGas { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_plain_transfer(&self, request: &CallRequest) -> bool {
        let Some(to) = request.to else { return false };
        let code_hash = self.state.account(&to).map_or(KECCAK_EMPTY, |account| account.code_hash);
        request.data.is_empty() && request.access_list.0.is_empty() && code_hash == KECCAK_EMPTY
    }

    fn affordable_gas(&self, request: &CallRequest) -> Result<u64, TransactionError> {
        let balance = self.state.account(&request.from).map_or(U256::ZERO, |account| account.balance);
        let left = balance
            .checked_sub(request.value)
            .ok_or(TransactionError::InsufficientFunds { balance, cost: request.value })?;
        Ok(u64::try_from(left / U256::from(request.gas_price)).unwrap_or(u64::MAX))
    }

    fn environment(&self, request: &CallRequest, gas_limit: u64) -> TxEnv {
        TxEnv {
            tx_type: if request.tip.is_some() { 2 } else { u8::from(!request.access_list.0.is_empty()) },
            caller: request.from,
            gas_limit,
            gas_price: request.gas_price,
            kind: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            data: request.data.clone(),
            nonce: self.state.account(&request.from).map_or(0, |account| account.nonce),
            chain_id: Some(self.rules.chain_id),
            access_list: request.access_list.clone(),
            gas_priority_fee: request.tip,
            ..Default::default()
        }
    }
}

fn outcome(result: ExecutionResult) -> CallOutcome {
    let (gas_used, gas_spent) = (result.tx_gas_used(), result.gas().total_gas_spent());
    let status = match &result {
        ExecutionResult::Success { .. } => CallStatus::Success,
        ExecutionResult::Revert { .. } => CallStatus::Revert,
        ExecutionResult::Halt { reason, .. } => CallStatus::Halt(halt_message(reason)),
    };
    CallOutcome { status, gas_used, gas_spent, output: result.into_output().unwrap_or_default() }
}

fn halt_message(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => {
            "invalid opcode".into()
        }
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)".into(),
        HaltReason::StateChangeDuringStaticCall => "write protection".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".into(),
        other => format!("execution halted: {other:?}"),
    }
}
