//! Keys made by snarkjs: they prove here, arkworks accepts the proofs, and what does not fit is refused.

mod circuit;
mod vectors;

use ark_bn254::Bn254;
use ark_ff::{One, PrimeField};
use circuit::Circuit;
use vectors::{GO, SIGNALS, Vector};
use w3bstream_groth16::Error;
use w3bstream_groth16::curve::Curve;
use w3bstream_groth16::key::Key;
use w3bstream_groth16::prove::{prove, witness_from_bytes, witness_from_wtns};
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::verify::{Proof, VerifyingKey, signals_from_bytes, verify};
use w3bstream_groth16::zkey::{self, ImportedKey};

on_both_curves!(
    a_snarkjs_key_proves,
    an_initial_key_cannot_prove,
    a_broken_witness_is_refused_with_and_without_the_r1cs,
    only_its_own_r1cs_belongs_to_a_key,
    the_file_says_what_it_is,
    a_witness_file_is_strict,
    keys_and_proofs_have_one_encoding,
    progress_can_stop_it,
);

fn arkworks_accepts<E: Curve>(key: &VerifyingKey<E>, signals: &[E::ScalarField], proof: &Proof<E>) -> bool {
    let key = ark_groth16::VerifyingKey::<E> {
        alpha_g1: key.alpha_g1,
        beta_g2: key.beta_g2,
        gamma_g2: key.gamma_g2,
        delta_g2: key.delta_g2,
        gamma_abc_g1: key.ic.clone(),
    };
    let proof = ark_groth16::Proof::<E> { a: proof.a, b: proof.b, c: proof.c };
    ark_groth16::Groth16::<E>::verify_proof(&ark_groth16::prepare_verifying_key(&key), &proof, signals)
        .unwrap()
}

fn a_snarkjs_key_proves<E: Vector>() {
    let plain = E::key();
    let whole = E::key().with_r1cs(E::system()).unwrap();
    let signals = SIGNALS.map(E::ScalarField::from).to_vec();
    for key in [plain, whole] {
        let (proof, timings) = prove(&key, &E::witness(), GO).unwrap();
        assert_eq!(timings.last().unwrap().0, "b2");
        let verifying = key.verifying_key();
        assert!(verify(&verifying, &signals, &proof).unwrap());
        assert!(arkworks_accepts(&verifying, &signals, &proof));
        for position in 0..signals.len() {
            let mut wrong = signals.clone();
            wrong[position] += E::ScalarField::one();
            assert!(!verify(&verifying, &wrong, &proof).unwrap());
            assert!(!arkworks_accepts(&verifying, &wrong, &proof));
        }
    }
}

fn an_initial_key_cannot_prove<E: Vector>() {
    let key = ImportedKey::<E>::read(E::INITIAL).unwrap();
    assert_eq!(key.contributions(), 0);
    assert_eq!(prove(&key, &E::witness(), GO).unwrap_err(), Error::NoContribution);
    assert!(VerifyingKey::<E>::from_bytes(&key.verifying_key().to_bytes()).is_err());
}

fn a_broken_witness_is_refused_with_and_without_the_r1cs<E: Vector>() {
    let (plain, whole) = (E::key(), E::key().with_r1cs(E::system()).unwrap());
    for wire in (1..E::witness().len()).filter(|&wire| wire != vectors::TAG) {
        let mut witness = E::witness();
        witness[wire] += E::ScalarField::one();
        assert_eq!(prove(&plain, &witness, GO).unwrap_err(), Error::ProofFails, "wire {wire}");
        let error = prove(&whole, &witness, GO).unwrap_err();
        let Error::Unsatisfied { constraint, total } = error else { panic!("wire {wire}: {error:?}") };
        assert_eq!(total, E::system().constraints);
        assert!(constraint < total);
        assert_eq!((error.kind(), Error::ProofFails.kind()), ("unsatisfied", "unsatisfied"));
    }
}

fn only_its_own_r1cs_belongs_to_a_key<E: Vector>() {
    let refuse = |change: &dyn Fn(&mut ConstraintSystem<E::ScalarField>)| {
        let mut system = E::system();
        change(&mut system);
        let error = E::key().with_r1cs(system).unwrap_err();
        assert!(matches!(error, Error::Malformed { what: "r1cs file", .. }), "{error:?}");
    };
    refuse(&|system| system.public -= 1);
    refuse(&|system| system.wires += 1);
    refuse(&|system| system.a.wires[0] += 1);
    refuse(&|system| system.b.coefficients[0] ^= 1);
    refuse(&|system| system.constraints += 16);
    refuse(&|system| {
        let swapped = std::mem::take(&mut system.a);
        system.a = std::mem::replace(&mut system.b, swapped);
    });
    let whole = E::key().with_r1cs(E::system()).unwrap();
    assert!(whole.names_constraints() && !E::key().names_constraints());
    assert!(whole.clone().with_r1cs(E::system()).is_ok());
    let mut other = E::system();
    other.c.wires[0] += 1; // C is in the r1cs only
    assert!(whole.with_r1cs(other).is_err());
}

fn the_file_says_what_it_is<E: Vector>() {
    let key = E::key();
    assert_eq!(zkey::curve_of(E::ZKEY).unwrap(), E::NAME);
    assert_eq!((key.wires(), key.public(), key.domain_size(), key.contributions()), (9, 3, 16, 1));
    assert_ne!(key.sha256(), ImportedKey::<E>::read(E::INITIAL).unwrap().sha256());
    let (bn254, bls12_381) =
        (ImportedKey::<Bn254>::read(E::ZKEY), ImportedKey::<ark_bls12_381::Bls12_381>::read(E::ZKEY));
    assert_eq!(bn254.is_ok(), E::NAME == "bn254");
    assert_eq!(bls12_381.is_ok(), E::NAME == "bls12-381");
}

