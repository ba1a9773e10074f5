//! Public keys and signatures of certificates and evidence. A key fixes its algorithm, hash and parameters, so that no
//! certificate can choose a weaker one.

use p256::ecdsa as ecdsa_p256;
use p384::ecdsa as ecdsa_p384;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384};

use crate::der::{self, Reader};
use crate::error::{Error, Reason, require};
use crate::rsa_pss;

const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const SECP256R1: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const SECP384R1: &[u8] = b"\x2b\x81\x04\x00\x22";
const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EXPONENT: &[u8] = &[1, 0, 1];

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// RSA-4096 PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes.
    RsaPss4096,
}

/// AlgorithmIdentifier contents: ecdsa-with-SHA256, ecdsa-with-SHA384 (RFC 5758 §3.2), and id-RSASSA-PSS (RFC 4055 §3.1) with
/// the parameters above, where AMD writes the default trailer field for Milan and Genoa and leaves it out for Turin.
const IDENTIFIERS: [(&[u8], Algorithm); 4] = [
    (b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", Algorithm::EcdsaP256),
    (b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03", Algorithm::EcdsaP384),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
          \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
          \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
          \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
          \xa2\x03\x02\x01\x30",
        Algorithm::RsaPss4096,
    ),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x39\
          \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
          \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
          \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
          \xa2\x03\x02\x01\x30\xa3\x03\x02\x01\x01",
        Algorithm::RsaPss4096,
    ),
];

impl Algorithm {
    /// The algorithm with these contents of an AlgorithmIdentifier.
    pub(crate) fn of_identifier(contents: &[u8], field: &'static str) -> Result<Self, Error> {
        let known = IDENTIFIERS.iter().find(|(identifier, _)| *identifier == contents);
        known.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            Error::new(
                Reason::Algorithm,
                field,
                "neither ECDSA with SHA-256 or SHA-384 nor RSA-PSS with SHA-384 and a salt of 48 bytes",
            )
        })
    }
}

/// A key that was checked: a point of its curve, or a modulus of 4096 bits with exponent 65537.
#[derive(Clone, Debug)]
pub enum PublicKey {
    P256(ecdsa_p256::VerifyingKey),
    P384(ecdsa_p384::VerifyingKey),
    Rsa4096(Box<rsa_pss::PublicKey>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480 §2): named curves and uncompressed points only.
    pub(crate) fn read(info: &mut Reader<'_>, field: &'static str) -> Result<Self, Error> {
        let mut identifier = info.inside(der::SEQUENCE)?;
        let kind = identifier.contents(der::OBJECT_IDENTIFIER)?;
        let parameters = identifier.any()?;
        identifier.end()?;
        let key = info.bit_octets()?;
        match (kind, parameters.tag, parameters.contents) {
            (EC_PUBLIC_KEY, der::OBJECT_IDENTIFIER, SECP256R1) => {
                require_uncompressed(key, 65, field)?;
                let key = ecdsa_p256::VerifyingKey::from_sec1_bytes(key).map_err(|_| off_curve(field))?;
                Ok(Self::P256(key))
            }
            (EC_PUBLIC_KEY, der::OBJECT_IDENTIFIER, SECP384R1) => Self::p384(key, field),
            (RSA_ENCRYPTION, 0x05, []) => {
                let mut outer = Reader::new(key, field);
                let mut numbers = outer.inside(der::SEQUENCE)?;
                let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
                numbers.end()?;
                outer.end()?;
                let key = rsa_pss::PublicKey::new(modulus).filter(|_| exponent == EXPONENT);
                let text = "RSA key that is not of 4096 bits with exponent 65537";
                Ok(Self::Rsa4096(Box::new(key.ok_or_else(|| Error::new(Reason::Algorithm, field, text))?)))
            }
            _ => {
                let text = "key that is neither on P-256 or P-384 nor RSA";
                Err(Error::new(Reason::Algorithm, field, text))
            }
        }
    }

    /// The point of P-384 with this uncompressed encoding.
    fn p384(point: &[u8], field: &'static str) -> Result<Self, Error> {
        require_uncompressed(point, 97, field)?;
        ecdsa_p384::VerifyingKey::from_sec1_bytes(point).map(Self::P384).map_err(|_| off_curve(field))
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::EcdsaP256,
            Self::P384(_) => Algorithm::EcdsaP384,
            Self::Rsa4096(_) => Algorithm::RsaPss4096,
        }
    }

    /// Whether `signature` is this key's of `message`, as certificates write it: ECDSA-Sig-Value or the octets of PSS.
    pub(crate) fn verifies(
        &self,
        message: &[u8],
        signature: &[u8],
        field: &'static str,
    ) -> Result<bool, Error> {
        match self {
            Self::P256(key) => {
                let (r, s) = ecdsa_value(signature, field)?;
                let signature = left_padded::<32>(r)
                    .zip(left_padded::<32>(s))
                    .and_then(|(r, s)| ecdsa_p256::Signature::from_scalars(r, s).ok());
                let digest = Sha256::digest(message);
                Ok(signature.is_some_and(|signature| key.verify_prehash(&digest, &signature).is_ok()))
            }
            Self::P384(_) => {
                let (r, s) = ecdsa_value(signature, field)?;
                let Some((r, s)) = left_padded(r).zip(left_padded(s)) else { return Ok(false) };
                Ok(self.verifies_p384(&Sha384::digest(message).into(), &r, &s))
            }
            Self::Rsa4096(key) => Ok(key.verifies(&Sha384::digest(message).into(), signature)),
        }
    }

    /// Whether (r, s), big-endian, is this P-384 key's signature of the SHA-384 digest; never for another kind of key.
    pub(crate) fn verifies_p384(&self, digest: &[u8; 48], r: &[u8; 48], s: &[u8; 48]) -> bool {
        let Self::P384(key) = self else { return false };
        ecdsa_p384::Signature::from_scalars(*r, *s)
            .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
    }
}

fn off_curve(field: &'static str) -> Error {
    Error::new(Reason::Value, field, "key that is no point of its curve")
}

fn require_uncompressed(point: &[u8], length: usize, field: &'static str) -> Result<(), Error> {
    let holds = point.len() == length && point[0] == 4;
    require(holds, Reason::Encoding, field, "key that is not an uncompressed point")
}

/// r and s of an ECDSA-Sig-Value (RFC 3279 §2.2.3).
fn ecdsa_value<'a>(signature: &'a [u8], field: &'static str) -> Result<(&'a [u8], &'a [u8]), Error> {
    let mut outer = Reader::new(signature, field);
    let mut pair = outer.inside(der::SEQUENCE)?;
    outer.end()?;
    let (r, s) = (pair.unsigned()?, pair.unsigned()?);
    pair.end()?;
    Ok((r, s))
}

fn left_padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    padded.get_mut(N.checked_sub(octets.len())?..)?.copy_from_slice(octets);
    Some(padded)
}
