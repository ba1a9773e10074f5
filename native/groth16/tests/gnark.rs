//! Keys and proofs made by gnark: our verifier takes them as they are, and refuses them with anything changed.

mod vectors;

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ff::One;
use serde::Deserialize;
use w3bstream_groth16::batch::refused_bytes;
use w3bstream_groth16::curve::Curve;
use w3bstream_groth16::encoding::WORD;
use w3bstream_groth16::verify::{Proof, VerifyingKey, signals_from_bytes, verify};

on_both_curves!(
    every_proof_is_accepted,
    a_changed_public_input_is_refused,
    a_changed_proof_byte_is_refused,
    swapped_proofs_are_refused,
);

/// A file of `vectors/gnark`.
#[derive(Deserialize)]
struct File {
    curve: String,
    key: String,
    claims: Vec<Encoded>,
}

/// A statement with its proof, in hexadecimal.
#[derive(Deserialize)]
struct Encoded {
    signals: Vec<String>,
    proof: String,
}

struct Claim<E: Curve> {
    signals: Vec<E::ScalarField>,
    proof: Proof<E>,
    signal_bytes: Vec<u8>,
    proof_bytes: Vec<u8>,
}

struct Vector<E: Curve> {
    key: VerifyingKey<E>,
    claims: Vec<Claim<E>>,
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    assert!(hexadecimal.len().is_multiple_of(2));
    let byte = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap();
    (0..hexadecimal.len()).step_by(2).map(byte).collect()
}

trait Gnark: Curve {
    const FILE: &str;

    fn vector() -> Vector<Self> {
        let file: File = serde_json::from_str(Self::FILE).unwrap();
        assert_eq!(file.curve, Self::NAME);
        let key = VerifyingKey::from_bytes(&bytes(&file.key)).unwrap();
        assert_eq!(key.to_bytes(), bytes(&file.key));
        let claim = |encoded: &Encoded| {
            let signal_bytes = encoded.signals.iter().flat_map(|signal| bytes(signal)).collect::<Vec<_>>();
            let proof_bytes = bytes(&encoded.proof);
            Claim {
                signals: signals_from_bytes(&signal_bytes).unwrap(),
                proof: Proof::from_bytes(&proof_bytes).unwrap(),
                signal_bytes,
                proof_bytes,
            }
        };
        let claims: Vec<_> = file.claims.iter().map(claim).collect();
        assert_eq!(claims.len(), 2);
        Vector { key, claims }
    }
}

impl Gnark for Bn254 {
    const FILE: &str = include_str!("vectors/gnark/bn254.json");
}

impl Gnark for Bls12_381 {
    const FILE: &str = include_str!("vectors/gnark/bls12-381.json");
}

fn every_proof_is_accepted<E: Gnark>() {
    let Vector { key, claims } = E::vector();
    assert_eq!(key.signals(), 3);
    for claim in &claims {
        assert!(verify(&key, &claim.signals, &claim.proof).unwrap());
        assert_eq!(claim.proof.to_bytes(), claim.proof_bytes);
    }
    // 7·11, 7⁵ and the tag; then 3·−2, 3⁵ and −1.
    assert_eq!(claims[0].signals, [77u64, 16807, 99].map(E::ScalarField::from));
    let minus = |value: u64| -E::ScalarField::from(value);
    assert_eq!(claims[1].signals, [minus(6), 243u64.into(), minus(1)]);
    let both: Vec<_> = claims.iter().map(|claim| (&claim.signal_bytes[..], &claim.proof_bytes[..])).collect();
    assert!(refused_bytes(&key, &both, &|_, _| true).unwrap().is_empty());
}

fn a_changed_public_input_is_refused<E: Gnark>() {
    let Vector { key, claims } = E::vector();
    for claim in &claims {
        for position in 0..claim.signals.len() {
            let mut wrong = claim.signals.clone();
            wrong[position] += E::ScalarField::one();
            assert!(!verify(&key, &wrong, &claim.proof).unwrap(), "signal {position}");
        }
        assert!(verify(&key, &claim.signals[1..], &claim.proof).is_err());
        assert!(
            verify(&key, &[&claim.signals[..], &[E::ScalarField::one()]].concat(), &claim.proof).is_err()
        );
        let mut unreduced = claim.signal_bytes.clone();
        unreduced[..WORD].fill(0xff);
        assert!(signals_from_bytes::<E::ScalarField>(&unreduced).is_err());
    }
}

fn a_changed_proof_byte_is_refused<E: Gnark>() {
    let Vector { key, claims } = E::vector();
    let claim = &claims[0];
    for position in 0..claim.proof_bytes.len() {
        let mut forged = claim.proof_bytes.clone();
        forged[position] ^= 1 << (position % 8);
        let holds =
            Proof::from_bytes(&forged).is_ok_and(|forged| verify(&key, &claim.signals, &forged).unwrap());
        assert!(!holds, "byte {position}");
    }
    // What a changed byte cannot reach: other points of the group.
    for forged in [
        Proof { a: claim.proof.c, c: claim.proof.a, ..claim.proof },
        Proof { a: -claim.proof.a, ..claim.proof },
        Proof { b: key.delta_g2, ..claim.proof },
        Proof { c: key.alpha_g1, ..claim.proof },
    ] {
        assert!(!verify(&key, &claim.signals, &forged).unwrap());
    }
}

fn swapped_proofs_are_refused<E: Gnark>() {
    let Vector { key, claims } = E::vector();
    let [first, second] = &claims[..] else { panic!("two claims") };
    assert!(!verify(&key, &first.signals, &second.proof).unwrap());
    assert!(!verify(&key, &second.signals, &first.proof).unwrap());
    let swapped =
        [(&first.signal_bytes[..], &second.proof_bytes[..]), (&second.signal_bytes, &first.proof_bytes)];
    let refused = |claims: &[(&[u8], &[u8])]| {
        let refused = refused_bytes(&key, claims, &|_, _| true).unwrap();
        refused.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(refused(&swapped), [0, 1]);
    let one = [(&first.signal_bytes[..], &first.proof_bytes[..]), swapped[1]];
    assert_eq!(refused(&one), [1]);
}
