//! Python bindings of `w3bstream-bls`: bytes in, bytes and verdicts out, the GIL released while it works.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use pyo3::create_exception;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use w3bstream_bls::{Claim, Committee, Error, PublicKey, SIGNATURE_BYTES, SecretKey, Signature};

create_exception!(
    native._native,
    BlsError,
    PyValueError,
    "A key, a signature or a list that is refused: args = (kind, message)."
);

fn refuse(error: Error) -> PyErr {
    BlsError::new_err((error.kind(), error.to_string()))
}

/// A key as an object, checked before, or as 48 bytes that are checked now.
#[derive(FromPyObject)]
enum Key {
    Checked(Py<BlsPublicKey>),
    Encoded(PyBackedBytes),
}

impl Key {
    fn checked(&self) -> Result<PublicKey, Error> {
        match self {
            Key::Checked(key) => Ok(key.get().inner.clone()),
            Key::Encoded(bytes) => PublicKey::from_bytes(bytes),
        }
    }
}

fn checked(keys: &[Key]) -> Result<Vec<PublicKey>, Error> {
    keys.iter().map(Key::checked).collect()
}

fn decoded(signatures: &[PyBackedBytes]) -> Result<Vec<Signature>, Error> {
    signatures.iter().map(|signature| Signature::from_bytes(signature)).collect()
}

/// Errors unless there is one of `what` for each key.
fn one_a_key<T>(keys: &[Key], others: &[T], what: &'static str) -> Result<(), Error> {
    if keys.len() == others.len() {
        return Ok(());
    }
    Err(Error::Count { keys: keys.len(), others: others.len(), what })
}

/// A secret key. It cannot be copied or pickled; `repr` shows its public key.
#[pyclass(frozen, module = "native._native")]
struct BlsSecretKey {
    inner: SecretKey,
}

#[pymethods]
impl BlsSecretKey {
    #[staticmethod]
    fn generate(py: Python<'_>) -> PyResult<Self> {
        py.detach(SecretKey::generate).map(|inner| Self { inner }).map_err(refuse)
    }

    #[staticmethod]
    #[pyo3(signature = (material, key_info = &b""[..]))]
    fn key_gen(py: Python<'_>, material: &[u8], key_info: &[u8]) -> PyResult<Self> {
        py.detach(|| SecretKey::key_gen(material, key_info)).map(|inner| Self { inner }).map_err(refuse)
    }

    #[staticmethod]
    fn from_bytes(encoded: &[u8]) -> PyResult<Self> {
        SecretKey::from_bytes(encoded).map(|inner| Self { inner }).map_err(refuse)
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.to_bytes().as_ref())
    }

    fn public_key(&self, py: Python<'_>) -> BlsPublicKey {
        BlsPublicKey { inner: py.detach(|| self.inner.public_key()) }
    }

    fn sign(&self, py: Python<'_>, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        py.detach(|| self.inner.sign(message).to_bytes())
    }

    fn prove_possession(&self, py: Python<'_>) -> [u8; SIGNATURE_BYTES] {
        py.detach(|| self.inner.prove_possession().to_bytes())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a secret key is not copied or pickled"))
    }

    fn __repr__(&self) -> String {
        format!("<{:?}>", self.inner)
    }
}

/// A public key that was validated, kept decompressed.
#[pyclass(frozen, module = "native._native")]
struct BlsPublicKey {
    inner: PublicKey,
}

#[pymethods]
impl BlsPublicKey {
    #[staticmethod]
    fn from_bytes(py: Python<'_>, encoded: &[u8]) -> PyResult<Self> {
        py.detach(|| PublicKey::from_bytes(encoded)).map(|inner| Self { inner }).map_err(refuse)
    }

    fn to_bytes(&self) -> &[u8] {
        self.inner.to_bytes()
    }

    fn verify(&self, py: Python<'_>, message: &[u8], signature: &[u8]) -> PyResult<bool> {
        py.detach(|| Ok(self.inner.verifies(message, &Signature::from_bytes(signature)?))).map_err(refuse)
    }

