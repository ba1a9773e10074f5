//! Python bindings of `w3bstream-attestation`: bytes in, fields out, the GIL released while it works.

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};
use w3bstream_attestation::sev_snp::{Firmware, Report, Signer, Tcb};
use w3bstream_attestation::x509::{Algorithm, Trust, verify_chain};
use w3bstream_attestation::{Error, Fingerprint, nitro, nvidia_h100, roots, sev_snp};

create_exception!(
    native._native,
    AttestationRefused,
    PyValueError,
    "Evidence that is refused: args = (reason, field, text)."
);

fn refuse(error: Error) -> PyErr {
    AttestationRefused::new_err((error.reason().as_str(), error.field(), error.text().to_owned()))
}

/// The arguments that every platform has, held while the GIL is away.
struct Trusted {
    anchors: Vec<Fingerprint>,
    time: i64,
    revocation_lists: Vec<PyBackedBytes>,
}

impl Trusted {
    fn new(anchors: Vec<PyBackedBytes>, time: i64, revocation_lists: Vec<PyBackedBytes>) -> PyResult<Self> {
        let sized = |anchor: &PyBackedBytes| {
            let bytes: &[u8] = anchor;
            let text = "an anchor is the SHA-256 of a certificate: 32 bytes";
            Fingerprint::try_from(bytes).map_err(|_| PyValueError::new_err(text))
        };
        let anchors = anchors.iter().map(sized).collect::<PyResult<_>>()?;
        Ok(Self { anchors, time, revocation_lists })
    }

    fn with<T>(&self, use_trust: impl FnOnce(Trust<'_>) -> Result<T, Error>) -> PyResult<T> {
        let lists = slices(&self.revocation_lists);
        let trust = Trust { anchors: &self.anchors, time: self.time, revocation_lists: &lists };
        use_trust(trust).map_err(refuse)
    }
}

fn slices(bytes: &[PyBackedBytes]) -> Vec<&[u8]> {
    bytes.iter().map(|bytes| &**bytes).collect()
}

/// Security patch levels.
#[pyclass(frozen, eq, get_all, module = "native._native")]
#[derive(Clone, PartialEq)]
struct SnpTcb {
    raw: u64,
    fmc: Option<u8>,
    bootloader: u8,
    tee: u8,
    snp: u8,
    microcode: u8,
}

impl From<Tcb> for SnpTcb {
    fn from(tcb: Tcb) -> Self {
        let Tcb { raw, fmc, bootloader, tee, snp, microcode } = tcb;
        Self { raw, fmc, bootloader, tee, snp, microcode }
    }
}

#[pymethods]
impl SnpTcb {
    fn __repr__(&self) -> String {
        let fmc = self.fmc.map_or("None".into(), |level| level.to_string());
        format!(
            "SnpTcb(fmc={fmc}, bootloader={}, tee={}, snp={}, microcode={})",
            self.bootloader, self.tee, self.snp, self.microcode
        )
    }
}

/// A verified SEV-SNP report.
#[pyclass(frozen, module = "native._native")]
struct SnpReport {
    inner: sev_snp::Verified,
}

impl SnpReport {
    fn report(&self) -> &Report {
        &self.inner.report
    }
}

fn version(firmware: Firmware) -> (u8, u8, u8) {
    (firmware.major, firmware.minor, firmware.build)
}

#[pymethods]
impl SnpReport {
    #[getter]
    fn version(&self) -> u32 {
        self.report().version
    }

    #[getter]
    fn guest_svn(&self) -> u32 {
        self.report().guest_svn
    }

    #[getter]
    fn policy(&self) -> u64 {
        self.report().policy
    }

    #[getter]
    fn policy_abi(&self) -> (u8, u8) {
        self.report().least_abi()
    }

    #[getter]
    fn policy_debug(&self) -> bool {
        self.report().is_debug()
    }

    #[getter]
    fn policy_smt(&self) -> bool {
        self.report().allows_smt()
    }

    #[getter]
    fn policy_migrate_ma(&self) -> bool {
        self.report().allows_migration_agent()
    }

    #[getter]
    fn policy_single_socket(&self) -> bool {
        self.report().requires_single_socket()
    }

    #[getter]
    fn family_id(&self) -> &[u8] {
        &self.report().family_id
    }

    #[getter]
    fn image_id(&self) -> &[u8] {
        &self.report().image_id
    }

    #[getter]
    fn vmpl(&self) -> u32 {
        self.report().vmpl
    }

    #[getter]
    fn platform_info(&self) -> u64 {
        self.report().platform_info
    }

    #[getter]
    fn author_key_enabled(&self) -> bool {
        self.report().author_key_enabled
    }

    #[getter]
    fn chip_key_masked(&self) -> bool {
        self.report().chip_key_masked
    }

