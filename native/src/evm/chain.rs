//! The executor for Python.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use w3bstream_evm::alloy_consensus::Header;
use w3bstream_evm::alloy_eips::eip4895::Withdrawal;
use w3bstream_evm::alloy_rlp::Decodable;
use w3bstream_evm::{BlockAttributes, ExecutionError, Fork, Forks, Genesis, GenesisAccount, SealedBlock};

use super::block::{Block, ExecutedBlock};
use super::transaction::Transaction;
use super::view::StateView;
use super::{Word256, address, bytes, execution_refused, word};

type AllocItem = (Word256, u64, Vec<u8>, Vec<(Word256, Word256)>);
/// (index, validator index, address, gwei).
type WithdrawalItem = (u64, u64, Vec<u8>, u64);

/// Head and recent states.
#[pyclass(frozen, module = "native._native")]
pub struct Chain(RwLock<w3bstream_evm::Chain>);

impl Chain {
    // A panic while a lock is held cannot leave half a change: append and rollback change one queue.
    fn read(&self) -> RwLockReadGuard<'_, w3bstream_evm::Chain> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, w3bstream_evm::Chain> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Chain {
    #[staticmethod]
    #[pyo3(signature = (
        *, chain_id, gas_limit, base_fee_per_gas, timestamp, extra_data, alloc, forks = HashMap::new(),
        prev_randao = vec![0; 32]
    ))]
    #[allow(clippy::too_many_arguments)]
    fn genesis(
        chain_id: u64,
        gas_limit: u64,
        base_fee_per_gas: u64,
        timestamp: u64,
        extra_data: Vec<u8>,
        alloc: HashMap<Vec<u8>, AllocItem>,
        forks: HashMap<String, u64>,
        prev_randao: Vec<u8>,
    ) -> PyResult<(Self, Block)> {
        let mut genesis = Genesis {
            chain_id,
            gas_limit,
            base_fee_per_gas,
            timestamp,
            extra_data: extra_data.into(),
            prev_randao: word(&prev_randao)?,
            forks: Forks::default(),
            alloc: Default::default(),
        };
        for (name, first_block) in forks {
            let unknown = || execution_refused(ExecutionError::Genesis(format!("there is no fork {name:?}")));
            genesis.forks = genesis.forks.with(Fork::named(&name).ok_or_else(unknown)?, first_block);
        }
        for (account, (balance, nonce, code, storage)) in alloc {
            let storage = storage.into_iter().map(|(slot, value)| (slot.0, value.0)).collect();
            let placed = GenesisAccount { balance: balance.0, nonce, code: code.into(), storage };
            genesis.alloc.insert(address(&account)?, placed);
        }
        let chain = w3bstream_evm::Chain::new(&genesis).map_err(execution_refused)?;
        let block = Block(SealedBlock::new(chain.head().0.clone(), Vec::new(), Vec::new()));
        Ok((Self(RwLock::new(chain)), block))
    }

    fn restore(&self, py: Python<'_>, headers: Vec<Vec<u8>>, state: &[u8]) -> PyResult<Self> {
        let rules = self.read().rules();
        let read = |raw: Vec<u8>| Header::decode(&mut raw.as_slice());
        let chain = py.detach(|| {
            let headers = headers.into_iter().map(read).collect::<Result<_, _>>();
            let headers = headers.map_err(|error| ExecutionError::Snapshot(error.to_string()))?;
            w3bstream_evm::Chain::restore(rules, headers, state)
        });
        Ok(Self(RwLock::new(chain.map_err(execution_refused)?)))
    }

    #[getter]
    fn chain_id(&self) -> u64 {
        self.read().rules().chain_id
    }

    #[getter]
    fn head_number(&self) -> u64 {
        self.read().head().0.number
    }

    #[getter]
    fn head_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.read().head().1)
    }

    #[getter]
    fn next_base_fee(&self) -> u64 {
        self.read().next_base_fee()
    }

    #[pyo3(signature = (
        transactions, *, beneficiary, timestamp, prev_randao, parent_beacon_block_root, extra_data,
        withdrawals = Vec::new()
    ))]
    #[allow(clippy::too_many_arguments)]
    fn build(
        &self,
        py: Python<'_>,
        transactions: Vec<PyRef<'_, Transaction>>,
        beneficiary: &[u8],
        timestamp: u64,
        prev_randao: &[u8],
        parent_beacon_block_root: &[u8],
        extra_data: Vec<u8>,
        withdrawals: Vec<WithdrawalItem>,
    ) -> PyResult<ExecutedBlock> {
        let paid = |(index, validator_index, account, amount): WithdrawalItem| {
            Ok(Withdrawal { index, validator_index, address: address(&account)?, amount })
        };
        let attributes = BlockAttributes {
            beneficiary: address(beneficiary)?,
            timestamp,
            prev_randao: word(prev_randao)?,
            parent_beacon_block_root: word(parent_beacon_block_root)?,
            extra_data: extra_data.into(),
            withdrawals: withdrawals.into_iter().map(paid).collect::<PyResult<_>>()?,
        };
        let offered: Vec<_> = transactions.iter().map(|tx| tx.0.clone()).collect();
        let built = py.detach(|| self.read().build(&attributes, &offered));
        built.map(ExecutedBlock).map_err(execution_refused)
    }

    fn import_block(&self, py: Python<'_>, raw: &[u8]) -> PyResult<ExecutedBlock> {
        let done = py.detach(|| self.read().import(SealedBlock::decode(raw)?));
        done.map(ExecutedBlock).map_err(execution_refused)
    }

    fn append(&self, py: Python<'_>, executed: &ExecutedBlock) -> PyResult<()> {
        py.detach(|| self.write().append(&executed.0)).map_err(execution_refused)
    }

    fn rollback(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        py.detach(|| self.write().rollback(number)).map_err(execution_refused)
    }

    fn view(&self, py: Python<'_>, number: u64) -> PyResult<StateView> {
        py.detach(|| self.read().view(number)).map(StateView).map_err(execution_refused)
    }

    /// The state after a block that was built on the head but not appended.
    fn view_of(&self, py: Python<'_>, executed: &ExecutedBlock) -> StateView {
        StateView(py.detach(|| self.read().view_of(&executed.0)))
    }
}
