//! Hostile files: every reader refuses them with a typed error, at once and without memory for what they claim.
//!
//! The bodies that cargo-fuzz drives (`native/fuzz`) run here too, on valid files with random damage.

mod circuit;
mod readers;
mod vectors;

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use circuit::Circuit;
use proptest::prelude::*;
use vectors::Vector;
use w3bstream_groth16::Error;
use w3bstream_groth16::batch::{Refusal, refused_bytes};
use w3bstream_groth16::encoding::write_point;
use w3bstream_groth16::fixed::Fixed;
use w3bstream_groth16::key::Key;
use w3bstream_groth16::zkey::ImportedKey;

on_both_curves!(
    a_truncated_or_longer_zkey_is_refused,
    a_zkeys_header_is_checked,
    a_zkeys_sections_are_checked,
    a_zkeys_terms_are_checked,
    a_zkeys_points_are_checked,
    a_batch_refuses_what_does_not_decode_alone,
);

fn refusal<E: Vector>(bytes: &[u8]) -> String {
    match ImportedKey::<E>::read(bytes) {
        Err(Error::Malformed { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

/// Start of a section's body.
fn section(file: &[u8], kind: u32) -> usize {
    let mut at = 12;
    loop {
        let found = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(file[at + 4..at + 12].try_into().unwrap());
        if found == kind {
            return at + 12;
        }
        at += 12 + length as usize;
    }
}

fn changed<E: Vector>(at: usize, value: &[u8]) -> String {
    let mut file = E::ZKEY.to_vec();
    file[at..at + value.len()].copy_from_slice(value);
    refusal::<E>(&file)
}

fn a_truncated_or_longer_zkey_is_refused<E: Vector>() {
    for length in (0..E::ZKEY.len()).step_by(13) {
        refusal::<E>(&E::ZKEY[..length]);
    }
    assert!(refusal::<E>(&[E::ZKEY, &[0]].concat()).contains("after the last section"));
}

fn a_zkeys_header_is_checked<E: Vector>() {
    let numbers = section(E::ZKEY, 2) + 8 + E::BaseField::SIZE + 32;
    assert!(changed::<E>(0, b"Z").contains("start"));
    assert!(changed::<E>(4, &[2]).contains("version"));
    assert!(changed::<E>(section(E::ZKEY, 1), &[2]).contains("not Groth16"));
    assert!(changed::<E>(section(E::ZKEY, 2) + 4, &[1]).contains("curve"));
    assert!(changed::<E>(section(E::ZKEY, 2), &u32::MAX.to_le_bytes()).contains("ends early"));
    assert!(changed::<E>(numbers, &u32::MAX.to_le_bytes()).contains("values of"));
    assert!(changed::<E>(numbers, &10u32.to_le_bytes()).contains("not 10 values"));
    assert!(changed::<E>(numbers + 4, &u32::MAX.to_le_bytes()).contains("public signals of 9 wires"));
    assert!(changed::<E>(numbers + 4, &2u32.to_le_bytes()).contains("IC section"));
    assert!(changed::<E>(numbers + 8, &24u32.to_le_bytes()).contains("power of two"));
    assert!(changed::<E>(numbers + 8, &0u32.to_le_bytes()).contains("power of two"));
    assert!(changed::<E>(numbers + 8, &(1u32 << 31).to_le_bytes()).contains("power of two from"));
    // Nothing is sized by what the header claims before the sections are as long as it says.
    assert!(changed::<E>(numbers + 8, &(1u32 << 24).to_le_bytes()).contains("H section"));
    assert!(changed::<E>(numbers + 8, &8u32.to_le_bytes()).contains("H section"));
    let alpha = vec![0; E::G1Affine::SIZE];
    assert!(changed::<E>(numbers + 12, &alpha).contains("alpha is infinity"));
}

fn a_zkeys_sections_are_checked<E: Vector>() {
    for kind in 1..=10u32 {
        let at = section(E::ZKEY, kind) - 12;
        assert!(changed::<E>(at, &99u32.to_le_bytes()).contains("unknown section 99"));
        assert!(changed::<E>(at, &0u32.to_le_bytes()).contains("unknown section 0"));
        assert!(changed::<E>(at, &(kind % 10 + 1).to_le_bytes()).contains("appears twice"));
        assert!(changed::<E>(at + 4, &u64::MAX.to_le_bytes()).contains("ends early"));
        assert!(changed::<E>(at + 4, &(1u64 << 40).to_le_bytes()).contains("ends early"));
        let end = at + 12 + u64::from_le_bytes(E::ZKEY[at + 4..at + 12].try_into().unwrap()) as usize;
        let mut without = [&E::ZKEY[..at], &E::ZKEY[end..]].concat();
        without[8..12].copy_from_slice(&9u32.to_le_bytes());
        assert!(refusal::<E>(&without).contains("has no"), "section {kind}");
    }
    assert!(changed::<E>(8, &u32::MAX.to_le_bytes()).contains("ends early"));
    assert!(changed::<E>(8, &9u32.to_le_bytes()).contains("after the last section"));
}

fn a_zkeys_terms_are_checked<E: Vector>() {
    let terms = section(E::ZKEY, 4);
    assert!(changed::<E>(terms, &u32::MAX.to_le_bytes()).contains("terms section"));
    assert!(changed::<E>(terms + 4, &2u32.to_le_bytes()).contains("matrix 2"));
    assert!(changed::<E>(terms + 8, &16u32.to_le_bytes()).contains("row 16 of 16"));
    assert!(changed::<E>(terms + 12, &9u32.to_le_bytes()).contains("wire 9 of 9"));
    assert!(changed::<E>(terms + 16, &[0xff; 32]).contains("modulus"));
}

fn a_zkeys_points_are_checked<E: Vector>() {
    let bad_coordinate = vec![0xff; E::BaseField::SIZE];
    for (kind, name) in [(3, "IC"), (5, "A"), (6, "B in G1"), (7, "B in G2"), (8, "C"), (9, "H")] {
        let at = section(E::ZKEY, kind);
        let refusal = changed::<E>(at, &bad_coordinate);
        assert!(refusal.contains(&format!("point 0 of its {name} section")), "{refusal}");
        let mut x = E::ZKEY[at..at + 8].to_vec();
        x[0] ^= 1;
        assert!(changed::<E>(at, &x).contains("not on the curve"), "{name}");
    }
    let infinity = vec![0; E::G1Affine::SIZE];
    assert!(changed::<E>(section(E::ZKEY, 3), &infinity).contains("infinity"));
    assert!(changed::<E>(section(E::ZKEY, 6), &vec![1; E::G1Affine::SIZE]).contains("not on the curve"));
    let mut stray = Vec::new();
    E::outside_g2().write(&mut stray);
    assert!(changed::<E>(section(E::ZKEY, 7), &stray).contains("subgroup"));
    let beta_g2 = section(E::ZKEY, 2) + 8 + E::BaseField::SIZE + 32 + 12 + 2 * E::G1Affine::SIZE;
    assert!(changed::<E>(beta_g2, &stray).contains("beta is not in the prime-order subgroup"));
}

fn a_batch_refuses_what_does_not_decode_alone<E: Vector>() {
    let key = E::key();
    let verifying = key.verifying_key();
    let claim = |tag: u64| {
        let claim = E::claim(&key, tag);
        let signals: Vec<u8> =
            claim.signals.iter().flat_map(w3bstream_groth16::encoding::write_word).collect();
        (signals, claim.proof.to_bytes())
    };
    let good: Vec<_> = (0..3).map(claim).collect();
    let none: Vec<(usize, Refusal)> = Vec::new();
    assert_eq!(refused_bytes(&verifying, &good, vectors::GO).unwrap(), none);
    let (g1, g2) = (E::G1Affine::SIZE, E::G2Affine::SIZE);
    let point = |at: usize, bytes: &[u8]| {
        let mut proof = good[0].1.clone();
        proof[at..at + bytes.len()].copy_from_slice(bytes);
        (good[0].0.clone(), proof)
    };
    let mut outside = Vec::new();
    write_point(&E::outside_g2(), &mut outside);
    let mut off = good[0].1[..g1].to_vec();
    off[g1 - 1] ^= 1;
    let bad = [
        ((good[0].0.clone(), good[0].1[1..].to_vec()), "bytes instead of"),
        ((good[0].0.clone(), Vec::new()), "0 bytes instead of"),
        ((good[0].0[32..].to_vec(), good[0].1.clone()), "2 instead of 3"),
        ((good[0].0[1..].to_vec(), good[0].1.clone()), "whole words"),
        (([&[0xff; 32], &good[0].0[32..]].concat(), good[0].1.clone()), "modulus"),
        (point(0, &vec![0; g1]), "infinity"),
        (point(g1, &vec![0; g2]), "infinity"),
        (point(g1 + g2, &vec![0; g1]), "infinity"),
        (point(0, &off), "not on the curve"),
        (point(g1, &outside), "subgroup"),
        (point(0, &vec![0xff; g1]), "modulus"),
        ((good[1].0.clone(), good[0].1.clone()), "does not hold"),
    ];
    for (claim, why) in &bad {
        let batch = [good[0].clone(), claim.clone(), good[1].clone(), good[2].clone()];
        let found = refused_bytes(&verifying, &batch, vectors::GO).unwrap();
        let [(1, refusal)] = &found[..] else { panic!("{why}: {found:?}") };
        assert!(refusal.to_string().contains(why), "{refusal} instead of {why}");
    }
    let all: Vec<_> = bad.iter().map(|(claim, _)| claim.clone()).collect();
    assert_eq!(refused_bytes(&verifying, &all, vectors::GO).unwrap().len(), bad.len());
}

#[test]
fn a_bls12_381_g1_point_outside_the_subgroup_is_refused() {
    // The curve's cofactor in G1 is 3·11²·…: (0, 2) has order 3.
    let mut stray = Vec::new();
    let point = ark_bls12_381::G1Affine::new_unchecked(0.into(), 2.into());
    assert!(point.is_on_curve() && !point.is_in_correct_subgroup_assuming_on_curve());
    point.write(&mut stray);
    for kind in [3, 5, 6, 8, 9] {
        assert!(changed::<Bls12_381>(section(Bls12_381::ZKEY, kind), &stray).contains("subgroup"));
    }
}

/// A valid file with some damage: bytes changed, cut off, repeated, or a length field overwritten.
fn damaged(file: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edge =
        prop_oneof![Just(0u64), Just(u64::MAX), Just(1 << 40), Just(u64::from(u32::MAX)), any::<u64>()];
    let change = (any::<prop::sample::Index>(), edge, 1usize..9);
    (prop::collection::vec(change, 1..5), any::<prop::sample::Index>(), 0u8..8).prop_map(
        move |(changes, cut, kind)| {
            let mut file = file.clone();
            for (at, value, width) in changes {
                let at = at.index(file.len());
                let width = width.min(file.len() - at);
                file[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
            let cut = cut.index(file.len());
            match kind {
                0 => file.truncate(cut),
                1 => file.extend_from_within(cut..),
                _ => {}
            }
            file
        },
    )
}

fn every_file() -> impl Strategy<Value = Vec<u8>> {
    let (_, own) = Circuit::power_chain(5, 3).keys();
    let bn254 = Bn254::key();
    let bls12_381 = Bls12_381::key();
    let files = vec![
        Bn254::ZKEY.to_vec(),
        Bn254::R1CS.to_vec(),
        Bn254::WTNS.to_vec(),
        Bls12_381::ZKEY.to_vec(),
        Bls12_381::R1CS.to_vec(),
        Bls12_381::WTNS.to_vec(),
        own.to_bytes(),
        bn254.verifying_key().to_bytes(),
        bls12_381.verifying_key().to_bytes(),
        Bn254::claim(&bn254, 1).proof.to_bytes(),
        Bls12_381::claim(&bls12_381, 1).proof.to_bytes(),
    ];
    prop::sample::select(files).prop_flat_map(damaged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn no_reader_panics(file in every_file()) {
        readers::ALL.iter().for_each(|read| read(&file));
    }
}