    #[getter]
    fn signing_key(&self) -> &'static str {
        self.report().signing_key.as_str()
    }

    #[getter]
    fn report_data(&self) -> &[u8] {
        &self.report().report_data
    }

    #[getter]
    fn measurement(&self) -> &[u8] {
        &self.report().measurement
    }

    #[getter]
    fn host_data(&self) -> &[u8] {
        &self.report().host_data
    }

    #[getter]
    fn id_key_digest(&self) -> &[u8] {
        &self.report().id_key_digest
    }

    #[getter]
    fn author_key_digest(&self) -> &[u8] {
        &self.report().author_key_digest
    }

    #[getter]
    fn report_id(&self) -> &[u8] {
        &self.report().report_id
    }

    #[getter]
    fn report_id_ma(&self) -> &[u8] {
        &self.report().report_id_migration_agent
    }

    #[getter]
    fn chip_id(&self) -> &[u8] {
        &self.report().chip_id
    }

    #[getter]
    fn cpuid(&self) -> Option<(u8, u8, u8)> {
        self.report().cpuid
    }

    #[getter]
    fn current_tcb(&self) -> SnpTcb {
        self.report().current_tcb.into()
    }

    #[getter]
    fn reported_tcb(&self) -> SnpTcb {
        self.report().reported_tcb.into()
    }

    #[getter]
    fn committed_tcb(&self) -> SnpTcb {
        self.report().committed_tcb.into()
    }

    #[getter]
    fn launch_tcb(&self) -> SnpTcb {
        self.report().launch_tcb.into()
    }

    #[getter]
    fn current_version(&self) -> (u8, u8, u8) {
        version(self.report().current_firmware)
    }

    #[getter]
    fn committed_version(&self) -> (u8, u8, u8) {
        version(self.report().committed_firmware)
    }

    #[getter]
    fn launch_mitigations(&self) -> Option<u64> {
        self.report().launch_mitigations
    }

    #[getter]
    fn current_mitigations(&self) -> Option<u64> {
        self.report().current_mitigations
    }

    #[getter]
    fn product(&self) -> &'static str {
        self.inner.endorsement.product.as_str()
    }

    #[getter]
    fn product_name(&self) -> &str {
        &self.inner.endorsement.product_name
    }

    #[getter]
    fn csp_id(&self) -> Option<&str> {
        match &self.inner.endorsement.signer {
            Signer::Provider(provider) => Some(provider),
            Signer::Chip(_) => None,
        }
    }

    #[getter]
    fn root(&self) -> &[u8] {
        &self.inner.root
    }
}

/// A verified Nitro Enclaves document.
#[pyclass(frozen, module = "native._native")]
struct NitroDocument {
    inner: nitro::Verified,
}

#[pymethods]
impl NitroDocument {
    #[getter]
    fn module_id(&self) -> &str {
        &self.inner.module_id
    }

    #[getter]
    fn timestamp(&self) -> u64 {
        self.inner.timestamp
    }

    #[getter]
    fn digest(&self) -> &'static str {
        self.inner.digest
    }

    #[getter]
    fn pcrs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let pcrs = PyDict::new(py);
        for (number, value) in &self.inner.pcrs {
            pcrs.set_item(number, PyBytes::new(py, value))?;
        }
        Ok(pcrs)
    }

    #[getter]
    fn certificate(&self) -> &[u8] {
        &self.inner.certificate
    }

    #[getter]
    fn public_key(&self) -> Option<&[u8]> {
        self.inner.public_key.as_deref()
    }

    #[getter]
    fn user_data(&self) -> Option<&[u8]> {
        self.inner.user_data.as_deref()
    }

    #[getter]
    fn nonce(&self) -> Option<&[u8]> {
        self.inner.nonce.as_deref()
    }

    #[getter]
    fn debug(&self) -> bool {
        self.inner.is_debug()
    }

    #[getter]
    fn root(&self) -> &[u8] {
        &self.inner.root
    }
}

/// A verified H100 report.
#[pyclass(frozen, module = "native._native")]
struct H100Report {
    inner: nvidia_h100::Verified,
}

#[pymethods]
impl H100Report {
    #[getter]
    fn nonce(&self) -> &[u8] {
        &self.inner.nonce
    }

    #[getter]
    fn response_nonce(&self) -> &[u8] {
        &self.inner.response_nonce
    }

    #[getter]
    fn slot(&self) -> u8 {
        self.inner.slot
    }

