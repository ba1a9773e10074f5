//! The Python surface of the accelerator. Each room registers its own classes and functions; nothing here decides.

mod evm;
mod groth16;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    evm::register(m)?;
    groth16::register(m)?;
    Ok(())
}
