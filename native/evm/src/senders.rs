//! Senders that were recovered lately, for the whole process.
//!
//! A transaction meets a node twice: when it enters the mempool and when a block brings it back. The hash commits to the
//! signature, so the sender is looked up the second time (go-ethereum caches senders to the same end). Recovery is most
//! of what a small transaction costs.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};

/// Entries in one of the two generations: above what the mempool holds (20,000). About 4 MiB in all.
const GENERATION: usize = 32_768;

static RECOVERED: LazyLock<Mutex<Generations>> = LazyLock::new(|| Mutex::new(Generations::new(GENERATION)));

/// What was added last stays for at least `size` more additions; what is older goes at once.
#[derive(Debug)]
struct Generations {
    size: usize,
    young: HashMap<B256, Address>,
    old: HashMap<B256, Address>,
}

impl Generations {
    fn new(size: usize) -> Self {
        Self { size, young: HashMap::new(), old: HashMap::new() }
    }

    fn get(&self, hash: &B256) -> Option<Address> {
        self.young.get(hash).or_else(|| self.old.get(hash)).copied()
    }

    fn insert(&mut self, hash: B256, sender: Address) {
        if self.young.len() >= self.size {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, sender);
    }
}

fn recovered() -> MutexGuard<'static, Generations> {
    // Every state of the maps is a right one: entries are facts.
    RECOVERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sender of the transaction with this hash, if it was recovered lately.
pub fn find(hash: &B256) -> Option<Address> {
    recovered().get(hash)
}

/// Keeps a sender that was recovered from a signature.
pub fn remember(hash: B256, sender: Address) {
    recovered().insert(hash, sender);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_the_size_is_bounded() {
        let mut kept = Generations::new(4);
        let (hash, sender) = (|n: u8| B256::repeat_byte(n), |n: u8| Address::repeat_byte(n));
        for n in 0..40 {
            assert_eq!(kept.get(&hash(n)), None);
            kept.insert(hash(n), sender(n));
            for back in 0..=4.min(n) {
                assert_eq!(kept.get(&hash(n - back)), Some(sender(n - back)), "{back} before {n}");
            }
            assert!(kept.young.len() + kept.old.len() <= 8);
        }
        assert_eq!(kept.get(&hash(20)), None);
    }
}
