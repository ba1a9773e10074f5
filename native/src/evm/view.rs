//! State reads, calls and proofs for Python.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use w3bstream_evm::alloy_primitives::Bytes;
use w3bstream_evm::{CallOutcome, CallRequest, CallStatus};

use super::{Word256, address, bytes, integer, transaction_refused, word};

type StorageProofItem<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Vec<Bound<'py, PyBytes>>);
type SlotItem<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);
type AccessItem = (Vec<u8>, Vec<Vec<u8>>);

/// The state after one block.
#[pyclass(frozen, module = "native._native")]
pub struct StateView(pub w3bstream_evm::StateView);

/// How a call ended.
#[pyclass(frozen, module = "native._native")]
pub struct CallResult(CallOutcome);

/// EIP-1186 account and storage proofs.
#[pyclass(frozen, module = "native._native")]
pub struct AccountProof(w3bstream_evm::AccountProof);

#[pymethods]
impl StateView {
    #[getter]
    fn number(&self) -> u64 {
        self.0.header.number
    }

    #[getter]
    fn state_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.state.root())
    }

    fn balance<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let found = self.0.state.account(&address(account)?);
        integer(py, &found.map(|account| account.balance).unwrap_or_default())
    }

    fn nonce(&self, account: &[u8]) -> PyResult<u64> {
        Ok(self.0.state.account(&address(account)?).map_or(0, |account| account.nonce))
    }

    fn code<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let found = self.0.state.account(&address(account)?).and_then(|a| self.0.state.code(&a.code_hash));
        Ok(bytes(py, found.map(|code| code.original_bytes()).unwrap_or_default()))
    }

    fn storage<'py>(&self, py: Python<'py>, account: &[u8], slot: Word256) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.0.state.storage(&address(account)?, &slot.0))
    }

    fn storage_of<'py>(&self, py: Python<'py>, account: &[u8]) -> PyResult<Vec<SlotItem<'py>>> {
        let account = address(account)?;
        let slots = py.detach(|| self.0.state.storage_of(&account));
        slots.iter().map(|found| Ok((integer(py, &found.slot)?, integer(py, &found.value)?))).collect()
    }

    fn proof(&self, account: &[u8], slots: Vec<Word256>) -> PyResult<AccountProof> {
        let slots: Vec<_> = slots.into_iter().map(|slot| slot.0).collect();
        Ok(AccountProof(self.0.state.proof(&address(account)?, &slots)))
    }

    #[pyo3(signature = (*, sender, to, data, value, gas, gas_price, tip, access_list, gas_cap))]
    #[allow(clippy::too_many_arguments)]
    fn call(
        &self,
        py: Python<'_>,
        sender: &[u8],
        to: Option<&[u8]>,
        data: Vec<u8>,
        value: Word256,
        gas: Option<u64>,
        gas_price: u128,
        tip: Option<u128>,
        access_list: Vec<AccessItem>,
        gas_cap: u64,
    ) -> PyResult<CallResult> {
        let request = request(sender, to, data, value, gas, gas_price, tip, access_list)?;
        py.detach(|| self.0.call(&request, gas_cap)).map(CallResult).map_err(transaction_refused)
    }

    /// The estimate, or how the call fails with all the gas allowed.
    #[pyo3(signature = (*, sender, to, data, value, gas, gas_price, tip, access_list, gas_cap))]
    #[allow(clippy::too_many_arguments)]
    fn estimate_gas(
        &self,
        py: Python<'_>,
        sender: &[u8],
        to: Option<&[u8]>,
        data: Vec<u8>,
        value: Word256,
        gas: Option<u64>,
        gas_price: u128,
        tip: Option<u128>,
        access_list: Vec<AccessItem>,
        gas_cap: u64,
    ) -> PyResult<(Option<u64>, Option<CallResult>)> {
        let request = request(sender, to, data, value, gas, gas_price, tip, access_list)?;
        let estimate = py.detach(|| self.0.estimate_gas(&request, gas_cap)).map_err(transaction_refused)?;
        Ok(match estimate {
            Ok(gas) => (Some(gas), None),
            Err(failed) => (None, Some(CallResult(failed))),
        })
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let raw = py.detach(|| self.0.state.snapshot());
        bytes(py, raw)
    }
}

#[allow(clippy::too_many_arguments)]
fn request(
    sender: &[u8],
    to: Option<&[u8]>,
    data: Vec<u8>,
    value: Word256,
    gas: Option<u64>,
    gas_price: u128,
    tip: Option<u128>,
    access_list: Vec<AccessItem>,
) -> PyResult<CallRequest> {
    let item = |(account, keys): AccessItem| {
        Ok(w3bstream_evm::alloy_eips::eip2930::AccessListItem {
            address: address(&account)?,
            storage_keys: keys.iter().map(|key| word(key)).collect::<PyResult<_>>()?,
        })
    };
    Ok(CallRequest {
        from: address(sender)?,
        to: to.map(address).transpose()?,
        gas,
        gas_price,
        tip,
        value: value.0,
        data: Bytes::from(data),
        access_list: access_list.into_iter().map(item).collect::<PyResult<Vec<_>>>()?.into(),
    })
}

#[pymethods]
impl CallResult {
    /// "success", "revert" or "halt".
    #[getter]
    fn status(&self) -> &'static str {
        match self.0.status {
            CallStatus::Success => "success",
            CallStatus::Revert => "revert",
            CallStatus::Halt(_) => "halt",
        }
    }

    #[getter]
    fn halt_reason(&self) -> &str {
        match &self.0.status {
            CallStatus::Halt(reason) => reason,
            _ => "",
        }
    }

    #[getter]
    fn gas_used(&self) -> u64 {
        self.0.gas_used
    }

    #[getter]
    fn output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, &self.0.output)
    }
}

#[pymethods]
impl AccountProof {
    #[getter]
    fn nonce(&self) -> u64 {
        self.0.account.nonce
    }

    #[getter]
    fn balance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.0.account.balance)
    }

    #[getter]
    fn code_hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.account.code_hash)
    }

    #[getter]
    fn storage_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.account.storage.root())
    }

    #[getter]
    fn account_proof<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0.account_proof.iter().map(|node| bytes(py, node)).collect()
    }

    #[getter]
    fn storage_proofs<'py>(&self, py: Python<'py>) -> PyResult<Vec<StorageProofItem<'py>>> {
        let mut items = Vec::new();
        for (slot, value, nodes) in &self.0.storage_proofs {
            let nodes = nodes.iter().map(|node| bytes(py, node)).collect();
            items.push((integer(py, slot)?, integer(py, value)?, nodes));
        }
        Ok(items)
    }
}
