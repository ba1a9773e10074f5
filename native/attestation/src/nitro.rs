//! AWS Nitro Enclaves attestation documents.
//!
//! Format and sizes: "AWS Nitro Enclaves NSM API", `docs/attestation_process.md` of aws/aws-nitro-enclaves-nsm-api, §2.2
//! (COSE_Sign1 with ES384, RFC 9052 §4.2) and §3 (which rules to check). What that text leaves open is strict here:
//! definite lengths, shortest arguments, no key twice, none that is unknown, PCRs of SHA-384's length alone.

use sha2::{Digest, Sha256, Sha384};

use crate::Fingerprint;
use crate::cbor::Reader;
use crate::error::{Error, Reason, require, require_length};
use crate::signature::Algorithm;
use crate::x509::{MAX_CHAIN, Trust, verify_chain};

/// Bytes of a document at most; the hypervisor's answers end at 12 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 16_384;
/// A document may be this much ahead of the time of the check, for clocks that differ.
pub const MAX_SKEW_SECONDS: u64 = 60;
/// COSE_Sign1 (RFC 9052 §2); the tag may be left out.
const TAG_18: u8 = 0xd2;
/// The protected header {1: -35}, algorithm ES384.
const PROTECTED: &[u8] = b"\xa1\x01\x38\x22";
const SIGNATURE: usize = 96;
const PCR: usize = 48;
const MAX_PCR: u64 = 31;
const MAX_CERTIFICATE: usize = 1_024;
const MAX_PUBLIC_KEY: usize = 1_024;
const MAX_USER_DATA: usize = 512;
const MAX_NONCE: usize = 512;
const MAX_MODULE_ID: usize = 256;
/// Of a second; timestamps count them.
pub const MILLISECONDS: u64 = 1_000;

/// A document whose signature and chain hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub module_id: String,
    /// Unix milliseconds, by the hypervisor.
    pub timestamp: u64,
    /// The PCRs' hash: always "SHA384".
    pub digest: &'static str,
    /// Registers by number, ascending; 48 bytes each.
    pub pcrs: Vec<(u8, [u8; PCR])>,
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    pub public_key: Option<Vec<u8>>,
    pub user_data: Option<Vec<u8>>,
    pub nonce: Option<Vec<u8>>,
    /// The trusted root that it goes back to.
    pub root: Fingerprint,
    /// Unix seconds of the last second in which every certificate is valid.
    pub valid_until: i64,
}

impl Verified {
    /// Whether the enclave runs in debug mode: its PCR0, the image's digest, is zeros.
    pub fn is_debug(&self) -> bool {
        self.pcrs.iter().any(|(number, value)| *number == 0 && value.iter().all(|&byte| byte == 0))
    }
}

/// Verifies a document: its form, the chain from its certificate over its bundle to a trusted root, its signature.
///
/// # Errors
/// A document or certificate that is malformed or does not hold; a timestamp more than [`MAX_SKEW_SECONDS`] after the time
/// of the check.
pub fn verify(document: &[u8], trust: Trust<'_>) -> Result<Verified, Error> {
    let envelope = Envelope::read(document)?;
    let payload = Payload::read(envelope.payload)?;
    require_not_ahead(payload.timestamp, trust.time)?;
    // The bundle begins with the root and ends with the signer's issuer.
    let certificates: Vec<&[u8]> =
        std::iter::once(payload.certificate).chain(payload.bundle.iter().rev().copied()).collect();
    let chain = verify_chain(&certificates, trust, &[Algorithm::EcdsaP384], &[Algorithm::EcdsaP384])?;
    let (r, s) = envelope.signature();
    let digest = envelope.signed_digest();
    let holds = chain.leaf.key.verifies_p384(&digest, &r, &s);
    require(holds, Reason::Signature, "document.signature", "not signed by the document's certificate")?;
    Ok(payload.owned(chain.root, chain.valid_until))
}

/// The fingerprint of the root that a document brings, which nobody need trust: for a caller that trusts none itself and
/// passes on which one it was.
///
/// # Errors
/// A document that is malformed.
pub fn root_of(document: &[u8]) -> Result<Fingerprint, Error> {
    let payload = Payload::read(Envelope::read(document)?.payload)?;
    Ok(Sha256::digest(required(payload.bundle.first(), "payload.cabundle")?).into())
}

