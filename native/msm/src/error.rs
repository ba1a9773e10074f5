//! Everything that can go wrong, in one enum; each says what was wrong and with which value.

/// Why a table file is not the table that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// Shorter or longer than its header says.
    #[error("the file has {found} bytes, its header speaks of {expected}")]
    Size { expected: u64, found: u64 },
    /// Not a table file.
    #[error("the file is no table of precomputed bases")]
    Magic,
    /// Written by another version.
    #[error("the file has format version {found}, this build reads version {expected}")]
    Version { expected: u32, found: u32 },
    /// Of another group.
    #[error("the file is for group {found}, not for group {expected}")]
    Curve { expected: u32, found: u32 },
    /// Of another kernel.
    #[error("the points lie in layout {found}, the kernel wants layout {expected}")]
    Layout { expected: u32, found: u32 },
    /// A header field out of its range.
    #[error("the header's {field} is {value}, out of range")]
    Header { field: &'static str, value: u64 },
    /// Made of other bases.
    #[error("the table was made of other bases")]
    Bases,
    /// Bytes were changed.
    #[error("checksum mismatch: the file is damaged or was changed")]
    Checksum,
    /// Words that no kernel writes: the file was made up, and its checksum with it.
    #[error("a coordinate is out of its bounds")]
    Coordinate,
    /// Words are little-endian in the file and this machine's are not.
    #[error("table files are for little-endian machines")]
    Endian,
}

/// Error of planning, precomputation or multiplication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two inputs whose lengths do not fit, in elements, or bytes that are no whole number of elements.
    #[error("{what}: {expected} expected, {found} found")]
    Length { what: &'static str, expected: usize, found: usize },
    /// A scalar or coordinate at its modulus or above.
    #[error("{what} {index} is not below its modulus")]
    NotCanonical { what: &'static str, index: usize },
    /// Coordinates that break the curve's equation.
    #[error("point {index} is not on the curve")]
    NotOnCurve { index: usize },
    /// A point of the curve outside the group of prime order.
    #[error("point {index} is not in the subgroup of prime order")]
    NotInSubgroup { index: usize },
    /// More packed points than an entry can address.
    #[error("{points} precomputed points are more than the {limit} that can be addressed")]
    TooMany { points: u64, limit: u64 },
    /// The memory budget does not hold what was asked for.
    #[error("{needed} bytes are needed, {allowed} are allowed")]
    Budget { needed: u64, allowed: u64 },
    /// The system gave no memory.
    #[error("the system gave no {bytes} bytes of memory")]
    Memory { bytes: u64 },
    /// An engine, window or stride that does not exist.
    #[error("{what} cannot be {value}")]
    Plan { what: &'static str, value: u64 },
    /// A table file that cannot serve.
    #[error("{reason}")]
    Table { reason: TableFault },
    /// The file system's error.
    #[error("{0}")]
    Io(String),
    /// The caller's progress callback asked to stop.
    #[error("stopped by the caller")]
    Cancelled,
}

impl Error {
    /// Stable word for the kind, which the bindings hand to Python.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Length { .. } => "length",
            Error::NotCanonical { .. } => "not-canonical",
            Error::NotOnCurve { .. } => "not-on-curve",
            Error::NotInSubgroup { .. } => "not-in-subgroup",
            Error::TooMany { .. } => "too-many",
            Error::Budget { .. } => "budget",
            Error::Memory { .. } => "memory",
            Error::Plan { .. } => "plan",
            Error::Table { .. } => "table",
            Error::Io(_) => "io",
            Error::Cancelled => "cancelled",
        }
    }
}

impl From<TableFault> for Error {
    fn from(reason: TableFault) -> Self {
        Error::Table { reason }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(error.to_string())
    }
}
