//! Batches: honest ones hold, false proofs are found wherever they are, and none hides behind another.

mod vectors;

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{One, UniformRand, Zero};
use vectors::{GO, Vector};
use w3bstream_groth16::batch::{Claim, refused};
use w3bstream_groth16::key::Key;
use w3bstream_groth16::verify::{Proof, VerifyingKey, verify};
use w3bstream_groth16::{Error, on_threads};

on_both_curves!(
    honest_batches_hold,
    every_false_proof_is_found,
    false_proofs_do_not_cancel_out,
    another_keys_proof_is_found,
    a_wrong_number_of_signals_is_an_error,
    it_agrees_with_single_verification,
    progress_can_stop_it,
);

/// A key with `count` honest proofs of different signals.
fn batch<E: Vector>(count: usize) -> (VerifyingKey<E>, Vec<Claim<E>>) {
    let key = E::key();
    (key.verifying_key(), (0..count).map(|tag| E::claim(&key, tag as u64)).collect())
}

fn honest_batches_hold<E: Vector>() {
    let (key, claims) = batch::<E>(9);
    for count in [0, 1, 2, 8, 9] {
        assert_eq!(refused(&key, &claims[..count], GO).unwrap(), [0; 0]);
    }
    let twice = [claims.clone(), claims].concat();
    assert_eq!(on_threads(2, || refused(&key, &twice, GO)).unwrap(), [0; 0]);
}

/// Every way to spoil a claim that still decodes.
fn spoiled<E: Vector>(claims: &[Claim<E>], at: usize) -> Vec<Claim<E>> {
    let random = E::G1::rand(&mut ark_std::test_rng()).into_affine();
    let (claim, other) = (&claims[at], &claims[(at + 1) % claims.len()]);
    let Proof { a, b, c } = claim.proof;
    let proofs = [
        Proof { a: c, b, c: a },
        Proof { a: -a, b, c },
        Proof { a, b: -b, c },
        Proof { a, b, c: -c },
        Proof { a: random, b, c },
        Proof { a, b, c: random },
        Proof { a: other.proof.a, b, c },
        Proof { a, b: other.proof.b, c },
        Proof { a, b, c: other.proof.c },
        other.proof,
        Proof { a: E::G1Affine::zero(), b, c },
        Proof { a: E::G1Affine::zero(), b: E::G2Affine::zero(), c: E::G1Affine::zero() },
    ];
    let mut spoiled: Vec<_> =
        proofs.map(|proof| Claim { signals: claim.signals.clone(), proof }).into_iter().collect();
    for position in 0..claim.signals.len() {
        let mut signals = claim.signals.clone();
        signals[position] += E::ScalarField::one();
        spoiled.push(Claim { signals, proof: claim.proof });
    }
    spoiled
}

