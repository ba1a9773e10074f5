//! What a native verifier costs beside Ethereum's precompiles, in one run: its gas is fixed from this.
//!
//! Thread CPU time, every call taken in turn for many rounds, medians: a busy machine slows all rows alike. The last
//! column is the gas that a call would cost at the price of Ethereum's dearest precompile here, the one with the fewest
//! nanoseconds for its gas. A schedule is safe where its own gas is above that in every row.

use std::hint::black_box;
use std::time::Duration;

use alloy_primitives::{U256, hex, keccak256};
use cpu_time::ThreadTime;
use k256::ecdsa::SigningKey;
use revm::precompile::{Precompiles, u64_to_address};
use w3bstream_bls::{SecretKey, Signature};
use w3bstream_evm::precompiles::evidence::MAX_INPUT_BYTES;
use w3bstream_evm::precompiles::{Verifier, bls_fast_aggregate_verify, nitro, nvidia_h100, sev_snp};

#[path = "../../attestation/tests/vectors/mod.rs"]
mod genuine;
#[path = "../tests/native_verifiers/hierarchy.rs"]
mod hierarchy;

use hierarchy::{Key, TIME, frame};

const ROUNDS: usize = 41;
/// Of one row in one round.
const AT_LEAST: Duration = Duration::from_millis(8);
/// G2's generator (EIP-197: the imaginary part first).
const BN254_G2: [u8; 128] = hex!(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
);
/// The groups' orders, less one: the scalar that negates.
const BN254_MINUS_ONE: [u8; 32] = hex!("30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000000");
const BLS12_381_MINUS_ONE: [u8; 32] =
    hex!("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000");

struct Row {
    name: String,
    gas: u64,
    call: Box<dyn Fn()>,
    nanoseconds: Vec<f64>,
}

/// What one of Ethereum's precompiles answers, and the gas it takes.
fn ethereum(address: u64, input: &[u8]) -> (u64, Vec<u8>) {
    let precompile = Precompiles::osaka().get(&u64_to_address(address)).expect("Osaka has it");
    let output = precompile.execute(input, u64::MAX, 0).expect("runs");
    assert!(output.is_success(), "{address:#x}: {:?}", output.status);
    (output.gas_used, output.bytes.to_vec())
}

fn reference(name: &str, address: u64, input: Vec<u8>, ends_with: u8) -> Row {
    let (gas, output) = ethereum(address, &input);
    assert_eq!(output.last(), Some(&ends_with), "{name}");
    let call = Box::new(move || drop(black_box(ethereum(address, black_box(&input)))));
    Row { name: name.into(), gas, call, nanoseconds: Vec::new() }
}

fn ecrecover() -> Row {
    let key = SigningKey::from_slice(&[7; 32]).expect("a scalar");
    let digest = keccak256(b"w3bstream");
    let (signature, parity) = key.sign_prehash_recoverable(digest.as_slice()).expect("signs");
    let v = U256::from(27 + parity.to_byte()).to_be_bytes::<32>();
    let signer = alloy_primitives::Address::from_public_key(key.verifying_key());
    reference("ecrecover", 0x01, [&digest[..], &v, &signature.to_bytes()].concat(), signer[19])
}

/// e(P, Q) e(-P, Q) as often as it takes.
fn bn254_pairing(pairs: usize) -> Row {
    let one = [U256::from(1).to_be_bytes::<32>(), U256::from(2).to_be_bytes::<32>()].concat();
    let (_, point) = ethereum(0x07, &[&one[..], keccak256(b"P").as_slice()].concat());
    let (_, minus) = ethereum(0x07, &[&point[..], &BN254_MINUS_ONE].concat());
    let two = [&point[..], &BN254_G2, &minus, &BN254_G2].concat();
    reference(&format!("BN254 pairing, {pairs} pairs"), 0x08, two.repeat(pairs / 2), 1)
}

