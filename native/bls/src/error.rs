//! Everything that can be wrong with what comes from outside; no message holds a secret.

use blst::BLST_ERROR;

/// Why bytes, keys or lists were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes of the wrong length.
    #[error("{what}: {actual} bytes, expected {expected}")]
    Length { what: &'static str, expected: usize, actual: usize },
    /// Flags that no compressed point has, or a coordinate that is not below the field's modulus.
    #[error("{what}: not the canonical encoding of a compressed point")]
    Encoding { what: &'static str },
    /// No point of the curve has this x.
    #[error("{what}: the point is not on the curve")]
    NotOnCurve { what: &'static str },
    /// A point of the curve outside the subgroup of order r.
    #[error("{what}: the point is outside the subgroup of prime order")]
    NotInSubgroup { what: &'static str },
    /// The point at infinity as a key.
    #[error("{what}: the point at infinity is no key")]
    Infinity { what: &'static str },
    /// A secret key of 0, or of the group order or more.
    #[error("secret key: not between 1 and the group order less one")]
    Scalar,
    /// Too little key material.
    #[error("key material: {actual} bytes, at least {least} are needed")]
    KeyMaterial { least: usize, actual: usize },
    /// Nothing to aggregate or to verify.
    #[error("no {what}: the list is empty")]
    Empty { what: &'static str },
    /// Two lists that must be of one length.
    #[error("{keys} keys for {others} {what}")]
    Count { keys: usize, others: usize, what: &'static str },
    /// A key or a signer that is there twice.
    #[error("{what} {index} is there twice")]
    Duplicate { what: &'static str, index: usize },
    /// A key whose proof of possession does not hold.
    #[error("the proof of possession of key {index} does not hold")]
    Unproven { index: usize },
    /// A bitmap with bits beyond the committee, or a signer who is no member.
    #[error("signer {index} is no member of a committee of {members}")]
    NoMember { index: usize, members: usize },
    /// The operating system gave no randomness.
    #[error("the operating system's random source failed: {0}")]
    Random(String),
}

impl Error {
    /// Stable word for the kind, which the bindings hand to Python.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Length { .. } => "length",
            Error::Encoding { .. } => "encoding",
            Error::NotOnCurve { .. } => "curve",
            Error::NotInSubgroup { .. } => "subgroup",
            Error::Infinity { .. } => "infinity",
            Error::Scalar => "scalar",
            Error::KeyMaterial { .. } => "key-material",
            Error::Empty { .. } => "empty",
            Error::Count { .. } => "count",
            Error::Duplicate { .. } => "duplicate",
            Error::Unproven { .. } => "unproven",
            Error::NoMember { .. } => "no-member",
            Error::Random(_) => "random",
        }
    }

    /// The bytes as an array, or [`Error::Length`].
    pub(crate) fn sized<'a, const N: usize>(
        what: &'static str,
        bytes: &'a [u8],
    ) -> Result<&'a [u8; N], Self> {
        bytes.try_into().map_err(|_| Error::Length { what, expected: N, actual: bytes.len() })
    }

    /// blst's verdict on a point.
    pub(crate) fn of_point(what: &'static str, error: BLST_ERROR) -> Self {
        match error {
            BLST_ERROR::BLST_POINT_NOT_ON_CURVE => Error::NotOnCurve { what },
            BLST_ERROR::BLST_POINT_NOT_IN_GROUP => Error::NotInSubgroup { what },
            BLST_ERROR::BLST_PK_IS_INFINITY => Error::Infinity { what },
            _ => Error::Encoding { what },
        }
    }
}
