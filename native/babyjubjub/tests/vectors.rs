//! circomlibjs is the second implementation: its Poseidon hashes and signatures, and what must be refused.

use serde_json::Value;
use w3bstream_babyjubjub::curve::{Extended, ORDER, base_table, table_of_eightfold};
use w3bstream_babyjubjub::eddsa::Key;
use w3bstream_babyjubjub::poseidon::{p2, p5};
use w3bstream_babyjubjub::{Fr, field_to_be};

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/circomlibjs.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors are there")).expect("JSON")
}

fn number(value: &Value) -> Fr {
    value.as_str().expect("a decimal string").parse().expect("a field element")
}

#[test]
fn hashes_are_circomlibs() {
    let (mut twos, mut fives) = (0, 0);
    for row in vectors()["hashes"].as_array().expect("a list") {
        let inputs: Vec<Fr> = row["inputs"].as_array().expect("a list").iter().map(number).collect();
        let hash = number(&row["hash"]);
        if let Ok(pair) = <[Fr; 2]>::try_from(inputs.clone()) {
            assert_eq!(p2(&pair), hash);
            twos += 1;
        } else if let Ok(five) = <[Fr; 5]>::try_from(inputs) {
            assert_eq!(p5(&five), hash);
            fives += 1;
        }
    }
    assert!(twos > 0 && fives > 0, "{twos} of two inputs, {fives} of five");
}

fn key_bytes(row: &Value) -> Vec<u8> {
    [field_to_be(&number(&row["x"])), field_to_be(&number(&row["y"]))].concat()
}

fn hex_bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn signatures_are_circomlibs_and_nothing_near_them_passes() {
    for row in vectors()["signatures"].as_array().expect("a list") {
        let (public, message, good) =
            (key_bytes(row), number(&row["m"]), hex_bytes(row["signature"].as_str().expect("hex")));
        let key = Key::cached(&public).expect("a key");
        assert!(key.verifies(message, &good));
        assert!(!key.verifies(message + Fr::from(1u64), &good));
        assert!(!key.verifies(message, &good[..63]));
        for bit in (0..512).step_by(7) {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(message, &flipped), "bit {bit}");
        }
    }
}

#[test]
fn what_is_no_key_of_prime_order_is_refused() {
    let mut identity = vec![0u8; 64];
    identity[63] = 1;
    assert!(Key::cached(&identity).is_none());
    let minus_one = field_to_be(&-Fr::from(1u64));
    assert!(Key::cached(&[[0u8; 32], minus_one].concat()).is_none(), "(0, -1) has order 2");
    assert!(Key::cached(&[0xff; 64]).is_none(), "not below the field's order");
    assert!(Key::cached(&[0; 64]).is_none(), "not on the curve");
    assert!(Key::cached(&identity[..63]).is_none());
}

#[test]
fn tables_agree_with_additions() {
    let mut sum = Extended::IDENTITY;
    for small in 0u64..600 {
        let scalar = ark_ff::BigInt::new([small, 0, 0, 0]);
        let point = sum.to_affine();
        assert!(base_table().accumulate(Extended::IDENTITY, &scalar, false).is(&point), "{small}");
        assert!(base_table().accumulate(sum, &scalar, true).to_affine().is_identity(), "{small}");
        sum = sum.add(&base_table().accumulate(Extended::IDENTITY, &ark_ff::BigInt::one(), false));
    }
    let less_one = ark_ff::BigInt::new([ORDER.0[0] - 1, ORDER.0[1], ORDER.0[2], ORDER.0[3]]);
    let last = base_table().accumulate(Extended::IDENTITY, &less_one, false);
    let base = base_table().accumulate(last, &ark_ff::BigInt::new([2, 0, 0, 0]), false);
    assert!(base_table().accumulate(Extended::IDENTITY, &ark_ff::BigInt::one(), false).is(&base.to_affine()));
    let eight = table_of_eightfold(&base.to_affine()).accumulate(Extended::IDENTITY, &less_one, true);
    assert!(
        base_table()
            .accumulate(Extended::IDENTITY, &ark_ff::BigInt::new([8, 0, 0, 0]), false)
            .is(&eight.to_affine())
    );
}
