//! NVIDIA H100 (Hopper) attestation reports: a transcript of SPDM 1.1 GET_MEASUREMENTS and its answer, signed by the GPU.
//!
//! Layout: DMTF DSP0274 1.1.0 §10.11, and for what NVIDIA puts into OpaqueData PyPI nv-local-gpu-verifier 2.7.3,
//! `verifier/attestation/spdm_msrt_resp_msg.py`. Comparing the measurements with NVIDIA's reference manifests (SWID tags with
//! XML signatures) is left to Python: canonical XML has no place in consensus. The chain of a manifest's signer is
//! checked by [`crate::x509::verify_chain`] like any other.

mod transcript;

use sha2::{Digest, Sha384};

pub use transcript::{MAX_REPORT_BYTES, Measurement, REQUEST_BYTES, SIGNATURE_BYTES};

use crate::Fingerprint;
use crate::der::{self, Reader};
use crate::error::{Error, Reason, require};
use crate::signature::Algorithm;
use crate::x509::{Certificate, Trust, verify_chain};
use transcript::Transcript;

/// CompositeDeviceID of the signer's certificate, 2.23.133.5.4.1: version, device key, firmware digest.
const COMPOSITE_DEVICE_ID: &[u8] = b"\x67\x81\x05\x05\x04\x01";
const SHA_384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";

/// Types of opaque data.
const DRIVER_VERSION: u16 = 3;
const VBIOS_VERSION: u16 = 6;
const FIRMWARE_DIGEST: u16 = 20;
/// Characters of a driver's version at most.
const MAX_DRIVER_VERSION: usize = 64;

/// A report whose signature and chain hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The asker's 32 bytes, which the signature covers.
    pub nonce: [u8; 32],
    /// The GPU's own 32 bytes.
    pub response_nonce: [u8; 32],
    /// Certificate slot asked for.
    pub slot: u8,
    /// Blocks by index, ascending.
    pub measurements: Vec<Measurement>,
    /// Opaque data by type, in the report's order, each type once.
    pub opaque: Vec<(u16, Vec<u8>)>,
    /// "550.90.07"; picks the driver's reference manifest.
    pub driver_version: Option<String>,
    /// "96.00.9F.00.01"; picks the VBIOS's reference manifest.
    pub vbios_version: Option<String>,
    /// Digest of the GPU's firmware, the same in the report and in the signer's certificate.
    pub firmware_digest: Option<[u8; 48]>,
    /// The trusted root that it goes back to.
    pub root: Fingerprint,
    /// Unix seconds of the last second in which every certificate and revocation list given is valid.
    pub valid_until: i64,
}

/// Verifies a report, request then answer, with its chain, leaf first.
///
/// # Errors
/// A report or certificate that is malformed or does not hold; a firmware digest other than the certificate's.
pub fn verify(report: &[u8], certificates: &[&[u8]], trust: Trust<'_>) -> Result<Verified, Error> {
    let transcript = Transcript::read(report)?;
    let chain = verify_chain(certificates, trust, &[Algorithm::EcdsaP384], &[Algorithm::EcdsaP384])?;
    let firmware_digest = firmware_digest(&transcript, &chain.leaf)?;
    let (r, s) = transcript.signature();
    let digest = Sha384::digest(transcript.signed).into();
    let holds = chain.leaf.key.verifies_p384(&digest, &r, &s);
    require(holds, Reason::Signature, "report.signature", "not signed by the GPU's certificate")?;
    Ok(Verified {
        nonce: *transcript.nonce,
        response_nonce: *transcript.response_nonce,
        slot: transcript.slot,
        driver_version: driver_version(&transcript)?,
        vbios_version: vbios_version(&transcript)?,
        firmware_digest,
        root: chain.root,
        valid_until: chain.valid_until,
        opaque: transcript.opaque.iter().map(|(kind, value)| (*kind, value.to_vec())).collect(),
        measurements: transcript.measurements,
    })
}

/// The report's firmware digest, which must be the one in the signer's certificate. An older report has none.
fn firmware_digest(transcript: &Transcript<'_>, signer: &Certificate<'_>) -> Result<Option<[u8; 48]>, Error> {
    let Some(reported) = transcript.opaque(FIRMWARE_DIGEST) else { return Ok(None) };
    let field = "report.firmware_digest";
    let text = "not 48 bytes";
    let reported = reported.try_into().map_err(|_| Error::new(Reason::Length, field, text))?;
    let text = "the signer's certificate has none to compare it with";
    let value = signer.extension(COMPOSITE_DEVICE_ID);
    let value = value.ok_or_else(|| Error::new(Reason::Missing, "certificate.firmware_digest", text))?;
    let certified = certified_firmware(value, "certificate.firmware_digest")?;
    require(certified == reported, Reason::Mismatch, field, "the signer's certificate has another")?;
    Ok(Some(reported))
}

/// SEQUENCE { version, device key, SEQUENCE { hash algorithm, digest } }.
fn certified_firmware(value: &[u8], field: &'static str) -> Result<[u8; 48], Error> {
    let mut outer = Reader::new(value, field);
    let mut parts = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    require(parts.small()? == 1, Reason::Version, field, "a composite device ID of another version than 1")?;
    parts.contents(der::SEQUENCE)?;
    let mut firmware = parts.inside(der::SEQUENCE)?;
    parts.end()?;
    let hash = firmware.contents(der::OBJECT_IDENTIFIER)?;
    require(hash == SHA_384, Reason::Algorithm, field, "a firmware digest that is not SHA-384")?;
    let digest = firmware.contents(der::OCTET_STRING)?;
    firmware.end()?;
    digest.try_into().map_err(|_| Error::new(Reason::Length, field, "not 48 bytes"))
}

/// Printable characters and one zero behind them.
fn driver_version(transcript: &Transcript<'_>) -> Result<Option<String>, Error> {
    let Some(value) = transcript.opaque(DRIVER_VERSION) else { return Ok(None) };
    let field = "report.driver_version";
    let text = "not 1 to 64 printable characters and a zero";
    match value.split_last() {
        Some((0, version))
            if (1..=MAX_DRIVER_VERSION).contains(&version.len())
                && version.iter().all(u8::is_ascii_graphic) =>
        {
            Ok(Some(version.iter().map(|&character| char::from(character)).collect()))
        }
        _ => Err(Error::new(Reason::Value, field, text)),
    }
}

/// Eight bytes: a little-endian word with the first four parts, then one with the fifth.
fn vbios_version(transcript: &Transcript<'_>) -> Result<Option<String>, Error> {
    let Some(value) = transcript.opaque(VBIOS_VERSION) else { return Ok(None) };
    let [d, c, b, a, e, 0, 0, 0] = value else {
        let text = "not five parts in eight bytes";
        return Err(Error::new(Reason::Value, "report.vbios_version", text));
    };
    Ok(Some(format!("{a:02X}.{b:02X}.{c:02X}.{d:02X}.{e:02X}")))
}
