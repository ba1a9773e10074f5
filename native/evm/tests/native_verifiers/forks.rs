//! Verifiers come with their fork's block and change nothing else.

use alloy_primitives::{Address, Bytes, U256};
use w3bstream_evm::precompiles::bls_fast_aggregate_verify::VERSION_1;
use w3bstream_evm::{BlockAttributes, CallStatus, Chain, ExecutionError, Forks};

use crate::devnet::{
    CALLS, VERIFIER, advance, call, chain, contract, data_gas, from_block, genesis, signed_by, transaction,
    word,
};

/// Gas of the receipts, one for each transaction.
fn gas_used(block: &w3bstream_evm::ExecutedBlock) -> u64 {
    block.block.header.gas_used
}

#[test]
fn before_its_fork_a_verifier_is_an_empty_account() {
    let (input, mut chain) = (signed_by(1), Chain::new(&genesis(from_block(3))).expect("genesis"));
    let (intrinsic, floor) = data_gas(&input);
    for nonce in 0..2 {
        let block = advance(&mut chain, &[transaction(nonce, VERIFIER, 0, &input)]);
        assert_eq!(gas_used(&block), floor, "nothing ran");
        let outcome = call(&chain, VERIFIER, &input);
        assert_eq!((outcome.status, outcome.output), (CallStatus::Success, Bytes::new()));
        for kind in CALLS {
            assert_eq!(
                call(&chain, contract(kind), &input).output,
                word(1),
                "{kind:?}: succeeds with nothing"
            );
        }
    }
    let block = advance(&mut chain, &[transaction(2, VERIFIER, 0, &input)]);
    assert_eq!(block.block.header.number, 3);
    assert_eq!(gas_used(&block), intrinsic + (VERSION_1.gas)(input.len()));
    assert_eq!(call(&chain, VERIFIER, &input).output, word(1));
    chain.rollback(2).expect("rolls back");
    assert_eq!(call(&chain, VERIFIER, &input).output, Bytes::new(), "and back");
}

#[test]
fn a_call_on_the_block_being_made_sees_that_blocks_rules() {
    let (input, chain) = (signed_by(1), Chain::new(&genesis(from_block(1))).expect("genesis"));
    let attributes = BlockAttributes { timestamp: 101, ..Default::default() };
    let pending = chain.view_of(&chain.build(&attributes, &[]).expect("builds"));
    let request = w3bstream_evm::CallRequest {
        to: Some(VERIFIER),
        data: Bytes::copy_from_slice(&input),
        ..Default::default()
    };
    assert_eq!(pending.call(&request, 1_000_000).expect("starts").output, word(1));
    assert_eq!(call(&chain, VERIFIER, &input).output, Bytes::new());
}

#[test]
fn blocks_that_call_no_verifier_are_the_same_under_any_forks() {
    let run = |forks: Forks| {
        let mut chain = Chain::new(&genesis(forks)).expect("genesis");
        let mut hashes = vec![(chain.head().1, chain.head().0.state_root)];
        for number in 0..4 {
            // A transfer, and ecrecover at 0x01.
            let transfer = transaction(2 * number, Address::repeat_byte(9), 5, &[]);
            let other = transaction(2 * number + 1, Address::with_last_byte(1), 0, &[7; 128]);
            let block = advance(&mut chain, &[transfer, other]).block;
            assert_eq!(block.transactions.len(), 2);
            hashes.push((block.hash, block.header.state_root));
        }
        hashes
    };
    let none = run(Forks::default());
    assert_eq!(none, run(from_block(0)));
    assert_eq!(none, run(from_block(2)));
}

#[test]
fn a_node_without_the_fork_refuses_a_block_that_used_it() {
    let (with, without) = (chain(), Chain::new(&genesis(Forks::default())).expect("genesis"));
    assert_eq!(with.head().1, without.head().1, "forks are no part of block 0");
    let attributes = BlockAttributes { timestamp: 101, ..Default::default() };
    let built = with.build(&attributes, &[transaction(0, VERIFIER, 0, &signed_by(1))]).expect("builds");
    let error = without.import(built.block.clone()).expect_err("another gas");
    assert!(matches!(error, ExecutionError::Header { field: "gasUsed", .. }), "{error}");
    with.import(built.block).expect("the same rules");
}

#[test]
fn a_restored_chain_keeps_its_forks() {
    let (input, mut chain) = (signed_by(1), chain());
    let mut headers = vec![chain.head().0.clone()];
    headers.push(advance(&mut chain, &[transaction(0, VERIFIER, 1, &input)]).block.header);
    let view = chain.view(1).expect("state");
    assert_eq!(view.state.account(&VERIFIER).expect("paid").balance, U256::from(1));
    let restored = Chain::restore(chain.rules(), headers, &view.state.snapshot()).expect("restores");
    assert_eq!(call(&restored, VERIFIER, &input).output, word(1));
    let next = [transaction(1, VERIFIER, 0, &input)];
    let attributes = BlockAttributes { timestamp: 102, ..Default::default() };
    let build = |on: &Chain| on.build(&attributes, &next).expect("builds").block.hash;
    assert_eq!(build(&restored), build(&chain));
}
