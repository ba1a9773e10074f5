//! A world state as bytes, for restart without replay from block 0.
//!
//! `"W3BSTATE" ‖ 0x02 ‖ RLP([codes, accounts])` with codes a list of byte strings and each account
//! `[keccak256(address), nonce, balance, code hash, [[slot, value], …]]`, slots in the order of their hashes. The state
//! trie is keyed by hashes, so no addresses are needed; the reader checks the state root.

use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use revm::bytecode::Bytecode;
use revm::primitives::KECCAK_EMPTY;

use crate::error::ExecutionError;
use crate::state::{Account, Slot, WorldState, slot_key};
use crate::trie::Trie;

const MAGIC: &[u8] = b"W3BSTATE\x02";

#[derive(RlpEncodable, RlpDecodable)]
struct StoredSlot {
    slot: U256,
    value: U256,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredAccount {
    key: B256,
    nonce: u64,
    balance: U256,
    code_hash: B256,
    storage: Vec<StoredSlot>,
}

#[derive(Default, RlpEncodable, RlpDecodable)]
struct StoredState {
    codes: Vec<Bytes>,
    accounts: Vec<StoredAccount>,
}

impl WorldState {
    /// The whole state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut stored = StoredState::default();
        let mut code_hashes = std::collections::BTreeSet::new();
        self.for_each_account(&mut |key, account| {
            let mut storage = Vec::new();
            account
                .storage
                .for_each(&mut |_, &Slot { slot, value }| storage.push(StoredSlot { slot, value }));
            if account.code_hash != KECCAK_EMPTY {
                code_hashes.insert(account.code_hash);
            }
            let Account { nonce, balance, code_hash, .. } = *account;
            stored.accounts.push(StoredAccount { key, nonce, balance, code_hash, storage });
        });
        stored.codes =
            code_hashes.iter().filter_map(|hash| Some(self.code(hash)?.original_bytes())).collect();
        let mut out = MAGIC.to_vec();
        stored.encode(&mut out);
        out
    }

    /// Reads [`Self::snapshot`].
    ///
    /// # Errors
    /// `Snapshot` when the bytes are malformed, name code that is absent, or do not hash to `state_root`.
    pub fn restore(raw: &[u8], state_root: B256) -> Result<Self, ExecutionError> {
        let invalid = |text: String| ExecutionError::Snapshot(text);
        let mut rest =
            raw.strip_prefix(MAGIC).ok_or_else(|| invalid("not a state snapshot of version 2".into()))?;
        let stored = StoredState::decode(&mut rest).map_err(|error| invalid(error.to_string()))?;
        if !rest.is_empty() {
            return Err(invalid("bytes follow the state".into()));
        }
        let mut state = Self::default();
        for code in stored.codes {
            let code = Bytecode::new_raw_checked(code).map_err(|error| invalid(error.to_string()))?;
            state.insert_code(code.hash_slow(), code);
        }
        for StoredAccount { key, nonce, balance, code_hash, storage } in stored.accounts {
            if code_hash != KECCAK_EMPTY && state.code(&code_hash).is_none() {
                return Err(invalid(format!("code {code_hash} is absent")));
            }
            let mut slots = Trie::default();
            for StoredSlot { slot, value } in storage {
                slots.insert(&slot_key(&slot), Slot { slot, value });
            }
            state.set_hashed_account(key, Some(Account { nonce, balance, code_hash, storage: slots }));
        }
        match state.root() {
            root if root == state_root => Ok(state),
            root => Err(invalid(format!("its root is {root}, the header says {state_root}"))),
        }
    }
}
