//! The world state: accounts and their storage in Merkle-Patricia tries (Yellow Paper §4.1), and contract code.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Encodable;
use revm::bytecode::Bytecode;
use revm::primitives::KECCAK_EMPTY;

use crate::trie::{Trie, TrieValue};

impl TrieValue for U256 {
    fn encoded(&self) -> Vec<u8> {
        alloy_rlp::encode(self)
    }
}

/// A non-zero storage slot. The trie commits to the value only; the number, whose hash is the key, is kept so that an
/// account's storage can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Slot number.
    pub slot: U256,
    /// Not zero.
    pub value: U256,
}

impl TrieValue for Slot {
    fn encoded(&self) -> Vec<u8> {
        self.value.encoded()
    }
}

/// An account as the state trie holds it.
#[derive(Clone, Debug)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// keccak256 of the code.
    pub code_hash: B256,
    /// Non-zero slots, keyed by keccak256 of the slot number.
    pub storage: Trie<Slot>,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY, storage: Trie::default() }
    }
}

impl TrieValue for Account {
    fn encoded(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(112);
        self.nonce.encode(&mut payload);
        self.balance.encode(&mut payload);
        self.storage.root().encode(&mut payload);
        self.code_hash.encode(&mut payload);
        let mut out = Vec::with_capacity(payload.len() + 2);
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend_from_slice(&payload);
        out
    }
}

/// One account's state with proofs (EIP-1186).
#[derive(Clone, Debug)]
pub struct AccountProof {
    /// The account, or an empty one where the address has none.
    pub account: Account,
    /// Trie nodes from the state root to the account or to the place where it would be.
    pub account_proof: Vec<Vec<u8>>,
    /// For each slot asked: slot, value and the nodes from the storage root.
    pub storage_proofs: Vec<(U256, U256, Vec<Vec<u8>>)>,
}

/// State after a block. Cloning is O(1); code is content-addressed and shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct WorldState {
    accounts: Trie<Account>,
    codes: Arc<RwLock<HashMap<B256, Bytecode>>>,
}

impl WorldState {
    /// The account at an address, if it exists.
    pub fn account(&self, address: &Address) -> Option<&Account> {
        self.accounts.get(&keccak256(address))
    }

    /// The value of a storage slot; zero where nothing was written.
    pub fn storage(&self, address: &Address, slot: &U256) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| stored(account, slot))
    }

    /// Every non-zero slot of an account, ascending. Walks the account's whole storage.
    pub fn storage_of(&self, address: &Address) -> Vec<Slot> {
        let mut slots = Vec::new();
        if let Some(account) = self.account(address) {
            account.storage.for_each(&mut |_, slot| slots.push(*slot));
        }
        slots.sort_unstable_by_key(|slot| slot.slot);
        slots
    }

    /// The code with this hash, if some account here has or had it.
    pub fn code(&self, code_hash: &B256) -> Option<Bytecode> {
        self.codes.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(code_hash).cloned()
    }

    /// Keeps code under its hash.
    pub fn insert_code(&self, code_hash: B256, code: Bytecode) {
        self.codes.write().unwrap_or_else(|poisoned| poisoned.into_inner()).entry(code_hash).or_insert(code);
    }

    /// Writes or, with `None`, deletes an account.
    pub fn set_account(&mut self, address: &Address, account: Option<Account>) {
        self.set_hashed_account(keccak256(address), account);
    }

    pub(crate) fn set_hashed_account(&mut self, key: B256, account: Option<Account>) {
        match account {
            Some(account) => self.accounts.insert(&key, account),
            None => self.accounts.remove(&key),
        }
    }

    pub(crate) fn for_each_account(&self, visit: &mut dyn FnMut(B256, &Account)) {
        self.accounts.for_each(visit);
    }

    /// The state root.
    pub fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// Proof of an account and of some of its slots, present or absent.
    pub fn proof(&self, address: &Address, slots: &[U256]) -> AccountProof {
        let account = self.account(address).cloned().unwrap_or_default();
        let storage_proofs = slots
            .iter()
            .map(|slot| (*slot, stored(&account, slot), account.storage.proof(&slot_key(slot))))
            .collect();
        AccountProof { account_proof: self.accounts.proof(&keccak256(address)), storage_proofs, account }
    }
}

/// The storage trie's key of a slot.
pub fn slot_key(slot: &U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

fn stored(account: &Account, slot: &U256) -> U256 {
    account.storage.get(&slot_key(slot)).map_or(U256::ZERO, |found| found.value)
}
