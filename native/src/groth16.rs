//! Python bindings of `w3bstream-groth16`: bytes in, bytes out, the GIL released while it works.

mod imported;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use w3bstream_groth16::curve::Bn254;
use w3bstream_groth16::key::ProvingKey;
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::tables::Tables;
use w3bstream_groth16::{Error, ceremony, on_threads, setup, zkey};

use crate::callback::Callback;
use imported::{
    Groth16ImportedKey, Proved, Source, Witness, groth16_verify, groth16_verify_batch, prove_with,
};

create_exception!(
    native._native,
    Groth16Error,
    PyException,
    "Set-up, proving or verification failed: args = (kind, message)."
);

fn refuse(error: Error) -> PyErr {
    Groth16Error::new_err((error.kind(), error.to_string()))
}

fn io(path: &Path, error: &std::io::Error) -> PyErr {
    refuse(Error::Io(format!("{}: {error}", path.display())))
}

fn file(py: Python<'_>, path: &Path) -> PyResult<Vec<u8>> {
    py.detach(|| std::fs::read(path)).map_err(|error| io(path, &error))
}

/// Runs `work` off the GIL on its own threads; a progress callback that raises stops it and its exception comes out.
fn run<T: Send>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(w3bstream_groth16::Progress) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let callback = Callback::new(progress);
    let report = |stage: &str, fraction: f64| callback.tell((stage, fraction));
    let result = py.detach(|| on_threads(threads, || work(&report)));
    callback.result(result.map_err(refuse))
}

/// A Groth16 proving key over BN254 with its contribution log. Immutable.
#[pyclass(frozen, module = "native._native")]
struct Groth16Key {
    inner: Arc<ProvingKey>,
    tables: Option<Tables<Bn254>>,
}

impl Groth16Key {
    fn of(key: ProvingKey) -> Self {
        Self { inner: Arc::new(key), tables: None }
    }

    fn proved(
        &self,
        py: Python<'_>,
        witness: &Witness,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> Proved<PyErr> {
        let tables = self.tables.as_ref();
        run(py, threads, progress, |report| prove_with(&*self.inner, tables, witness, report))
    }
}

#[pymethods]
impl Groth16Key {
    #[staticmethod]
    #[pyo3(signature = (r1cs, label = setup::DEVELOPMENT_LABEL, threads = 0, progress = None))]
    fn setup(
        py: Python<'_>,
        r1cs: &[u8],
        label: &str,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let key =
            run(py, threads, progress, |report| setup::setup(ConstraintSystem::read(r1cs)?, label, report))?;
        Ok(Self::of(key))
    }

    #[pyo3(signature = (name, threads = 0, progress = None))]
    fn contribute(
        &self,
        py: Python<'_>,
        name: &str,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let key = run(py, threads, progress, |report| ceremony::contribute(&self.inner, name, report))?;
        Ok(Self::of(key))
    }

    #[staticmethod]
    #[pyo3(signature = (path, threads = 0))]
    fn load(py: Python<'_>, path: PathBuf, threads: usize) -> PyResult<Self> {
        let bytes = file(py, &path)?;
        let key = run(py, threads, None, |_| ProvingKey::from_bytes(&bytes))?;
        Ok(Self::of(key))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| {
            let mut file = File::create(&path)?;
            file.write_all(&self.inner.to_bytes())?;
            file.sync_all()
        })
        .map_err(|error| io(&path, &error))
    }

    #[pyo3(signature = (initial, threads = 0))]
    fn verify_contributions(&self, py: Python<'_>, initial: &Self, threads: usize) -> PyResult<()> {
        run(py, threads, None, |_| ceremony::verify_contributions(&initial.inner, &self.inner))
    }

    fn matches_r1cs(&self, py: Python<'_>, r1cs: &[u8]) -> PyResult<bool> {
        let system = py.detach(|| ConstraintSystem::read(r1cs)).map_err(refuse)?;
        Ok(system == self.inner.body.system)
    }

    #[pyo3(signature = (witness, threads = 0, progress = None))]
    fn prove(
        &self,
        py: Python<'_>,
        witness: &[u8],
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> Proved<PyErr> {
        self.proved(py, &Witness::Words(witness), threads, progress)
    }

    #[pyo3(signature = (wtns, threads = 0, progress = None))]
    fn prove_wtns(
        &self,
        py: Python<'_>,
        wtns: &[u8],
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> Proved<PyErr> {
        self.proved(py, &Witness::Wtns(wtns), threads, progress)
    }

    #[staticmethod]
    #[pyo3(signature = (source, r1cs = None, threads = 0))]
    fn from_zkey(
        py: Python<'_>,
        source: Source,
        r1cs: Option<&[u8]>,
        threads: usize,
    ) -> PyResult<Groth16ImportedKey> {
        Groth16ImportedKey::read(py, &source, r1cs, threads)
    }

    #[pyo3(signature = (memory, folder = None, threads = 0, progress = None))]
    fn with_tables(
        &self,
        py: Python<'_>,
        memory: u64,
        folder: Option<PathBuf>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let tables = run(py, threads, progress, |report| {
            Tables::prepare(&self.inner.body.points, folder.as_deref(), memory, report)
        })?;
        Ok(Self { inner: self.inner.clone(), tables: Some(tables) })
    }

    #[getter]
    fn tables(&self) -> BTreeMap<&'static str, String> {
        self.tables.iter().flat_map(Tables::plans).collect()
    }

    fn verifying_key_abi(&self) -> Vec<u8> {
        self.inner.verifying_key().to_abi()
    }

    fn zkey(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        py.detach(|| zkey::export(&self.inner)).map_err(refuse)
    }

    fn log_json(&self) -> String {
        self.inner.log_json()
    }

    #[getter]
    fn label(&self) -> &str {
        &self.inner.label
    }

    #[getter]
    fn hash(&self) -> &[u8] {
        &self.inner.hash
    }

    #[getter]
    fn r1cs_sha256(&self) -> &[u8] {
        &self.inner.body.system.sha256
    }

    #[getter]
    fn constraints(&self) -> usize {
        self.inner.body.system.constraints
    }

    #[getter]
    fn wires(&self) -> usize {
        self.inner.body.system.wires
    }

    #[getter]
    fn signals(&self) -> usize {
        self.inner.body.system.public
    }

    #[getter]
    fn contributions(&self) -> usize {
        self.inner.log.len()
    }

    fn __repr__(&self) -> String {
        let system = &self.inner.body.system;
        format!(
            "Groth16Key({} constraints, {} contributions, {:?})",
            system.constraints,
            self.inner.log.len(),
            self.inner.label
        )
    }
}

/// Adds this room's classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("Groth16Error", m.py().get_type::<Groth16Error>())?;
    m.add_class::<Groth16Key>()?;
    m.add_class::<Groth16ImportedKey>()?;
    m.add_function(wrap_pyfunction!(groth16_verify, m)?)?;
    m.add_function(wrap_pyfunction!(groth16_verify_batch, m)?)
}