/// Errors for a timestamp of the future.
fn require_not_ahead(timestamp: u64, time: i64) -> Result<(), Error> {
    // A time before 1970 counts as 1970: every document is of the future then, and refused.
    let latest = u64::try_from(time).unwrap_or_default().saturating_add(MAX_SKEW_SECONDS);
    if timestamp / MILLISECONDS <= latest {
        return Ok(());
    }
    let text = format!("{timestamp} ms is after the time of the check, {time} s");
    Err(Error::new(Reason::NotYetValid, "document.timestamp", text))
}

/// The four parts of COSE_Sign1, of which the protected header is known and the other one empty.
struct Envelope<'a> {
    payload: &'a [u8],
    signature: &'a [u8; SIGNATURE],
}

impl<'a> Envelope<'a> {
    fn read(document: &'a [u8]) -> Result<Self, Error> {
        require_length(document, 1, MAX_DOCUMENT_BYTES, "document")?;
        let mut reader = Reader::new(document, "document");
        reader.skip(TAG_18);
        let parts = reader.array()?;
        require(parts == 4, Reason::Encoding, "document", "not the four parts of COSE_Sign1")?;
        let protected = reader.reading("document.protected").bytes()?;
        let text = "the protected header is not {1: -35}, ES384";
        require(protected == PROTECTED, Reason::Algorithm, "document.protected", text)?;
        let unprotected = reader.reading("document.unprotected").map()?;
        require(unprotected == 0, Reason::Unknown, "document.unprotected", "the header is not empty")?;
        let payload = reader.reading("document.payload").bytes()?;
        let signature = reader.reading("document.signature").bytes()?;
        require_length(signature, SIGNATURE, SIGNATURE, "document.signature")?;
        let text = "not 96 bytes";
        let field = "document.signature";
        let signature = signature.try_into().map_err(|_| Error::new(Reason::Length, field, text))?;
        reader.reading("document");
        reader.end()?;
        Ok(Self { payload, signature })
    }

    /// r and s.
    fn signature(&self) -> ([u8; 48], [u8; 48]) {
        let (mut r, mut s) = ([0; 48], [0; 48]);
        r.copy_from_slice(&self.signature[..48]);
        s.copy_from_slice(&self.signature[48..]);
        (r, s)
    }

    /// SHA-384 of Sig_structure (RFC 9052 §4.4): ["Signature1", protected, h'', payload].
    fn signed_digest(&self) -> [u8; 48] {
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        let head: Vec<u8> = match length {
            0..24 => vec![0x40 | length as u8],
            24..256 => vec![0x58, length as u8],
            256.. => [&[0x59][..], &length.to_be_bytes()].concat(),
        };
        Sha384::new()
            .chain_update(b"\x84\x6aSignature1\x44")
            .chain_update(PROTECTED)
            .chain_update(b"\x40")
            .chain_update(head)
            .chain_update(self.payload)
            .finalize()
            .into()
    }
}

/// The payload's fields, borrowed.
struct Payload<'a> {
    module_id: &'a str,
    timestamp: u64,
    pcrs: Vec<(u8, [u8; PCR])>,
    certificate: &'a [u8],
    bundle: Vec<&'a [u8]>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

/// The payload's fields while they are read: each at most once, in any order.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<()>,
    timestamp: Option<u64>,
    pcrs: Option<Vec<(u8, [u8; PCR])>>,
    certificate: Option<&'a [u8]>,
    bundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

/// Keys of the payload's map.
const KEYS: u64 = 9;

impl<'a> Payload<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, "payload");
        let pairs = reader.map()?;
        require(pairs <= KEYS, Reason::Unknown, "payload", "more keys than there are fields")?;
        let mut fields = Fields::default();
        for _ in 0..pairs {
            let key = reader.reading("payload").text()?;
            fields.read_value(key, &mut reader)?;
        }
        reader.reading("payload");
        reader.end()?;
        fields.complete()
    }

    fn owned(self, root: Fingerprint, valid_until: i64) -> Verified {
        Verified {
            module_id: self.module_id.to_owned(),
            timestamp: self.timestamp,
            digest: "SHA384",
            pcrs: self.pcrs,
            certificate: self.certificate.to_vec(),
            public_key: self.public_key.map(<[u8]>::to_vec),
            user_data: self.user_data.map(<[u8]>::to_vec),
            nonce: self.nonce.map(<[u8]>::to_vec),
            root,
            valid_until,
        }
    }
}

