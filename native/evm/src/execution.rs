//! Execution of a block's transactions over its parent's state (execution-specs `apply_body`).

use std::sync::Arc;

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::{Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxReceipt};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bloom, Bytes};
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{CfgEnv, ContextTr, Evm};
use revm::database_interface::DatabaseCommit;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, MainnetContext};
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext, SystemCallEvm};

use crate::block::{MAX_RLP_BLOCK_SIZE, SealedBlock, block_environment};
use crate::error::{ExecutionError, TransactionError};
use crate::overlay::{BlockHashes, Overlay};
use crate::precompiles::Precompiles;
use crate::rules::Rules;
use crate::state::WorldState;
use crate::transaction::SignedTransaction;

/// Room for the header and the list prefixes when a block is filled up to the size limit.
const BLOCK_SIZE_MARGIN: usize = 2_048;

/// What became of one transaction that was offered to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the block.
    Included,
    /// It did not fit this block, or waits for an earlier nonce; it may fit the next one.
    Deferred,
    /// It can never be executed on this state.
    Rejected(TransactionError),
}

/// A block with its receipts and the state after it.
#[derive(Clone, Debug)]
pub struct ExecutedBlock {
    /// The block.
    pub block: SealedBlock,
    /// One for each transaction.
    pub receipts: Vec<ReceiptEnvelope>,
    /// State after the block.
    pub state: WorldState,
    /// One for each transaction that was offered.
    pub outcomes: Vec<Outcome>,
}

/// Osaka rules for a chain.
pub fn configuration(chain_id: u64) -> CfgEnv {
    let mut cfg = CfgEnv::new().with_spec_and_mainnet_gas_params(SpecId::OSAKA);
    cfg.chain_id = chain_id;
    cfg
}

/// The precompiles of a block: Osaka's, and the native verifiers whose forks are active in it.
pub(crate) fn precompiles(rules: &Rules, header: &Header) -> Precompiles {
    Precompiles::new(SpecId::OSAKA, &rules.forks, header.number)
}

/// The parent's side of an execution.
pub struct Parent<'a> {
    /// Hash of the parent.
    pub hash: B256,
    /// State after the parent.
    pub state: &'a WorldState,
    /// Hashes up to and with the parent.
    pub ancestors: BlockHashes,
}

/// Executes `transactions` in order under a [`crate::block::child_header`] and fills in its roots, bloom and gas used.
/// Transactions that cannot run are left out and reported in `outcomes`. Withdrawals, which the header commits to, are
/// paid after the transactions and run no code.
///
/// # Errors
/// `SystemCall` when a system contract of the genesis fails; `WithdrawalOverflow`.
pub fn execute(
    rules: &Rules,
    parent: &Parent<'_>,
    mut header: Header,
    transactions: &[Arc<SignedTransaction>],
    withdrawals: &[Withdrawal],
) -> Result<ExecutedBlock, ExecutionError> {
    let mut overlay = Overlay::new(parent.state.clone(), parent.ancestors.clone());
    let mut run = Run::default();
    let outcomes;
    {
        let mut evm = Context::mainnet()
            .with_db(&mut overlay)
            .with_cfg(configuration(rules.chain_id))
            .with_block(block_environment(&header))
            .build_mainnet()
            .with_precompiles(precompiles(rules, &header));
        let root = header.parent_beacon_block_root.unwrap_or_default();
        system_call(&mut evm, "beacon roots (EIP-4788)", BEACON_ROOTS_ADDRESS, root)?;
        system_call(&mut evm, "history storage (EIP-2935)", HISTORY_STORAGE_ADDRESS, parent.hash)?;
        outcomes = transactions.iter().map(|tx| run.offer(&mut evm, header.gas_limit, tx)).collect();
    }
    for withdrawal in withdrawals {
        let Withdrawal { index, address, .. } = *withdrawal;
        overlay
            .credit(address, withdrawal.amount_wei())
            .ok_or(ExecutionError::WithdrawalOverflow { index, address })?;
    }
    let state = overlay.into_state();
    let envelopes: Vec<_> = run.included.iter().map(|tx| tx.envelope()).collect();
    header.gas_used = run.gas_used;
    header.logs_bloom = run.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
    header.transactions_root = calculate_transaction_root(&envelopes);
    header.receipts_root = calculate_receipt_root(&run.receipts);
    header.state_root = state.root();
    Ok(ExecutedBlock {
        block: SealedBlock::new(header, run.included, withdrawals.to_vec()),
        receipts: run.receipts,
        state,
        outcomes,
    })
}

type BlockContext<'a> = MainnetContext<&'a mut Overlay>;
type BlockEvm<'a> = Evm<
    BlockContext<'a>,
    (),
    EthInstructions<EthInterpreter, BlockContext<'a>>,
    Precompiles,
    EthFrame<EthInterpreter>,
>;

#[derive(Default)]
struct Run {
    included: Vec<Arc<SignedTransaction>>,
    receipts: Vec<ReceiptEnvelope>,
    gas_used: u64,
    size: usize,
}

impl Run {
    fn offer(&mut self, evm: &mut BlockEvm<'_>, gas_limit: u64, tx: &Arc<SignedTransaction>) -> Outcome {
        let size = self.size + tx.envelope().network_len();
        if tx.envelope().gas_limit() > gas_limit - self.gas_used
            || size + BLOCK_SIZE_MARGIN > MAX_RLP_BLOCK_SIZE
        {
            return match tx.envelope().gas_limit() > gas_limit {
                true => Outcome::Rejected(TransactionError::BlockGasLimit),
                false => Outcome::Deferred,
            };
        }
        // revm lets a transaction without chain id pass; the chain takes only replay-protected ones.
        if tx.envelope().chain_id().is_none() {
            return Outcome::Rejected(TransactionError::NotReplayProtected);
        }
        let result = match tx.environment() {
            Ok(environment) => evm.transact_commit(environment),
            Err(error) => return Outcome::Rejected(error),
        };
        match result {
            Ok(result) => {
                self.size = size;
                self.include(tx, result);
                Outcome::Included
            }
            Err(EVMError::Transaction(error)) => match TransactionError::from(error) {
                TransactionError::NonceTooHigh { .. } | TransactionError::FeeBelowBaseFee => {
                    Outcome::Deferred
                }
                error => Outcome::Rejected(error),
            },
            Err(error) => Outcome::Rejected(TransactionError::Other(error.to_string())),
        }
    }

    fn include(&mut self, tx: &Arc<SignedTransaction>, result: ExecutionResult) {
        self.gas_used += result.tx_gas_used();
        let receipt = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: self.gas_used,
            logs: match result.is_success() {
                true => result.into_logs(),
                false => Vec::new(),
            },
        };
        let with_bloom = ReceiptWithBloom::from(receipt);
        self.receipts.push(ReceiptEnvelope::from_typed(tx.envelope().tx_type(), with_bloom));
        self.included.push(tx.clone());
    }
}

/// EIP-4788 and EIP-2935 write their contract's storage only: nothing else of the call is kept.
fn system_call(
    evm: &mut BlockEvm<'_>,
    name: &'static str,
    contract: Address,
    argument: B256,
) -> Result<(), ExecutionError> {
    let done = evm
        .system_call(contract, Bytes::copy_from_slice(argument.as_slice()))
        .map_err(|_| ExecutionError::SystemCall(name))?;
    if !done.result.is_success() {
        return Err(ExecutionError::SystemCall(name));
    }
    let changes = done.state.into_iter().filter(|(address, _)| *address == contract).collect();
    evm.ctx.db_mut().commit(changes);
    Ok(())
}
