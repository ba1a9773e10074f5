//! Bytes from Python, held while the GIL is away.

use std::ops::Deref;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// The bytes of an object with the buffer protocol. `bytes` are used where they lie; anything else, such as a numpy
/// array of `uint8`, is copied once, for its owner may write to it while the GIL is away.
pub enum Input {
    Shared(PyBackedBytes),
    Copied(Vec<u8>),
}

impl<'py> FromPyObject<'_, 'py> for Input {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyBytes>() {
            return Ok(Self::Shared(object.extract()?));
        }
        Ok(Self::Copied(PyBuffer::<u8>::get(&object)?.to_vec(object.py())?))
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}
