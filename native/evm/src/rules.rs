//! What the nodes of one chain agree on besides the blocks: its id, and from which block each hard fork of ours holds.
//!
//! Ethereum's own rules are Osaka's from block 0. Forks of ours only add to them, and a chain without any executes
//! every block as an Osaka chain does. Forks stand in no order: each holds from its own block, or never.

/// A hard fork of ours. A new one is a variant here, a row in [`Fork::ALL`] and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The first native verifiers.
    Verifiers,
    /// The native verifiers of attestation evidence.
    Attestation,
}

impl Fork {
    /// Every fork, in the order of the variants.
    pub const ALL: [Self; 2] = [Self::Verifiers, Self::Attestation];

    /// Its name; a genesis file appends "Block".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verifiers => "verifiers",
            Self::Attestation => "attestation",
        }
    }

    /// The fork of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fork| fork.name() == name)
    }
}

/// The first block of each fork; by default no fork ever holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forks([Option<u64>; Fork::ALL.len()]);

impl Forks {
    /// The same with one fork that holds from this block on.
    #[must_use]
    pub const fn with(mut self, fork: Fork, first_block: u64) -> Self {
        self.0[fork as usize] = Some(first_block);
        self
    }

    /// Whether a block runs under a fork's rules.
    pub fn active(&self, fork: Fork, block: u64) -> bool {
        self.0[fork as usize].is_some_and(|first| first <= block)
    }
}

/// The constants of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Forks of ours.
    pub forks: Forks,
}
