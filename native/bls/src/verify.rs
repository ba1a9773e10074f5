//! CoreVerify and CoreAggregateVerify (draft §2.7, §2.9), and FastAggregateVerify (§3.3.4).
//!
//! On the calling thread: blst's own pool would compete with ours.

use blst::{BLST_ERROR, Pairing, blst_fp12, blst_p1_affine, blst_p2_affine};

use crate::{Error, PublicKey, SIGNATURE_DOMAIN, Signature};

/// Whether e(g, signature) = Π e(key, H(message)), with messages hashed to G2 in this domain.
pub(crate) fn signs(signed: &[(&PublicKey, &[u8])], signature: &Signature, domain: &[u8]) -> bool {
    let mut pairing = Pairing::new(true, domain);
    for (key, message) in signed {
        let point: blst_p1_affine = key.point.into();
        // `&()` stands for no signature: the one of all keys comes in at the end.
        let added = pairing.aggregate(&point, false, &(), false, message, &[]);
        if added != BLST_ERROR::BLST_SUCCESS {
            return false;
        }
    }
    pairing.commit();
    let point: blst_p2_affine = signature.point.into();
    let mut paired = blst_fp12::default();
    Pairing::aggregated(&mut paired, &point);
    pairing.finalverify(Some(&paired))
}

/// AggregateVerify: whether the signature is the sum of each key's on its own message. Messages may be equal, as
/// §3.3 says: the keys are proven. Errors: [`Error::Empty`].
pub fn aggregate_verify(signed: &[(&PublicKey, &[u8])], signature: &Signature) -> Result<bool, Error> {
    if signed.is_empty() {
        return Err(Error::Empty { what: "public keys" });
    }
    Ok(signs(signed, signature, SIGNATURE_DOMAIN))
}

/// FastAggregateVerify: whether the signature is the sum of every key's on the one message. The owner of each key
/// must have proven possession. Keys that cancel sign nothing. Errors: [`Error::Empty`].
pub fn fast_aggregate_verify(
    keys: &[&PublicKey],
    message: &[u8],
    signature: &Signature,
) -> Result<bool, Error> {
    match PublicKey::aggregate(keys) {
        Ok(key) => Ok(key.verifies(message, signature)),
        Err(Error::Infinity { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