fn a_witness_file_is_strict<E: Vector>() {
    let key = E::key();
    assert!(E::witness()[0].is_one());
    let refused = |bytes: &[u8]| match witness_from_wtns(&key, bytes) {
        Err(Error::Malformed { detail, .. }) => detail,
        other => panic!("{other:?}"),
    };
    for length in 0..E::WTNS.len() {
        refused(&E::WTNS[..length]);
    }
    assert!(refused(&[E::WTNS, &[0]].concat()).contains("after the last section"));
    // magic 4, version 4, sections 4; header: type 4, length 8, n8 4, q 32, count 4; values: type 4, length 8.
    let changed = |at: usize, value: &[u8]| {
        let mut file = E::WTNS.to_vec();
        file[at..at + value.len()].copy_from_slice(value);
        refused(&file)
    };
    assert!(changed(0, b"R").contains("start"));
    assert!(changed(4, &[1]).contains("version"));
    assert!(changed(12, &[9]).contains("unknown section"));
    assert!(changed(16, &u64::MAX.to_le_bytes()).contains("ends early"));
    assert!(changed(28, &[3]).contains("field"));
    assert!(changed(60, &u32::MAX.to_le_bytes()).contains("values"));
    assert!(changed(64, &[1]).contains("twice"));
    assert!(changed(76, &[2]).contains("first wire"));
    assert!(changed(76 + 32, &[0xff; 32]).contains("modulus"));
    assert!(changed(8, &[1]).contains("after the last section"));
    assert!(witness_from_bytes(&key, &E::WTNS[76..]).is_ok());
    assert!(witness_from_bytes(&key, &E::WTNS[108..]).is_err());
}

fn keys_and_proofs_have_one_encoding<E: Vector>() {
    let key = E::key();
    let verifying = key.verifying_key();
    let bytes = verifying.to_bytes();
    assert_eq!(VerifyingKey::<E>::from_bytes(&bytes).unwrap(), verifying);
    for length in (0..bytes.len()).step_by(31) {
        assert!(VerifyingKey::<E>::from_bytes(&bytes[..length]).is_err());
    }
    assert!(VerifyingKey::<E>::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let claim = E::claim(&key, 99);
    let proof = claim.proof.to_bytes();
    assert_eq!(proof.len(), Proof::<E>::BYTES);
    assert_eq!(Proof::<E>::from_bytes(&proof).unwrap(), claim.proof);
    for position in (0..proof.len()).step_by(5) {
        let mut forged = proof.clone();
        forged[position] ^= 1 << (position % 8);
        let holds = Proof::<E>::from_bytes(&forged)
            .is_ok_and(|forged| verify(&verifying, &claim.signals, &forged).unwrap());
        assert!(!holds, "byte {position}");
    }
    let modulus = (-E::ScalarField::one()).into_bigint();
    let mut word = ark_ff::BigInteger::to_bytes_be(&modulus);
    assert!(signals_from_bytes::<E::ScalarField>(&word).is_ok());
    word[31] += 1; // r is odd and r − 1 even, so no carry: the word is r
    assert!(signals_from_bytes::<E::ScalarField>(&word).is_err());
}

fn progress_can_stop_it<E: Vector>() {
    let stop = |_: &str, fraction: f64| fraction < 0.3;
    assert_eq!(prove(&E::key(), &E::witness(), &stop).unwrap_err(), Error::Cancelled);
}

#[test]
fn a_key_of_ours_comes_back_through_the_zkey() {
    let circuit = Circuit::power_chain(9, 3);
    let (_, key) = circuit.keys();
    let imported = ImportedKey::<Bn254>::read(&zkey::export(&key).unwrap()).unwrap();
    assert_eq!(imported.points(), &key.body.points);
    assert_eq!(imported.verifying_key(), key.verifying_key());
    let imported = imported.with_r1cs(circuit.system()).unwrap();
    let (proof, _) = prove(&imported, &circuit.witness, GO).unwrap();
    assert!(verify(&key.verifying_key(), &circuit.signals(), &proof).unwrap());
    let (proof, _) = prove(&key, &circuit.witness, GO).unwrap();
    assert!(verify(&imported.verifying_key(), &circuit.signals(), &proof).unwrap());
}

#[test]
fn iden3s_domain_is_arkworks_for_bn254_only() {
    use ark_ff::{FftField, Field};
    use w3bstream_groth16::qap::Domain;
    assert_eq!(Domain::<ark_bn254::Fr>::of_size("test", 16).unwrap().size(), 16);
    assert_eq!(ark_bn254::Fr::from(5u64).pow(ark_bn254::Fr::TRACE), ark_bn254::Fr::TWO_ADIC_ROOT_OF_UNITY);
    assert_ne!(
        ark_bls12_381::Fr::from(5u64).pow(ark_bls12_381::Fr::TRACE),
        ark_bls12_381::Fr::TWO_ADIC_ROOT_OF_UNITY
    );
    for size in [0, 1, 3, 1 << 25, 1 << 40] {
        assert!(Domain::<ark_bn254::Fr>::of_size("test", size).is_err());
    }
}