    fn verify_possession(&self, py: Python<'_>, proof: &[u8]) -> PyResult<bool> {
        py.detach(|| Ok(self.inner.verifies_possession(&Signature::from_bytes(proof)?))).map_err(refuse)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (&[u8],))> {
        Ok((py.get_type::<Self>().getattr("from_bytes")?, (self.to_bytes(),)))
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.inner == other.inner
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("Bls{:?}", self.inner)
    }
}

/// Proven keys in a fixed order, checked once.
#[pyclass(frozen, module = "native._native")]
struct BlsCommittee {
    inner: Committee,
}

#[pymethods]
impl BlsCommittee {
    #[new]
    fn new(py: Python<'_>, keys: Vec<Key>, proofs: Vec<PyBackedBytes>) -> PyResult<Self> {
        let committee = py.detach(|| {
            one_a_key(&keys, &proofs, "proofs of possession")?;
            let proofs = decoded(&proofs)?;
            let members: Vec<(PublicKey, Signature)> = checked(&keys)?.into_iter().zip(proofs).collect();
            Committee::new(&members)
        });
        committee.map(|inner| Self { inner }).map_err(refuse)
    }

    #[staticmethod]
    fn of_proven(py: Python<'_>, keys: Vec<Key>) -> PyResult<Self> {
        let committee = py.detach(|| Committee::of_proven(checked(&keys)?));
        committee.map(|inner| Self { inner }).map_err(refuse)
    }

    #[getter]
    fn public_keys(&self) -> Vec<BlsPublicKey> {
        self.inner.keys().iter().map(|key| BlsPublicKey { inner: key.clone() }).collect()
    }

    fn signers(&self, bitmap: &[u8]) -> PyResult<Vec<usize>> {
        self.inner.signers(bitmap).map_err(refuse)
    }

    fn aggregate_key(&self, py: Python<'_>, bitmap: &[u8]) -> PyResult<BlsPublicKey> {
        py.detach(|| self.inner.aggregate_key(bitmap)).map(|inner| BlsPublicKey { inner }).map_err(refuse)
    }

    fn verify(&self, py: Python<'_>, bitmap: &[u8], message: &[u8], signature: &[u8]) -> PyResult<bool> {
        let verdict = py.detach(|| self.inner.verifies(bitmap, message, &Signature::from_bytes(signature)?));
        verdict.map_err(refuse)
    }

    fn aggregate(
        &self,
        py: Python<'_>,
        votes: Vec<(usize, PyBackedBytes)>,
    ) -> PyResult<(Vec<u8>, [u8; SIGNATURE_BYTES])> {
        let sum = py.detach(|| {
            let decoded = votes.iter().map(|(index, vote)| Ok((*index, Signature::from_bytes(vote)?)));
            self.inner.aggregate(&decoded.collect::<Result<Vec<_>, _>>()?)
        });
        sum.map(|(bitmap, signature)| (bitmap, signature.to_bytes())).map_err(refuse)
    }

    fn __len__(&self) -> usize {
        self.inner.keys().len()
    }
}

/// Verify.
#[pyfunction]
fn bls_verify(py: Python<'_>, key: Key, message: &[u8], signature: &[u8]) -> PyResult<bool> {
    py.detach(|| Ok(key.checked()?.verifies(message, &Signature::from_bytes(signature)?))).map_err(refuse)
}

/// PopVerify.
#[pyfunction]
fn bls_verify_possession(py: Python<'_>, key: Key, proof: &[u8]) -> PyResult<bool> {
    py.detach(|| Ok(key.checked()?.verifies_possession(&Signature::from_bytes(proof)?))).map_err(refuse)
}

