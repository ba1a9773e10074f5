//! Keys: the contribution chain, the key file and the `.r1cs` reader refuse what does not hold.

mod circuit;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Field;
use circuit::Circuit;
use w3bstream_groth16::ceremony::{contribute, verify_contributions};
use w3bstream_groth16::key::ProvingKey;
use w3bstream_groth16::prove::prove;
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::verify::verify;
use w3bstream_groth16::{Error, on_threads};

const GO: &(dyn Fn(&str, f64) -> bool + Sync) = &|_, _| true;

fn circuit() -> Circuit {
    Circuit::power_chain(9, 3)
}

#[test]
fn an_initial_key_cannot_prove() {
    let circuit = circuit();
    let (initial, _) = circuit.keys();
    assert_eq!(prove(&initial, &circuit.witness, GO).unwrap_err(), Error::NoContribution);
    assert_eq!(verify_contributions(&initial, &initial).unwrap_err(), Error::NoContribution);
}

#[test]
fn every_contribution_keeps_the_key_sound_and_the_chain_whole() {
    let circuit = circuit();
    let (initial, first) = circuit.keys();
    let second = contribute(&first, "second", GO).unwrap();
    let third = contribute(&second, "third", GO).unwrap();
    for key in [&first, &second, &third] {
        verify_contributions(&initial, key).unwrap();
        let (proof, _) = on_threads(2, || prove(key, &circuit.witness, GO)).unwrap();
        assert!(verify(&key.verifying_key(), &circuit.signals(), &proof).unwrap());
    }
    assert_eq!(
        third.log.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["first", "second", "third"]
    );
    let (proof, _) = prove(&first, &circuit.witness, GO).unwrap();
    assert!(!verify(&third.verifying_key(), &circuit.signals(), &proof).unwrap());
}

