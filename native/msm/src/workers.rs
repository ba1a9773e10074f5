//! Working memory that tasks borrow, one each, and leave for the next.

use crate::kernel::Entry;
use std::sync::{Mutex, PoisonError};

/// Buffers of one task.
#[derive(Default)]
pub(crate) struct Worker<S> {
    pub scratch: S,
    pub entries: Vec<Entry>,
    pub counts: Vec<u32>,
    pub cursors: Vec<u32>,
}

/// Buffers that are idle: as many as were ever in use at once, not one for each piece that rayon splits off.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

/// Those of tasks that call the kernel.
pub(crate) type Workers<S> = Pool<Worker<S>>;

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Pool<T> {
    /// Buffers that nobody uses, if there are any. Their contents are what the task before left.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub fn give(&self, buffers: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
    }
}

impl<T: Default> Pool<T> {
    /// Runs `task` with buffers of its own, new ones where none are idle.
    pub fn with<R>(&self, task: impl FnOnce(&mut T) -> R) -> R {
        let mut buffers = self.take().unwrap_or_default();
        let result = task(&mut buffers);
        self.give(buffers);
        result
    }
}
