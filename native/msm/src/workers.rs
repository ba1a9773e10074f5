//! Working memory that tasks borrow, one each, and leave for the next.

use crate::kernel::Entry;
use crate::memory::Wipe;
use std::sync::{Mutex, PoisonError};

/// Buffers of one task.
#[derive(Default)]
pub(crate) struct Worker<S> {
    pub scratch: S,
    pub entries: Vec<Entry>,
    pub counts: Vec<u32>,
    pub cursors: Vec<u32>,
}

impl<S: Wipe> Wipe for Worker<S> {
    fn wipe(&mut self) {
        self.scratch.wipe();
        self.entries.wipe();
        self.counts.wipe();
        self.cursors.wipe();
    }
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

impl<T: Wipe> Pool<T> {
    /// Wipes the buffers that nobody uses.
    pub fn wipe(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(Wipe::wipe);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Bn254G1;
    use crate::kernel::Scratch;

    #[test]
    fn idle_buffers_are_wiped_to_the_end_of_their_room() {
        let workers: Workers<Scratch<Bn254G1>> = Pool::default();
        workers.with(|worker| {
            worker.entries.extend([7; 100]);
            worker.entries.truncate(3);
            worker.counts.push(1);
            worker.cursors.push(2);
        });
        workers.wipe();
        let mut worker = workers.take().expect("one is idle");
        assert!(worker.counts == [0] && worker.cursors == [0]);
        // SAFETY: the first 100 were written by `extend`.
        unsafe { worker.entries.set_len(100) };
        assert_eq!(worker.entries, [0; 100]);
    }
}
