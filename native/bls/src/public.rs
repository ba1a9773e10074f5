//! Public keys: KeyValidate (draft §2.5), Verify (§2.7), PopVerify (§3.3.3) and the sum of keys.

use std::fmt;
use std::hash::{Hash, Hasher};

use blst::min_pk;

use crate::verify::signs;
use crate::{Error, POSSESSION_DOMAIN, PUBLIC_KEY_BYTES, SIGNATURE_DOMAIN, Signature};

const WHAT: &str = "public key";

/// A point of the subgroup of G1 other than infinity, kept decompressed with its encoding.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) point: min_pk::PublicKey,
    bytes: [u8; PUBLIC_KEY_BYTES],
}

impl PublicKey {
    pub(crate) fn of(point: min_pk::PublicKey) -> Self {
        Self { bytes: point.compress(), point }
    }

    /// KeyValidate. Errors: [`Error::Length`], [`Error::Encoding`], [`Error::NotOnCurve`], [`Error::NotInSubgroup`],
    /// [`Error::Infinity`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = Error::sized::<PUBLIC_KEY_BYTES>(WHAT, bytes)?;
        let point = min_pk::PublicKey::uncompress(bytes).map_err(|error| Error::of_point(WHAT, error))?;
        point.validate().map_err(|error| Error::of_point(WHAT, error))?;
        Ok(Self { point, bytes: *bytes })
    }

    /// The compressed encoding.
    pub fn to_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.bytes
    }

    /// The sum of keys. Errors: [`Error::Empty`]; [`Error::Infinity`] where the keys cancel.
    pub fn aggregate(keys: &[&PublicKey]) -> Result<Self, Error> {
        let points: Vec<&min_pk::PublicKey> = keys.iter().map(|key| &key.point).collect();
        let sum = min_pk::AggregatePublicKey::aggregate(&points, false)
            .map_err(|_| Error::Empty { what: "public keys" })?
            .to_public_key();
        // The sum of points of the subgroup is in it; only infinity is left to refuse.
        sum.validate().map_err(|error| Error::of_point("sum of the public keys", error))?;
        Ok(Self::of(sum))
    }

    /// Verify: whether the signature is this key's on the message.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        signs(&[(self, message)], signature, SIGNATURE_DOMAIN)
    }

    /// PopVerify: whether the owner proved to have the secret key.
    pub fn verifies_possession(&self, proof: &Signature) -> bool {
        signs(&[(self, &self.bytes)], proof, POSSESSION_DOMAIN)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "PublicKey(")?;
        self.bytes.iter().try_for_each(|byte| write!(to, "{byte:02x}"))?;
        write!(to, ")")
    }
}