fn bls12_381_pairing(pairs: usize) -> Row {
    let element = [&[0; 32][..], keccak256(b"u").as_slice()].concat();
    let (_, point) = ethereum(0x10, &element);
    let (_, twisted) = ethereum(0x11, &element.repeat(2));
    let (_, minus) = ethereum(0x0c, &[&point[..], &BLS12_381_MINUS_ONE].concat());
    let two = [&point[..], &twisted, &minus, &twisted].concat();
    reference(&format!("BLS12-381 pairing, {pairs} pairs"), 0x0f, two.repeat(pairs / 2), 1)
}

fn fast_aggregate_verify(keys: u64) -> Row {
    let secret =
        |index: u64| SecretKey::key_gen(keccak256(index.to_be_bytes()).as_slice(), &[]).expect("32 bytes");
    let message = keccak256(b"block");
    let secrets: Vec<_> = (0..keys).map(secret).collect();
    let votes: Vec<_> = secrets.iter().map(|secret| secret.sign(message.as_slice())).collect();
    let sum = Signature::aggregate(&votes).expect("not empty").to_bytes();
    let mut input = [message.as_slice(), &sum].concat();
    secrets.iter().for_each(|secret| input.extend_from_slice(secret.public_key().to_bytes()));
    native(&bls_fast_aggregate_verify::VERSION_1, &format!("{keys} keys"), input)
}

/// A call of ours that says yes.
fn native(verifier: &'static Verifier, of: &str, input: Vec<u8>) -> Row {
    let first = verifier.execute(&input, u64::MAX).expect("runs");
    assert_eq!(first.bytes[..32], U256::from(1).to_be_bytes::<32>(), "{}, {of}", verifier.name);
    let name = format!("{}, {of}, {} bytes", verifier.name, input.len());
    let call = Box::new(move || drop(black_box(verifier.execute(black_box(&input), u64::MAX))));
    Row { name, gas: first.gas_used, call, nanoseconds: Vec::new() }
}

/// Extensions that a certificate is filled with up to so many: their identifiers differ in the last octet alone, so that
/// telling them apart takes longest.
fn fill(count: u8, identifier: usize, value: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count).map(|last| ([vec![1; identifier], vec![last]].concat(), vec![2; value])).collect()
}

/// A list by this key that makes the input as long as may be, of entries with so many extensions.
fn longest_list(issuer: u8, key: &Key, input: usize, extensions: u8) -> Vec<u8> {
    let entry = |serial: u32| hierarchy::revoked(&serial.to_be_bytes(), extensions);
    // The list's own head, names, times and signature have fewer bytes.
    let count = (MAX_INPUT_BYTES - input - 1_000) / entry(0xffff).len();
    let entries: Vec<u8> = (0x8000..0x8000 + count as u32).flat_map(entry).collect();
    hierarchy::revocation_list(issuer, key, &entries)
}

