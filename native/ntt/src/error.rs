//! What a transform refuses.

/// Why a domain cannot be, or a call cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not from 2 to 2^24 points.
    #[error("a domain of 2^{log_size} points: 2^1 to 2^{most} are possible", most = crate::MAX_LOG_SIZE)]
    Size { log_size: u32 },
    /// w has not exactly the order that the domain has points, or the shift is 0.
    #[error("the {what} does not give a domain of 2^{log_size} points")]
    Root { what: &'static str, log_size: u32 },
    /// A column of another length.
    #[error("{actual} values for a domain of {expected} points")]
    Length { expected: usize, actual: usize },
}
