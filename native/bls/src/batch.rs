//! Many independent signatures at once: one final exponentiation for all of them.
//!
//! Each claim is multiplied with a random coefficient before they are added up (Bellare, Garay, Rabin, Eurocrypt 1998;
//! Buterin, "Fast verification of multiple BLS signatures", 2019). Without coefficients two wrong signatures whose
//! errors cancel would pass together. With 128 bits from the operating system, drawn after the claims are fixed, any
//! wrong batch passes with a chance of 2^-128.
//!
//! Claims on one message, as the votes of a committee are, share one pairing: their keys are summed with the same
//! coefficients.

use std::collections::BTreeMap;

use blst::{BLST_ERROR, MultiPoint, Pairing, blst_fp12, blst_p1_affine, blst_p2_affine, min_pk};

use crate::{Error, PublicKey, SIGNATURE_BYTES, SIGNATURE_DOMAIN, Signature};

const COEFFICIENT_BYTES: usize = 16;
const BITS: usize = 8 * COEFFICIENT_BYTES;
/// The encoding of infinity in G2.
const INFINITY: [u8; SIGNATURE_BYTES] = {
    let mut bytes = [0; SIGNATURE_BYTES];
    bytes[0] = 0xc0;
    bytes
};

/// "This key signed this message."
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub key: &'a PublicKey,
    pub message: &'a [u8],
    pub signature: &'a Signature,
}

/// Whether every claim holds. Errors: [`Error::Empty`], [`Error::Random`].
pub fn batch_verify(claims: &[Claim<'_>]) -> Result<bool, Error> {
    if claims.is_empty() {
        return Err(Error::Empty { what: "signatures" });
    }
    all_hold(claims, SIGNATURE_DOMAIN)
}

/// The indices of the claims that do not hold, in order. Errors: [`Error::Random`].
pub fn invalid_claims(claims: &[Claim<'_>]) -> Result<Vec<usize>, Error> {
    let mut found = Vec::new();
    search(claims, 0, SIGNATURE_DOMAIN, &mut found)?;
    Ok(found)
}

pub(crate) fn all_hold(claims: &[Claim<'_>], domain: &[u8]) -> Result<bool, Error> {
    // No key's signature is infinity, and sums of many points are not made for it.
    if claims.iter().any(|claim| claim.signature.to_bytes() == INFINITY) {
        return Ok(false);
    }
    let mut coefficients = vec![0; claims.len() * COEFFICIENT_BYTES];
    getrandom::fill(&mut coefficients).map_err(|error| Error::Random(error.to_string()))?;
    let mut alike: BTreeMap<&[u8], (Vec<min_pk::PublicKey>, Vec<u8>)> = BTreeMap::new();
    for (claim, coefficient) in claims.iter().zip(coefficients.chunks_exact(COEFFICIENT_BYTES)) {
        let (keys, scalars) = alike.entry(claim.message).or_default();
        keys.push(claim.key.point);
        scalars.extend_from_slice(coefficient);
    }
    let mut pairing = Pairing::new(true, domain);
    for (message, (keys, scalars)) in alike {
        let sum: blst_p1_affine = keys.as_slice().mult(&scalars, BITS).to_public_key().into();
        if pairing.aggregate(&sum, false, &(), false, message, &[]) != BLST_ERROR::BLST_SUCCESS {
            return Ok(false);
        }
    }
    pairing.commit();
    let signatures: Vec<min_pk::Signature> = claims.iter().map(|claim| claim.signature.point).collect();
    let sum: blst_p2_affine = signatures.as_slice().mult(&coefficients, BITS).to_signature().into();
    let mut paired = blst_fp12::default();
    Pairing::aggregated(&mut paired, &sum);
    Ok(pairing.finalverify(Some(&paired)))
}

/// Halves what does not hold until single claims are left.
fn search(claims: &[Claim<'_>], first: usize, domain: &[u8], found: &mut Vec<usize>) -> Result<(), Error> {
    if claims.is_empty() || all_hold(claims, domain)? {
        return Ok(());
    }
    if claims.len() == 1 {
        found.push(first);
        return Ok(());
    }
    let (left, right) = claims.split_at(claims.len() / 2);
    search(left, first, domain, found)?;
    search(right, first + left.len(), domain, found)
}

/// The first claim that does not hold in this domain.
pub(crate) fn first_invalid(claims: &[Claim<'_>], domain: &[u8]) -> Result<Option<usize>, Error> {
    let mut found = Vec::new();
    search(claims, 0, domain, &mut found)?;
    Ok(found.first().copied())
}