    #[getter]
    fn measurements<'py>(&self, py: Python<'py>) -> Vec<(u8, u8, Bound<'py, PyBytes>)> {
        let blocks = self.inner.measurements.iter();
        blocks.map(|block| (block.index, block.kind, PyBytes::new(py, &block.value))).collect()
    }

    #[getter]
    fn opaque<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opaque = PyDict::new(py);
        for (kind, value) in &self.inner.opaque {
            opaque.set_item(kind, PyBytes::new(py, value))?;
        }
        Ok(opaque)
    }

    #[getter]
    fn driver_version(&self) -> Option<&str> {
        self.inner.driver_version.as_deref()
    }

    #[getter]
    fn vbios_version(&self) -> Option<&str> {
        self.inner.vbios_version.as_deref()
    }

    #[getter]
    fn firmware_digest(&self) -> Option<&[u8]> {
        self.inner.firmware_digest.as_ref().map(|digest| &digest[..])
    }

    #[getter]
    fn root(&self) -> &[u8] {
        &self.inner.root
    }
}

/// Verifies a SEV-SNP report.
#[pyfunction]
#[pyo3(signature = (report, certificates, anchors, time, revocation_lists = Vec::new()))]
fn sev_snp_verify(
    py: Python<'_>,
    report: PyBackedBytes,
    certificates: Vec<PyBackedBytes>,
    anchors: Vec<PyBackedBytes>,
    time: i64,
    revocation_lists: Vec<PyBackedBytes>,
) -> PyResult<SnpReport> {
    let trusted = Trusted::new(anchors, time, revocation_lists)?;
    let verified =
        py.detach(|| trusted.with(|trust| sev_snp::verify(&report, &slices(&certificates), trust)));
    verified.map(|inner| SnpReport { inner })
}

/// Verifies a Nitro Enclaves document.
#[pyfunction]
fn nitro_verify(
    py: Python<'_>,
    document: PyBackedBytes,
    anchors: Vec<PyBackedBytes>,
    time: i64,
) -> PyResult<NitroDocument> {
    let trusted = Trusted::new(anchors, time, Vec::new())?;
    let verified = py.detach(|| trusted.with(|trust| nitro::verify(&document, trust)));
    verified.map(|inner| NitroDocument { inner })
}

/// Verifies an H100 report.
#[pyfunction]
#[pyo3(signature = (report, certificates, anchors, time, revocation_lists = Vec::new()))]
fn h100_verify(
    py: Python<'_>,
    report: PyBackedBytes,
    certificates: Vec<PyBackedBytes>,
    anchors: Vec<PyBackedBytes>,
    time: i64,
    revocation_lists: Vec<PyBackedBytes>,
) -> PyResult<H100Report> {
    let trusted = Trusted::new(anchors, time, revocation_lists)?;
    let verified =
        py.detach(|| trusted.with(|trust| nvidia_h100::verify(&report, &slices(&certificates), trust)));
    verified.map(|inner| H100Report { inner })
}

const ANY: [Algorithm; 3] = [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::RsaPss4096];

/// Verifies a chain and hands out its leaf's key.
#[pyfunction]
#[pyo3(signature = (certificates, anchors, time, revocation_lists = Vec::new()))]
fn x509_verify<'py>(
    py: Python<'py>,
    certificates: Vec<PyBackedBytes>,
    anchors: Vec<PyBackedBytes>,
    time: i64,
    revocation_lists: Vec<PyBackedBytes>,
) -> PyResult<Bound<'py, PyBytes>> {
    let trusted = Trusted::new(anchors, time, revocation_lists)?;
    let key = py.detach(|| {
        trusted.with(|trust| {
            let chain = verify_chain(&slices(&certificates), trust, &ANY, &ANY)?;
            Ok(chain.leaf.key_info.to_vec())
        })
    })?;
    Ok(PyBytes::new(py, &key))
}

fn add_roots(m: &Bound<'_, PyModule>, name: &str, vendor: &[roots::Root]) -> PyResult<()> {
    let found = PyDict::new(m.py());
    for (root, fingerprint) in vendor {
        found.set_item(root, PyBytes::new(m.py(), fingerprint))?;
    }
    m.add(name, found)
}

/// Adds this room's classes, constants and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("AttestationRefused", m.py().get_type::<AttestationRefused>())?;
    add_roots(m, "SEV_SNP_ROOTS", &roots::SEV_SNP)?;
    add_roots(m, "NITRO_ROOTS", &roots::NITRO)?;
    add_roots(m, "NVIDIA_DEVICE_ROOTS", &roots::NVIDIA_DEVICE)?;
    add_roots(m, "NVIDIA_RIM_ROOTS", &roots::NVIDIA_RIM)?;
    m.add_class::<SnpTcb>()?;
    m.add_class::<SnpReport>()?;
    m.add_class::<NitroDocument>()?;
    m.add_class::<H100Report>()?;
    m.add_function(wrap_pyfunction!(sev_snp_verify, m)?)?;
    m.add_function(wrap_pyfunction!(nitro_verify, m)?)?;
    m.add_function(wrap_pyfunction!(h100_verify, m)?)?;
    m.add_function(wrap_pyfunction!(x509_verify, m)?)
}
