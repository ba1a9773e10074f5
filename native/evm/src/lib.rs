//! Ethereum execution for our chain: Osaka rules by revm, native verifiers, real Merkle-Patricia roots, blocks and
//! proofs.
//!
//! In come a genesis, signed transactions and blocks; out come executed blocks, receipts, call results and EIP-1186
//! proofs. Nothing here knows a clock, a socket, a mempool or who may produce a block. Names follow
//! ethereum/execution-specs (forks/osaka).

#![forbid(unsafe_code)]

mod block;
mod call;
mod chain;
mod error;
mod execution;
mod genesis;
mod overlay;
pub mod precompiles;
mod rules;
mod senders;
mod snapshot;
mod state;
mod transaction;
mod trie;

pub use block::{
    BlockAttributes, MAX_RLP_BLOCK_SIZE, MAX_WITHDRAWALS, SealedBlock, decode_receipts, encode_receipts,
};
pub use call::{CallOutcome, CallRequest, CallStatus, StateView};
pub use chain::{Chain, STATE_HISTORY};
pub use error::{ExecutionError, TransactionError};
pub use execution::{ExecutedBlock, Outcome};
pub use genesis::{Genesis, GenesisAccount};
pub use rules::{Fork, Forks, Rules};
pub use state::{Account, AccountProof, Slot, WorldState};
pub use transaction::SignedTransaction;
pub use trie::{EMPTY_ROOT, Trie, TrieValue};

pub use {alloy_consensus, alloy_eips, alloy_primitives, alloy_rlp};
