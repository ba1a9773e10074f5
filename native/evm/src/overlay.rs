//! Writes of one block (or one call) over a world state: revm's view of our tries.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::database_interface::{Database, DatabaseCommit};
use revm::primitives::AddressMap;
use revm::state::{Account as TouchedAccount, AccountInfo};

use crate::state::{Slot, WorldState, slot_key};
use crate::trie::Trie;

/// Hashes of the last blocks for BLOCKHASH: `hashes[i]` belongs to block `first + i`.
#[derive(Clone, Debug, Default)]
pub struct BlockHashes {
    /// Number of the oldest block here.
    pub first: u64,
    /// Consecutive block hashes.
    pub hashes: Arc<[B256]>,
}

#[derive(Debug, Default)]
struct Written {
    /// `None` means the account does not exist.
    info: Option<AccountInfo>,
    /// Storage below was dropped: the account was created or destroyed in this block.
    wiped: bool,
    storage: HashMap<U256, U256>,
}

/// A world state with uncommitted writes on top.
#[derive(Debug)]
pub struct Overlay {
    base: WorldState,
    written: HashMap<Address, Written>,
    codes: HashMap<B256, Bytecode>,
    ancestors: BlockHashes,
}

impl Overlay {
    /// An overlay without writes.
    pub fn new(base: WorldState, ancestors: BlockHashes) -> Self {
        Self { base, written: HashMap::new(), codes: HashMap::new(), ancestors }
    }

    /// Adds to a balance without running code (EIP-4895); an account that is empty afterwards does not exist (EIP-161).
    /// `None`, with nothing written, when the balance would pass 2^256.
    pub fn credit(&mut self, address: Address, wei: U256) -> Option<()> {
        let Ok(found) = self.basic(address);
        let mut info = found.unwrap_or_default();
        info.balance = info.balance.checked_add(wei)?;
        let written = self.written.entry(address).or_default();
        match info.is_empty() {
            true => *written = Written { info: None, wiped: true, storage: HashMap::new() },
            false => written.info = Some(info),
        }
        Some(())
    }

    /// The world state with the writes applied.
    pub fn into_state(self) -> WorldState {
        let mut state = self.base;
        for (code_hash, code) in self.codes {
            state.insert_code(code_hash, code);
        }
        for (address, written) in self.written {
            let Some(info) = written.info else {
                state.set_account(&address, None);
                continue;
            };
            let mut account = state.account(&address).cloned().unwrap_or_default();
            if written.wiped {
                account.storage = Trie::default();
            }
            for (slot, value) in written.storage {
                match value.is_zero() {
                    true => account.storage.remove(&slot_key(&slot)),
                    false => account.storage.insert(&slot_key(&slot), Slot { slot, value }),
                }
            }
            (account.nonce, account.balance, account.code_hash) = (info.nonce, info.balance, info.code_hash);
            state.set_account(&address, Some(account));
        }
        state
    }
}

impl Database for Overlay {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        if let Some(written) = self.written.get(&address) {
            return Ok(written.info.clone());
        }
        Ok(self.base.account(&address).map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: None,
            ..Default::default()
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Infallible> {
        let code = self.codes.get(&code_hash).cloned().or_else(|| self.base.code(&code_hash));
        Ok(code.unwrap_or_default())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Infallible> {
        if let Some(written) = self.written.get(&address) {
            if let Some(value) = written.storage.get(&slot) {
                return Ok(*value);
            }
            if written.wiped {
                return Ok(U256::ZERO);
            }
        }
        Ok(self.base.storage(&address, &slot))
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        let index = number.checked_sub(self.ancestors.first).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| self.ancestors.hashes.get(index)).copied().unwrap_or_default())
    }
}

impl DatabaseCommit for Overlay {
    fn commit(&mut self, changes: AddressMap<TouchedAccount>) {
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            let written = self.written.entry(address).or_default();
            // EIP-6780 lets revm mark only accounts created in the same transaction; EIP-161 deletes empty ones.
            if account.is_selfdestructed() || account.is_empty() {
                *written = Written { info: None, wiped: true, storage: HashMap::new() };
                continue;
            }
            if account.is_created() {
                written.wiped = true;
                written.storage.clear();
            }
            for (slot, value) in account.changed_storage_slots() {
                written.storage.insert(*slot, value.present_value);
            }
            if let Some(code) = &account.info.code
                && !code.is_empty()
            {
                self.codes.insert(account.info.code_hash, code.clone());
            }
            written.info = Some(account.info.copy_without_code());
        }
    }
}
