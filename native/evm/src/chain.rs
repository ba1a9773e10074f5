//! The head of the chain and the recent past: build, import, append, roll back.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use alloy_consensus::Header;
use alloy_primitives::B256;

use crate::block::{BlockAttributes, SealedBlock, child_header, compare_headers, next_base_fee};
use crate::call::StateView;
use crate::error::ExecutionError;
use crate::execution::{ExecutedBlock, Outcome, Parent, execute};
use crate::genesis::Genesis;
use crate::overlay::BlockHashes;
use crate::rules::Rules;
use crate::state::WorldState;
use crate::transaction::SignedTransaction;

/// States and hashes kept in memory: BLOCKHASH reaches back 256 blocks, and shared tries make a state cheap.
pub const STATE_HISTORY: usize = 256;

#[derive(Clone, Debug)]
struct Entry {
    header: Header,
    hash: B256,
    /// `None` for a block older than the snapshot that the chain was restored from.
    state: Option<WorldState>,
}

/// The executor: head, recent headers and states. Nothing is written to disk here.
#[derive(Clone, Debug)]
pub struct Chain {
    rules: Rules,
    /// Ascending numbers, never empty; the last one is the head.
    recent: VecDeque<Entry>,
    /// Hashes of `recent`, made when first asked for after a change and shared by every view.
    hashes: OnceLock<BlockHashes>,
}

impl Chain {
    /// The chain with block 0 only.
    ///
    /// # Errors
    /// `Genesis`, as [`Genesis::state`].
    pub fn new(genesis: &Genesis) -> Result<Self, ExecutionError> {
        let state = genesis.state()?;
        let header = genesis.header(state.root());
        let entry = Entry { hash: header.hash_slow(), header, state: Some(state) };
        Ok(Self::at(genesis.rules(), VecDeque::from([entry])))
    }

    /// The chain at a snapshot's block. `headers` are consecutive, end with that block, and should reach back 256
    /// blocks, or BLOCKHASH would answer zero where it must not.
    ///
    /// # Errors
    /// `Snapshot` for headers that do not link or a state that is not the last header's.
    pub fn restore(rules: Rules, headers: Vec<Header>, state: &[u8]) -> Result<Self, ExecutionError> {
        let mut recent: VecDeque<Entry> = VecDeque::with_capacity(headers.len());
        for header in headers {
            let hash = header.hash_slow();
            if recent.back().is_some_and(|last| last.hash != header.parent_hash) {
                return Err(ExecutionError::Snapshot(format!("header {} does not link", header.number)));
            }
            recent.push_back(Entry { header, hash, state: None });
        }
        let head = recent.back_mut().ok_or_else(|| ExecutionError::Snapshot("no headers".into()))?;
        let first = head.header.number + 1 - (head.header.number + 1).min(STATE_HISTORY as u64);
        head.state = Some(WorldState::restore(state, head.header.state_root)?);
        if recent[0].header.number > first {
            return Err(ExecutionError::Snapshot(format!("headers from {first} on are needed")));
        }
        Ok(Self::at(rules, recent))
    }

    fn at(rules: Rules, recent: VecDeque<Entry>) -> Self {
        Self { rules, recent, hashes: OnceLock::new() }
    }

    fn head_entry(&self) -> &Entry {
        &self.recent[self.recent.len() - 1]
    }

    /// The constants of the chain.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// Header and hash of the head.
    pub fn head(&self) -> (&Header, B256) {
        (&self.head_entry().header, self.head_entry().hash)
    }

    /// Base fee of the next block, wei per gas.
    pub fn next_base_fee(&self) -> u64 {
        next_base_fee(&self.head_entry().header)
    }

    /// Executes transactions on the head without moving it.
    ///
    /// # Errors
    /// `Header` and `Withdrawals` for attributes that the rules forbid; `WithdrawalOverflow`.
    pub fn build(
        &self,
        attributes: &BlockAttributes,
        transactions: &[Arc<SignedTransaction>],
    ) -> Result<ExecutedBlock, ExecutionError> {
        let head = self.head_entry();
        let header = child_header(&head.header, head.hash, attributes)?;
        let parent = self.parent(head.header.number)?;
        execute(&self.rules, &parent, header, transactions, &attributes.withdrawals)
    }

