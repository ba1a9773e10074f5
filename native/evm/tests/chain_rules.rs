//! Blocks end to end: build, import, forged headers, rollback, snapshots, calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{Header, SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, bytes, keccak256};
use k256::ecdsa::SigningKey;
use w3bstream_evm::{
    BlockAttributes, CallRequest, CallStatus, Chain, ExecutedBlock, ExecutionError, Forks, Genesis,
    GenesisAccount, MAX_WITHDRAWALS, Outcome, STATE_HISTORY, SealedBlock, SignedTransaction,
    TransactionError,
};

const CHAIN_ID: u64 = 4690;
/// Runtime: slot 0 += 1; LOG1 with topic = the new value; returns it. With value attached it reverts with 0x2a.
const COUNTER: Bytes = bytes!("346017575f54600101805f55805f5260205fa160205ff35b602a5f5260205ffd");

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("a scalar")
}

fn address(seed: u8) -> Address {
    Address::from_public_key(key(seed).verifying_key())
}

fn counter() -> Address {
    Address::repeat_byte(0xcc)
}

fn genesis() -> Genesis {
    let rich = |seed| {
        (address(seed), GenesisAccount { balance: U256::from(10).pow(U256::from(21)), ..Default::default() })
    };
    let mut alloc = BTreeMap::from([rich(1), rich(2)]);
    alloc.insert(counter(), GenesisAccount { nonce: 1, code: COUNTER, ..Default::default() });
    Genesis {
        chain_id: CHAIN_ID,
        gas_limit: 30_000_000,
        base_fee_per_gas: 1_000_000_000,
        timestamp: 100,
        extra_data: Bytes::new(),
        prev_randao: B256::ZERO,
        forks: Forks::default(),
        alloc,
    }
}

fn signed(seed: u8, tx: TxEip1559) -> Arc<SignedTransaction> {
    let (signature, parity) =
        key(seed).sign_prehash_recoverable(tx.signature_hash().as_slice()).expect("signs");
    let envelope = TxEnvelope::Eip1559(tx.into_signed(Signature::from((signature, parity))));
    Arc::new(SignedTransaction::decode(&envelope.encoded_2718()).expect("decodes"))
}

fn call(nonce: u64, to: Address, value: u64, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input,
        access_list: Default::default(),
    }
}

fn attributes(timestamp: u64) -> BlockAttributes {
    BlockAttributes { beneficiary: Address::repeat_byte(0xbe), timestamp, ..Default::default() }
}

fn advance(chain: &mut Chain, timestamp: u64, transactions: &[Arc<SignedTransaction>]) -> ExecutedBlock {
    let built = chain.build(&attributes(timestamp), transactions).expect("builds");
    let imported =
        chain.import(SealedBlock::decode(&built.block.encoded()).expect("decodes")).expect("imports");
    assert_eq!(imported.block.hash, built.block.hash);
    chain.append(&imported).expect("appends");
    built
}

#[test]
fn value_fees_and_tips_go_where_the_rules_say() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    let built = advance(&mut chain, 101, &[signed(1, call(0, Address::repeat_byte(9), 5, Bytes::new()))]);
    assert_eq!(built.outcomes, [Outcome::Included]);
    let view = chain.view(1).expect("state");
    let base_fee = U256::from(built.block.header.base_fee_per_gas.expect("EIP-1559"));
    let tip = U256::from(1_000_000_000u64);
    let gas = U256::from(21_000);
    let balance = |of: Address| view.state.account(&of).map_or(U256::ZERO, |account| account.balance);
    assert_eq!(balance(Address::repeat_byte(9)), U256::from(5));
    assert_eq!(balance(Address::repeat_byte(0xbe)), tip * gas);
    assert_eq!(
        balance(address(1)),
        U256::from(10).pow(U256::from(21)) - U256::from(5) - (base_fee + tip) * gas
    );
    assert_eq!(built.block.header.gas_used, 21_000);
    assert_eq!(built.block.header.base_fee_per_gas, Some(875_000_000));
}

