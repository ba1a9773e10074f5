//! Blocks as bytes, and the header rules between a block and its parent.

use std::sync::Arc;

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_consensus::{Block, BlockBody, Header, ReceiptEnvelope, TxEnvelope};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use revm::context::BlockEnv;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;

use crate::error::ExecutionError;
use crate::transaction::SignedTransaction;

/// EIP-7934: 10 MiB less the 2 MiB margin for the consensus layer's block around it.
pub const MAX_RLP_BLOCK_SIZE: usize = 8_388_608;

/// Withdrawals in one block at most (consensus-specs, Capella: `MAX_WITHDRAWALS_PER_PAYLOAD`).
pub const MAX_WITHDRAWALS: usize = 16;

/// A header, its hash, its transactions and its withdrawals.
#[derive(Clone, Debug)]
pub struct SealedBlock {
    /// Osaka header.
    pub header: Header,
    /// keccak256 of the header's RLP.
    pub hash: B256,
    /// In block order.
    pub transactions: Vec<Arc<SignedTransaction>>,
    /// In block order (EIP-4895).
    pub withdrawals: Vec<Withdrawal>,
}

impl SealedBlock {
    /// Seals a header over its body.
    pub fn new(
        header: Header,
        transactions: Vec<Arc<SignedTransaction>>,
        withdrawals: Vec<Withdrawal>,
    ) -> Self {
        Self { hash: header.hash_slow(), header, transactions, withdrawals }
    }

    /// RLP `[header, transactions, ommers, withdrawals]`.
    pub fn encoded(&self) -> Vec<u8> {
        let body = BlockBody {
            transactions: self.transactions.iter().map(|tx| tx.envelope().clone()).collect::<Vec<_>>(),
            ommers: Vec::<Header>::new(),
            withdrawals: Some(self.withdrawals.clone().into()),
        };
        let mut out = Vec::new();
        Block { header: self.header.clone(), body }.encode(&mut out);
        out
    }

