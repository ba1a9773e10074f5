//! A chain with a funded account and contracts that call the first native verifier.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use k256::ecdsa::SigningKey;
use w3bstream_bls::{SecretKey, Signature as Vote};
use w3bstream_evm::precompiles::bls_fast_aggregate_verify;
use w3bstream_evm::{
    BlockAttributes, CallOutcome, CallRequest, Chain, ExecutedBlock, Fork, Forks, Genesis, GenesisAccount,
    SealedBlock, SignedTransaction,
};

pub const VERIFIER: Address = bls_fast_aggregate_verify::VERSION_1.address;
pub const MESSAGE: [u8; 32] = [0x5a; 32];
/// Above any gas limit asked for here.
pub const GAS_CAP: u64 = 40_000_000;

/// Runtime of a contract that forwards its call data and all its gas, and returns whether the call succeeded (a word),
/// then what came back.
pub fn forwarder(call: Opcode, to: Address) -> Bytes {
    let opcode = match call {
        Opcode::Call => 0xf1,
        Opcode::CallCode => 0xf2,
        Opcode::DelegateCall => 0xf4,
        Opcode::StaticCall => 0xfa,
    };
    // CALLDATACOPY everything; return size and offset, argument size and offset.
    let mut code = hex!("365f5f37 5f5f365f").to_vec();
    if matches!(call, Opcode::Call | Opcode::CallCode) {
        code.push(0x34); // CALLVALUE
    }
    code.push(0x73); // PUSH20
    code.extend_from_slice(to.as_slice());
    code.extend_from_slice(&[0x5a, opcode]); // GAS, the call
    // MSTORE the success, RETURNDATACOPY behind it, RETURN both.
    code.extend_from_slice(&hex!("5f52 3d5f60203e 3d6020015ff3"));
    code.into()
}

#[derive(Clone, Copy, Debug)]
pub enum Opcode {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
}

pub const CALLS: [Opcode; 4] = [Opcode::Call, Opcode::CallCode, Opcode::DelegateCall, Opcode::StaticCall];

/// Where [`forwarder`] of this call is.
pub fn contract(call: Opcode) -> Address {
    Address::repeat_byte(0xc0 + call as u8)
}

pub fn key() -> SigningKey {
    SigningKey::from_slice(&[1; 32]).expect("a scalar")
}

pub fn sender() -> Address {
    Address::from_public_key(key().verifying_key())
}

pub fn genesis(forks: Forks) -> Genesis {
    let funded = GenesisAccount { balance: U256::from(10).pow(U256::from(21)), ..Default::default() };
    let mut alloc = BTreeMap::from([(sender(), funded)]);
    for call in CALLS {
        let account = GenesisAccount { nonce: 1, code: forwarder(call, VERIFIER), ..Default::default() };
        alloc.insert(contract(call), account);
    }
    Genesis {
        chain_id: 4690,
        gas_limit: 60_000_000,
        base_fee_per_gas: 1_000_000_000,
        timestamp: 100,
        extra_data: Bytes::new(),
        prev_randao: B256::ZERO,
        forks,
        alloc,
    }
}

pub fn from_block(block: u64) -> Forks {
    Forks::default().with(Fork::Verifiers, block)
}

/// At block 0, the fork active.
pub fn chain() -> Chain {
    Chain::new(&genesis(from_block(0))).expect("genesis")
}

pub fn transaction(nonce: u64, to: Address, value: u64, input: &[u8]) -> Arc<SignedTransaction> {
    let tx = TxEip1559 {
        chain_id: 4690,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 0,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::copy_from_slice(input),
        access_list: Default::default(),
    };
    let (signature, parity) = key().sign_prehash_recoverable(tx.signature_hash().as_slice()).expect("signs");
    let envelope = TxEnvelope::Eip1559(tx.into_signed(Signature::from((signature, parity))));
    Arc::new(SignedTransaction::decode(&envelope.encoded_2718()).expect("decodes"))
}

/// Builds a block on the head, imports it as another node would, and makes it the head.
pub fn advance(chain: &mut Chain, transactions: &[Arc<SignedTransaction>]) -> ExecutedBlock {
    let timestamp = chain.head().0.timestamp + 1;
    let attributes = BlockAttributes { timestamp, ..Default::default() };
    let built = chain.build(&attributes, transactions).expect("builds");
    let decoded = SealedBlock::decode(&built.block.encoded()).expect("decodes");
    let imported = chain.import(decoded).expect("imports");
    assert_eq!(imported.block.hash, built.block.hash);
    chain.append(&imported).expect("appends");
    imported
}

/// A call on the head with all the gas there is.
pub fn call(chain: &Chain, to: Address, input: &[u8]) -> CallOutcome {
    call_with(chain, to, input, GAS_CAP)
}

pub fn call_with(chain: &Chain, to: Address, input: &[u8], gas: u64) -> CallOutcome {
    let data = Bytes::copy_from_slice(input);
    let request = CallRequest { from: sender(), to: Some(to), data, gas: Some(gas), ..Default::default() };
    chain.view(chain.head().0.number).expect("state").call(&request, GAS_CAP).expect("starts")
}

/// EIP-2028 and EIP-7623: gas of a transaction before anything runs, and the least that it pays.
pub fn data_gas(input: &[u8]) -> (u64, u64) {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let tokens = zeros + 4 * (input.len() as u64 - zeros);
    (21_000 + 4 * tokens, 21_000 + 10 * tokens)
}

pub fn secret(index: u32) -> SecretKey {
    let mut material = [0x77; 32];
    material[..4].copy_from_slice(&index.to_be_bytes());
    SecretKey::key_gen(&material, &[]).expect("32 bytes")
}

/// The verifier's input of these parts.
pub fn input<K: AsRef<[u8]>>(message: &[u8], signature: &[u8], keys: &[K]) -> Vec<u8> {
    let mut bytes = [message, signature].concat();
    keys.iter().for_each(|key| bytes.extend_from_slice(key.as_ref()));
    bytes
}

/// What keys 0 to n - 1 sign together.
pub fn signed_by(count: u32) -> Vec<u8> {
    let secrets: Vec<SecretKey> = (0..count).map(secret).collect();
    let votes: Vec<Vote> = secrets.iter().map(|secret| secret.sign(&MESSAGE)).collect();
    let keys: Vec<[u8; 48]> = secrets.iter().map(|secret| *secret.public_key().to_bytes()).collect();
    input(&MESSAGE, &Vote::aggregate(&votes).expect("not empty").to_bytes(), &keys)
}

/// A word as contracts return it.
pub fn word(value: u64) -> Bytes {
    U256::from(value).to_be_bytes::<32>().into()
}
