//! Working memory that tasks borrow, one each, and leave for the next.

use crate::engine::Hit;
use crate::kernel::Entry;
use std::sync::Mutex;

/// Buffers of one task.
#[derive(Default)]
pub(crate) struct Worker<S> {
    pub scratch: S,
    pub entries: Vec<Entry>,
    pub counts: Vec<u32>,
    pub cursors: Vec<u32>,
}

/// Buffers of one chunk of scalars.
#[derive(Default)]
pub(crate) struct Sorter {
    pub hits: Vec<Hit>,
    pub cursors: Vec<u32>,
}

/// Buffers of all tasks: as many as ever ran at once, not one for each piece that rayon splits off.
pub(crate) struct Pool<W>(Mutex<Vec<W>>);

/// Those of tasks that call the kernel.
pub(crate) type Workers<S> = Pool<Worker<S>>;

impl<W> Default for Pool<W> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<W: Default> Pool<W> {
    /// Runs `task` with buffers of its own. Their contents are what the task before left.
    pub fn with<T>(&self, task: impl FnOnce(&mut W) -> T) -> T {
        let idle = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut worker = idle().pop().unwrap_or_default();
        let result = task(&mut worker);
        idle().push(worker);
        result
    }
}
