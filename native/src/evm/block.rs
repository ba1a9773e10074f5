//! Blocks and receipts for Python.

use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use w3bstream_evm::alloy_consensus::{ReceiptEnvelope, TxReceipt};
use w3bstream_evm::{Outcome, SealedBlock};

use super::transaction::Transaction;
use super::{bytes, execution_refused};

type WithdrawalItem<'py> = (u64, u64, Bound<'py, PyBytes>, u64);
type LogItem<'py> = (Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>, Bound<'py, PyBytes>);

/// A header and its body.
#[pyclass(frozen, module = "native._native")]
pub struct Block(pub SealedBlock);

#[pymethods]
impl Block {
    #[staticmethod]
    fn decode(py: Python<'_>, raw: &[u8]) -> PyResult<Self> {
        py.detach(|| SealedBlock::decode(raw)).map(Self).map_err(execution_refused)
    }

    #[getter]
    fn hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.hash)
    }

    #[getter]
    fn parent_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.parent_hash)
    }

    #[getter]
    fn beneficiary<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.beneficiary)
    }

    #[getter]
    fn state_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.state_root)
    }

    #[getter]
    fn transactions_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.transactions_root)
    }

    #[getter]
    fn receipts_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.receipts_root)
    }

    #[getter]
    fn logs_bloom<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.logs_bloom)
    }

    #[getter]
    fn prev_randao<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.mix_hash)
    }

    #[getter]
    fn number(&self) -> u64 {
        self.0.header.number
    }

    #[getter]
    fn gas_limit(&self) -> u64 {
        self.0.header.gas_limit
    }

    #[getter]
    fn gas_used(&self) -> u64 {
        self.0.header.gas_used
    }

    #[getter]
    fn timestamp(&self) -> u64 {
        self.0.header.timestamp
    }

    #[getter]
    fn base_fee_per_gas(&self) -> u64 {
        self.0.header.base_fee_per_gas.unwrap_or_default()
    }

    #[getter]
    fn extra_data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &self.0.header.extra_data)
    }

    #[getter]
    fn parent_beacon_block_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.parent_beacon_block_root.unwrap_or_default())
    }

    #[getter]
    fn ommers_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.ommers_hash)
    }

    #[getter]
    fn withdrawals_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.withdrawals_root.unwrap_or_default())
    }

    #[getter]
    fn requests_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.header.requests_hash.unwrap_or_default())
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, w3bstream_evm::alloy_rlp::encode(&self.0.header))
    }

    #[getter]
    fn encoded<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.encoded())
    }

    #[getter]
    fn transactions(&self) -> Vec<Transaction> {
        self.0.transactions.iter().map(|tx| Transaction(Arc::clone(tx))).collect()
    }

    #[getter]
    fn transaction_count(&self) -> usize {
        self.0.transactions.len()
    }

    fn transaction(&self, position: usize) -> PyResult<Transaction> {
        let found = self.0.transactions.get(position);
        let absent =
            || PyIndexError::new_err(format!("the block has {} transactions", self.0.transactions.len()));
        found.map(|tx| Transaction(Arc::clone(tx))).ok_or_else(absent)
    }

    #[getter]
    fn withdrawals<'py>(&self, py: Python<'py>) -> Vec<WithdrawalItem<'py>> {
        let item = |paid: &w3bstream_evm::alloy_eips::eip4895::Withdrawal| {
            (paid.index, paid.validator_index, bytes(py, paid.address), paid.amount)
        };
        self.0.withdrawals.iter().map(item).collect()
    }
}

/// A transaction's receipt as the receipt trie commits to it.
#[pyclass(frozen, module = "native._native")]
pub struct Receipt {
    envelope: ReceiptEnvelope,
    gas_used: u64,
    first_log_index: usize,
}

impl Receipt {
    /// A block's receipts, each with what it takes from those before it.
    fn of_block(envelopes: impl IntoIterator<Item = ReceiptEnvelope>) -> Vec<Self> {
        let (mut gas, mut logs) = (0, 0);
        let mut receipts = Vec::new();
        for envelope in envelopes {
            let gas_used = envelope.cumulative_gas_used().saturating_sub(gas);
            let first_log_index = logs;
            gas = envelope.cumulative_gas_used();
            logs += envelope.logs().len();
            receipts.push(Self { envelope, gas_used, first_log_index });
        }
        receipts
    }
}

#[pymethods]
impl Receipt {
    #[getter]
    fn r#type(&self) -> u8 {
        u8::from(self.envelope.tx_type())
    }

    #[getter]
    fn status(&self) -> bool {
        self.envelope.status()
    }

    #[getter]
    fn cumulative_gas_used(&self) -> u64 {
        self.envelope.cumulative_gas_used()
    }

    #[getter]
    fn gas_used(&self) -> u64 {
        self.gas_used
    }

    #[getter]
    fn first_log_index(&self) -> usize {
        self.first_log_index
    }

    #[getter]
    fn logs_bloom<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.envelope.bloom())
    }

    #[getter]
    fn logs<'py>(&self, py: Python<'py>) -> Vec<LogItem<'py>> {
        let item = |log: &w3bstream_evm::alloy_primitives::Log| {
            let topics = log.topics().iter().map(|topic| bytes(py, topic)).collect();
            (bytes(py, log.address), topics, bytes(py, &log.data.data))
        };
        self.envelope.logs().iter().map(item).collect()
    }
}

/// Receipts as `ExecutedBlock.encoded_receipts` gave them.
#[pyfunction]
pub fn decode_receipts(raw: &[u8]) -> PyResult<Vec<Receipt>> {
    Ok(Receipt::of_block(w3bstream_evm::decode_receipts(raw).map_err(execution_refused)?))
}

/// A block with its receipts and the state after it.
#[pyclass(frozen, module = "native._native")]
pub struct ExecutedBlock(pub w3bstream_evm::ExecutedBlock);

#[pymethods]
impl ExecutedBlock {
    #[getter]
    fn block(&self) -> Block {
        Block(self.0.block.clone())
    }

    #[getter]
    fn receipts(&self) -> Vec<Receipt> {
        Receipt::of_block(self.0.receipts.iter().cloned())
    }

    #[getter]
    fn encoded_receipts<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, w3bstream_evm::encode_receipts(&self.0.receipts))
    }

    /// For each transaction offered: `None` when included, "" when deferred, else why it can never run.
    #[getter]
    fn outcomes(&self) -> Vec<Option<String>> {
        let text = |outcome: &Outcome| match outcome {
            Outcome::Included => None,
            Outcome::Deferred => Some(String::new()),
            Outcome::Rejected(error) => Some(error.to_string()),
        };
        self.0.outcomes.iter().map(text).collect()
    }
}
