//! Python bindings of `w3bstream-evm`: plain values in and out, the GIL released while blocks and calls execute.

mod block;
mod chain;
mod transaction;
mod view;

use pyo3::create_exception;
use pyo3::exceptions::{PyLookupError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyTuple};
use w3bstream_evm::alloy_primitives::{Address, B256, U256};
use w3bstream_evm::{ExecutionError, TransactionError};

create_exception!(
    native._native,
    TransactionRefused,
    PyValueError,
    "A transaction that the chain's rules refuse."
);
create_exception!(
    native._native,
    ExecutionRefused,
    PyValueError,
    "A block, genesis or snapshot that does not hold."
);
create_exception!(
    native._native,
    StateNotAvailable,
    PyLookupError,
    "The state of that block is no longer kept."
);

fn transaction_refused(error: TransactionError) -> PyErr {
    TransactionRefused::new_err(error.to_string())
}

fn execution_refused(error: ExecutionError) -> PyErr {
    match error {
        ExecutionError::StateNotAvailable { .. } => StateNotAvailable::new_err(error.to_string()),
        other => ExecutionRefused::new_err(other.to_string()),
    }
}

fn address(raw: &[u8]) -> PyResult<Address> {
    Address::try_from(raw)
        .map_err(|_| PyValueError::new_err(format!("an address has 20 bytes, not {}", raw.len())))
}

fn word(raw: &[u8]) -> PyResult<B256> {
    B256::try_from(raw).map_err(|_| PyValueError::new_err(format!("a hash has 32 bytes, not {}", raw.len())))
}

fn bytes<'py>(py: Python<'py>, raw: impl AsRef<[u8]>) -> Bound<'py, PyBytes> {
    PyBytes::new(py, raw.as_ref())
}

fn integer<'py>(py: Python<'py>, value: &U256) -> PyResult<Bound<'py, PyAny>> {
    match u64::try_from(*value) {
        Ok(small) => Ok(small.into_pyobject(py)?.into_any()),
        Err(_) => {
            py.get_type::<PyInt>().call_method1("from_bytes", (bytes(py, value.to_be_bytes::<32>()), "big"))
        }
    }
}

/// A Python int in [0, 2^256).
struct Word256(U256);

impl<'a, 'py> FromPyObject<'a, 'py> for Word256 {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(small) = value.extract::<u64>() {
            return Ok(Self(U256::from(small)));
        }
        let raw = value.call_method1("to_bytes", (32, "big"))?;
        Ok(Self(U256::from_be_slice(raw.cast::<PyBytes>()?.as_bytes())))
    }
}

/// Adds this room's classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("TransactionRefused", py.get_type::<TransactionRefused>())?;
    m.add("ExecutionRefused", py.get_type::<ExecutionRefused>())?;
    m.add("StateNotAvailable", py.get_type::<StateNotAvailable>())?;
    m.add("STATE_HISTORY", w3bstream_evm::STATE_HISTORY)?;
    m.add("MAX_WITHDRAWALS", w3bstream_evm::MAX_WITHDRAWALS)?;
    m.add("FORKS", PyTuple::new(py, w3bstream_evm::Fork::ALL.map(w3bstream_evm::Fork::name))?)?;
    m.add_class::<transaction::Transaction>()?;
    m.add_class::<block::Block>()?;
    m.add_class::<block::Receipt>()?;
    m.add_class::<block::ExecutedBlock>()?;
    m.add_class::<view::StateView>()?;
    m.add_class::<view::CallResult>()?;
    m.add_class::<view::AccountProof>()?;
    m.add_class::<chain::Chain>()?;
    m.add_function(wrap_pyfunction!(block::decode_receipts, m)?)?;
    Ok(())
}
