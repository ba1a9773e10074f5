//! Secret keys: KeyGen (draft §2.3), SkToPk (§2.4), CoreSign (§2.6) and PopProve (§3.3.2).

use std::fmt;

use blst::min_pk;
use zeroize::Zeroizing;

use crate::{
    Error, KEY_MATERIAL_BYTES, POSSESSION_DOMAIN, PublicKey, SECRET_KEY_BYTES, SIGNATURE_DOMAIN, Signature,
};

/// A secret key; its memory is wiped when it is dropped.
pub struct SecretKey {
    scalar: min_pk::SecretKey,
}

impl SecretKey {
    /// A fresh key, from 32 bytes of the operating system's randomness. Errors: [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        let mut material = Zeroizing::new([0; KEY_MATERIAL_BYTES]);
        getrandom::fill(material.as_mut()).map_err(|error| Error::Random(error.to_string()))?;
        Self::key_gen(material.as_ref(), &[])
    }

    /// The key of this secret, uniform key material: HKDF with the salt "BLS-SIG-KEYGEN-SALT-", hashed first, as in
    /// draft §2.3 and in EIP-2333's `derive_master_SK`. Errors: [`Error::KeyMaterial`] below 32 bytes.
    pub fn key_gen(material: &[u8], key_info: &[u8]) -> Result<Self, Error> {
        let refused = |_| Error::KeyMaterial { least: KEY_MATERIAL_BYTES, actual: material.len() };
        min_pk::SecretKey::key_gen(material, key_info).map(|scalar| Self { scalar }).map_err(refused)
    }

    /// A big-endian integer. Errors: [`Error::Length`]; [`Error::Scalar`] unless it is from 1 to r - 1.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = Error::sized::<SECRET_KEY_BYTES>("secret key", bytes)?;
        min_pk::SecretKey::from_bytes(bytes).map(|scalar| Self { scalar }).map_err(|_| Error::Scalar)
    }

    /// The big-endian integer.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SECRET_KEY_BYTES]> {
        Zeroizing::new(self.scalar.to_bytes())
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::of(self.scalar.sk_to_pk())
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature { point: self.scalar.sign(message, SIGNATURE_DOMAIN, &[]) }
    }

    /// The proof that whoever publishes the public key has this secret: the signature of the public key's bytes in a
    /// domain of its own.
    pub fn prove_possession(&self) -> Signature {
        Signature { point: self.scalar.sign(self.public_key().to_bytes(), POSSESSION_DOMAIN, &[]) }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "SecretKey of {:?}", self.public_key())
    }
}
