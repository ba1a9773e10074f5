//! Large arrays of words: zeroed pages from the system, asked for in huge pages, or a file mapped read-only.
//!
//! Huge pages (2 MiB) where the system has them: a table of 60 MiB is 15 000 ordinary pages, more than any TLB holds, and
//! buckets read it in random order. They took 65 ms to 60 ms at 2^16 points of BN254.

use crate::error::Error;
use memmap2::{Mmap, MmapMut};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// Memory of digits, which tell scalars.
pub trait Wipe {
    /// Writes zeros over everything there is room for, whatever is in it.
    fn wipe(&mut self);
}

/// In vectors: `zeroize` writes word by word, which takes a fiftieth of a multiplication.
impl<T: Copy + Default> Wipe for Vec<T> {
    fn wipe(&mut self) {
        self.fill(T::default());
        self.spare_capacity_mut().fill(MaybeUninit::new(T::default()));
        // The compiler must take it for read.
        black_box(self);
    }
}

/// Whether a packed point is not the point at infinity.
pub(crate) fn occupied(point: &[u64]) -> bool {
    point.iter().any(|&word| word != 0)
}

/// The words of bytes that start on a word and are whole words.
fn words(bytes: &[u8]) -> &[u64] {
    // SAFETY: every bit pattern is a u64, and `align_to` itself finds the aligned middle.
    let (before, words, after) = unsafe { bytes.align_to::<u64>() };
    debug_assert!(before.is_empty() && after.is_empty(), "pages are aligned and whole");
    words
}

/// Words of this process, zero at first.
pub(crate) struct Words(MmapMut);

impl Words {
    /// # Errors
    /// [`Error::Memory`] if the system has no such room; never aborts.
    pub fn zeroed(count: usize) -> Result<Self, Error> {
        let bytes = count.checked_mul(8).filter(|&bytes| bytes <= isize::MAX as usize);
        let refused = Error::Memory { bytes: count as u64 * 8 };
        let map = MmapMut::map_anon(bytes.ok_or(refused.clone())?.max(8)).map_err(|_| refused)?;
        // Refused by systems without huge pages, which costs time and nothing else.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }

    /// These, whatever they hold, if there are enough, or new ones. To clear fresh pages takes a twentieth of a
    /// multiplication.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn at_least(self, count: usize) -> Result<Self, Error> {
        if self.as_slice().len() >= count { Ok(self) } else { Self::zeroed(count) }
    }

    pub fn as_slice(&self) -> &[u64] {
        words(&self.0)
    }

    pub fn as_mut_slice(&mut self) -> &mut [u64] {
        // SAFETY: every bit pattern is a u64 and the other way round, and `align_to_mut` finds the aligned middle.
        let (before, words, after) = unsafe { self.0.align_to_mut::<u64>() };
        debug_assert!(before.is_empty() && after.is_empty(), "pages are aligned and whole");
        words
    }
}

/// The packed points of a table.
pub(crate) enum Storage {
    /// Built here.
    Owned(Words),
    /// A file's pages after its first `skip` bytes, shared with every process that maps it.
    Mapped { map: Mmap, skip: usize },
}

impl Storage {
    pub fn as_slice(&self) -> &[u64] {
        match self {
            Storage::Owned(owned) => owned.as_slice(),
            Storage::Mapped { map, skip } => words(&map[*skip..]),
        }
    }
}