/// Aggregate.
#[pyfunction]
fn bls_aggregate(py: Python<'_>, signatures: Vec<PyBackedBytes>) -> PyResult<[u8; SIGNATURE_BYTES]> {
    let sum = py.detach(|| Signature::aggregate(&decoded(&signatures)?));
    sum.map(|signature| signature.to_bytes()).map_err(refuse)
}

/// The sum of public keys.
#[pyfunction]
fn bls_aggregate_public_keys(py: Python<'_>, keys: Vec<Key>) -> PyResult<BlsPublicKey> {
    let sum = py.detach(|| PublicKey::aggregate(&checked(&keys)?.iter().collect::<Vec<_>>()));
    sum.map(|inner| BlsPublicKey { inner }).map_err(refuse)
}

/// AggregateVerify.
#[pyfunction]
fn bls_aggregate_verify(
    py: Python<'_>,
    keys: Vec<Key>,
    messages: Vec<PyBackedBytes>,
    signature: &[u8],
) -> PyResult<bool> {
    let verdict = py.detach(|| {
        one_a_key(&keys, &messages, "messages")?;
        let keys = checked(&keys)?;
        let signed: Vec<(&PublicKey, &[u8])> = keys.iter().zip(messages.iter().map(|m| &**m)).collect();
        w3bstream_bls::aggregate_verify(&signed, &Signature::from_bytes(signature)?)
    });
    verdict.map_err(refuse)
}

/// FastAggregateVerify.
#[pyfunction]
fn bls_fast_aggregate_verify(
    py: Python<'_>,
    keys: Vec<Key>,
    message: &[u8],
    signature: &[u8],
) -> PyResult<bool> {
    let verdict = py.detach(|| {
        let keys = checked(&keys)?;
        let keys: Vec<&PublicKey> = keys.iter().collect();
        w3bstream_bls::fast_aggregate_verify(&keys, message, &Signature::from_bytes(signature)?)
    });
    verdict.map_err(refuse)
}

type Triple = (Key, PyBackedBytes, PyBackedBytes);

fn on_claims<T>(triples: &[Triple], judge: impl Fn(&[Claim<'_>]) -> Result<T, Error>) -> Result<T, Error> {
    let decoded = triples
        .iter()
        .map(|(key, _, signature)| Ok((key.checked()?, Signature::from_bytes(signature)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let claims: Vec<Claim<'_>> = triples
        .iter()
        .zip(&decoded)
        .map(|((_, message, _), (key, signature))| Claim { key, message, signature })
        .collect();
    judge(&claims)
}

/// Whether every triple's signature is the key's on the message.
#[pyfunction]
fn bls_batch_verify(py: Python<'_>, signed: Vec<Triple>) -> PyResult<bool> {
    py.detach(|| on_claims(&signed, w3bstream_bls::batch_verify)).map_err(refuse)
}

/// The indices of the triples whose signature is not the key's on the message.
#[pyfunction]
fn bls_batch_invalid(py: Python<'_>, signed: Vec<Triple>) -> PyResult<Vec<usize>> {
    py.detach(|| on_claims(&signed, w3bstream_bls::invalid_claims)).map_err(refuse)
}

/// Adds this room's classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("BlsError", m.py().get_type::<BlsError>())?;
    m.add_class::<BlsSecretKey>()?;
    m.add_class::<BlsPublicKey>()?;
    m.add_class::<BlsCommittee>()?;
    m.add_function(wrap_pyfunction!(bls_verify, m)?)?;
    m.add_function(wrap_pyfunction!(bls_verify_possession, m)?)?;
    m.add_function(wrap_pyfunction!(bls_aggregate, m)?)?;
    m.add_function(wrap_pyfunction!(bls_aggregate_public_keys, m)?)?;
    m.add_function(wrap_pyfunction!(bls_aggregate_verify, m)?)?;
    m.add_function(wrap_pyfunction!(bls_fast_aggregate_verify, m)?)?;
    m.add_function(wrap_pyfunction!(bls_batch_verify, m)?)?;
    m.add_function(wrap_pyfunction!(bls_batch_invalid, m)?)
}