#[test]
fn forged_blocks_are_refused_by_the_field_that_was_forged() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    advance(&mut chain, 101, &[]);
    let transactions =
        [signed(1, call(0, counter(), 0, Bytes::new())), signed(2, call(0, counter(), 0, Bytes::new()))];
    let built = chain.build(&attributes(102), &transactions).expect("builds");
    let forge = |change: &dyn Fn(&mut Header)| {
        let mut header = built.block.header.clone();
        change(&mut header);
        chain
            .import(SealedBlock::new(header, built.block.transactions.clone(), Vec::new()))
            .expect_err("forged")
    };
    let field = |error: ExecutionError| match error {
        ExecutionError::Header { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(forge(&|h| h.state_root = B256::repeat_byte(1))), "stateRoot");
    assert_eq!(field(forge(&|h| h.receipts_root = B256::repeat_byte(1))), "receiptsRoot");
    assert_eq!(field(forge(&|h| h.transactions_root = B256::repeat_byte(1))), "transactionsRoot");
    assert_eq!(field(forge(&|h| h.gas_used += 1)), "gasUsed");
    assert_eq!(field(forge(&|h| h.gas_limit += 1)), "gasLimit");
    assert_eq!(field(forge(&|h| h.number += 1)), "number");
    assert_eq!(field(forge(&|h| h.base_fee_per_gas = Some(7))), "baseFeePerGas");
    assert_eq!(field(forge(&|h| h.logs_bloom.0[3] ^= 1)), "logsBloom");
    assert_eq!(field(forge(&|h| h.timestamp = 100)), "timestamp");
    assert_eq!(field(forge(&|h| h.requests_hash = None)), "requestsHash");
    assert_eq!(field(forge(&|h| h.slot_number = Some(1))), "hash");
    assert!(matches!(forge(&|h| h.parent_hash = B256::ZERO), ExecutionError::NotOnHead { .. }));
    let swapped = vec![transactions[1].clone(), transactions[0].clone()];
    chain
        .import(SealedBlock::new(built.block.header.clone(), swapped, Vec::new()))
        .expect_err("swapped transactions");
    let doubled = vec![transactions[0].clone(), transactions[0].clone()];
    let error = chain
        .import(SealedBlock::new(built.block.header.clone(), doubled, Vec::new()))
        .expect_err("a replayed transaction");
    let ExecutionError::Transaction { index: 1, error, .. } = error else { panic!("{error}") };
    assert!(matches!(*error, TransactionError::NonceTooLow { .. }));
    let mut cut = built.block.encoded();
    cut.pop();
    SealedBlock::decode(&cut).expect_err("a truncated block");
    chain.import(built.block.clone()).expect("the true block");
}

#[test]
fn unusable_transactions_are_left_out_with_their_reason() {
    let chain = Chain::new(&genesis()).expect("genesis");
    let offered = [
        signed(1, call(1, counter(), 0, Bytes::new())),
        signed(3, call(0, counter(), 0, Bytes::new())),
        signed(2, TxEip1559 { chain_id: 1, ..call(0, counter(), 0, Bytes::new()) }),
        signed(1, TxEip1559 { gas_limit: 40_000_000, ..call(0, counter(), 0, Bytes::new()) }),
        signed(1, TxEip1559 { gas_limit: 17_000_000, ..call(0, counter(), 0, Bytes::new()) }),
        signed(1, call(0, counter(), 0, Bytes::new())),
    ];
    let built = chain.build(&attributes(101), &offered).expect("builds");
    assert_eq!(built.block.transactions.len(), 1);
    assert_eq!(built.outcomes[0], Outcome::Deferred);
    assert!(matches!(built.outcomes[1], Outcome::Rejected(TransactionError::InsufficientFunds { .. })));
    assert!(matches!(built.outcomes[2], Outcome::Rejected(_)));
    assert_eq!(built.outcomes[3], Outcome::Rejected(TransactionError::BlockGasLimit));
    assert!(matches!(built.outcomes[4], Outcome::Rejected(TransactionError::GasCap { .. })));
    assert_eq!(built.outcomes[5], Outcome::Included);
}

