//! A certificate of version 3 (RFC 5280 §4.1).

use crate::der::{self, Reader};
use crate::error::{Error, Reason, require, require_length};
use crate::signature::{Algorithm, PublicKey};

/// Bytes of a certificate at most; the vendors' have up to 1,800.
pub const MAX_CERTIFICATE_BYTES: usize = 8_192;
/// Extensions of a certificate at most; the vendors' have up to 13.
pub const MAX_EXTENSIONS: usize = 32;
/// Octets of a serial number: 20 (RFC 5280 §4.1.2.2) and one for the sign.
const MAX_SERIAL: usize = 21;
const VERSION_3: u8 = 2;

const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
/// Extensions that may be critical: the two above are obeyed, names and key identifiers decide nothing here.
const UNDERSTOOD: [&[u8]; 5] =
    [BASIC_CONSTRAINTS, KEY_USAGE, b"\x55\x1d\x0e", b"\x55\x1d\x11", b"\x55\x1d\x23"];

/// Bits of KeyUsage, counted from the first (RFC 5280 §4.2.1.3).
const DIGITAL_SIGNATURE: u32 = 0;
const KEY_CERT_SIGN: u32 = 5;
const CRL_SIGN: u32 = 6;

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyUsage(u8);

impl KeyUsage {
    fn read(value: &[u8], field: &'static str) -> Result<Self, Error> {
        let mut reader = Reader::new(value, field);
        let bits = reader.contents(der::BIT_STRING)?;
        reader.end()?;
        // AMD writes the zeros at the end that DER leaves out. The ninth bit, decipherOnly, is of no use here.
        match bits {
            [unused @ 0..8, octets @ ..] if (1..=2).contains(&octets.len()) => {
                let zero = octets[octets.len() - 1].trailing_zeros() >= u32::from(*unused);
                require(zero, Reason::Encoding, field, "key usage with bits that are not in use")?;
                Ok(Self(octets[0]))
            }
            _ => Err(Error::new(Reason::Encoding, field, "key usage without bits, or with more than 9")),
        }
    }

    fn has(self, bit: u32) -> bool {
        self.0 & (0x80 >> bit) != 0
    }
}

/// One extension, its value not interpreted.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// Contents of the OBJECT IDENTIFIER.
    pub identifier: &'a [u8],
    pub critical: bool,
    pub value: &'a [u8],
}

/// A parsed certificate that borrows its DER. Nothing about it is verified yet.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    pub(super) signed: &'a [u8],
    pub(super) algorithm: Algorithm,
    pub(super) signature: &'a [u8],
    pub(super) serial: &'a [u8],
    /// Name, DER; compared octet by octet.
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// SubjectPublicKeyInfo, DER.
    pub key_info: &'a [u8],
    pub key: PublicKey,
    /// Greatest number of CAs below it if there is a limit; `None` for a certificate that is no CA.
    pub(super) authority: Option<Option<u8>>,
    key_usage: Option<KeyUsage>,
    extensions: Vec<Extension<'a>>,
    /// The whole.
    pub der: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Parses one certificate in DER.
    ///
    /// # Errors
    /// For anything but a certificate of version 3 in strict DER with a key and a signature algorithm that are known here,
    /// at most [`MAX_CERTIFICATE_BYTES`] and [`MAX_EXTENSIONS`], each extension once and no critical one that is not understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        require_length(bytes, 1, MAX_CERTIFICATE_BYTES, "certificate")?;
        let mut outer = Reader::new(bytes, "certificate");
        let mut parts = outer.inside(der::SEQUENCE)?;
        outer.end()?;
        let to_be_signed = parts.value(der::SEQUENCE)?;
        let identifier = parts.contents(der::SEQUENCE)?;
        let signature = parts.bit_octets()?;
        parts.end()?;
        let algorithm = Algorithm::of_identifier(identifier, "certificate.signature_algorithm")?;

        let mut fields = Reader::new(to_be_signed.contents, "certificate");
        read_version(&mut fields)?;
        let serial = fields.unsigned()?;
        require_length(serial, 0, MAX_SERIAL, "certificate.serial")?;
        let inner = fields.contents(der::SEQUENCE)?;
        let text = "the signed and the unsigned algorithm identifier differ";
        require(inner == identifier, Reason::Mismatch, "certificate.signature_algorithm", text)?;
        let issuer = fields.value(der::SEQUENCE)?.whole;
        let mut validity = fields.inside(der::SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        validity.end()?;
        let subject = fields.value(der::SEQUENCE)?.whole;
        let key_info = fields.value(der::SEQUENCE)?;
        let mut key = Reader::new(key_info.contents, "certificate.key");
        let parsed_key = PublicKey::read(&mut key, "certificate.key")?;
        key.end()?;
        let extensions = read_extensions(&mut fields, "certificate.extensions")?;
        fields.end()?;

        let mut certificate = Self {
            signed: to_be_signed.whole,
            algorithm,
            signature,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key_info: key_info.whole,
            key: parsed_key,
            authority: None,
            key_usage: None,
            extensions,
            der: bytes,
        };
        certificate.interpret_extensions()?;
        Ok(certificate)
    }

    fn interpret_extensions(&mut self) -> Result<(), Error> {
        require_understood(&self.extensions, &UNDERSTOOD, "certificate.extensions")?;
        if let Some(value) = self.extension(KEY_USAGE) {
            self.key_usage = Some(KeyUsage::read(value, "certificate.key_usage")?);
        }
        if let Some(value) = self.extension(BASIC_CONSTRAINTS) {
            self.authority = read_basic_constraints(value, "certificate.basic_constraints")?;
        }
        Ok(())
    }

    /// The value of the extension with this identifier (contents of the OBJECT IDENTIFIER).
    pub fn extension(&self, identifier: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|extension| extension.identifier == identifier).map(|found| found.value)
    }

    /// Errors unless `time` lies within its validity, both ends included.
    pub(super) fn require_valid_at(&self, time: i64) -> Result<(), Error> {
        let field = "certificate.validity";
        if time < self.not_before {
            let text = format!("valid from {}, checked at {time}", self.not_before);
            return Err(Error::new(Reason::NotYetValid, field, text));
        }
        if time > self.not_after {
            let text = format!("valid to {}, checked at {time}", self.not_after);
            return Err(Error::new(Reason::Expired, field, text));
        }
        Ok(())
    }

    /// Errors unless it may issue certificates with `below` CAs between it and the leaf.
    pub(super) fn require_authority(&self, below: usize) -> Result<(), Error> {
        let Some(limit) = self.authority else {
            let text = "issues a certificate and is no CA";
            return Err(Error::new(Reason::Constraint, "certificate.basic_constraints", text));
        };
        if let Some(limit) = limit.filter(|limit| below > usize::from(*limit)) {
            let text = format!("{below} CAs below it, path length {limit}");
            return Err(Error::new(Reason::Constraint, "certificate.path_length", text));
        }
        let may = self.key_usage.is_some_and(|usage| usage.has(KEY_CERT_SIGN));
        require(may, Reason::Constraint, "certificate.key_usage", "issues a certificate without keyCertSign")
    }

    /// Errors unless it may sign evidence: no CA, and digitalSignature where its key usage is limited. AMD's VCEK has neither
    /// extension.
    pub(super) fn require_end_entity(&self) -> Result<(), Error> {
        let text = "a CA's certificate where the signer of the evidence must be";
        require(self.authority.is_none(), Reason::Constraint, "certificate.basic_constraints", text)?;
        let may =
            self.key_usage.is_none_or(|usage| usage.has(DIGITAL_SIGNATURE) && !usage.has(KEY_CERT_SIGN));
        let text = "the signer of the evidence may not make digital signatures, or may sign certificates";
        require(may, Reason::Constraint, "certificate.key_usage", text)
    }

    /// Errors unless it may sign revocation lists.
    pub(super) fn require_list_signer(&self) -> Result<(), Error> {
        let may = self.key_usage.is_some_and(|usage| usage.has(CRL_SIGN));
        require(may, Reason::Constraint, "revocation_list.issuer", "signs a revocation list without cRLSign")
    }
}

