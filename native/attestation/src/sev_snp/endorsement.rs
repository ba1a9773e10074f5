//! What AMD's certificate says about the key that signed a report (AMD document 57230, table of VCEK and VLEK extensions).

use super::report::{Product, Report, SigningKey};
use crate::der::{self, Reader};
use crate::error::{Error, Reason, require};
use crate::x509::Certificate;

/// 1.3.6.1.4.1.3704.1, under which every extension stands; followed by what is in the constants below.
const AMD: &[u8] = b"\x2b\x06\x01\x04\x01\x9c\x78\x01";
const PRODUCT_NAME: &[u8] = &[2];
const BOOTLOADER: &[u8] = &[3, 1];
const TEE: &[u8] = &[3, 2];
const SNP: &[u8] = &[3, 3];
/// Levels that are reserved; the certificates have some of them, all 0.
const RESERVED: [&[u8]; 4] = [&[3, 4], &[3, 5], &[3, 6], &[3, 7]];
const MICROCODE: &[u8] = &[3, 8];
const FMC: &[u8] = &[3, 9];
const HARDWARE_ID: &[u8] = &[4];
const PROVIDER_ID: &[u8] = &[5];
/// Characters of a product or provider name at most.
const MAX_NAME: usize = 64;

/// The claims of a VCEK or VLEK certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    pub product: Product,
    /// With the stepping where the certificate has it: "Milan-B0".
    pub product_name: String,
    pub fmc: Option<u8>,
    pub bootloader: u8,
    pub tee: u8,
    pub snp: u8,
    pub microcode: u8,
    pub signer: Signer,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A chip's: its identifier, 64 bytes, for Turin 8.
    Chip(Vec<u8>),
    /// A cloud provider's.
    Provider(String),
}

impl Endorsement {
    /// Reads the extensions.
    pub(super) fn read(certificate: &Certificate<'_>) -> Result<Self, Error> {
        let product_name = name(certificate, PRODUCT_NAME, "certificate.product_name")?;
        let field = "certificate.product_name";
        let product_name =
            product_name.ok_or_else(|| Error::new(Reason::Missing, field, "no product name"))?;
        // What comes before the stepping; a name without one is taken whole.
        let stem = product_name.split('-').next().unwrap_or_default();
        let text = "neither Milan nor Genoa nor Turin";
        let product = Product::named(stem).ok_or_else(|| Error::new(Reason::Unknown, field, text))?;
        for reserved in RESERVED {
            // Absent is as good as zero; anything else would be a level that nobody compares.
            let unused = level(certificate, reserved)?.unwrap_or_default() == 0;
            require(unused, Reason::Value, "certificate.tcb", "a reserved security patch level is not 0")?;
        }
        let fmc = level(certificate, FMC)?;
        let text = "the FMC's security patch level is Turin's alone, and Turin must have it";
        require(fmc.is_some() == (product == Product::Turin), Reason::Mismatch, "certificate.tcb", text)?;
        Ok(Self {
            product,
            fmc,
            bootloader: required_level(certificate, BOOTLOADER)?,
            tee: required_level(certificate, TEE)?,
            snp: required_level(certificate, SNP)?,
            microcode: required_level(certificate, MICROCODE)?,
            signer: signer(certificate, product)?,
            product_name,
        })
    }

    /// Errors unless the key is the report's: of its kind, its TCB, and for a VCEK its chip.
    pub(super) fn require_matches(&self, report: &Report) -> Result<(), Error> {
        let kind = match self.signer {
            Signer::Chip(_) => SigningKey::Vcek,
            Signer::Provider(_) => SigningKey::Vlek,
        };
        let text = "the report names the other kind of key than the certificate is for";
        require(report.signing_key == kind, Reason::Mismatch, "report.signing_key", text)?;
        let tcb = report.reported_tcb;
        let endorsed = (self.fmc, self.bootloader, self.tee, self.snp, self.microcode);
        let reported = (tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode);
        if endorsed != reported {
            let text = format!(
                "the certificate is for (fmc, bootloader, tee, snp, microcode) {endorsed:?}, the report says {reported:?}"
            );
            return Err(Error::new(Reason::Mismatch, "report.reported_tcb", text));
        }
        if let Signer::Chip(chip) = &self.signer {
            let (identifier, padding) = report.chip_id.split_at(chip.len());
            let same = identifier == chip && padding.iter().all(|&byte| byte == 0);
            require(same, Reason::Mismatch, "report.chip_id", "the certificate is another chip's")?;
        }
        Ok(())
    }
}

fn extension<'a>(certificate: &Certificate<'a>, number: &[u8]) -> Option<&'a [u8]> {
    certificate.extension(&[AMD, number].concat())
}

fn level(certificate: &Certificate<'_>, number: &[u8]) -> Result<Option<u8>, Error> {
    let Some(value) = extension(certificate, number) else { return Ok(None) };
    let mut reader = Reader::new(value, "certificate.tcb");
    let level = reader.small()?;
    reader.end()?;
    Ok(Some(level))
}

fn required_level(certificate: &Certificate<'_>, number: &[u8]) -> Result<u8, Error> {
    let text = "a security patch level is missing";
    level(certificate, number)?.ok_or_else(|| Error::new(Reason::Missing, "certificate.tcb", text))
}

/// An IA5String of printable characters.
fn name(certificate: &Certificate<'_>, number: &[u8], field: &'static str) -> Result<Option<String>, Error> {
    let Some(value) = extension(certificate, number) else { return Ok(None) };
    let mut reader = Reader::new(value, field);
    let characters = reader.contents(der::IA5_STRING)?;
    reader.end()?;
    let printable = characters.iter().all(|character| matches!(character, b' '..=b'~'));
    let fits = (1..=MAX_NAME).contains(&characters.len());
    require(printable && fits, Reason::Value, field, "not 1 to 64 printable characters")?;
    Ok(Some(characters.iter().map(|&character| char::from(character)).collect()))
}

/// The chip's identifier or the provider's: one of them, never both. The identifier stands there bare, not in a DER value.
fn signer(certificate: &Certificate<'_>, product: Product) -> Result<Signer, Error> {
    let provider = name(certificate, PROVIDER_ID, "certificate.csp_id")?;
    match (extension(certificate, HARDWARE_ID), provider) {
        (Some(chip), None) => {
            let length = if product == Product::Turin { 8 } else { 64 };
            let holds = chip.len() == length;
            require(holds, Reason::Length, "certificate.chip_id", "not the product's number of bytes")?;
            Ok(Signer::Chip(chip.to_vec()))
        }
        (None, Some(provider)) => Ok(Signer::Provider(provider)),
        (None, None) => {
            Err(Error::new(Reason::Missing, "certificate.chip_id", "neither a chip's nor a provider's"))
        }
        (Some(_), Some(_)) => {
            Err(Error::new(Reason::Unknown, "certificate.csp_id", "both a chip's and a provider's"))
        }
    }
}
