//! The persistent trie against alloy-trie: same roots, verifiable proofs, old roots untouched.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, root};
use w3bstream_evm::{EMPTY_ROOT, Trie};

/// xorshift64*: enough to pick operations, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

fn reference(entries: &BTreeMap<B256, U256>) -> B256 {
    root::storage_root_unsorted(entries.iter().map(|(key, value)| (*key, *value)))
}

#[test]
fn roots_equal_the_reference_through_inserts_overwrites_and_removals() {
    let mut random = Random(7);
    let mut trie = Trie::default();
    let mut entries = BTreeMap::new();
    let mut history = Vec::new();
    for step in 0..4_000 {
        let key = keccak256(random.next(300).to_be_bytes());
        if random.next(5) < 3 {
            let value = U256::from(random.next(u64::MAX) + 1) << (random.next(190) as usize);
            trie.insert(&key, value);
            entries.insert(key, value);
        } else {
            trie.remove(&key);
            entries.remove(&key);
        }
        if step % 40 == 0 {
            assert_eq!(trie.root(), reference(&entries), "after step {step}");
            history.push((trie.clone(), trie.root()));
        }
        assert_eq!(trie.get(&key), entries.get(&key));
    }
    for (old, known) in history {
        let mut seen = BTreeMap::new();
        old.for_each(&mut |key, value| {
            seen.insert(key, *value);
        });
        assert_eq!(reference(&seen), known, "an old version changed");
    }
    for key in entries.keys() {
        trie.remove(key);
    }
    assert_eq!(trie.root(), EMPTY_ROOT);
    assert!(trie.is_empty());
}

#[test]
fn keys_with_long_shared_prefixes_keep_the_reference_root() {
    let mut trie = Trie::default();
    let mut entries = BTreeMap::new();
    for last in 0..40u8 {
        let mut key = B256::repeat_byte(0xab);
        key[31] = last;
        key[16] = last % 3;
        trie.insert(&key, U256::from(last) + U256::ONE);
        entries.insert(key, U256::from(last) + U256::ONE);
        assert_eq!(trie.root(), reference(&entries));
    }
    while let Some((key, _)) = entries.pop_first() {
        trie.remove(&key);
        assert_eq!(trie.root(), reference(&entries));
    }
}

#[test]
fn proofs_verify_and_forged_ones_do_not() {
    let mut trie = Trie::default();
    for number in 0..200u64 {
        trie.insert(&keccak256(number.to_be_bytes()), U256::from(number + 1));
    }
    let verify = |key: &B256, value: Option<Vec<u8>>, nodes: &[Vec<u8>]| {
        let nodes: Vec<alloy_primitives::Bytes> = nodes.iter().cloned().map(Into::into).collect();
        verify_proof(trie.root(), Nibbles::unpack(key), value, &nodes)
    };
    for number in 0..260u64 {
        let key = keccak256(number.to_be_bytes());
        let value = trie.get(&key).map(|value| alloy_rlp::encode(*value));
        assert_eq!(value.is_some(), number < 200);
        let proof = trie.proof(&key);
        verify(&key, value.clone(), &proof).expect("a true proof");
        verify(&key, Some(alloy_rlp::encode(U256::from(999_999))), &proof).expect_err("another value");
        let mut flipped = proof.clone();
        let last = flipped.len() - 1;
        flipped[last][0] ^= 1;
        verify(&key, value, &flipped).expect_err("a flipped bit");
    }
}
