//! What must hold for any bytes at all: a reader refuses them or gives a value whose own bytes they are. It never panics
//! and never takes memory out of proportion to them. `native/fuzz` drives these bodies too.
#![allow(dead_code, reason = "each fuzz target takes one body")]

use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use w3bstream_groth16::batch::refused_bytes;
use w3bstream_groth16::curve::{Bls12_381, Bn254, Curve};
use w3bstream_groth16::key::{Key, ProvingKey};
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::verify::{Proof, VerifyingKey, signals_from_bytes};
use w3bstream_groth16::zkey::{ImportedKey, curve_of};
use w3bstream_groth16::{encoding, wtns};

/// Every body.
pub const ALL: [fn(&[u8]); 7] = [zkey, r1cs, witness, own_key, proof, verifying_key, claim];

pub fn zkey(bytes: &[u8]) {
    fn one<E: Curve>(bytes: &[u8]) {
        let Ok(key) = ImportedKey::<E>::read(bytes) else { return };
        assert_eq!(curve_of(bytes).unwrap(), E::NAME);
        assert!(key.wires() + key.domain_size() < bytes.len());
        assert!(key.public() < key.wires());
        // Any witness must give rows or a refusal, not an index out of range.
        let witness = vec![E::ScalarField::from(1u64); key.wires()];
        let domain = key.domain().unwrap();
        drop(key.rows(&domain, &witness).map(|rows| domain.quotient_values(rows)));
    }
    one::<Bn254>(bytes);
    one::<Bls12_381>(bytes);
}

pub fn r1cs(bytes: &[u8]) {
    fn one<E: Curve>(bytes: &[u8]) {
        let Ok(system) = ConstraintSystem::<E::ScalarField>::read(bytes) else { return };
        assert!(system.public < system.wires);
        for matrix in [&system.a, &system.b, &system.c] {
            assert_eq!(matrix.starts.len(), system.constraints + 1);
            let terms = (0..system.constraints).flat_map(|row| matrix.row(row));
            assert!(
                terms.into_iter().all(|(wire, id)| wire < system.wires && id < system.coefficients.len())
            );
        }
    }
    one::<Bn254>(bytes);
    one::<Bls12_381>(bytes);
}

pub fn witness(bytes: &[u8]) {
    fn one<E: Curve>(bytes: &[u8]) {
        if let Ok(witness) = wtns::read::<E::ScalarField>(bytes) {
            assert!(bytes.len() > 32 * witness.len());
        }
    }
    one::<Bn254>(bytes);
    one::<Bls12_381>(bytes);
}

/// A key file with the checksum made right, so that damage reaches what is behind it.
fn with_checksum(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    for _ in 0..2 {
        let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at = at.checked_add(4 + length as usize)?;
    }
    let length = usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()?;
    let (head, body) = (&bytes[..at + 8], bytes.get(at + 8..(at + 8).checked_add(length)?)?);
    let checksum = Sha256::new().chain_update(head).chain_update(Sha256::digest(body)).finalize();
    Some([head, body, &checksum].concat())
}

pub fn own_key(bytes: &[u8]) {
    for bytes in [Some(bytes.to_vec()), with_checksum(bytes)].into_iter().flatten() {
        if let Ok(key) = ProvingKey::from_bytes(&bytes) {
            assert_eq!(ProvingKey::from_bytes(&key.to_bytes()).unwrap(), key);
        }
    }
}

pub fn proof(bytes: &[u8]) {
    fn one<E: Curve>(bytes: &[u8]) {
        if let Ok(proof) = Proof::<E>::from_bytes(bytes) {
            assert_eq!(proof.to_bytes(), bytes);
        }
    }
    one::<Bn254>(bytes);
    one::<Bls12_381>(bytes);
}

pub fn verifying_key(bytes: &[u8]) {
    fn one<E: Curve>(bytes: &[u8]) {
        if let Ok(key) = VerifyingKey::<E>::from_bytes(bytes) {
            assert_eq!(key.to_bytes(), bytes);
            assert!(!key.is_open());
        }
    }
    one::<Bn254>(bytes);
    one::<Bls12_381>(bytes);
}

/// Public signals, and a batch of one claim of these bytes under the vectors' keys: nobody can make one that holds.
pub fn claim(bytes: &[u8]) {
    static BN254: LazyLock<VerifyingKey<Bn254>> =
        LazyLock::new(|| key(include_bytes!("../vectors/bn128.zkey")));
    static BLS12_381: LazyLock<VerifyingKey<Bls12_381>> =
        LazyLock::new(|| key(include_bytes!("../vectors/bls12381.zkey")));
    fn key<E: Curve>(zkey: &[u8]) -> VerifyingKey<E> {
        ImportedKey::read(zkey).unwrap().verifying_key()
    }
    fn one<E: Curve>(key: &VerifyingKey<E>, bytes: &[u8]) {
        if let Ok(signals) = signals_from_bytes::<E::ScalarField>(bytes) {
            assert_eq!(signals.iter().flat_map(encoding::write_word).collect::<Vec<_>>(), bytes);
        }
        let (signals, proof) = bytes.split_at(bytes.len().min(32 * key.signals()));
        let refused = refused_bytes(key, &[(signals, proof)], &|_, _| true).unwrap();
        let decodes = signals_from_bytes::<E::ScalarField>(signals)
            .is_ok_and(|all| all.len() == key.signals())
            && Proof::<E>::from_bytes(proof).is_ok();
        assert!(decodes || refused.len() == 1);
    }
    one(&BN254, bytes);
    one(&BLS12_381, bytes);
}
