//! Signed transactions: decoding, sender recovery and the checks that need no execution.

use std::sync::OnceLock;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256};
use revm::context::TxEnv;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;
use revm::context_interface::either::Either;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use revm::primitives::eip7825::TX_GAS_LIMIT_CAP;
use revm::primitives::hardfork::SpecId;

use crate::error::TransactionError;
use crate::senders;
use crate::state::WorldState;

/// A decoded transaction with its hash, and its sender once recovered.
#[derive(Debug)]
pub struct SignedTransaction {
    envelope: TxEnvelope,
    sender: OnceLock<Address>,
    encoded: Vec<u8>,
}

impl SignedTransaction {
    /// Decodes EIP-2718 bytes of type 0, 1, 2 or 4 and recovers the sender (EIP-2: low s only).
    ///
    /// # Errors
    /// `Encoding` for malformed or trailing bytes, `Blob` for type 3, `Signature` when nothing is recovered.
    pub fn decode(raw: &[u8]) -> Result<Self, TransactionError> {
        if raw.first() == Some(&3) {
            return Err(TransactionError::Blob);
        }
        let envelope = TxEnvelope::decode_2718_exact(raw)
            .map_err(|error| TransactionError::Encoding(error.to_string()))?;
        let transaction = Self::from_envelope(envelope)?;
        transaction.recover()?;
        Ok(transaction)
    }

    /// Wraps a transaction whose sender is recovered when first asked for.
    ///
    /// # Errors
    /// `Blob` for type 3.
    pub fn from_envelope(envelope: TxEnvelope) -> Result<Self, TransactionError> {
        if envelope.is_eip4844() {
            return Err(TransactionError::Blob);
        }
        let encoded = envelope.encoded_2718();
        Ok(Self { envelope, sender: OnceLock::new(), encoded })
    }

    /// The address whose key signed.
    ///
    /// # Errors
    /// `Signature` when nothing is recovered.
    pub fn recover(&self) -> Result<Address, TransactionError> {
        if let Some(sender) = self.sender.get() {
            return Ok(*sender);
        }
        let hash = self.hash();
        let sender = match senders::find(&hash) {
            Some(sender) => sender,
            None => {
                let sender = self.envelope.recover_signer().map_err(|_| TransactionError::Signature)?;
                senders::remember(hash, sender);
                sender
            }
        };
        Ok(*self.sender.get_or_init(|| sender))
    }

    /// The typed transaction.
    pub fn envelope(&self) -> &TxEnvelope {
        &self.envelope
    }

    /// EIP-2718 bytes, as gossiped and as in the transaction trie.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// keccak256 of the EIP-2718 bytes.
    pub fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    /// The most that the sender can be charged: gas limit × fee cap + value, saturating.
    pub fn cost(&self) -> U256 {
        U256::from(self.envelope.gas_limit())
            .saturating_mul(U256::from(self.envelope.max_fee_per_gas()))
            .saturating_add(self.envelope.value())
    }

    /// revm's form.
    ///
    /// # Errors
    /// `Signature` when the sender cannot be recovered.
    pub fn environment(&self) -> Result<TxEnv, TransactionError> {
        let tx = &self.envelope;
        Ok(TxEnv {
            tx_type: u8::from(tx.tx_type()),
            caller: self.recover()?,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: tx
                .authorization_list()
                .map(|list| list.iter().cloned().map(Either::Left).collect())
                .unwrap_or_default(),
        })
    }

    /// What can be checked from the transaction and the chain's constants alone (execution-specs `validate_transaction`).
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check_static(&self, chain_id: u64, block_gas_limit: u64) -> Result<(), TransactionError> {
        let tx = &self.envelope;
        match tx.chain_id() {
            None => return Err(TransactionError::NotReplayProtected),
            Some(have) if have != chain_id => return Err(TransactionError::ChainId { have, want: chain_id }),
            Some(_) => {}
        }
        let (gas, cap) = (tx.gas_limit(), tx.max_fee_per_gas());
        if let Some(tip) = tx.max_priority_fee_per_gas()
            && tip > cap
        {
            return Err(TransactionError::TipAboveCap { tip, cap });
        }
        if gas > TX_GAS_LIMIT_CAP {
            return Err(TransactionError::GasCap { gas, cap: TX_GAS_LIMIT_CAP });
        }
        if gas > block_gas_limit {
            return Err(TransactionError::BlockGasLimit);
        }
        if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
            return Err(TransactionError::InitCode { size: tx.input().len(), limit: MAX_INITCODE_SIZE });
        }
        if tx.authorization_list().is_some_and(<[_]>::is_empty) {
            return Err(TransactionError::EmptyAuthorizationList);
        }
        if tx.nonce() == u64::MAX {
            return Err(TransactionError::NonceMax);
        }
        let needed = calculate_initial_tx_gas_for_tx(self.environment()?, SpecId::OSAKA, None);
        if needed.initial_regular_gas > gas {
            return Err(TransactionError::IntrinsicGas { gas, needed: needed.initial_regular_gas });
        }
        if needed.floor_gas > gas {
            return Err(TransactionError::FloorGas { gas, needed: needed.floor_gas });
        }
        Ok(())
    }

    /// What depends on the sender's account: nonce not used, EIP-3607, and a balance for the whole cost. A nonce above
    /// the account's is no error: the mempool queues it.
    ///
    /// # Errors
    /// `NonceTooLow`, `SenderNotEoa` or `InsufficientFunds`.
    pub fn check_against(&self, state: &WorldState) -> Result<(), TransactionError> {
        let account = state.account(&self.recover()?).cloned().unwrap_or_default();
        if self.envelope.nonce() < account.nonce {
            return Err(TransactionError::NonceTooLow { tx: self.envelope.nonce(), state: account.nonce });
        }
        if state.code(&account.code_hash).is_some_and(|code| !code.is_empty() && !code.is_eip7702()) {
            return Err(TransactionError::SenderNotEoa);
        }
        if account.balance < self.cost() {
            return Err(TransactionError::InsufficientFunds { balance: account.balance, cost: self.cost() });
        }
        Ok(())
    }
}
