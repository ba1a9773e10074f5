//! The answers of `bls-fast-aggregate-verify`, on Ethereum's vectors, properties and malformed inputs.

use alloy_primitives::{Bytes, hex};
use proptest::prelude::*;
use serde_json::Value;
use w3bstream_bls::{PublicKey, SecretKey, Signature};
use w3bstream_evm::precompiles::Refusal;
use w3bstream_evm::precompiles::bls_fast_aggregate_verify::VERSION_1;

use crate::devnet::{MESSAGE, input, secret, signed_by, word};

/// Infinity, compressed.
const INFINITY: [u8; 96] = {
    let mut bytes = [0; 96];
    bytes[0] = 0xc0;
    bytes
};

fn run(input: &[u8]) -> Result<Bytes, Refusal> {
    (VERSION_1.run)(input)
}

fn refusal(input: &[u8]) -> String {
    run(input).expect_err("refused").to_string()
}

fn key_of(secret: &SecretKey) -> [u8; 48] {
    *secret.public_key().to_bytes()
}

/// The opposite point: the sign bit of a compressed encoding.
fn negated<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[0] ^= 0x20;
    bytes
}

/// Compressed points with x = 0, 1, 2, … (of G2: x's real part).
fn small_points<const N: usize>() -> impl Iterator<Item = [u8; N]> {
    (0..=u8::MAX).map(|x| {
        let mut bytes = [0; N];
        (bytes[0], bytes[N - 1]) = (0x80, x);
        bytes
    })
}

#[test]
fn the_vectors_of_ethereum() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bls/ethereum.json");
    let vectors: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("vectors")).expect("JSON");
    let bytes = |value: &Value| hex::decode(value.as_str().expect("0x…")).expect("hex");
    let rows = vectors["fast_aggregate_verify"].as_array().expect("a list");
    assert!(!rows.is_empty());
    for row in rows.iter().map(|row| &row["input"]) {
        let keys: Vec<Vec<u8>> = row["pubkeys"].as_array().expect("a list").iter().map(bytes).collect();
        let (message, signature) = (bytes(&row["message"]), bytes(&row["signature"]));
        assert_eq!(run(&input(&message, &signature, &keys)), Ok(word(1)));
        let extra = [&keys[..], &[key_of(&secret(9)).to_vec()]].concat();
        assert_eq!(run(&input(&message, &signature, &extra)), Ok(word(0)), "extra_pubkey");
        assert_eq!(run(&input(&message, &INFINITY, &keys)), Ok(word(0)), "a key, infinity as signature");
        let infinity = [&keys[..], &[INFINITY[..48].to_vec()]].concat();
        refusal(&input(&message, &signature, &infinity));
    }
}

#[test]
fn other_messages_keys_and_orders() {
    let keys: Vec<[u8; 48]> = (0..3).map(|index| key_of(&secret(index))).collect();
    let good = signed_by(3);
    let signature = &good[32..128];
    assert_eq!(run(&good), Ok(word(1)));
    assert_eq!(run(&input(&[0; 32], signature, &keys)), Ok(word(0)), "another message");
    assert_eq!(run(&input(&MESSAGE, signature, &keys[..2])), Ok(word(0)), "a key less");
    assert_eq!(run(&input(&MESSAGE, signature, &[keys[0], keys[1], key_of(&secret(3))])), Ok(word(0)));
    assert_eq!(run(&input(&MESSAGE, signature, &[keys[2], keys[0], keys[1]])), Ok(word(1)), "another order");
    assert_eq!(run(&input(&MESSAGE, signature, &[keys[0], keys[1], keys[1]])), Ok(word(0)));
    assert_eq!(run(&input(&MESSAGE, &secret(0).sign(&MESSAGE).to_bytes(), &keys)), Ok(word(0)));
    let proof = secret(0).prove_possession().to_bytes();
    assert_eq!(run(&input(&MESSAGE, &proof, &keys[..1])), Ok(word(0)), "a proof of possession");
    // Signature and message swapped: neither reads as the other.
    refusal(&input(signature, &MESSAGE, &keys));
}

#[test]
fn a_key_that_is_there_twice_counts_twice() {
    let (one, two) = (secret(1), secret(2));
    let votes = [one.sign(&MESSAGE), one.sign(&MESSAGE), two.sign(&MESSAGE)];
    let sum = |votes: &[Signature]| Signature::aggregate(votes).expect("not empty").to_bytes();
    let keys = [key_of(&one), key_of(&two), key_of(&one)];
    assert_eq!(run(&input(&MESSAGE, &sum(&votes), &keys)), Ok(word(1)));
    assert_eq!(run(&input(&MESSAGE, &sum(&votes[1..]), &keys)), Ok(word(0)));
}