impl<'a> Fields<'a> {
    fn read_value(&mut self, key: &str, reader: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "module_id" => once(&mut self.module_id, read_module_id(reader)?, "payload.module_id"),
            "digest" => once(&mut self.digest, read_digest(reader)?, "payload.digest"),
            "timestamp" => {
                let timestamp = reader.reading("payload.timestamp").unsigned()?;
                require(timestamp > 0, Reason::Value, "payload.timestamp", "0")?;
                once(&mut self.timestamp, timestamp, "payload.timestamp")
            }
            "pcrs" => once(&mut self.pcrs, read_pcrs(reader)?, "payload.pcrs"),
            "certificate" => {
                let certificate = read_certificate(reader, "payload.certificate")?;
                once(&mut self.certificate, certificate, "payload.certificate")
            }
            "cabundle" => once(&mut self.bundle, read_bundle(reader)?, "payload.cabundle"),
            "public_key" => {
                let value = read_optional(reader, 1, MAX_PUBLIC_KEY, "payload.public_key")?;
                once(&mut self.public_key, value, "payload.public_key")
            }
            "user_data" => {
                let value = read_optional(reader, 0, MAX_USER_DATA, "payload.user_data")?;
                once(&mut self.user_data, value, "payload.user_data")
            }
            "nonce" => {
                let value = read_optional(reader, 0, MAX_NONCE, "payload.nonce")?;
                once(&mut self.nonce, value, "payload.nonce")
            }
            _ => Err(Error::new(Reason::Unknown, "payload", "a key that no field has")),
        }
    }

    fn complete(self) -> Result<Payload<'a>, Error> {
        required(self.digest, "payload.digest")?;
        Ok(Payload {
            module_id: required(self.module_id, "payload.module_id")?,
            timestamp: required(self.timestamp, "payload.timestamp")?,
            pcrs: required(self.pcrs, "payload.pcrs")?,
            certificate: required(self.certificate, "payload.certificate")?,
            bundle: required(self.bundle, "payload.cabundle")?,
            public_key: self.public_key.flatten(),
            user_data: self.user_data.flatten(),
            nonce: self.nonce.flatten(),
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T, field: &'static str) -> Result<(), Error> {
    require(place.is_none(), Reason::Duplicate, field, "the key is there twice")?;
    *place = Some(value);
    Ok(())
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Error> {
    value.ok_or_else(|| Error::new(Reason::Missing, field, "the key is missing"))
}

fn read_module_id<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Error> {
    let module_id = reader.reading("payload.module_id").text()?;
    require_length(module_id.as_bytes(), 1, MAX_MODULE_ID, "payload.module_id")?;
    Ok(module_id)
}

fn read_digest(reader: &mut Reader<'_>) -> Result<(), Error> {
    let digest = reader.reading("payload.digest").text()?;
    require(digest == "SHA384", Reason::Algorithm, "payload.digest", "not SHA384")
}

fn read_certificate<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], Error> {
    let certificate = reader.reading(field).bytes()?;
    require_length(certificate, 1, MAX_CERTIFICATE, field)?;
    Ok(certificate)
}

fn read_bundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let field = "payload.cabundle";
    let count = reader.reading(field).array()?;
    let fits = (1..MAX_CHAIN as u64).contains(&count);
    require(fits, Reason::Length, field, "not 1 to 7 certificates")?;
    (0..count).map(|_| read_certificate(reader, field)).collect()
}

/// PCRs in ascending order of number, which no map need have; sorted here, each once.
fn read_pcrs(reader: &mut Reader<'_>) -> Result<Vec<(u8, [u8; PCR])>, Error> {
    let field = "payload.pcrs";
    let count = reader.reading(field).map()?;
    require((1..=MAX_PCR + 1).contains(&count), Reason::Length, field, "not 1 to 32 registers")?;
    let mut pcrs: Vec<(u8, [u8; PCR])> = Vec::new();
    for _ in 0..count {
        let text = "a register above 31";
        let number = u8::try_from(reader.unsigned()?).ok().filter(|&number| u64::from(number) <= MAX_PCR);
        let number = number.ok_or_else(|| Error::new(Reason::Value, field, text))?;
        let value = reader.bytes()?;
        require_length(value, PCR, PCR, field)?;
        let fresh = pcrs.iter().all(|(earlier, _)| *earlier != number);
        require(fresh, Reason::Duplicate, field, "a register is there twice")?;
        let mut register = [0; PCR];
        register.copy_from_slice(value);
        pcrs.push((number, register));
    }
    pcrs.sort_unstable_by_key(|(number, _)| *number);
    Ok(pcrs)
}

fn read_optional<'a>(
    reader: &mut Reader<'a>,
    least: usize,
    most: usize,
    field: &'static str,
) -> Result<Option<&'a [u8]>, Error> {
    let value = reader.reading(field).optional_bytes()?;
    if let Some(bytes) = value {
        require_length(bytes, least, most, field)?;
    }
    Ok(value)
}
