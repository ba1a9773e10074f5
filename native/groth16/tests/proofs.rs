//! Proofs: honest ones hold, here and in arkworks' own verifier; everything else is refused.

mod circuit;

use ark_bn254::{Bn254, Fq, Fr, G1Affine};
use ark_ec::AffineRepr;
use ark_ff::{BigInteger, PrimeField, UniformRand, Zero};
use circuit::Circuit;
use proptest::prelude::*;
use w3bstream_groth16::Error;
use w3bstream_groth16::prove::{prove, witness_from_bytes};
use w3bstream_groth16::verify::{Proof, VerifyingKey, signals_from_bytes, verify};

const GO: &(dyn Fn(&str, f64) -> bool + Sync) = &|_, _| true;

fn arkworks_accepts(key: &VerifyingKey, signals: &[Fr], proof: &Proof) -> bool {
    let key = ark_groth16::VerifyingKey::<Bn254> {
        alpha_g1: key.alpha_g1,
        beta_g2: key.beta_g2,
        gamma_g2: key.gamma_g2,
        delta_g2: key.delta_g2,
        gamma_abc_g1: key.ic.clone(),
    };
    let proof = ark_groth16::Proof::<Bn254> { a: proof.a, b: proof.b, c: proof.c };
    ark_groth16::Groth16::<Bn254>::verify_proof(&ark_groth16::prepare_verifying_key(&key), &proof, signals)
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn honest_proofs_hold_here_and_in_arkworks(length in 1u32..70, x in any::<u64>()) {
        let circuit = Circuit::power_chain(length, x);
        let (_, key) = circuit.keys();
        let (proof, _) = prove(&key, &circuit.witness, GO).unwrap();
        let (vk, signals) = (key.verifying_key(), circuit.signals());
        prop_assert!(verify(&vk, &signals, &proof).unwrap());
        prop_assert!(arkworks_accepts(&vk, &signals, &proof));
        for position in 0..signals.len() {
            let mut wrong = signals.clone();
            wrong[position] += Fr::from(1u64);
            prop_assert!(!verify(&vk, &wrong, &proof).unwrap());
            prop_assert!(!arkworks_accepts(&vk, &wrong, &proof));
        }
    }
}

fn fixture() -> (Circuit, VerifyingKey, Proof) {
    let circuit = Circuit::power_chain(9, 3);
    let (_, key) = circuit.keys();
    let (proof, _) = prove(&key, &circuit.witness, GO).unwrap();
    (circuit, key.verifying_key(), proof)
}

#[test]
fn two_proofs_of_one_witness_differ() {
    let circuit = Circuit::power_chain(9, 3);
    let (_, key) = circuit.keys();
    let (first, _) = prove(&key, &circuit.witness, GO).unwrap();
    let (second, _) = prove(&key, &circuit.witness, GO).unwrap();
    assert_ne!(first, second);
}

