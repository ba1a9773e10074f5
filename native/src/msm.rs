//! Python bindings of `w3bstream-msm`: bytes in, bytes out, the GIL released while it works.

use std::path::{Path, PathBuf};

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use w3bstream_msm::{
    BasesDigest, Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, EngineKind, Error, Instructions, Plan,
    PlanRequest, PrecomputedBases, Report, encoding,
};

use crate::callback::Callback;
use crate::input::Input;

create_exception!(
    native._native,
    MsmError,
    PyValueError,
    "A multiplication or a table that is refused or broke off: args = (kind, message)."
);

fn refuse(error: Error) -> PyErr {
    MsmError::new_err((error.kind(), error.to_string()))
}

/// Runs `work` off the GIL on `threads` threads (0: one a core); a progress callback that raises stops it.
fn run<T: Send>(
    py: Python<'_>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(Report) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let callback = Callback::new(progress);
    let result = py.detach(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|error| Error::Io(error.to_string()))?.install(|| work(&|done| callback.tell((done,))))
    });
    callback.result(result.map_err(refuse))
}

/// A plan's settings from Python.
fn request(memory: u64, engine: Option<&str>, window: Option<u32>, portable: bool) -> PyResult<PlanRequest> {
    let engine = match engine {
        None => None,
        Some(name) => {
            let known = EngineKind::ALL.iter().find(|kind| kind.name() == name);
            let names = EngineKind::ALL.map(EngineKind::name).join(", ");
            let message = || PyValueError::new_err(format!("engine {name:?} is none of {names}"));
            Some(*known.ok_or_else(message)?)
        }
    };
    let instructions = if portable { Instructions::Portable } else { Instructions::Detect };
    Ok(PlanRequest { memory_bytes: memory, instructions, engine, window })
}

/// A table of any group.
trait Table: Send + Sync {
    fn plan(&self) -> &Plan;
    fn digest(&self) -> &BasesDigest;
    fn save(&self, path: &Path) -> Result<(), Error>;
    /// The sum's bytes, from the scalars'.
    fn msm(&self, scalars: &[u8], report: Report) -> Result<Vec<u8>, Error>;
}

impl<C: Curve> Table for PrecomputedBases<C> {
    fn plan(&self) -> &Plan {
        self.plan()
    }
    fn digest(&self) -> &BasesDigest {
        self.digest()
    }
    fn save(&self, path: &Path) -> Result<(), Error> {
        self.save(path)
    }
    fn msm(&self, scalars: &[u8], report: Report) -> Result<Vec<u8>, Error> {
        let sum = self.msm(&encoding::scalars::<C>(scalars)?, report)?;
        Ok(encoding::sum_to_bytes::<C>(&sum))
    }
}

/// An expression for the group that a name says.
macro_rules! for_group {
    ($name:expr, $group:ident => $body:expr) => {{
        match $name {
            "bn254-g1" => {
                type $group = Bn254G1;
                $body
            }
            "bn254-g2" => {
                type $group = Bn254G2;
                $body
            }
            "bls12-381-g1" => {
                type $group = Bls12381G1;
                $body
            }
            "bls12-381-g2" => {
                type $group = Bls12381G2;
                $body
            }
            other => Err(PyValueError::new_err(format!(
                "group {other:?} is none of bn254-g1, bn254-g2, bls12-381-g1, bls12-381-g2"
            ))),
        }
    }};
}

/// Bases with their stored multiples.
#[pyclass(frozen, module = "native._native")]
struct MsmBases {
    table: Box<dyn Table>,
}

#[pymethods]
impl MsmBases {
    #[staticmethod]
    #[pyo3(signature = (group, points, *, memory = 1 << 30, engine = None, window = None, portable = false,
                        threads = 0, progress = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn build(
        py: Python<'_>,
        group: &str,
        points: Input,
        memory: u64,
        engine: Option<&str>,
        window: Option<u32>,
        portable: bool,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let request = request(memory, engine, window, portable)?;
        for_group!(group, G => run(py, threads, progress, |report| {
            let table = PrecomputedBases::<G>::build(&encoding::points::<G>(&points)?, &request, report)?;
            Ok(Self { table: Box::new(table) })
        }))
    }

    #[staticmethod]
    #[pyo3(signature = (group, path, digest, *, portable = false))]
    fn open(py: Python<'_>, group: &str, path: PathBuf, digest: [u8; 32], portable: bool) -> PyResult<Self> {
        let instructions = request(0, None, None, portable)?.instructions;
        for_group!(group, G => py.detach(|| {
            let table = PrecomputedBases::<G>::open(&path, &BasesDigest(digest), instructions)?;
            Ok(Self { table: Box::new(table) })
        }).map_err(refuse))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.table.save(&path)).map_err(refuse)
    }

    #[pyo3(signature = (scalars, *, threads = 0, progress = None))]
    fn msm(
        &self,
        py: Python<'_>,
        scalars: Input,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<u8>> {
        run(py, threads, progress, |report| self.table.msm(&scalars, report))
    }

    #[getter]
    fn group(&self) -> &'static str {
        self.table.plan().curve
    }

    #[getter]
    fn engine(&self) -> &'static str {
        self.table.plan().engine.name()
    }

    #[getter]
    fn window(&self) -> u32 {
        self.table.plan().window
    }

    #[getter]
    fn additions(&self) -> u64 {
        self.table.plan().additions
    }

    #[getter]
    fn table_bytes(&self) -> u64 {
        self.table.plan().table_bytes
    }

    #[getter]
    fn digest(&self) -> &[u8] {
        &self.table.digest().0
    }

    fn __len__(&self) -> usize {
        self.table.plan().points
    }

    fn __repr__(&self) -> String {
        format!("MsmBases({})", self.table.plan())
    }
}

/// Σ scalars[i]·points[i] without a table.
#[pyfunction]
#[pyo3(signature = (group, points, scalars, *, engine = None, window = None, portable = false, threads = 0,
                    progress = None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
fn msm(
    py: Python<'_>,
    group: &str,
    points: Input,
    scalars: Input,
    engine: Option<&str>,
    window: Option<u32>,
    portable: bool,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<u8>> {
    let request = request(u64::MAX, engine, window, portable)?;
    for_group!(group, G => run(py, threads, progress, |report| {
        let (points, scalars) = (encoding::points::<G>(&points)?, encoding::scalars::<G>(&scalars)?);
        Ok(encoding::sum_to_bytes::<G>(&w3bstream_msm::msm::<G>(&points, &scalars, &request, report)?))
    }))
}

/// Adds this room's classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("MsmError", m.py().get_type::<MsmError>())?;
    m.add_class::<MsmBases>()?;
    m.add_function(wrap_pyfunction!(msm, m)?)
}