#[test]
fn keys_that_cancel_sign_nothing() {
    let one = key_of(&secret(1));
    let keys = [one, negated(one)];
    assert_eq!(run(&input(&MESSAGE, &INFINITY, &keys)), Ok(word(0)));
    assert_eq!(run(&input(&MESSAGE, &secret(1).sign(&MESSAGE).to_bytes(), &keys)), Ok(word(0)));
}

#[test]
fn possession_of_keys_is_the_callers_to_know() {
    // Eve registers her key less Alice's without a proof: then she signs for both alone.
    let (alice, eve) = (secret(1).public_key(), secret(2));
    let minus = PublicKey::from_bytes(&negated(*alice.to_bytes())).expect("a key");
    let rogue = PublicKey::aggregate(&[&eve.public_key(), &minus]).expect("no infinity");
    let forged = input(&MESSAGE, &eve.sign(&MESSAGE).to_bytes(), &[alice.to_bytes(), rogue.to_bytes()]);
    assert_eq!(run(&forged), Ok(word(1)));
}

#[test]
fn lengths_that_are_no_input() {
    let good = signed_by(2);
    for length in [0, 1, 32, 127, 128, 129, 175, 177, 223, 225] {
        let mut bytes = good.clone();
        bytes.resize(length, 0);
        assert!(refusal(&bytes).starts_with(&format!("{length} bytes of input")), "{length}");
    }
    let key = key_of(&secret(0));
    let many = |count: usize| input(&MESSAGE, &secret(0).sign(&MESSAGE).to_bytes(), &vec![key; count]);
    assert_eq!(run(&many(4_096)), Ok(word(0)));
    assert!(refusal(&many(4_097)).contains("1 to 4096 keys"));
}

#[test]
fn points_that_are_no_keys() {
    let signature = secret(0).sign(&MESSAGE).to_bytes();
    let with = |key: [u8; 48]| refusal(&input(&MESSAGE, &signature, &[key_of(&secret(0)), key]));
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    assert_eq!(with(infinity), "key 1: public key: the point at infinity is no key");
    let mut uncompressed = key_of(&secret(0));
    uncompressed[0] &= 0x7f;
    assert!(with(uncompressed).contains("canonical"));
    // p, the modulus of the base field, as x.
    let modulus = hex!(
        "9a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"
    );
    assert!(with(modulus).contains("canonical"));
    let reasons: Vec<String> = small_points::<48>().map(with).collect();
    assert!(reasons.contains(&"key 1: public key: the point is not on the curve".into()));
    assert!(reasons.contains(&"key 1: public key: the point is outside the subgroup of prime order".into()));
}

#[test]
fn points_that_are_no_signatures() {
    let keys = [key_of(&secret(0))];
    let with = |signature: [u8; 96]| refusal(&input(&MESSAGE, &signature, &keys));
    let mut uncompressed = secret(0).sign(&MESSAGE).to_bytes();
    uncompressed[0] &= 0x7f;
    assert!(with(uncompressed).contains("canonical"));
    let mut signed_infinity = INFINITY;
    signed_infinity[0] = 0xe0;
    assert!(with(signed_infinity).contains("canonical"));
    let reasons: Vec<String> = small_points::<96>().map(with).collect();
    assert!(reasons.contains(&"signature: the point is not on the curve".into()));
    assert!(reasons.contains(&"signature: the point is outside the subgroup of prime order".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn who_signs_together_verifies_together(count in 1u32..12, message: [u8; 32]) {
        let secrets: Vec<SecretKey> = (0..count).map(secret).collect();
        let votes: Vec<Signature> = secrets.iter().map(|secret| secret.sign(&message)).collect();
        let keys: Vec<[u8; 48]> = secrets.iter().map(key_of).collect();
        let sum = Signature::aggregate(&votes).expect("not empty").to_bytes();
        prop_assert_eq!(run(&input(&message, &sum, &keys)), Ok(word(1)));
    }

    #[test]
    fn no_flipped_bit_verifies(bit in 0usize..8 * (128 + 3 * 48)) {
        let mut bytes = signed_by(3);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(run(&bytes), Ok(word(1)));
    }

    #[test]
    fn any_bytes_are_answered_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_ne!(run(&bytes), Ok(word(1)));
    }
}