#[test]
fn every_flipped_byte_is_refused() {
    let (circuit, vk, proof) = fixture();
    let bytes = proof.to_bytes();
    assert_eq!(<Proof>::from_bytes(&bytes).unwrap(), proof);
    for position in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[position] ^= 1 << (position % 8);
        let accepted =
            <Proof>::from_bytes(&forged).is_ok_and(|proof| verify(&vk, &circuit.signals(), &proof).unwrap());
        assert!(!accepted, "byte {position}");
    }
    for length in [0, 64, 255] {
        assert!(<Proof>::from_bytes(&bytes[..length]).is_err());
    }
    assert!(<Proof>::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn swapped_negated_random_and_infinite_points_are_refused() {
    let (circuit, vk, proof) = fixture();
    let signals = circuit.signals();
    let random = G1Affine::rand(&mut ark_std::test_rng());
    for forged in [
        Proof { a: proof.c, c: proof.a, ..proof },
        Proof { a: -proof.a, ..proof },
        Proof { c: -proof.c, ..proof },
        Proof { b: -proof.b, ..proof },
        Proof { a: random, ..proof },
        Proof { c: random, ..proof },
    ] {
        assert!(!verify(&vk, &signals, &forged).unwrap());
    }
    for (from, to) in [(0, 64), (64, 192), (192, 256)] {
        let mut bytes = proof.to_bytes();
        bytes[from..to].fill(0);
        assert!(
            matches!(<Proof>::from_bytes(&bytes), Err(Error::Malformed { detail, .. }) if detail.contains("infinity"))
        );
    }
    // Both signs flipped is the known malleability of Groth16: it proves the same signals, so it may pass; what must
    // not happen is that it proves others.
    let twin = Proof { a: -proof.a, b: -proof.b, ..proof };
    assert!(verify(&vk, &signals, &twin).unwrap());
    assert!(!verify(&vk, &[signals[0], signals[1] + Fr::from(1u64)], &twin).unwrap());
}

#[test]
fn a_signal_that_no_constraint_mentions_still_counts() {
    let (circuit, vk, proof) = fixture();
    assert!(vk.ic.iter().all(|point| !point.is_zero()));
    let mut signals = circuit.signals();
    signals.swap(0, 1);
    assert!(!verify(&vk, &signals, &proof).unwrap());
    assert!(verify(&vk, &signals[..1], &proof).is_err());
    assert!(verify(&vk, &[signals[0], signals[1], Fr::zero()], &proof).is_err());
}

#[test]
fn a_signal_plus_the_modulus_is_refused() {
    let (circuit, _, _) = fixture();
    let mut bytes = circuit.signal_bytes();
    assert_eq!(signals_from_bytes::<Fr>(&bytes).unwrap(), circuit.signals());
    let mut word = circuit.signals()[1].into_bigint();
    assert!(!word.add_with_carry(&Fr::MODULUS));
    bytes[32..].copy_from_slice(&word.to_bytes_be());
    assert!(signals_from_bytes::<Fr>(&bytes).is_err());
    assert!(signals_from_bytes::<Fr>(&bytes[..33]).is_err());
}

#[test]
fn another_keys_proof_is_refused() {
    let (circuit, _, proof) = fixture();
    let (_, other) = circuit.keys();
    assert!(!verify(&other.verifying_key(), &circuit.signals(), &proof).unwrap());
}

#[test]
fn an_unsatisfied_witness_names_its_constraint() {
    let mut circuit = Circuit::power_chain(9, 3);
    let (_, key) = circuit.keys();
    circuit.witness[7] += Fr::from(1u64);
    let error = prove(&key, &circuit.witness, GO).unwrap_err();
    assert_eq!(error, Error::Unsatisfied { constraint: 3, total: 9 });
}

#[test]
fn witness_bytes_are_strict() {
    let circuit = Circuit::power_chain(4, 3);
    let (_, key) = circuit.keys();
    let bytes: Vec<u8> = circuit.witness.iter().flat_map(|value| value.into_bigint().to_bytes_le()).collect();
    assert_eq!(*witness_from_bytes(&key, &bytes).unwrap(), circuit.witness);
    assert!(witness_from_bytes(&key, &bytes[32..]).is_err());
    let mut first = bytes.clone();
    first[0] = 2;
    assert!(witness_from_bytes(&key, &first).is_err());
    let mut large = bytes;
    large[32..64].copy_from_slice(&Fr::MODULUS.to_bytes_le());
    assert!(witness_from_bytes(&key, &large).is_err());
}

#[test]
fn progress_can_stop_a_proof() {
    let circuit = Circuit::power_chain(4, 3);
    let (_, key) = circuit.keys();
    assert_eq!(prove(&key, &circuit.witness, &|_, fraction| fraction < 0.3).unwrap_err(), Error::Cancelled);
}

#[test]
fn the_verifying_key_has_one_encoding() {
    let (_, vk, _) = fixture();
    let abi = vk.to_abi();
    assert_eq!(abi.len(), 32 * (2 + 12 + 1 + 1 + 2 * 3));
    assert_eq!(VerifyingKey::from_abi(&abi).unwrap(), vk);
    assert!(VerifyingKey::from_abi(&abi[..abi.len() - 64]).is_err());
    assert!(VerifyingKey::from_abi(&[&abi[..], &[0; 64]].concat()).is_err());
    for position in [14 * 32 + 31, 15 * 32 + 31, 3, 70, 500, 600] {
        let mut forged = abi.clone();
        forged[position] ^= 0x40;
        assert!(VerifyingKey::from_abi(&forged).is_err(), "byte {position}");
    }
}

#[test]
fn a_key_with_delta_plus_or_minus_gamma_is_refused() {
    let (_, vk, _) = fixture();
    for delta_g2 in [vk.gamma_g2, -vk.gamma_g2] {
        let open = VerifyingKey { delta_g2, ..vk.clone() };
        assert!(
            matches!(VerifyingKey::from_abi(&open.to_abi()), Err(Error::Malformed { detail, .. }) if detail.contains("forge"))
        );
    }
}

#[test]
fn a_non_canonical_coordinate_is_refused() {
    let (_, _, proof) = fixture();
    let mut bytes = proof.to_bytes();
    let mut y = proof.a.y.into_bigint();
    assert!(!y.add_with_carry(&Fq::MODULUS));
    bytes[32..64].copy_from_slice(&y.to_bytes_be());
    assert!(
        matches!(<Proof>::from_bytes(&bytes), Err(Error::Malformed { detail, .. }) if detail.contains("modulus"))
    );
}
