//! Block 0: the allocation, the system contracts and the header that everything descends from.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::Bytecode;

use crate::error::ExecutionError;
use crate::rules::{Forks, Rules};
use crate::state::{Account, Slot, WorldState, slot_key};
use crate::trie::{EMPTY_ROOT, Trie};

/// Smallest block gas limit that Ethereum knows (Yellow Paper §4.4.4).
const MIN_GAS_LIMIT: u64 = 5_000;

/// One account of the allocation.
#[derive(Clone, Debug, Default)]
pub struct GenesisAccount {
    /// Wei.
    pub balance: U256,
    /// First nonce; contracts usually have 1.
    pub nonce: u64,
    /// Runtime code, may be empty.
    pub code: Bytes,
    /// Slot → value.
    pub storage: BTreeMap<U256, U256>,
}

/// The chain's constants and first state.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Wei per gas of block 0.
    pub base_fee_per_gas: u64,
    /// Unix seconds of block 0.
    pub timestamp: u64,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// `mixHash`, which execution never reads: the commitment to whatever else a chain's nodes must agree on.
    pub prev_randao: B256,
    /// Hard forks of ours. No part of the block: the hash is that of the same genesis without them.
    pub forks: Forks,
    /// First accounts. The contracts of EIP-2935 and EIP-4788 are added where the file does not name them.
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

impl Genesis {
    /// The constants of the chain.
    pub fn rules(&self) -> Rules {
        Rules { chain_id: self.chain_id, forks: self.forks }
    }

    /// The state of block 0.
    ///
    /// # Errors
    /// `Genesis` for a gas limit below 5,000, extra data above 32 bytes, or code that EIP-7702 reserves.
    pub fn state(&self) -> Result<WorldState, ExecutionError> {
        if self.gas_limit < MIN_GAS_LIMIT {
            return Err(ExecutionError::Genesis(format!(
                "gasLimit {} is below {MIN_GAS_LIMIT}",
                self.gas_limit
            )));
        }
        if self.extra_data.len() > 32 {
            return Err(ExecutionError::Genesis(format!(
                "extraData has {} bytes, at most 32",
                self.extra_data.len()
            )));
        }
        let mut state = WorldState::default();
        let contract = |code: &Bytes| GenesisAccount { nonce: 1, code: code.clone(), ..Default::default() };
        let system = [
            (HISTORY_STORAGE_ADDRESS, contract(&HISTORY_STORAGE_CODE)),
            (BEACON_ROOTS_ADDRESS, contract(&BEACON_ROOTS_CODE)),
        ];
        for (address, account) in system.iter().map(|(a, b)| (a, b)).chain(&self.alloc) {
            place(&mut state, address, account)?;
        }
        Ok(state)
    }

    /// The header of block 0.
    pub fn header(&self, state_root: B256) -> Header {
        Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            state_root,
            transactions_root: EMPTY_ROOT,
            receipts_root: EMPTY_ROOT,
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            extra_data: self.extra_data.clone(),
            mix_hash: self.prev_randao,
            base_fee_per_gas: Some(self.base_fee_per_gas),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Default::default()
        }
    }
}

fn place(state: &mut WorldState, address: &Address, source: &GenesisAccount) -> Result<(), ExecutionError> {
    let mut account = Account { nonce: source.nonce, balance: source.balance, ..Default::default() };
    if !source.code.is_empty() {
        let code = Bytecode::new_raw_checked(source.code.clone())
            .map_err(|error| ExecutionError::Genesis(format!("code of {address}: {error}")))?;
        account.code_hash = code.hash_slow();
        state.insert_code(account.code_hash, code);
    }
    account.storage = Trie::default();
    for (slot, value) in source.storage.iter().filter(|(_, value)| !value.is_zero()) {
        account.storage.insert(&slot_key(slot), Slot { slot: *slot, value: *value });
    }
    state.set_account(address, Some(account));
    Ok(())
}