fn every_false_proof_is_found<E: Vector>() {
    let (key, claims) = batch::<E>(5);
    for at in [0, 2, 4] {
        for (kind, claim) in spoiled(&claims, at).into_iter().enumerate() {
            let mut batch = claims.clone();
            batch[at] = claim;
            assert_eq!(refused(&key, &batch, GO).unwrap(), [at], "kind {kind}");
        }
    }
    let mut swapped = claims.clone();
    (swapped[1].proof, swapped[3].proof) = (claims[3].proof, claims[1].proof);
    assert_eq!(refused(&key, &swapped, GO).unwrap(), [1, 3]);
    let all: Vec<_> = (0..5).map(|at| spoiled(&claims, at).swap_remove(at)).collect();
    assert_eq!(refused(&key, &all, GO).unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(refused(&key, &all[..1], GO).unwrap(), [0]);
}

/// Whether the plain product of all equations holds: what a batch without weights would test.
fn unweighted_product_holds<E: Vector>(key: &VerifyingKey<E>, claims: &[Claim<E>]) -> bool {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for claim in claims {
        let ic = key.ic[1..].iter().zip(&claim.signals).map(|(point, signal)| *point * signal);
        let inputs = (ic.sum::<E::G1>() + key.ic[0]).into_affine();
        left.extend([-claim.proof.a, key.alpha_g1, inputs, claim.proof.c]);
        right.extend([claim.proof.b, key.beta_g2, key.gamma_g2, key.delta_g2]);
    }
    E::multi_pairing(left, right).is_zero()
}

fn false_proofs_do_not_cancel_out<E: Vector>() {
    let (key, claims) = batch::<E>(6);
    let shift = E::G1::rand(&mut ark_std::test_rng());
    let moved = |point: E::G1Affine, by: E::G1| (by + point).into_affine();
    // C shifted up in one proof and down in another.
    let mut shifted = claims.clone();
    shifted[1].proof.c = moved(claims[1].proof.c, shift);
    shifted[4].proof.c = moved(claims[4].proof.c, -shift);
    // A shifted up and down against the same B.
    let mut paired = claims.clone();
    paired[4] = claims[1].clone();
    paired[1].proof.a = moved(claims[1].proof.a, shift);
    paired[4].proof.a = moved(claims[1].proof.a, -shift);
    // Signals that change in opposite directions.
    let mut signals = claims.clone();
    signals[1].signals[0] += E::ScalarField::one();
    signals[4].signals[0] -= E::ScalarField::one();
    // C exchanged between two proofs.
    let mut exchanged = claims.clone();
    (exchanged[1].proof.c, exchanged[4].proof.c) = (claims[4].proof.c, claims[1].proof.c);
    for (attack, batch) in [shifted, paired, signals, exchanged].into_iter().enumerate() {
        assert!(unweighted_product_holds(&key, &batch), "attack {attack} is none");
        for _ in 0..4 {
            assert_eq!(refused(&key, &batch, GO).unwrap(), [1, 4], "attack {attack}");
        }
    }
}

fn another_keys_proof_is_found<E: Vector>() {
    let (key, mut claims) = batch::<E>(3);
    let mut other = key.clone();
    other.delta_g2 = (other.delta_g2 * E::ScalarField::from(2u64)).into_affine();
    assert_eq!(refused(&other, &claims, GO).unwrap(), [0, 1, 2]);
    // A proof for `other`: C is divided by what its delta was multiplied with.
    let half = ark_ff::Field::inverse(&E::ScalarField::from(2u64)).unwrap();
    claims[1].proof.c = (claims[1].proof.c * half).into_affine();
    assert!(verify(&other, &claims[1].signals, &claims[1].proof).unwrap());
    assert_eq!(refused(&key, &claims, GO).unwrap(), [1]);
    assert_eq!(refused(&other, &claims, GO).unwrap(), [0, 2]);
}

fn a_wrong_number_of_signals_is_an_error<E: Vector>() {
    let (key, mut claims) = batch::<E>(2);
    claims[1].signals.pop();
    assert!(matches!(refused(&key, &claims, GO), Err(Error::Malformed { .. })));
    claims[1].signals.extend([E::ScalarField::zero(); 2]);
    assert!(matches!(refused(&key, &claims, GO), Err(Error::Malformed { .. })));
}

fn it_agrees_with_single_verification<E: Vector>() {
    let (key, claims) = batch::<E>(4);
    let spoiled = [spoiled(&claims, 0), spoiled(&claims, 3)].concat();
    let mixed: Vec<_> =
        spoiled.iter().zip(claims.iter().cycle()).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let single: Vec<_> = mixed
        .iter()
        .enumerate()
        .filter(|(_, claim)| !verify(&key, &claim.signals, &claim.proof).unwrap())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(single, (0..mixed.len()).step_by(2).collect::<Vec<_>>());
    assert_eq!(refused(&key, &mixed, GO).unwrap(), single);
}

fn progress_can_stop_it<E: Vector>() {
    let (key, mut claims) = batch::<E>(4);
    assert_eq!(refused(&key, &claims, &|stage, _| stage != "weights").unwrap_err(), Error::Cancelled);
    claims[0].proof = claims[1].proof;
    assert_eq!(refused(&key, &claims, &|stage, _| stage != "search").unwrap_err(), Error::Cancelled);
}
