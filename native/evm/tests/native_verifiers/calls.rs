//! How a verifier is called, charged and refused: as EIP-2929, EIP-7702 and EIP-2537 have it for precompiles.

use alloy_primitives::{Address, Bytes, U256, bytes};
use w3bstream_evm::precompiles::bls_fast_aggregate_verify::VERSION_1;
use w3bstream_evm::{CallStatus, Chain, Forks, GenesisAccount};

use crate::devnet::{
    CALLS, GAS_CAP, Opcode, VERIFIER, advance, call, call_with, chain, contract, data_gas, forwarder,
    from_block, genesis, signed_by, transaction, word,
};

/// 150,000 and 8,000 a key, written down a second time.
const PRICES: [(u32, u64); 3] = [(1, 158_000), (24, 342_000), (144, 1_302_000)];

/// What a forwarder returns: success, then the verifier's own words.
fn forwarded(success: bool, output: &[u8]) -> Bytes {
    [&word(u64::from(success))[..], output].concat().into()
}

/// The chain with one more contract, and what that contract answers to nothing.
fn answer(forks: Forks, code: Bytes) -> U256 {
    let mut genesis = genesis(forks);
    let at = Address::repeat_byte(0xdd);
    genesis.alloc.insert(at, GenesisAccount { nonce: 1, code, ..Default::default() });
    let outcome = call(&Chain::new(&genesis).expect("genesis"), at, &[]);
    assert_eq!(outcome.status, CallStatus::Success);
    U256::from_be_slice(&outcome.output)
}

#[test]
fn every_kind_of_call_reaches_it() {
    let (chain, good) = (chain(), signed_by(3));
    let mut wrong = good.clone();
    wrong[0] ^= 1;
    for kind in CALLS {
        assert_eq!(call(&chain, contract(kind), &good).output, forwarded(true, &word(1)), "{kind:?}");
        assert_eq!(call(&chain, contract(kind), &wrong).output, forwarded(true, &word(0)), "{kind:?}");
        let short = call(&chain, contract(kind), &good[1..]);
        assert_eq!((short.status, short.output), (CallStatus::Success, forwarded(false, &[])), "{kind:?}");
    }
}

#[test]
fn gas_is_the_schedules_to_the_unit() {
    let chain = chain();
    for (count, price) in PRICES {
        let input = signed_by(count);
        assert_eq!((VERSION_1.gas)(input.len()), price);
        let needed = data_gas(&input).0 + price;
        let exact = call_with(&chain, VERIFIER, &input, needed);
        assert_eq!((exact.status, exact.output, exact.gas_used), (CallStatus::Success, word(1), needed));
        let plenty = call_with(&chain, VERIFIER, &input, needed + 500_000);
        assert_eq!((plenty.status, plenty.gas_used), (CallStatus::Success, needed));
        let short = call_with(&chain, VERIFIER, &input, needed - 1);
        assert_eq!((short.status, short.output), (CallStatus::Halt("out of gas".into()), Bytes::new()));
        assert_eq!(short.gas_used, needed - 1);
    }
}

#[test]
fn a_wrong_signature_costs_what_a_right_one_costs() {
    let (chain, mut input) = (chain(), signed_by(24));
    input[31] ^= 1;
    let outcome = call(&chain, VERIFIER, &input);
    assert_eq!((outcome.output, outcome.gas_used), (word(0), data_gas(&input).0 + PRICES[1].1));
}

#[test]
fn a_refusal_takes_the_gas_that_it_was_given_and_says_why() {
    let (chain, mut input) = (chain(), signed_by(2));
    input.pop();
    let outcome = call_with(&chain, VERIFIER, &input, 400_000);
    assert_eq!((outcome.gas_used, outcome.output), (400_000, Bytes::new()));
    let CallStatus::Halt(reason) = outcome.status else { panic!("{:?}", outcome.status) };
    assert!(reason.contains("bls-fast-aggregate-verify: 223 bytes of input"), "{reason}");
}

