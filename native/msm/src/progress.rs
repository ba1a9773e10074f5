//! How far a computation is, told to the caller, who may stop it.

use crate::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The caller's ear: gets the share done, 0 to 1, from any thread; false stops the computation at its next chunk.
pub type Report<'a> = &'a (dyn Fn(f64) -> bool + Sync);

/// An ear that never stops anything.
pub fn unheard(_: f64) -> bool {
    true
}

/// Counts chunks of work as they end.
pub(crate) struct Progress<'a> {
    report: Report<'a>,
    total: u64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(report: Report<'a>, total: u64) -> Self {
        Self { report, total: total.max(1), done: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }

    /// Counts `amount` of work as done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] once the caller said stop.
    pub(crate) fn advance(&self, amount: u64) -> Result<(), Error> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let done = self.done.fetch_add(amount, Ordering::Relaxed) + amount;
        if (self.report)((done as f64 / self.total as f64).min(1.0)) {
            return Ok(());
        }
        self.stopped.store(true, Ordering::Relaxed);
        Err(Error::Cancelled)
    }
}
