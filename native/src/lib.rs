//! The Python surface of the accelerator. Each room registers its own classes and functions; nothing here decides.

mod attestation;
mod babyjubjub;
mod bls;
mod callback;
mod evm;
mod groth16;
mod input;
mod msm;

use pyo3::prelude::*;

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    attestation::register(m)?;
    babyjubjub::register(m)?;
    bls::register(m)?;
    evm::register(m)?;
    groth16::register(m)?;
    msm::register(m)?;
    Ok(())
}