fn read_version(fields: &mut Reader<'_>) -> Result<(), Error> {
    let field = "certificate.version";
    let Some(version) = fields.optional(der::context(0))? else {
        return Err(Error::new(Reason::Version, field, "version 1, expected 3"));
    };
    let mut reader = Reader::new(version.contents, field);
    let number = reader.small()?;
    reader.end()?;
    require(number == VERSION_3, Reason::Version, field, "not version 3")
}

/// Extensions within `[3]` of a certificate, each once.
fn read_extensions<'a>(fields: &mut Reader<'a>, field: &'static str) -> Result<Vec<Extension<'a>>, Error> {
    let Some(explicit) = fields.optional(der::context(3))? else { return Ok(Vec::new()) };
    let mut outer = Reader::new(explicit.contents, field);
    let list = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    read_extension_list(list, field)
}

/// A SEQUENCE of extensions, of which there is at least one.
pub(super) fn read_extension_list<'a>(
    mut list: Reader<'a>,
    field: &'static str,
) -> Result<Vec<Extension<'a>>, Error> {
    let mut extensions: Vec<Extension<'a>> = Vec::new();
    while !list.is_empty() {
        require(extensions.len() < MAX_EXTENSIONS, Reason::Length, field, "more than 32 extensions")?;
        let mut parts = list.inside(der::SEQUENCE)?;
        let identifier = parts.contents(der::OBJECT_IDENTIFIER)?;
        let critical = parts.optional_true()?;
        let value = parts.contents(der::OCTET_STRING)?;
        parts.end()?;
        let fresh = extensions.iter().all(|earlier| earlier.identifier != identifier);
        require(fresh, Reason::Duplicate, field, "an extension is there twice")?;
        extensions.push(Extension { identifier, critical, value });
    }
    require(!extensions.is_empty(), Reason::Encoding, field, "a list of no extensions")?;
    Ok(extensions)
}

/// Errors if a critical extension is none of these.
pub(super) fn require_understood(
    extensions: &[Extension<'_>],
    understood: &[&[u8]],
    field: &'static str,
) -> Result<(), Error> {
    let unknown = extensions.iter().any(|e| e.critical && !understood.contains(&e.identifier));
    require(!unknown, Reason::Unknown, field, "a critical extension that is not understood")
}

/// `Some(path length)` for a CA.
fn read_basic_constraints(value: &[u8], field: &'static str) -> Result<Option<Option<u8>>, Error> {
    let mut outer = Reader::new(value, field);
    let mut parts = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    let authority = parts.optional_true()?;
    let limit = if parts.is_empty() { None } else { Some(parts.small()?) };
    parts.end()?;
    require(authority || limit.is_none(), Reason::Constraint, field, "a path length without being a CA")?;
    Ok(authority.then_some(limit))
}