#[test]
fn unsupported_and_forged_transactions_do_not_decode_or_pass() {
    assert_eq!(SignedTransaction::decode(&[3, 0xc0]).expect_err("blob"), TransactionError::Blob);
    assert!(matches!(SignedTransaction::decode(b""), Err(TransactionError::Encoding(_))));
    let good = signed(1, call(0, counter(), 7, Bytes::new()));
    let mut longer = good.encoded().to_vec();
    longer.push(0);
    assert!(matches!(SignedTransaction::decode(&longer), Err(TransactionError::Encoding(_))));
    let mut flipped = good.encoded().to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    if let Ok(other) = SignedTransaction::decode(&flipped) {
        assert_ne!(other.recover().expect("recovered"), address(1));
    }
    let unprotected =
        TxLegacy { chain_id: None, gas_limit: 21_000, to: TxKind::Call(counter()), ..Default::default() };
    let (signature, parity) =
        key(1).sign_prehash_recoverable(unprotected.signature_hash().as_slice()).expect("signs");
    let envelope = TxEnvelope::Legacy(unprotected.into_signed(Signature::from((signature, parity))));
    let legacy = SignedTransaction::decode(&envelope.encoded_2718()).expect("decodes");
    assert_eq!(legacy.check_static(CHAIN_ID, 30_000_000), Err(TransactionError::NotReplayProtected));
}

#[test]
fn rollback_gives_the_old_state_and_another_branch() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    advance(&mut chain, 101, &[signed(1, call(0, counter(), 0, Bytes::new()))]);
    let root = chain.view(1).expect("state").state.root();
    let abandoned = advance(&mut chain, 102, &[signed(1, call(1, counter(), 0, Bytes::new()))]);
    assert_eq!(chain.view(2).expect("state").state.storage(&counter(), &U256::ZERO), U256::from(2));
    chain.rollback(1).expect("rolls back");
    assert_eq!(chain.head().0.number, 1);
    assert_eq!(chain.view(1).expect("state").state.root(), root);
    chain.append(&abandoned).expect("the same block again");
    chain.rollback(1).expect("rolls back");
    advance(&mut chain, 103, &[]);
    chain.append(&abandoned).expect_err("a block of the abandoned branch");
    assert!(matches!(chain.rollback(9), Err(ExecutionError::StateNotAvailable { .. })));
}

#[test]
fn a_restored_snapshot_continues_the_same_chain() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    let mut headers = vec![chain.head().0.clone()];
    for nonce in 0..5 {
        let built = advance(&mut chain, 101 + nonce, &[signed(1, call(nonce, counter(), 0, Bytes::new()))]);
        headers.push(built.block.header);
    }
    let snapshot = chain.view(5).expect("state").state.snapshot();
    let mut restored = Chain::restore(genesis().rules(), headers.clone(), &snapshot).expect("restores");
    let next = [signed(2, call(0, counter(), 0, Bytes::new()))];
    assert_eq!(
        advance(&mut restored, 110, &next).block.hash,
        chain.build(&attributes(110), &next).expect("builds").block.hash
    );
    let mut forged = snapshot.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    Chain::restore(genesis().rules(), headers.clone(), &forged).expect_err("a flipped bit");
    Chain::restore(genesis().rules(), headers[3..].to_vec(), &snapshot)
        .expect_err("BLOCKHASH would be wrong");
    headers.remove(2);
    Chain::restore(genesis().rules(), headers, &snapshot).expect_err("headers that do not link");
}

#[test]
fn only_recent_states_are_kept_and_block_hashes_reach_256_back() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    let mut hashes = vec![chain.head().1];
    for number in 1..=(STATE_HISTORY as u64 + 10) {
        hashes.push(advance(&mut chain, 100 + number, &[]).block.hash);
    }
    let head = STATE_HISTORY as u64 + 10;
    assert!(matches!(chain.view(10), Err(ExecutionError::StateNotAvailable { number: 10, .. })));
    chain.view(11).expect("the oldest state");
    // Init code: return BLOCKHASH(argument).
    let ask = |asked: u64| {
        let mut code = vec![0x61];
        code.extend_from_slice(&(asked as u16).to_be_bytes());
        code.extend_from_slice(&bytes!("405f5260205ff3"));
        let request = CallRequest { data: code.into(), ..Default::default() };
        chain.view(head).expect("state").call(&request, 1_000_000).expect("runs").output
    };
    assert_eq!(ask(head - 1), Bytes::from(hashes[head as usize - 1].0));
    assert_eq!(ask(head - 256), Bytes::from(hashes[head as usize - 256].0));
    assert_eq!(ask(head - 257), Bytes::from(B256::ZERO.0));
    assert_eq!(ask(head), Bytes::from(B256::ZERO.0));
}

