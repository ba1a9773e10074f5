//! Signatures from outside, and their sum (draft §2.8).

use blst::min_pk;

use crate::{Error, SIGNATURE_BYTES};

const WHAT: &str = "signature";

/// A point of the subgroup of G2. Infinity is one, as in the draft: it is the sum of signatures that cancel, and no
/// key's signature on anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub(crate) point: min_pk::Signature,
}

impl Signature {
    /// Decode and check. Errors: [`Error::Length`], [`Error::Encoding`], [`Error::NotOnCurve`],
    /// [`Error::NotInSubgroup`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = Error::sized::<SIGNATURE_BYTES>(WHAT, bytes)?;
        let point = min_pk::Signature::uncompress(bytes).map_err(|error| Error::of_point(WHAT, error))?;
        point.validate(false).map_err(|error| Error::of_point(WHAT, error))?;
        Ok(Self { point })
    }

    /// The compressed encoding.
    pub fn to_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        self.point.compress()
    }

    /// The sum of signatures. Errors: [`Error::Empty`].
    pub fn aggregate(signatures: &[Signature]) -> Result<Self, Error> {
        let points: Vec<&min_pk::Signature> = signatures.iter().map(|signature| &signature.point).collect();
        let sum = min_pk::AggregateSignature::aggregate(&points, false)
            .map_err(|_| Error::Empty { what: "signatures" })?;
        Ok(Self { point: sum.to_signature() })
    }
}
