//! A committee: proven keys in a fixed order, checked once, and bitmaps of who signed.
//!
//! A bitmap has ceil(members / 8) bytes; member i is bit i % 8 of byte i / 8, the lowest first (IIP-52 as written in
//! iotex-core). A bit beyond the last member is refused, so that a set of signers has one encoding.

use std::collections::HashSet;

use crate::batch::{Claim, first_invalid};
use crate::{Error, POSSESSION_DOMAIN, PublicKey, Signature, fast_aggregate_verify};

/// Members in their order; no key is there twice.
#[derive(Clone, Debug)]
pub struct Committee {
    keys: Vec<PublicKey>,
}

impl Committee {
    /// Keys with the proofs of possession of their owners. Errors: [`Error::Unproven`] for the first key whose proof
    /// does not hold, and those of [`Committee::of_proven`].
    pub fn new(members: &[(PublicKey, Signature)]) -> Result<Self, Error> {
        let claims: Vec<Claim<'_>> = members
            .iter()
            .map(|(key, signature)| Claim { key, message: key.to_bytes(), signature })
            .collect();
        if let Some(index) = first_invalid(&claims, POSSESSION_DOMAIN)? {
            return Err(Error::Unproven { index });
        }
        Self::of_proven(members.iter().map(|(key, _)| key.clone()).collect())
    }

    /// Keys whose proofs were checked before, when they were registered. With an unproven key in it, whoever chose
    /// that key can sign for everybody. Errors: [`Error::Empty`], [`Error::Duplicate`].
    pub fn of_proven(keys: Vec<PublicKey>) -> Result<Self, Error> {
        if keys.is_empty() {
            return Err(Error::Empty { what: "public keys" });
        }
        let mut seen = HashSet::with_capacity(keys.len());
        if let Some(index) = keys.iter().position(|key| !seen.insert(key)) {
            return Err(Error::Duplicate { what: "public key", index });
        }
        Ok(Self { keys })
    }

    /// The keys, in order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The members that a bitmap names, ascending. Errors: [`Error::Length`], [`Error::NoMember`].
    pub fn signers(&self, bitmap: &[u8]) -> Result<Vec<usize>, Error> {
        let members = self.keys.len();
        let expected = members.div_ceil(8);
        if bitmap.len() != expected {
            return Err(Error::Length { what: "bitmap of signers", expected, actual: bitmap.len() });
        }
        let named: Vec<usize> =
            (0..8 * expected).filter(|index| bitmap[index / 8] >> (index % 8) & 1 == 1).collect();
        match named.last() {
            Some(&index) if index >= members => Err(Error::NoMember { index, members }),
            _ => Ok(named),
        }
    }

    /// The signers' keys.
    fn signing(&self, bitmap: &[u8]) -> Result<Vec<&PublicKey>, Error> {
        Ok(self.signers(bitmap)?.into_iter().map(|index| &self.keys[index]).collect())
    }

    /// The sum of the signers' keys. Errors: those of [`Committee::signers`], [`Error::Empty`], [`Error::Infinity`].
    pub fn aggregate_key(&self, bitmap: &[u8]) -> Result<PublicKey, Error> {
        PublicKey::aggregate(&self.signing(bitmap)?)
    }

    /// Whether the signature is the sum of every signer's on the message; keys that cancel sign nothing.
    /// Errors: those of [`Committee::signers`], [`Error::Empty`].
    pub fn verifies(&self, bitmap: &[u8], message: &[u8], signature: &Signature) -> Result<bool, Error> {
        fast_aggregate_verify(&self.signing(bitmap)?, message, signature)
    }

    /// The bitmap and the sum of members' votes on one message. Verify each vote first: one wrong vote spoils the
    /// sum. Errors: [`Error::Empty`], [`Error::NoMember`], [`Error::Duplicate`].
    pub fn aggregate(&self, votes: &[(usize, Signature)]) -> Result<(Vec<u8>, Signature), Error> {
        let members = self.keys.len();
        let mut bitmap = vec![0; members.div_ceil(8)];
        for &(index, _) in votes {
            if index >= members {
                return Err(Error::NoMember { index, members });
            }
            let bit = 1 << (index % 8);
            if bitmap[index / 8] & bit != 0 {
                return Err(Error::Duplicate { what: "signer", index });
            }
            bitmap[index / 8] |= bit;
        }
        let signatures: Vec<Signature> = votes.iter().map(|(_, signature)| signature.clone()).collect();
        Ok((bitmap, Signature::aggregate(&signatures)?))
    }
}
