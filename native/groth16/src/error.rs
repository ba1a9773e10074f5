//! Everything that can go wrong, in one enum; each says what was wrong and with which value.

/// Error of set-up, proving or verification.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Bytes that do not decode: a file, a key, a witness, a signal or a point.
    #[error("{what}: {detail}")]
    Malformed { what: &'static str, detail: String },
    /// The witness breaks a constraint.
    #[error("the witness does not satisfy constraint {constraint} of {total}")]
    Unsatisfied { constraint: usize, total: usize },
    /// A proof made from a key that cannot name every broken constraint does not hold.
    #[error(
        "the new proof does not hold under its own key: the witness breaks a constraint (which one, only the .r1cs \
         file tells), or the key's points are of another circuit"
    )]
    ProofFails,
    /// The key has no phase-2 contribution, so delta = gamma = 1 and anyone could forge.
    #[error("the key has no contribution yet: its delta is 1, so its proofs would prove nothing")]
    NoContribution,
    /// A key file whose checksum does not match.
    #[error("key file: checksum mismatch: the file is damaged or was changed")]
    Checksum,
    /// A contribution chain that does not hold.
    #[error("contribution {index}: {reason}")]
    Chain { index: usize, reason: &'static str },
    /// The file system's error.
    #[error("{0}")]
    Io(String),
    /// The operating system gave no randomness.
    #[error("the operating system's random source failed: {0}")]
    Random(String),
    /// No thread pool or too little memory.
    #[error("too little of this machine: {0}")]
    Resources(String),
    /// The caller's progress callback asked to stop.
    #[error("stopped by the caller")]
    Cancelled,
}

impl Error {
    /// Stable word for the kind, which the bindings hand to Python.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Malformed { .. } => "malformed",
            Error::Unsatisfied { .. } | Error::ProofFails => "unsatisfied",
            Error::NoContribution => "no-contribution",
            Error::Checksum => "checksum",
            Error::Chain { .. } => "chain",
            Error::Io(_) => "io",
            Error::Random(_) => "random",
            Error::Resources(_) => "resources",
            Error::Cancelled => "cancelled",
        }
    }
}

impl From<w3bstream_msm::Error> for Error {
    /// Bases and scalars are typed values of equal number here, so only the machine or the caller can be why.
    fn from(error: w3bstream_msm::Error) -> Self {
        match error {
            w3bstream_msm::Error::Cancelled => Error::Cancelled,
            w3bstream_msm::Error::Io(reason) => Error::Io(reason),
            other => Error::Resources(other.to_string()),
        }
    }
}

/// Shorthand for [`Error::Malformed`].
pub(crate) fn malformed(what: &'static str, detail: impl Into<String>) -> Error {
    Error::Malformed { what, detail: detail.into() }
}
