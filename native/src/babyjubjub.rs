//! Python bindings of `w3bstream-babyjubjub`: bytes in, verdicts out, the GIL released while it works.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use w3bstream_babyjubjub::eddsa::Key;
use w3bstream_babyjubjub::{field_from_be, field_to_be, reading, tree};

/// Whether the signature signs the field element for the key; malformed input is no signature.
#[pyfunction]
fn babyjubjub_verify(py: Python<'_>, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    py.detach(|| match (Key::cached(public_key), field_from_be(message)) {
        (Some(key), Some(message)) => key.verifies(message, signature),
        _ => false,
    })
}

/// The signed field element of each (public key, reading in wire form), or nothing where the key did not sign it.
#[pyfunction]
fn babyjubjub_signed_messages(
    py: Python<'_>,
    signed: Vec<(PyBackedBytes, PyBackedBytes)>,
) -> Vec<Option<[u8; 32]>> {
    let found = py.detach(|| reading::signed_messages(&signed));
    found.iter().map(|message| message.as_ref().map(field_to_be)).collect()
}

/// The field element that a reading's device signs.
#[pyfunction]
fn reading_message(py: Python<'_>, wire: &[u8]) -> PyResult<[u8; 32]> {
    let message = py.detach(|| reading::message(wire));
    let message = message.ok_or_else(|| PyValueError::new_err("the bytes are not exactly one reading"))?;
    Ok(field_to_be(&message))
}

/// The roots of trees of P2 with `capacity` leaves each.
#[pyfunction]
fn poseidon_roots(
    py: Python<'_>,
    trees: Vec<Vec<PyBackedBytes>>,
    capacity: usize,
) -> PyResult<Vec<[u8; 32]>> {
    let roots = py.detach(|| {
        let decoded = |leaves: &Vec<PyBackedBytes>| leaves.iter().map(|leaf| field_from_be(leaf)).collect();
        tree::roots(trees.iter().map(decoded).collect::<Option<_>>()?, capacity)
    });
    let roots = roots.ok_or_else(|| {
        PyValueError::new_err(format!("a leaf is no field element, or a tree has not {capacity} leaves"))
    })?;
    Ok(roots.iter().map(field_to_be).collect())
}

/// Adds this room's functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(babyjubjub_verify, m)?)?;
    m.add_function(wrap_pyfunction!(babyjubjub_signed_messages, m)?)?;
    m.add_function(wrap_pyfunction!(reading_message, m)?)?;
    m.add_function(wrap_pyfunction!(poseidon_roots, m)?)
}