#[test]
fn estimates_are_the_smallest_gas_that_works() {
    let chain = Chain::new(&genesis()).expect("genesis");
    let view = chain.view(0).expect("state");
    let request = CallRequest { from: address(1), to: Some(counter()), ..Default::default() };
    let gas = view.estimate_gas(&request, 50_000_000).expect("starts").expect("succeeds");
    let with =
        |gas| view.call(&CallRequest { gas: Some(gas), ..request.clone() }, 50_000_000).expect("runs").status;
    assert_eq!(with(gas), CallStatus::Success);
    assert_eq!(with(gas - 1), CallStatus::Halt("out of gas".into()));
    let reverting = CallRequest { value: U256::ONE, ..request.clone() };
    let failed = view.estimate_gas(&reverting, 50_000_000).expect("starts").expect_err("reverts");
    assert_eq!((failed.status, failed.output.last()), (CallStatus::Revert, Some(&0x2a)));
    let poor = CallRequest { from: address(3), value: U256::ONE, ..request };
    assert!(matches!(view.call(&poor, 1_000_000), Err(TransactionError::InsufficientFunds { .. })));
}

#[test]
fn the_parent_hash_is_in_the_history_contract() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    let parent = chain.head().1;
    advance(&mut chain, 101, &[]);
    advance(&mut chain, 102, &[]);
    // EIP-2935: the contract at 0x…2935 answers with the hash of an ancestor.
    let history: Address = "0x0000F90827F1C53a10cb7A02335B175320002935".parse().expect("an address");
    let data = Bytes::from(U256::ZERO.to_be_bytes::<32>());
    let request = CallRequest { to: Some(history), data, ..Default::default() };
    let answer = chain.view(2).expect("state").call(&request, 1_000_000).expect("runs");
    assert_eq!(answer.output, Bytes::from(parent.0));
    assert_eq!(keccak256(alloy_rlp::encode(chain.head().0)), chain.head().1);
}

fn withdrawal(index: u64, to: u8, amount: u64) -> Withdrawal {
    Withdrawal { index, validator_index: 7, address: Address::repeat_byte(to), amount }
}

fn paying(withdrawals: Vec<Withdrawal>) -> BlockAttributes {
    BlockAttributes { withdrawals, ..attributes(101) }
}

#[test]
fn withdrawals_credit_gwei_after_the_transactions_and_run_no_code() {
    let mut chain = Chain::new(&genesis()).expect("genesis");
    let paid =
        vec![withdrawal(0, 0x31, 5), withdrawal(1, 0x31, 6), withdrawal(2, 0x32, 0), withdrawal(3, 0xcc, 1)];
    // 3 has no funds before the block: its transaction cannot be paid from its own withdrawal.
    let early = Withdrawal { address: address(3), amount: 10_000_000_000, ..withdrawal(4, 0, 0) };
    let offered =
        [signed(3, call(0, counter(), 0, Bytes::new())), signed(1, call(0, counter(), 0, Bytes::new()))];
    let built = chain.build(&paying([paid.clone(), vec![early]].concat()), &offered).expect("builds");
    assert!(matches!(built.outcomes[0], Outcome::Rejected(TransactionError::InsufficientFunds { .. })));
    let imported =
        chain.import(SealedBlock::decode(&built.block.encoded()).expect("decodes")).expect("imports");
    assert_eq!(imported.block.withdrawals, built.block.withdrawals);
    chain.append(&imported).expect("appends");
    let state = chain.view(1).expect("state").state;
    let gwei = U256::from(1_000_000_000);
    assert_eq!(state.account(&Address::repeat_byte(0x31)).expect("paid").balance, U256::from(11) * gwei);
    assert!(state.account(&Address::repeat_byte(0x32)).is_none(), "a zero amount makes no account");
    assert_eq!(state.account(&counter()).expect("the contract").balance, gwei);
    assert_eq!(state.storage(&counter(), &U256::ZERO), U256::ONE, "one call, and the withdrawal is none");
    assert_eq!(state.account(&address(3)).expect("paid").balance, U256::from(10_000_000_000u64) * gwei);
}

