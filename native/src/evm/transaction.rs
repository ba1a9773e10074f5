//! Signed transactions for Python.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use w3bstream_evm::SignedTransaction;
use w3bstream_evm::alloy_consensus::{Transaction as _, TxEnvelope};

use super::view::StateView;
use super::{bytes, integer, transaction_refused};

type AccessItem<'py> = (Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>);
type AuthorizationItem<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyBytes>, u64, u8, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// A decoded signed transaction.
#[pyclass(frozen, module = "native._native")]
pub struct Transaction(pub Arc<SignedTransaction>);

impl Transaction {
    fn tx(&self) -> &TxEnvelope {
        self.0.envelope()
    }
}

#[pymethods]
impl Transaction {
    #[staticmethod]
    fn decode(py: Python<'_>, raw: &[u8]) -> PyResult<Self> {
        let decoded = py.detach(|| SignedTransaction::decode(raw)).map_err(transaction_refused)?;
        Ok(Self(Arc::new(decoded)))
    }

    #[getter]
    fn hash<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.hash())
    }

    #[getter]
    fn sender<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(bytes(py, self.0.recover().map_err(transaction_refused)?))
    }

    #[getter]
    fn encoded<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.0.encoded())
    }

    #[getter]
    fn r#type(&self) -> u8 {
        u8::from(self.tx().tx_type())
    }

    #[getter]
    fn chain_id(&self) -> Option<u64> {
        self.tx().chain_id()
    }

    #[getter]
    fn nonce(&self) -> u64 {
        self.tx().nonce()
    }

    #[getter]
    fn gas(&self) -> u64 {
        self.tx().gas_limit()
    }

    #[getter]
    fn to<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.tx().to().map(|to| bytes(py, to))
    }

    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.tx().value())
    }

    #[getter]
    fn input<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        bytes(py, self.tx().input())
    }

    #[getter]
    fn max_fee_per_gas(&self) -> u128 {
        self.tx().max_fee_per_gas()
    }

    /// The gas price itself for types 0 and 1.
    #[getter]
    fn max_priority_fee_per_gas(&self) -> u128 {
        self.tx().priority_fee_or_price()
    }

    #[getter]
    fn cost<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.0.cost())
    }

    #[getter]
    fn access_list<'py>(&self, py: Python<'py>) -> Option<Vec<AccessItem<'py>>> {
        let list = self.tx().access_list()?;
        let item = |item: &w3bstream_evm::alloy_eips::eip2930::AccessListItem| {
            (bytes(py, item.address), item.storage_keys.iter().map(|key| bytes(py, key)).collect())
        };
        Some(list.0.iter().map(item).collect())
    }

    #[getter]
    fn authorization_list<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<AuthorizationItem<'py>>>> {
        let Some(list) = self.tx().authorization_list() else { return Ok(None) };
        let mut items = Vec::with_capacity(list.len());
        for signed in list {
            items.push((
                integer(py, &signed.chain_id)?,
                bytes(py, signed.address),
                signed.nonce,
                signed.y_parity(),
                integer(py, &signed.r())?,
                integer(py, &signed.s())?,
            ));
        }
        Ok(Some(items))
    }

    #[getter]
    fn y_parity(&self) -> u8 {
        u8::from(self.tx().signature().v())
    }

    #[getter]
    fn r<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.tx().signature().r())
    }

    #[getter]
    fn s<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.tx().signature().s())
    }

    fn effective_gas_price(&self, base_fee: u64) -> u128 {
        self.tx().effective_gas_price(Some(base_fee))
    }

    /// `None` when the fee cap is below the base fee.
    fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        self.tx().effective_tip_per_gas(base_fee)
    }

    /// Every rule that a mempool can check on a state.
    fn check(&self, view: &StateView) -> PyResult<()> {
        let StateView(inner) = view;
        self.0.check_static(inner.rules.chain_id, inner.header.gas_limit).map_err(transaction_refused)?;
        self.0.check_against(&inner.state).map_err(transaction_refused)
    }
}
