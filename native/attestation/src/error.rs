//! Why evidence is refused: a stable reason, the field, and a sentence with the values.

use std::borrow::Cow;
use std::fmt;

/// What is wrong, as a word that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Bytes missing, left over, or more than the format has.
    Length,
    /// Not the one encoding (DER, CBOR, a list of TLVs) that the format allows.
    Encoding,
    /// A version of the format that is not known.
    Version,
    /// An algorithm, key type or parameter other than the platform's.
    Algorithm,
    /// A value outside what its field may hold, reserved bits among them.
    Value,
    /// A field, extension or certificate that must be there.
    Missing,
    /// A field that must not be there.
    Unknown,
    /// A field that is there twice.
    Duplicate,
    /// A signature that does not hold.
    Signature,
    /// The chain ends in a root that is not trusted.
    Anchor,
    /// A certificate whose issuer is not the next certificate's subject.
    Issuer,
    /// A certificate that may not do what it is used for.
    Constraint,
    /// Before its time.
    NotYetValid,
    /// After its time.
    Expired,
    /// Withdrawn by its issuer.
    Revoked,
    /// Two fields that must say the same and do not.
    Mismatch,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Reason; 16] = [
        Reason::Length,
        Reason::Encoding,
        Reason::Version,
        Reason::Algorithm,
        Reason::Value,
        Reason::Missing,
        Reason::Unknown,
        Reason::Duplicate,
        Reason::Signature,
        Reason::Anchor,
        Reason::Issuer,
        Reason::Constraint,
        Reason::NotYetValid,
        Reason::Expired,
        Reason::Revoked,
        Reason::Mismatch,
    ];

    /// Whether the bytes cannot be read at all; else they can, and do not hold.
    pub fn is_malformed(self) -> bool {
        match self {
            Reason::Length
            | Reason::Encoding
            | Reason::Version
            | Reason::Algorithm
            | Reason::Value
            | Reason::Missing
            | Reason::Unknown
            | Reason::Duplicate => true,
            Reason::Signature
            | Reason::Anchor
            | Reason::Issuer
            | Reason::Constraint
            | Reason::NotYetValid
            | Reason::Expired
            | Reason::Revoked
            | Reason::Mismatch => false,
        }
    }

    /// The word that other languages and stored verdicts use.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Length => "length",
            Reason::Encoding => "encoding",
            Reason::Version => "version",
            Reason::Algorithm => "algorithm",
            Reason::Value => "value",
            Reason::Missing => "missing",
            Reason::Unknown => "unknown",
            Reason::Duplicate => "duplicate",
            Reason::Signature => "signature",
            Reason::Anchor => "anchor",
            Reason::Issuer => "issuer",
            Reason::Constraint => "constraint",
            Reason::NotYetValid => "not-yet-valid",
            Reason::Expired => "expired",
            Reason::Revoked => "revoked",
            Reason::Mismatch => "mismatch",
        }
    }
}

/// Evidence refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct Error {
    reason: Reason,
    field: &'static str,
    text: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(reason: Reason, field: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, field, text: text.into() }
    }

    /// The kind of fault.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The field's name, stable: "report.policy", "certificate.validity".
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it, in words and with values.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same, with the place in a list in front of the sentence.
    pub(crate) fn at(mut self, list: &str, index: usize) -> Self {
        self.text = format!("{list} {index}: {}", self.text).into();
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

/// Errors unless `holds`.
pub(crate) fn require(
    holds: bool,
    reason: Reason,
    field: &'static str,
    text: &'static str,
) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::new(reason, field, text)) }
}

/// Errors unless the bytes are from `least` to `most` in number.
pub(crate) fn require_length(
    bytes: &[u8],
    least: usize,
    most: usize,
    field: &'static str,
) -> Result<(), Error> {
    if (least..=most).contains(&bytes.len()) {
        return Ok(());
    }
    let allowed = if least == most { format!("{least}") } else { format!("{least} to {most}") };
    Err(Error::new(Reason::Length, field, format!("{} bytes, expected {allowed}", bytes.len())))
}
