//! Sums of groups of points as trees of pairwise sums: each round adds the points of every group in pairs, and all the
//! pairs of a round share inversions.
//!
//! Groups are taken together until they have [`Adder::CHUNK`] entries, so that the sums of all rounds stay in the cache. A group
//! with more is cut into pieces, whose sums make one more group: a bucket that half of a witness falls into needs no more
//! memory than others.

use super::{Entry, INDEX_BITS};
use crate::memory::Wipe;

/// Bytes of a chunk's points: twice a second-level cache of 1 MiB, of which a round reads one part and writes another. A
/// chunk's last rounds, which have few pairs to share an inversion, weigh little.
const CHUNK_BYTES: usize = 2 << 20;

/// Points that are doubled again and again before the next ones: they share an inversion and stay in the cache.
const DOUBLED: usize = 1024;

/// No slot.
const NONE: u32 = u32::MAX;

/// Additions of many pairs of packed points at once.
pub trait Adder {
    /// Working memory of one thread.
    type Memory: Default + Send;

    /// Words of a packed point.
    const POINT_WORDS: usize;
    /// Entries of a chunk.
    const CHUNK: usize = CHUNK_BYTES / 8 / Self::POINT_WORDS;

    /// Writes the sum of each pair of points. `first` and `second` are entries where `TURNED` says so, else indices.
    fn add<const TURNED: bool>(
        &self,
        memory: &mut Self::Memory,
        points: &[u64],
        first: &[Entry],
        second: &[Entry],
        sums: &mut [u64],
    );

    /// Writes each entry's point, turned and negated as it says.
    fn turn(&self, points: &[u64], entries: &[Entry], turned: &mut [u64]);

    /// Doubles points in place.
    fn double(&self, memory: &mut Self::Memory, points: &mut [u64]);
}

/// Where a group's points lie: `count` from `start` on, and perhaps one apart.
#[derive(Clone, Copy, Debug)]
struct Group {
    row: u32,
    start: u32,
    count: u32,
    apart: u32,
}

/// Working memory of one thread.
#[derive(Default)]
pub struct Tree<M> {
    memory: M,
    /// Sums of all rounds, one after another.
    slots: Vec<u64>,
    groups: Vec<Group>,
    /// Row and slot of each sum that is done.
    done: Vec<(u32, u32)>,
    first: Vec<Entry>,
    second: Vec<Entry>,
    single: Vec<Entry>,
    pieces: Vec<u64>,
}

/// Lists of entries; what a batch keeps are coordinates.
impl<M> Wipe for Tree<M> {
    fn wipe(&mut self) {
        self.first.wipe();
        self.second.wipe();
        self.single.wipe();
    }
}

impl<M: Default + Send> Tree<M> {
    /// What `Kernel::sum_groups` promises.
    ///
    /// # Panics
    ///
    /// If an index does not lie in `points`, or the lengths do not fit together.
    pub fn sum_groups<A: Adder<Memory = M>>(
        &mut self,
        adder: &A,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    ) {
        assert_eq!(sums.len(), counts.len() * A::POINT_WORDS, "room for one point a group");
        let (mut entries, mut row) = (entries, 0);
        while row < counts.len() {
            let (mut end, mut total) = (row, 0);
            while end < counts.len() && total + counts[end] as usize <= A::CHUNK {
                total += counts[end] as usize;
                end += 1;
            }
            if end == row {
                total = counts[row] as usize;
                end += 1;
            }
            let (own, rest) = entries.split_at(total);
            let sums = &mut sums[row * A::POINT_WORDS..end * A::POINT_WORDS];
            if total > A::CHUNK {
                self.sum_pieces(adder, points, own, sums);
            } else {
                self.sum_chunk(adder, points, own, &counts[row..end], sums);
            }
            (entries, row) = (rest, end);
        }
        assert!(entries.is_empty(), "as many entries as the counts say");
    }

    /// What `Kernel::double_all` promises.
    pub fn double_all<A: Adder<Memory = M>>(&mut self, adder: &A, points: &mut [u64], times: u32) {
        for chunk in points.chunks_mut(DOUBLED * A::POINT_WORDS) {
            for _ in 0..times {
                adder.double(&mut self.memory, chunk);
            }
        }
    }