/// Genuine inputs, and the slowest that a search found: as many signatures as there may be, each of the kind that takes
/// longest, and the rest of the length in what takes longest to read.
fn evidence() -> Vec<Row> {
    let vector = genuine::sev_snp();
    let mut rows = vec![native(
        &sev_snp::VERSION_1,
        "genuine",
        frame(vector.time, &vector.evidence, &vector.certificates, &[]),
    )];
    for (of, fill) in [("small", fill(0, 0, 0)), ("filled", fill(22, 100, 180))] {
        let (report, chain, leaf) = hierarchy::sev_snp(&fill);
        let input = |lists: &[Vec<u8>]| frame(TIME, &report, &chain, lists);
        let length = input(&[]).len();
        let mut add = |list: &str, lists: &[Vec<u8>]| {
            rows.push(native(&sev_snp::VERSION_1, &format!("{of} certificates, {list}"), input(lists)));
        };
        add("no list", &[]);
        add("a list by RSA", &[hierarchy::revocation_list(b'c', &Key::Rsa, &[])]);
        add("a list by P-384", &[hierarchy::revocation_list(b'a', &leaf, &[])]);
        for extensions in [0, 1, 4, 32] {
            let long = longest_list(b'a', &leaf, length, extensions);
            add(&format!("a long list of {extensions} extensions"), &[long]);
        }
    }
    let vector = genuine::nitro_enclave();
    rows.push(native(&nitro::VERSION_1, "genuine", frame(vector.time, &vector.evidence, &[], &[])));
    for (of, fill) in [("small", fill(0, 0, 0)), ("filled", fill(30, 10, 0))] {
        let (chain, keys) = hierarchy::p384_chain(8, &fill);
        let document = hierarchy::nitro(&chain, &keys[0], &(0..32).collect::<Vec<u8>>());
        rows.push(native(&nitro::VERSION_1, &format!("8 {of}"), frame(TIME, &document, &[], &[])));
    }
    let vector = genuine::nvidia_h100();
    rows.push(native(
        &nvidia_h100::VERSION_1,
        "genuine",
        frame(vector.time, &vector.evidence, &vector.certificates, &[]),
    ));
    for (of, fill) in [("small", fill(0, 0, 0)), ("filled", fill(30, 100, 130))] {
        let (chain, keys) = hierarchy::p384_chain(6, &fill);
        for (blocks, opaque) in [(1u8, 0u8), (255, 255)] {
            let blocks: Vec<_> = (1..=blocks).map(|index| (index, vec![5; 40])).collect();
            let kinds: Vec<u8> = (0..opaque).flat_map(|kind| [kind, 1, 0, 0]).collect();
            let report = hierarchy::nvidia_h100(&keys[0], &[8; 32], &blocks, &kinds);
            let input = |lists: &[Vec<u8>]| frame(TIME, &report, &chain, lists);
            let length = input(&[]).len();
            let mut add = |list: &str, lists: &[Vec<u8>]| {
                let of = format!("6 {of} certificates, {} blocks, {list}", blocks.len());
                rows.push(native(&nvidia_h100::VERSION_1, &of, input(lists)));
            };
            add("no list", &[]);
            add("a list", &[hierarchy::revocation_list(b'a', &keys[0], &[])]);
            for extensions in [0, 1, 32] {
                let long = longest_list(b'a', &keys[0], length, extensions);
                add(&format!("a long list of {extensions} extensions"), &[long]);
            }
        }
    }
    rows
}

/// CPU nanoseconds of one call.
fn measured(call: &dyn Fn()) -> f64 {
    let began = ThreadTime::now();
    let mut calls = 0;
    loop {
        call();
        calls += 1;
        let spent = began.elapsed();
        if spent >= AT_LEAST {
            return spent.as_nanos() as f64 / f64::from(calls);
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let references =
        vec![ecrecover(), bn254_pairing(2), bn254_pairing(4), bls12_381_pairing(2), bls12_381_pairing(4)];
    let native = references.len();
    let mut rows = references;
    rows.extend([1, 24, 48, 96, 144, 4_096].map(fast_aggregate_verify));
    let bls = rows.len() - native;
    rows.extend(evidence());
    for _ in 0..ROUNDS {
        for row in &mut rows {
            row.nanoseconds.push(measured(&row.call));
        }
    }
    let taken: Vec<f64> = rows.iter().map(|row| median(&row.nanoseconds)).collect();
    let price = |index: usize| rows[index].gas as f64 / taken[index];
    let dearest = (0..native).map(price).fold(0.0, f64::max);
    println!("| call | µs | gas | ns a gas | gas at the dearest price |\n|---|--:|--:|--:|--:|");
    for (row, ns) in rows.iter().zip(&taken) {
        let (gas, each) = (row.gas as f64, ns / row.gas as f64);
        println!("| {} | {:.1} | {gas} | {each:.2} | {:.0} |", row.name, ns / 1e3, ns * dearest);
    }
    let key = (taken[native + bls - 2] - taken[native]) / 143.0 * dearest;
    println!("\nfrom 1 to 144 keys: {key:.0} gas a key, {:.0} without keys", taken[native] * dearest - key);
}
