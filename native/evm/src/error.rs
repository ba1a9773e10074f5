//! What can be wrong with a transaction or a block. Transaction messages are geth's: wallets match on them.

use alloy_primitives::{Address, B256, U256};
use revm::context::result::InvalidTransaction;

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TransactionError {
    #[error("invalid transaction encoding: {0}")]
    Encoding(String),
    #[error("transaction type not supported: blob transactions are refused on this chain")]
    Blob,
    #[error("invalid sender: the signature recovers no address")]
    Signature,
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    #[error("max priority fee per gas higher than max fee per gas: {tip} > {cap}")]
    TipAboveCap { tip: u128, cap: u128 },
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap { gas: u64, cap: u64 },
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode { size: usize, limit: usize },
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas { gas: u64, needed: u64 },
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    #[error("nonce has max value")]
    NonceMax,
    #[error("nonce too low: next nonce {state}, tx nonce {tx}")]
    NonceTooLow { tx: u64, state: u64 },
    #[error("nonce too high: next nonce {state}, tx nonce {tx}")]
    NonceTooHigh { tx: u64, state: u64 },
    #[error("sender not an eoa")]
    SenderNotEoa,
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds { balance: U256, cost: U256 },
    #[error("max fee per gas less than block base fee")]
    FeeBelowBaseFee,
    #[error("{0}")]
    Other(String),
}

impl From<InvalidTransaction> for TransactionError {
    fn from(error: InvalidTransaction) -> Self {
        match error {
            InvalidTransaction::NonceTooLow { tx, state } => Self::NonceTooLow { tx, state },
            InvalidTransaction::NonceTooHigh { tx, state } => Self::NonceTooHigh { tx, state },
            InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
                Self::InsufficientFunds { balance: *balance, cost: *fee }
            }
            InvalidTransaction::OverflowPaymentInTransaction => {
                Self::InsufficientFunds { balance: U256::ZERO, cost: U256::MAX }
            }
            InvalidTransaction::GasPriceLessThanBasefee => Self::FeeBelowBaseFee,
            InvalidTransaction::RejectCallerWithCode => Self::SenderNotEoa,
            InvalidTransaction::CallerGasLimitMoreThanBlock => Self::BlockGasLimit,
            InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, cap } => {
                Self::GasCap { gas: gas_limit, cap }
            }
            InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                Self::IntrinsicGas { gas: gas_limit, needed: initial_gas }
            }
            InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
                Self::FloorGas { gas: gas_limit, needed: gas_floor }
            }
            InvalidTransaction::NonceOverflowInTransaction => Self::NonceMax,
            InvalidTransaction::EmptyAuthorizationList => Self::EmptyAuthorizationList,
            other => Self::Other(other.to_string()),
        }
    }
}

/// Why a block, a snapshot or a query over blocks is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExecutionError {
    #[error("block encoding is invalid: {0}")]
    Encoding(String),
    #[error("block header field {field} is {have}, the rules give {want}")]
    Header { field: &'static str, have: String, want: String },
    #[error("transaction {index} ({hash}) is invalid: {error}")]
    Transaction { index: usize, hash: B256, error: Box<TransactionError> },
    #[error("block is {size} bytes, the limit is {limit} (EIP-7934)")]
    BlockSize { size: usize, limit: usize },
    #[error("the block has {count} withdrawals, the limit is {limit}")]
    Withdrawals { count: usize, limit: usize },
    #[error("withdrawal {index} would take the balance of {address} past 2^256")]
    WithdrawalOverflow { index: u64, address: Address },
    #[error("system call to {0} failed")]
    SystemCall(&'static str),
    #[error("block {number} extends {parent}, the head is {head}")]
    NotOnHead { number: u64, parent: B256, head: B256 },
    #[error("historical state not available: block {number} is not among the last {kept}")]
    StateNotAvailable { number: u64, kept: usize },
    #[error("snapshot is invalid: {0}")]
    Snapshot(String),
    #[error("genesis is invalid: {0}")]
    Genesis(String),
}