    /// Re-executes a block that somebody else made and compares every root, without moving the head.
    ///
    /// # Errors
    /// `NotOnHead`, `Transaction` for one that cannot run, `Withdrawals`, `WithdrawalOverflow`, `Header` for the first
    /// field that differs.
    pub fn import(&self, block: SealedBlock) -> Result<ExecutedBlock, ExecutionError> {
        let head = self.head_entry();
        if block.header.parent_hash != head.hash {
            let (number, parent) = (block.header.number, block.header.parent_hash);
            return Err(ExecutionError::NotOnHead { number, parent, head: head.hash });
        }
        let done = self.build(&BlockAttributes::of(&block), &block.transactions)?;
        for (index, outcome) in done.outcomes.iter().enumerate() {
            let error = match outcome {
                Outcome::Included => continue,
                Outcome::Rejected(error) => error.clone(),
                Outcome::Deferred => crate::TransactionError::Other("it does not fit this block".into()),
            };
            return Err(ExecutionError::Transaction {
                index,
                hash: block.transactions[index].hash(),
                error: Box::new(error),
            });
        }
        compare_headers(&block.header, &done.block.header)?;
        Ok(done)
    }

    /// Makes an executed child of the head the head.
    ///
    /// # Errors
    /// `NotOnHead` when the head moved since it was executed.
    pub fn append(&mut self, executed: &ExecutedBlock) -> Result<(), ExecutionError> {
        let SealedBlock { header, hash, .. } = &executed.block;
        let head = self.head_entry().hash;
        if header.parent_hash != head {
            return Err(ExecutionError::NotOnHead {
                number: header.number,
                parent: header.parent_hash,
                head,
            });
        }
        self.hashes = OnceLock::new();
        self.recent.push_back(Entry {
            header: header.clone(),
            hash: *hash,
            state: Some(executed.state.clone()),
        });
        // Headers reach back twice as far, so that BLOCKHASH is right in a call on the oldest state too.
        if let Some(index) = self.recent.len().checked_sub(STATE_HISTORY + 1) {
            self.recent[index].state = None;
        }
        if self.recent.len() > 2 * STATE_HISTORY {
            self.recent.pop_front();
        }
        Ok(())
    }

    /// Drops every block above `number`.
    ///
    /// # Errors
    /// `StateNotAvailable` when that block's state is no longer kept.
    pub fn rollback(&mut self, number: u64) -> Result<(), ExecutionError> {
        let index = self.index(number)?;
        self.hashes = OnceLock::new();
        self.recent.truncate(index + 1);
        Ok(())
    }

    /// The state after a recent block.
    ///
    /// # Errors
    /// `StateNotAvailable`.
    pub fn view(&self, number: u64) -> Result<StateView, ExecutionError> {
        let entry = &self.recent[self.index(number)?];
        let state = entry.state.clone().ok_or_else(|| not_available(number))?;
        Ok(StateView { rules: self.rules, header: entry.header.clone(), state, ancestors: self.hashes() })
    }

    /// The state after a block that was executed on the head but not appended.
    pub fn view_of(&self, executed: &ExecutedBlock) -> StateView {
        let header = executed.block.header.clone();
        StateView { rules: self.rules, header, state: executed.state.clone(), ancestors: self.hashes() }
    }

    fn parent(&self, number: u64) -> Result<Parent<'_>, ExecutionError> {
        let entry = &self.recent[self.index(number)?];
        let state = entry.state.as_ref().ok_or_else(|| not_available(number))?;
        Ok(Parent { hash: entry.hash, state, ancestors: self.hashes() })
    }

    /// All that are kept, for any block: BLOCKHASH itself answers zero for the block that it runs in and those above.
    fn hashes(&self) -> BlockHashes {
        let made = self.hashes.get_or_init(|| BlockHashes {
            first: self.recent[0].header.number,
            hashes: self.recent.iter().map(|entry| entry.hash).collect(),
        });
        made.clone()
    }

    /// Position of a kept block with a state.
    fn index(&self, number: u64) -> Result<usize, ExecutionError> {
        let index =
            number.checked_sub(self.recent[0].header.number).and_then(|index| usize::try_from(index).ok());
        index
            .filter(|index| self.recent.get(*index).is_some_and(|entry| entry.state.is_some()))
            .ok_or_else(|| not_available(number))
    }
}

fn not_available(number: u64) -> ExecutionError {
    ExecutionError::StateNotAvailable { number, kept: STATE_HISTORY }
}
