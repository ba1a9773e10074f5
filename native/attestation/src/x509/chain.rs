//! Chains from the signer of evidence to a trusted root.
//!
//! The caller gives the whole chain, leaf first, and the root's fingerprint is what is trusted: there is no search for a
//! path, so one input means one chain, and every certificate is there to be checked.

use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::revocation::RevocationList;
use crate::Fingerprint;
use crate::error::{Error, Reason, require};
use crate::signature::Algorithm;

/// Certificates in a chain at most, root included; the vendors' have 3 to 5.
pub const MAX_CHAIN: usize = 8;

/// What a chain is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Roots that are trusted: SHA-256 of a certificate's DER.
    pub anchors: &'a [Fingerprint],
    /// Unix seconds at which every certificate and revocation list must be valid.
    pub time: i64,
    /// Revocation lists in DER, each by an issuer of the chain; at most [`super::MAX_REVOCATION_LISTS`].
    pub revocation_lists: &'a [&'a [u8]],
}

/// A chain that was verified.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The signer of the evidence.
    pub leaf: Certificate<'a>,
    /// The root that ends it.
    pub root: Fingerprint,
    /// Unix seconds of the last second in which every certificate and revocation list given is valid.
    pub valid_until: i64,
}

/// Verifies a chain: every signature but the root's own, which its fingerprint stands for.
///
/// `issuers` and `leaf` say which algorithms the platform's certificates sign with.
///
/// # Errors
/// The first certificate that cannot be read or does not hold; `anchor` for a root that is not trusted, whoever signed it.
pub fn verify_chain<'a>(
    certificates: &[&'a [u8]],
    trust: Trust<'_>,
    issuers: &[Algorithm],
    leaf: &[Algorithm],
) -> Result<Chain<'a>, Error> {
    let count = certificates.len();
    if !(2..=MAX_CHAIN).contains(&count) {
        let text = format!("{count} certificates, expected 2 to {MAX_CHAIN} with the root last");
        return Err(Error::new(Reason::Length, "certificates", text));
    }
    let root = anchored(certificates[count - 1], trust.anchors)?;
    let parse = |(index, der): (usize, &&'a [u8])| {
        Certificate::parse(der).map_err(|error| error.at("certificate", index))
    };
    let chain = certificates.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    for (index, certificate) in chain.iter().enumerate() {
        let allowed = if index == 0 { leaf } else { issuers };
        require_role(certificate, index, trust.time, allowed).map_err(|e| e.at("certificate", index))?;
    }
    for (index, pair) in chain.windows(2).enumerate() {
        require_issued(&pair[0], &pair[1]).map_err(|error| error.at("certificate", index))?;
    }
    let lists = RevocationList::require_none_revoked(trust, &chain)?;
    let valid_until = chain.iter().map(|certificate| certificate.not_after).fold(lists, i64::min);
    let leaf = chain.into_iter().next();
    let leaf = leaf.ok_or_else(|| Error::new(Reason::Missing, "certificates", "no certificate"))?;
    Ok(Chain { leaf, root, valid_until })
}

/// The root's fingerprint, if it is trusted.
fn anchored(root: &[u8], anchors: &[Fingerprint]) -> Result<Fingerprint, Error> {
    let fingerprint: Fingerprint = Sha256::digest(root).into();
    let text = "the last certificate is no root that is trusted here";
    require(anchors.contains(&fingerprint), Reason::Anchor, "certificates", text)?;
    Ok(fingerprint)
}

/// Errors unless the certificate at this place may stand there.
fn require_role(
    certificate: &Certificate<'_>,
    index: usize,
    time: i64,
    allowed: &[Algorithm],
) -> Result<(), Error> {
    certificate.require_valid_at(time)?;
    let known = allowed.contains(&certificate.key.algorithm());
    require(known, Reason::Algorithm, "certificate.key", "a kind of key that the platform does not use")?;
    match index {
        0 => certificate.require_end_entity(),
        _ => certificate.require_authority(index - 1),
    }
}

/// Errors unless `issuer` signed `certificate`.
fn require_issued(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), Error> {
    let text = "its issuer's name is not the next certificate's subject";
    require(certificate.issuer == issuer.subject, Reason::Issuer, "certificate.issuer", text)?;
    let text = "signed with another algorithm than its issuer's key";
    let same = certificate.algorithm == issuer.key.algorithm();
    require(same, Reason::Algorithm, "certificate.signature_algorithm", text)?;
    let holds = issuer.key.verifies(certificate.signed, certificate.signature, "certificate.signature")?;
    require(holds, Reason::Signature, "certificate.signature", "not signed by the next certificate's key")
}
