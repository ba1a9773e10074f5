//! Stands in for web-time where Monty asks for it: time stands still. What a program may use is bounded by the runtime.

use core::time::Duration;

/// The one instant that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant;

impl Instant {
    /// That instant.
    pub fn now() -> Self {
        Self
    }

    /// Nothing.
    pub fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
