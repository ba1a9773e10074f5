//! The known answers of Ethereum's BLS tests (tests/bls/ethereum.json says where they come from).

use serde_json::Value;
use w3bstream_bls::{PublicKey, SecretKey, Signature, aggregate_verify, fast_aggregate_verify};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bls/ethereum.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors are there")).expect("JSON")
}

fn rows(name: &str) -> Vec<Value> {
    let rows = vectors()[name].as_array().expect("a list").clone();
    assert!(!rows.is_empty(), "{name}");
    rows
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("0x…");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

fn list(value: &Value) -> Vec<Vec<u8>> {
    value.as_array().expect("a list").iter().map(bytes).collect()
}

fn signature(value: &Value) -> Signature {
    Signature::from_bytes(&bytes(value)).expect("a signature")
}

fn keys(value: &Value) -> Vec<PublicKey> {
    list(value).iter().map(|key| PublicKey::from_bytes(key).expect("a key")).collect()
}

#[test]
fn signing() {
    for row in rows("sign") {
        let key = SecretKey::from_bytes(&bytes(&row["input"]["privkey"])).expect("a key");
        let message = bytes(&row["input"]["message"]);
        assert_eq!(key.sign(&message).to_bytes().to_vec(), bytes(&row["output"]));
        assert!(key.public_key().verifies(&message, &signature(&row["output"])));
    }
}

#[test]
fn sums_of_signatures() {
    for row in rows("aggregate") {
        let parts: Vec<Signature> = row["input"].as_array().expect("a list").iter().map(signature).collect();
        assert_eq!(Signature::aggregate(&parts).expect("not empty"), signature(&row["output"]));
    }
}

#[test]
fn one_message() {
    for row in rows("fast_aggregate_verify") {
        let keys = keys(&row["input"]["pubkeys"]);
        let refs: Vec<&PublicKey> = keys.iter().collect();
        let (message, sum) = (bytes(&row["input"]["message"]), signature(&row["input"]["signature"]));
        assert_eq!(fast_aggregate_verify(&refs, &message, &sum), Ok(true));
        assert_eq!(fast_aggregate_verify(&refs, b"another message", &sum), Ok(false));
        // "extra_pubkey": one key more than signed.
        let extra = SecretKey::key_gen(&[7; 32], &[]).expect("32 bytes").public_key();
        let more: Vec<&PublicKey> = refs.iter().copied().chain([&extra]).collect();
        assert_eq!(fast_aggregate_verify(&more, &message, &sum), Ok(false));
    }
}

#[test]
fn a_message_each() {
    for row in rows("aggregate_verify") {
        let (keys, messages) = (keys(&row["input"]["pubkeys"]), list(&row["input"]["messages"]));
        let sum = signature(&row["input"]["signature"]);
        let signed: Vec<(&PublicKey, &[u8])> = keys.iter().zip(messages.iter().map(Vec::as_slice)).collect();
        assert_eq!(aggregate_verify(&signed, &sum), Ok(true));
        let mut swapped = signed.clone();
        (swapped[0].1, swapped[1].1) = (signed[1].1, signed[0].1);
        assert_eq!(aggregate_verify(&swapped, &sum), Ok(false));
    }
}

#[test]
fn key_generation() {
    for row in rows("key_generation") {
        let key = SecretKey::key_gen(&bytes(&row["seed"]), &[]).expect("at least 32 bytes");
        assert_eq!(key.to_bytes().to_vec(), bytes(&row["secret_key"]));
    }
}

#[test]
fn proofs_of_possession() {
    for row in rows("possession") {
        let key = SecretKey::from_bytes(&bytes(&row["privkey"])).expect("a key");
        assert_eq!(key.public_key().to_bytes().to_vec(), bytes(&row["pubkey"]));
        assert_eq!(key.prove_possession().to_bytes().to_vec(), bytes(&row["proof"]));
        assert!(key.public_key().verifies_possession(&signature(&row["proof"])));
    }
}