fn refused(initial: &ProvingKey, key: &ProvingKey, change: impl FnOnce(&mut ProvingKey), why: &str) {
    let mut forged = key.clone();
    change(&mut forged);
    match verify_contributions(initial, &forged) {
        Err(Error::Chain { reason, .. }) => assert!(reason.contains(why), "{reason:?} instead of {why:?}"),
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn a_changed_log_is_refused() {
    let (initial, first) = circuit().keys();
    let key = contribute(&first, "second", GO).unwrap();
    let again = contribute(&first, "second", GO).unwrap();
    refused(&initial, &key, |k| k.log[0].name = "someone else".into(), "proof of knowledge");
    refused(&initial, &key, |k| k.log[1].time += 1, "proof of knowledge");
    refused(&initial, &key, |k| k.log[1].index = 0, "index");
    refused(&initial, &key, |k| k.log[1].key_before[0] ^= 1, "start from the key before");
    refused(&initial, &key, |k| k.log[0].key_before[0] ^= 1, "initial key");
    refused(&initial, &key, |k| k.log.swap(0, 1), "initial key");
    refused(&initial, &key, |k| drop(k.log.pop()), "does not end at this key");
    refused(&initial, &key, |k| k.log[1] = again.log[1].clone(), "does not end at this key");
    refused(&initial, &key, |k| k.log[1].proof.r_x = again.log[1].proof.r_x, "proof of knowledge");
    refused(&initial, &key, |k| k.log[1].proof.delta_g1 = k.log[0].proof.delta_g1, "proof of knowledge");
    let (stranger, _) = circuit().keys();
    assert!(verify_contributions(&stranger, &key).is_err());
}

/// Someone who rewrites the key after the fact and recomputes all hashes, but cannot redo the proofs of knowledge.
#[test]
fn a_rehashed_key_is_refused() {
    let (initial, key) = circuit().keys();
    let rehash = |k: &mut ProvingKey| {
        k.hash = k.body.hash();
        k.log[0].key_after = k.hash;
    };
    refused(
        &initial,
        &key,
        |k| {
            k.body.points.l[0] = (k.body.points.l[0] * Fr::from(2u64)).into_affine();
            rehash(k)
        },
        "proof of knowledge",
    );
    refused(
        &initial,
        &key,
        |k| {
            k.body.points.a[0] = -k.body.points.a[0];
            k.hash = k.body.hash()
        },
        "does not end at this key",
    );
    refused(&initial, &key, |k| k.body.points.h[0] = k.body.points.h[1], "does not end at this key");
}

/// A contributor with a valid proof of knowledge who scales L, H or anything else wrongly: only the queries' check sees it.
#[test]
fn a_contributor_who_scales_wrongly_is_refused() {
    let (initial, first) = circuit().keys();
    let dishonest = |change: &dyn Fn(&mut ProvingKey)| {
        let mut poisoned = first.clone();
        change(&mut poisoned);
        poisoned.hash = poisoned.body.hash();
        // The chain is built by the library's own code from a key whose body was changed under it.
        let mut next = contribute_unchecked(&poisoned, &first);
        next.label = first.label.clone();
        next
    };
    let doubled = |point: &mut G1Affine| *point = (*point * Fr::from(2u64)).into_affine();
    for (change, why) in [
        (&(|k: &mut ProvingKey| doubled(&mut k.body.points.l[2])) as &dyn Fn(&mut ProvingKey), "L or H"),
        (&|k: &mut ProvingKey| doubled(&mut k.body.points.h[0]), "L or H"),
        (&|k: &mut ProvingKey| doubled(&mut k.body.points.ic[1]), "leave alone"),
        (&|k: &mut ProvingKey| k.body.points.b_g1[0] = -k.body.points.b_g1[0], "leave alone"),
    ] {
        let next = dishonest(change);
        match verify_contributions(&initial, &next) {
            Err(Error::Chain { reason, .. }) => {
                assert!(reason.contains(why), "{reason:?} instead of {why:?}")
            }
            other => panic!("{why}: {other:?}"),
        }
    }
}

/// A contribution to `poisoned` that claims to start from `honest`: valid proofs, wrong body.
fn contribute_unchecked(poisoned: &ProvingKey, honest: &ProvingKey) -> ProvingKey {
    use w3bstream_groth16::transcript::{Contribution, Knowledge, chain_hash, hash_to_g2};
    let x = Fr::from(123_456_789u64);
    let mut body = poisoned.body.clone();
    for point in body.points.l.iter_mut().chain(&mut body.points.h) {
        *point = (*point * x.inverse().unwrap()).into_affine();
    }
    body.points.delta_g1 = (body.points.delta_g1 * x).into_affine();
    body.points.delta_g2 = (body.points.delta_g2 * x).into_affine();
    let mut next = ProvingKey::new(body, honest.label.clone(), honest.log.clone());
    let s = (G1Affine::generator() * Fr::from(42u64)).into_affine();
    let mut entry = Contribution {
        index: honest.log.len() as u32,
        name: "dishonest".into(),
        time: 1,
        key_before: honest.hash,
        key_after: next.hash,
        proof: Knowledge {
            delta_g1: next.body.points.delta_g1,
            delta_g2: next.body.points.delta_g2,
            s,
            s_x: (s * x).into_affine(),
            r_x: G2Affine::generator(),
        },
    };
    let chain = chain_hash(&honest.body.system.sha256, &honest.log[0].key_before, &honest.log);
    entry.proof.r_x = (hash_to_g2(&entry.challenge(&chain)) * x).into_affine();
    next.log.push(entry);
    next
}

#[test]
fn the_key_file_round_trips_and_every_damage_is_refused() {
    let (initial, key) = circuit().keys();
    let bytes = key.to_bytes();
    assert_eq!(ProvingKey::from_bytes(&bytes).unwrap(), key);
    assert_eq!(ProvingKey::from_bytes(&initial.to_bytes()).unwrap(), initial);
    for position in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        assert!(ProvingKey::from_bytes(&damaged).is_err(), "byte {position}");
    }
    for length in (0..bytes.len()).step_by(97) {
        assert!(ProvingKey::from_bytes(&bytes[..length]).is_err());
    }
    assert!(ProvingKey::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let mut damaged = bytes;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert_eq!(ProvingKey::from_bytes(&damaged).unwrap_err(), Error::Checksum);
}

#[test]
fn a_bad_contributor_name_is_refused() {
    let (_, key) = circuit().keys();
    assert!(contribute(&key, "", GO).is_err());
    assert!(contribute(&key, &"x".repeat(201), GO).is_err());
}

#[test]
fn the_r1cs_reader_never_panics_and_refuses_truncation() {
    let bytes = circuit().to_r1cs();
    assert!(<ConstraintSystem>::read(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(<ConstraintSystem>::read(&bytes[..length]).is_err(), "length {length}");
    }
    assert!(<ConstraintSystem>::read(&[&bytes[..], &[0]].concat()).is_err());
    for position in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[position] ^= bit;
            // A changed coefficient or wire may still be a system; it must then be another one.
            if let Ok(system) = <ConstraintSystem>::read(&changed) {
                assert_ne!(system, <ConstraintSystem>::read(&bytes).unwrap());
            }
        }
    }
}

#[test]
fn the_r1cs_reader_refuses_other_fields_wires_and_counts() {
    let bytes = circuit().to_r1cs();
    let changed = |at: usize, value: &[u8]| {
        let mut file = bytes.clone();
        file[at..at + value.len()].copy_from_slice(value);
        match <ConstraintSystem>::read(&file) {
            Err(Error::Malformed { detail, .. }) => detail,
            other => panic!("{other:?}"),
        }
    };
    let header = 24;
    assert!(changed(0, b"R").contains("start"));
    assert!(changed(4, &[2]).contains("version"));
    assert!(changed(header + 4, &[2]).contains("field"));
    assert!(changed(header + 36, &u32::MAX.to_le_bytes()).contains("wires"));
    assert!(changed(header + 40, &u32::MAX.to_le_bytes()).contains("wires"));
    assert!(changed(header + 60, &1000u32.to_le_bytes()).contains("ends early"));
    assert!(changed(header + 60, &1u32.to_le_bytes()).contains("after the last constraint"));
    let first_term = header + 64 + 12 + 4;
    assert!(changed(first_term, &99u32.to_le_bytes()).contains("wire 99"));
    assert!(changed(first_term + 4, &[0xff; 32]).contains("modulus"));
}
