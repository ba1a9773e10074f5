//! Keys that came as a `.zkey`, and verification of many proofs at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use w3bstream_groth16::batch::refused_bytes;
use w3bstream_groth16::curve::{Bls12_381, Bn254, Curve};
use w3bstream_groth16::key::Key;
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::tables::Tables;
use w3bstream_groth16::verify::{Proof, VerifyingKey, signals_from_bytes};
use w3bstream_groth16::zkey::{self, ImportedKey};
use w3bstream_groth16::{Error, Progress, prove, verify};

use super::{file, refuse, run};

/// A file's bytes, or where it lies.
#[derive(FromPyObject)]
pub enum Source {
    Bytes(PyBackedBytes),
    Path(PathBuf),
}

/// A full witness: plain words or a `.wtns` file.
pub enum Witness<'a> {
    Words(&'a [u8]),
    Wtns(&'a [u8]),
}

/// A proof's bytes with the seconds of each stage.
pub type Proved<E = Error> = Result<(Vec<u8>, prove::Timings), E>;

/// Proves with any key, over its tables if it has some.
pub fn prove_with<K: Key>(
    key: &K,
    tables: Option<&Tables<K::Curve>>,
    witness: &Witness,
    report: Progress,
) -> Proved {
    let witness = match witness {
        Witness::Words(bytes) => prove::witness_from_bytes(key, bytes)?,
        Witness::Wtns(bytes) => prove::witness_from_wtns(key, bytes)?,
    };
    let (proof, timings) = prove::prove_over(key, tables, &witness, report)?;
    Ok((proof.to_bytes(), timings))
}

/// An imported key without its curve's type.
trait AnyKey: Send + Sync {
    fn prove(&self, witness: &Witness, report: Progress) -> Proved;
    fn verifying_key(&self) -> Vec<u8>;
    fn curve(&self) -> &'static str;
    fn shape(&self) -> Shape;
}

struct Shape {
    wires: usize,
    signals: usize,
    domain: usize,
    contributions: u32,
    sha256: [u8; 32],
    names_constraints: bool,
}

impl<E: Curve> AnyKey for ImportedKey<E> {
    fn prove(&self, witness: &Witness, report: Progress) -> Proved {
        prove_with(self, None, witness, report)
    }
    fn verifying_key(&self) -> Vec<u8> {
        Key::verifying_key(self).to_bytes()
    }
    fn curve(&self) -> &'static str {
        E::NAME
    }
    fn shape(&self) -> Shape {
        Shape {
            wires: self.wires(),
            signals: self.public(),
            domain: self.domain_size(),
            contributions: self.contributions(),
            sha256: *self.sha256(),
            names_constraints: self.names_constraints(),
        }
    }
}

fn read<E: Curve>(zkey: &[u8], r1cs: Option<&[u8]>) -> Result<Arc<dyn AnyKey>, Error> {
    let key = ImportedKey::<E>::read(zkey)?;
    Ok(match r1cs {
        Some(r1cs) => Arc::new(key.with_r1cs(ConstraintSystem::read(r1cs)?)?),
        None => Arc::new(key),
    })
}

/// Runs an expression with `$curve` as the type of the curve that a name means.
macro_rules! with_curve {
    ($name:expr, $curve:ident => $body:expr) => {
        match $name {
            "bn254" => {
                type $curve = Bn254;
                $body
            }
            "bls12-381" => {
                type $curve = Bls12_381;
                $body
            }
            other => Err(Error::Malformed {
                what: "curve",
                detail: format!("{other:?} is neither \"bn254\" nor \"bls12-381\""),
            }),
        }
    };
}

/// A Groth16 proving key that came as a `.zkey`, over BN254 or BLS12-381. Immutable.
#[pyclass(frozen, module = "native._native")]
pub struct Groth16ImportedKey {
    inner: Arc<dyn AnyKey>,
}

impl Groth16ImportedKey {
    pub fn read(py: Python<'_>, source: &Source, r1cs: Option<&[u8]>, threads: usize) -> PyResult<Self> {
        let bytes: Cow<'_, [u8]> = match source {
            Source::Bytes(bytes) => Cow::Borrowed(bytes),
            Source::Path(path) => Cow::Owned(file(py, path)?),
        };
        let inner =
            run(py, threads, None, |_| with_curve!(zkey::curve_of(&bytes)?, E => read::<E>(&bytes, r1cs)))?;
        Ok(Self { inner })
    }
}

#[pymethods]
impl Groth16ImportedKey {
    #[pyo3(signature = (witness, threads = 0, progress = None))]
    fn prove(
        &self,
        py: Python<'_>,
        witness: &[u8],
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> Proved<PyErr> {
        run(py, threads, progress, |report| self.inner.prove(&Witness::Words(witness), report))
    }

    #[pyo3(signature = (wtns, threads = 0, progress = None))]
    fn prove_wtns(
        &self,
        py: Python<'_>,
        wtns: &[u8],
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> Proved<PyErr> {
        run(py, threads, progress, |report| self.inner.prove(&Witness::Wtns(wtns), report))
    }

    fn verifying_key(&self) -> Vec<u8> {
        self.inner.verifying_key()
    }

    #[getter]
    fn curve(&self) -> &'static str {
        self.inner.curve()
    }

    #[getter]
    fn wires(&self) -> usize {
        self.inner.shape().wires
    }

    #[getter]
    fn signals(&self) -> usize {
        self.inner.shape().signals
    }

    #[getter]
    fn domain(&self) -> usize {
        self.inner.shape().domain
    }

    #[getter]
    fn contributions(&self) -> u32 {
        self.inner.shape().contributions
    }

    #[getter]
    fn sha256(&self) -> [u8; 32] {
        self.inner.shape().sha256
    }

    #[getter]
    fn names_constraints(&self) -> bool {
        self.inner.shape().names_constraints
    }

    fn __repr__(&self) -> String {
        let Shape { wires, signals, .. } = self.inner.shape();
        format!("Groth16ImportedKey({}, {wires} wires, {signals} signals)", self.inner.curve())
    }
}

/// Whether `proof` proves `signals` under the key; malformed input raises instead.
#[pyfunction]
#[pyo3(signature = (verifying_key, signals, proof, curve = "bn254"))]
pub fn groth16_verify(
    py: Python<'_>,
    verifying_key: &[u8],
    signals: &[u8],
    proof: &[u8],
    curve: &str,
) -> PyResult<bool> {
    py.detach(|| {
        with_curve!(curve, E => {
            let key = VerifyingKey::<E>::from_bytes(verifying_key)?;
            verify::verify(&key, &signals_from_bytes(signals)?, &Proof::from_bytes(proof)?)
        })
    })
    .map_err(refuse)
}

/// Which of many claims are refused, and why.
#[pyfunction]
#[pyo3(signature = (verifying_key, claims, threads = 0, progress = None, curve = "bn254"))]
pub fn groth16_verify_batch(
    py: Python<'_>,
    verifying_key: &[u8],
    claims: Vec<(PyBackedBytes, PyBackedBytes)>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    curve: &str,
) -> PyResult<BTreeMap<usize, String>> {
    let refused = run(py, threads, progress, |report| {
        with_curve!(curve, E => {
            refused_bytes(&VerifyingKey::<E>::from_bytes(verifying_key)?, &claims, report)
        })
    })?;
    Ok(refused.into_iter().map(|(place, reason)| (place, reason.to_string())).collect())
}