#[test]
fn estimates_find_the_exact_gas() {
    let (chain, input) = (chain(), signed_by(24));
    let request = w3bstream_evm::CallRequest {
        to: Some(VERIFIER),
        data: Bytes::copy_from_slice(&input),
        ..Default::default()
    };
    let gas =
        chain.view(0).expect("state").estimate_gas(&request, GAS_CAP).expect("starts").expect("succeeds");
    assert_eq!(gas, data_gas(&input).0 + PRICES[1].1);
}

#[test]
fn the_address_is_warm_from_the_start_only_while_it_is_a_precompile() {
    // GAS, PUSH3 573301, BALANCE, POP, GAS, SWAP1, SUB, and return: 3 + 2 + 2 for the opcodes around.
    let balance = bytes!("5a 62573301 31 50 5a 90 03 5f52 60205ff3");
    assert_eq!(answer(from_block(0), balance.clone()), U256::from(100 + 7));
    assert_eq!(answer(from_block(1), balance.clone()), U256::from(2_600 + 7));
    // The next address of the range is nobody's yet.
    assert_eq!(
        answer(from_block(0), bytes!("5a 62573302 31 50 5a 90 03 5f52 60205ff3")),
        U256::from(2_600 + 7)
    );
}

#[test]
fn it_has_no_code_and_no_account() {
    assert_eq!(answer(from_block(0), bytes!("62573301 3b 5f52 60205ff3")), U256::ZERO, "EXTCODESIZE");
    assert_eq!(answer(from_block(0), bytes!("62573301 3f 5f52 60205ff3")), U256::ZERO, "EXTCODEHASH");
    let (mut chain, input) = (chain(), signed_by(1));
    advance(&mut chain, &[transaction(0, VERIFIER, 0, &input)]);
    assert!(
        chain.view(1).expect("state").state.account(&VERIFIER).is_none(),
        "EIP-161: touched, empty, gone"
    );
}

#[test]
fn value_stays_with_it_unless_the_input_is_refused() {
    let (mut chain, input) = (chain(), signed_by(1));
    let balance = |chain: &Chain, number: u64| {
        let view = chain.view(number).expect("state");
        view.state.account(&VERIFIER).map_or(U256::ZERO, |account| account.balance)
    };
    let refused = advance(&mut chain, &[transaction(0, VERIFIER, 5, &input[1..])]);
    assert_eq!((balance(&chain, 1), refused.block.header.gas_used), (U256::ZERO, 1_000_000));
    assert!(!refused.receipts[0].status());
    let taken = advance(&mut chain, &[transaction(1, VERIFIER, 5, &input)]);
    assert!(taken.receipts[0].status());
    assert_eq!(balance(&chain, 2), U256::from(5));
    advance(&mut chain, &[transaction(2, contract(Opcode::Call), 7, &input)]);
    assert_eq!(balance(&chain, 3), U256::from(12));
}

#[test]
fn an_account_delegated_to_it_runs_no_code() {
    // EIP-7702: "In case a delegation designator points to a precompile address, retrieved code is considered empty".
    let (delegated, caller) = (Address::repeat_byte(0xde), Address::repeat_byte(0xca));
    for precompile in [VERIFIER, Address::with_last_byte(1)] {
        let mut genesis = genesis(from_block(0));
        let code = [&[0xef, 0x01, 0x00], precompile.as_slice()].concat().into();
        genesis.alloc.insert(delegated, GenesisAccount { nonce: 1, code, ..Default::default() });
        let code = forwarder(Opcode::StaticCall, delegated);
        genesis.alloc.insert(caller, GenesisAccount { nonce: 1, code, ..Default::default() });
        let chain = Chain::new(&genesis).expect("genesis");
        let outcome = call(&chain, delegated, &signed_by(1));
        assert_eq!((outcome.status, outcome.output), (CallStatus::Success, Bytes::new()), "{precompile}");
        assert_eq!(call(&chain, caller, &signed_by(1)).output, forwarded(true, &[]), "{precompile}");
    }
}