    /// Reads a block's RLP. Header rules and signatures are not checked here.
    ///
    /// # Errors
    /// `Encoding` for malformed or trailing bytes, ommers, no list of withdrawals, or blob transactions; `BlockSize`.
    pub fn decode(raw: &[u8]) -> Result<Self, ExecutionError> {
        if raw.len() > MAX_RLP_BLOCK_SIZE {
            return Err(ExecutionError::BlockSize { size: raw.len(), limit: MAX_RLP_BLOCK_SIZE });
        }
        let mut rest = raw;
        let block =
            Block::<TxEnvelope>::decode(&mut rest).map_err(|e| ExecutionError::Encoding(e.to_string()))?;
        let encoding = |text: &str| ExecutionError::Encoding(text.into());
        if !rest.is_empty() {
            return Err(encoding("bytes follow the block"));
        }
        if !block.body.ommers.is_empty() {
            return Err(encoding("ommers must be empty"));
        }
        let withdrawals = block.body.withdrawals.ok_or_else(|| encoding("withdrawals must be a list"))?;
        let transactions = block
            .body
            .transactions
            .into_iter()
            .map(|tx| SignedTransaction::from_envelope(tx).map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(|error| ExecutionError::Encoding(error.to_string()))?;
        Ok(Self::new(block.header, transactions, withdrawals.into_inner()))
    }
}

/// What the producer chooses.
#[derive(Clone, Debug, Default)]
pub struct BlockAttributes {
    /// Receiver of the tips.
    pub beneficiary: Address,
    /// Unix seconds, not below the parent's.
    pub timestamp: u64,
    /// PREVRANDAO.
    pub prev_randao: B256,
    /// What EIP-4788 stores; zero while no beacon exists.
    pub parent_beacon_block_root: B256,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// What the chain itself pays after the transactions (EIP-4895), at most [`MAX_WITHDRAWALS`].
    pub withdrawals: Vec<Withdrawal>,
}

impl BlockAttributes {
    /// The producer's choices in a finished block.
    pub fn of(block: &SealedBlock) -> Self {
        let header = &block.header;
        Self {
            beneficiary: header.beneficiary,
            timestamp: header.timestamp,
            prev_randao: header.mix_hash,
            parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
            extra_data: header.extra_data.clone(),
            withdrawals: block.withdrawals.clone(),
        }
    }
}

/// The child header with everything that does not depend on execution. EIP-1559 gives the base fee; the gas limit stays.
///
/// # Errors
/// `Header` when the timestamp is below the parent's or the extra data is longer than 32 bytes. Equal timestamps are
/// allowed: our chain's rule, since it makes several blocks a second (Ethereum wants a greater one). `Withdrawals` for
/// more than [`MAX_WITHDRAWALS`].
pub fn child_header(
    parent: &Header,
    parent_hash: B256,
    choice: &BlockAttributes,
) -> Result<Header, ExecutionError> {
    if choice.timestamp < parent.timestamp {
        return Err(wrong("timestamp", choice.timestamp, format!("at least {}", parent.timestamp)));
    }
    if choice.extra_data.len() > 32 {
        return Err(wrong("extraData", format!("{} bytes", choice.extra_data.len()), "at most 32 bytes"));
    }
    if choice.withdrawals.len() > MAX_WITHDRAWALS {
        return Err(ExecutionError::Withdrawals { count: choice.withdrawals.len(), limit: MAX_WITHDRAWALS });
    }
    Ok(Header {
        parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: choice.beneficiary,
        number: parent.number + 1,
        gas_limit: parent.gas_limit,
        timestamp: choice.timestamp,
        extra_data: choice.extra_data.clone(),
        mix_hash: choice.prev_randao,
        nonce: B64::ZERO,
        difficulty: U256::ZERO,
        base_fee_per_gas: Some(next_base_fee(parent)),
        withdrawals_root: Some(calculate_withdrawals_root(&choice.withdrawals)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(choice.parent_beacon_block_root),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Default::default()
    })
}

/// EIP-1559 base fee of the block after `parent`.
pub fn next_base_fee(parent: &Header) -> u64 {
    BaseFeeParams::ethereum().next_block_base_fee(
        parent.gas_used,
        parent.gas_limit,
        parent.base_fee_per_gas.unwrap_or_default(),
    )
}

/// Compares a received header with the one that re-execution gives, field by field and then by hash.
///
/// # Errors
/// `Header` naming the first field that differs.
pub fn compare_headers(have: &Header, want: &Header) -> Result<(), ExecutionError> {
    macro_rules! same {
        ($($field:ident as $name:literal),* $(,)?) => {
            $(if have.$field != want.$field {
                return Err(wrong($name, format!("{:?}", have.$field), format!("{:?}", want.$field)));
            })*
        };
    }
    same!(
        parent_hash as "parentHash", number as "number", withdrawals_root as "withdrawalsRoot",
        gas_limit as "gasLimit", gas_used as "gasUsed",
        base_fee_per_gas as "baseFeePerGas", state_root as "stateRoot", transactions_root as "transactionsRoot",
        receipts_root as "receiptsRoot", logs_bloom as "logsBloom", ommers_hash as "sha3Uncles",
        difficulty as "difficulty", nonce as "nonce",
        blob_gas_used as "blobGasUsed", excess_blob_gas as "excessBlobGas", requests_hash as "requestsHash",
        parent_beacon_block_root as "parentBeaconBlockRoot",
    );
    if have.hash_slow() != want.hash_slow() {
        return Err(wrong("hash", have.hash_slow(), want.hash_slow()));
    }
    Ok(())
}

fn wrong(field: &'static str, have: impl ToString, want: impl ToString) -> ExecutionError {
    ExecutionError::Header { field, have: have.to_string(), want: want.to_string() }
}

/// revm's view of a header.
pub fn block_environment(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new_with_spec(0, SpecId::OSAKA)),
        ..Default::default()
    }
}

/// RLP list of receipts, for storage.
pub fn encode_receipts(receipts: &[ReceiptEnvelope]) -> Vec<u8> {
    alloy_rlp::encode(receipts.to_vec())
}

/// Reads what [`encode_receipts`] wrote.
///
/// # Errors
/// `Encoding` for malformed or trailing bytes.
pub fn decode_receipts(raw: &[u8]) -> Result<Vec<ReceiptEnvelope>, ExecutionError> {
    let mut rest = raw;
    let receipts = Vec::decode(&mut rest).map_err(|e| ExecutionError::Encoding(e.to_string()))?;
    match rest.is_empty() {
        true => Ok(receipts),
        false => Err(ExecutionError::Encoding("bytes follow the receipts".into())),
    }
}