    /// One group of any size.
    fn sum_pieces<A: Adder<Memory = M>>(
        &mut self,
        adder: &A,
        points: &[u64],
        entries: &[Entry],
        sum: &mut [u64],
    ) {
        let counts: Vec<u32> = entries.chunks(A::CHUNK).map(|piece| piece.len() as u32).collect();
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.resize(counts.len() * A::POINT_WORDS, 0);
        self.sum_groups(adder, points, entries, &counts, &mut pieces);
        let all: Vec<Entry> = (0..counts.len() as Entry).collect();
        self.sum_groups(adder, &pieces, &all, &[all.len() as u32], sum);
        self.pieces = pieces;
    }

    /// Groups with no more than `CHUNK` entries.
    fn sum_chunk<A: Adder<Memory = M>>(
        &mut self,
        adder: &A,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    ) {
        let words = A::POINT_WORDS;
        let most = entries.len() * words;
        if self.slots.len() < most {
            self.slots.resize(most, 0);
        }
        self.pair_entries(entries, counts);
        let (pairs, all) = (self.first.len(), self.first.len() + self.single.len());
        let (paired, single) = self.slots[..all * words].split_at_mut(pairs * words);
        adder.add::<true>(&mut self.memory, points, &self.first, &self.second, paired);
        adder.turn(points, &self.single, single);
        let mut used = all;
        while !self.groups.is_empty() {
            self.pair_slots(used as u32);
            let (below, above) = self.slots.split_at_mut(used * words);
            let above = &mut above[..self.first.len() * words];
            adder.add::<false>(&mut self.memory, below, &self.first, &self.second, above);
            used += self.first.len();
        }
        for (row, count) in counts.iter().enumerate() {
            if *count == 0 {
                sums[row * words..(row + 1) * words].fill(0);
            }
        }
        for &(row, slot) in &self.done {
            let (row, slot) = (row as usize * words, slot as usize * words);
            sums[row..row + words].copy_from_slice(&self.slots[slot..slot + words]);
        }
    }

    /// The pairs of the first round, and the entries of groups with an odd number that have no other.
    fn pair_entries(&mut self, entries: &[Entry], counts: &[u32]) {
        self.groups.clear();
        self.done.clear();
        self.first.clear();
        self.second.clear();
        self.single.clear();
        let mut entries = entries;
        let pairs: u32 = counts.iter().map(|count| count / 2).sum();
        for (row, count) in (0..).zip(counts) {
            let (own, rest) = entries.split_at(*count as usize);
            entries = rest;
            let start = self.first.len() as u32;
            let both = own.chunks_exact(2);
            let apart = match both.remainder() {
                [last] => {
                    self.single.push(*last);
                    pairs + self.single.len() as u32 - 1
                }
                _ => NONE,
            };
            for pair in both {
                self.first.push(pair[0]);
                self.second.push(pair[1]);
            }
            let group = Group { row, start, count: count / 2, apart };
            match group.only() {
                Some(NONE) => {}
                Some(slot) => self.done.push((row, slot)),
                None => self.groups.push(group),
            }
        }
    }

    /// The pairs of the next round, whose sums start in slot `used`.
    fn pair_slots(&mut self, used: u32) {
        self.first.clear();
        self.second.clear();
        let mut kept = 0;
        for at in 0..self.groups.len() {
            let Group { row, start, count, mut apart } = self.groups[at];
            let to = used + self.first.len() as u32;
            for pair in 0..count / 2 {
                self.first.push(start + 2 * pair);
                self.second.push(start + 2 * pair + 1);
            }
            if count % 2 == 1 {
                let last = start + count - 1;
                if apart == NONE {
                    apart = last;
                } else {
                    self.first.push(last);
                    self.second.push(apart);
                    apart = NONE;
                }
            }
            let group = Group { row, start: to, count: used + self.first.len() as u32 - to, apart };
            match group.only() {
                Some(slot) => self.done.push((row, slot)),
                None => {
                    self.groups[kept] = group;
                    kept += 1;
                }
            }
        }
        self.groups.truncate(kept);
    }
}

impl Group {
    /// Where the point is, if it is one.
    fn only(&self) -> Option<u32> {
        match (self.count, self.apart) {
            (0, apart) => Some(apart),
            (1, NONE) => Some(self.start),
            _ => None,
        }
    }
}

/// The index in an entry.
pub(super) const fn index(entry: Entry) -> usize {
    (entry & ((1 << INDEX_BITS) - 1)) as usize
}
