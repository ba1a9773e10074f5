//! The files of this folder, for both curves.
#![allow(dead_code, reason = "each test file compiles this module for itself")]

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::AffineRepr;
use ark_ec::pairing::Pairing;
use w3bstream_groth16::batch::Claim;
use w3bstream_groth16::curve::{Curve, Point};
use w3bstream_groth16::key::Key;
use w3bstream_groth16::prove::{prove, witness_from_wtns};
use w3bstream_groth16::r1cs::ConstraintSystem;
use w3bstream_groth16::zkey::ImportedKey;

pub const GO: &(dyn Fn(&str, f64) -> bool + Sync) = &|_, _| true;

/// Public signals of the witness.
pub const SIGNALS: [u64; 3] = [112, 30, 99];
/// The wire of `tag`, which no constraint mentions: any value of it satisfies the circuit.
pub const TAG: usize = 3;

type Fq2Of<E> = <<E as Pairing>::G2Affine as AffineRepr>::BaseField;

pub trait Vector: Curve {
    const R1CS: &[u8];
    const INITIAL: &[u8];
    const ZKEY: &[u8];
    const WTNS: &[u8];

    /// A point of G2's curve that is not in G2.
    fn outside_g2() -> Self::G2Affine;

    fn key() -> ImportedKey<Self> {
        ImportedKey::read(Self::ZKEY).unwrap()
    }

    fn system() -> ConstraintSystem<Self::ScalarField> {
        ConstraintSystem::read(Self::R1CS).unwrap()
    }

    fn witness() -> Vec<Self::ScalarField> {
        witness_from_wtns(&Self::key(), Self::WTNS).unwrap().to_vec()
    }

    /// An honest proof of the witness with another tag.
    fn claim(key: &ImportedKey<Self>, tag: u64) -> Claim<Self> {
        let mut witness = Self::witness();
        witness[TAG] = tag.into();
        let (proof, _) = prove(key, &witness, GO).unwrap();
        Claim { signals: witness[1..=key.public()].to_vec(), proof }
    }
}

impl Vector for Bn254 {
    const R1CS: &[u8] = include_bytes!("bn128.r1cs");
    const INITIAL: &[u8] = include_bytes!("bn128.initial.zkey");
    const ZKEY: &[u8] = include_bytes!("bn128.zkey");
    const WTNS: &[u8] = include_bytes!("bn128.wtns");

    fn outside_g2() -> Self::G2Affine {
        let at = |x: u64| ark_bn254::G2Affine::get_point_from_x_unchecked(Fq2Of::<Self>::from(x), false);
        (1..).find_map(at).filter(|point| !point.is_in_subgroup()).expect("the cofactor is large")
    }
}

impl Vector for Bls12_381 {
    const R1CS: &[u8] = include_bytes!("bls12381.r1cs");
    const INITIAL: &[u8] = include_bytes!("bls12381.initial.zkey");
    const ZKEY: &[u8] = include_bytes!("bls12381.zkey");
    const WTNS: &[u8] = include_bytes!("bls12381.wtns");

    fn outside_g2() -> Self::G2Affine {
        let at = |x: u64| ark_bls12_381::G2Affine::get_point_from_x_unchecked(Fq2Of::<Self>::from(x), false);
        (1..).find_map(at).filter(|point| !point.is_in_subgroup()).expect("the cofactor is large")
    }
}

/// A test for each curve from one generic function.
#[macro_export]
macro_rules! on_both_curves {
    ($($name:ident),* $(,)?) => {
        mod bn254 {
            $(#[test] fn $name() { super::$name::<ark_bn254::Bn254>() })*
        }
        mod bls12_381 {
            $(#[test] fn $name() { super::$name::<ark_bls12_381::Bls12_381>() })*
        }
    };
}