#[test]
fn changed_withdrawals_are_refused() {
    let chain = Chain::new(&genesis()).expect("genesis");
    let paid = vec![withdrawal(0, 0x31, 5), withdrawal(1, 0x32, 6)];
    let built = chain.build(&paying(paid.clone()), &[]).expect("builds").block;
    let forged = |withdrawals| match chain
        .import(SealedBlock::new(built.header.clone(), Vec::new(), withdrawals))
        .expect_err("forged")
    {
        ExecutionError::Header { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(forged(vec![paid[1], paid[0]]), "withdrawalsRoot");
    assert_eq!(forged(vec![paid[0], Withdrawal { amount: 7, ..paid[1] }]), "withdrawalsRoot");
    assert_eq!(forged(vec![paid[0]]), "withdrawalsRoot");
    assert_eq!(forged(Vec::new()), "withdrawalsRoot");
    assert_eq!(forged([paid.clone(), paid.clone()].concat()), "withdrawalsRoot");
    let swapped = paying(vec![paid[1], paid[0]]);
    let other = chain.build(&swapped, &[]).expect("builds").block.header;
    let header = Header { withdrawals_root: other.withdrawals_root, ..built.header.clone() };
    chain
        .import(SealedBlock::new(header, Vec::new(), paid.clone()))
        .expect_err("a root of other withdrawals");
    chain.import(built.clone()).expect("the true block");
}

#[test]
fn withdrawals_have_limits() {
    let mut poor = genesis();
    let full = GenesisAccount { balance: U256::MAX, ..Default::default() };
    poor.alloc.insert(Address::repeat_byte(0x77), full);
    let chain = Chain::new(&poor).expect("genesis");
    let many = |count: usize| (0..count as u64).map(|index| withdrawal(index, 0x31, 1)).collect::<Vec<_>>();
    chain.build(&paying(many(MAX_WITHDRAWALS)), &[]).expect("sixteen");
    let limit = MAX_WITHDRAWALS;
    let error = chain.build(&paying(many(17)), &[]).expect_err("seventeen");
    assert_eq!(error, ExecutionError::Withdrawals { count: 17, limit });
    let empty = chain.build(&paying(Vec::new()), &[]).expect("builds").block;
    let error = chain.import(SealedBlock::new(empty.header, Vec::new(), many(17))).expect_err("seventeen");
    assert_eq!(error, ExecutionError::Withdrawals { count: 17, limit });
    let error = chain.build(&paying(vec![withdrawal(9, 0x77, 1)]), &[]).expect_err("2^256");
    let address = Address::repeat_byte(0x77);
    assert_eq!(error, ExecutionError::WithdrawalOverflow { index: 9, address });
    chain.build(&paying(vec![withdrawal(9, 0x77, 0)]), &[]).expect("nothing is added");
}

#[test]
fn a_zero_withdrawal_removes_an_empty_account() {
    let mut with_empty = genesis();
    with_empty.alloc.insert(Address::repeat_byte(0x55), GenesisAccount::default());
    let chain = Chain::new(&with_empty).expect("genesis");
    let paid = |withdrawals| chain.build(&paying(withdrawals), &[]).expect("builds").state;
    assert!(paid(Vec::new()).account(&Address::repeat_byte(0x55)).is_some());
    assert!(paid(vec![withdrawal(0, 0x55, 0)]).account(&Address::repeat_byte(0x55)).is_none());
}

#[test]
fn a_whole_storage_is_listed_by_slot_and_a_snapshot_keeps_it() {
    let mut filled = genesis();
    let storage: BTreeMap<U256, U256> =
        (0..200u64).map(|n| (U256::from(n * n) << (n as usize % 180), U256::from(n))).collect();
    let holder = Address::repeat_byte(0x66);
    filled.alloc.insert(holder, GenesisAccount { nonce: 1, storage: storage.clone(), ..Default::default() });
    let chain = Chain::new(&filled).expect("genesis");
    let state = chain.view(0).expect("state").state;
    let listed = |state: &w3bstream_evm::WorldState| {
        state.storage_of(&holder).iter().map(|found| (found.slot, found.value)).collect::<Vec<_>>()
    };
    let known: Vec<_> = storage.into_iter().filter(|(_, value)| !value.is_zero()).collect();
    assert_eq!(listed(&state), known);
    assert!(state.storage_of(&address(1)).is_empty());
    assert!(state.storage_of(&Address::repeat_byte(1)).is_empty());
    let header = chain.head().0.clone();
    let restored = Chain::restore(filled.rules(), vec![header], &state.snapshot()).expect("restores");
    assert_eq!(listed(&restored.view(0).expect("state").state), known);
}
