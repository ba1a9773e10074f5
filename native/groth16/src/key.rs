//! The proving key: the constraint system with the points that prove it, and the log of its contributions.

use ark_bn254::{Bn254, Fr, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::pairing::Pairing;

use crate::Error;
use crate::curve::Curve;
use crate::qap::{self, Domain, Rows};
use crate::r1cs::ConstraintSystem;
use crate::transcript::Contribution;
use crate::verify::VerifyingKey;

/// What set-up draws and phase 2 never changes, with what it does change (`delta_*`, `l`, `h`).
///
/// Brackets: [x]_1 = x·G1, [x]_2 = x·G2. A_i, B_i, C_i are the QAP polynomials of wire i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points<E: Curve = Bn254> {
    /// [α]_1
    pub alpha_g1: E::G1Affine,
    /// [β]_1
    pub beta_g1: E::G1Affine,
    /// [β]_2
    pub beta_g2: E::G2Affine,
    /// [δ]_1
    pub delta_g1: E::G1Affine,
    /// [δ]_2
    pub delta_g2: E::G2Affine,
    /// [(β·A_i(τ) + α·B_i(τ) + C_i(τ))/γ]_1 of the public wires, the constant one first.
    pub ic: Vec<E::G1Affine>,
    /// Wires whose A_i(τ) is not zero, ascending.
    pub a_wires: Vec<u32>,
    /// [A_i(τ)]_1 of `a_wires`.
    pub a: Vec<E::G1Affine>,
    /// Wires whose B_i(τ) is not zero, ascending.
    pub b_wires: Vec<u32>,
    /// [B_i(τ)]_1 of `b_wires`.
    pub b_g1: Vec<E::G1Affine>,
    /// [B_i(τ)]_2 of `b_wires`.
    pub b_g2: Vec<E::G2Affine>,
    /// [(β·A_i(τ) + α·B_i(τ) + C_i(τ))/δ]_1 of the private wires, in order.
    pub l: Vec<E::G1Affine>,
    /// [coset Lagrange basis at τ · Z(τ)/Z(coset)/δ]_1, see `qap`.
    pub h: Vec<E::G1Affine>,
}

impl<E: Curve> Points<E> {
    /// The key that verifies proofs made with these points.
    pub fn verifying_key(&self, gamma_g2: E::G2Affine) -> VerifyingKey<E> {
        VerifyingKey {
            alpha_g1: self.alpha_g1,
            beta_g2: self.beta_g2,
            gamma_g2,
            delta_g2: self.delta_g2,
            ic: self.ic.clone(),
        }
    }

    /// Whether a point that the verifying key or every proof needs is infinity.
    pub fn any_verifying_infinity(&self) -> bool {
        let g1 = [self.alpha_g1, self.beta_g1, self.delta_g1];
        g1.iter().chain(&self.ic).any(|point| point.is_zero())
            || [self.beta_g2, self.delta_g2].iter().any(|point| point.is_zero())
    }
}

/// A key that the prover can use: the points, and the constraints as far as the key knows them.
pub trait Key: Sync {
    /// The curve it proves over.
    type Curve: Curve;
    /// The points.
    fn points(&self) -> &Points<Self::Curve>;
    /// Number of wires, the constant one included.
    fn wires(&self) -> usize;
    /// The domain that the rows live on.
    fn domain(&self) -> Result<Domain<ScalarOf<Self>>, Error>;
    /// The rows of a witness of `wires()` values. Errors: [`Error::Unsatisfied`] as far as the key can tell.
    fn rows(
        &self,
        domain: &Domain<ScalarOf<Self>>,
        witness: &[ScalarOf<Self>],
    ) -> Result<Rows<ScalarOf<Self>>, Error>;
    /// The key that verifies this key's proofs.
    fn verifying_key(&self) -> VerifyingKey<Self::Curve>;
    /// Whether the prover must check its own proof, because the key cannot name every broken constraint or nobody
    /// audited its points.
    fn check_proofs(&self) -> bool;

    /// Number of public signals.
    fn public(&self) -> usize {
        self.points().ic.len() - 1
    }

    /// Errors with [`Error::NoContribution`] while delta is still gamma up to sign: then anyone can forge.
    fn require_contribution(&self) -> Result<(), Error> {
        if self.verifying_key().is_open() { Err(Error::NoContribution) } else { Ok(()) }
    }
}

/// The scalars of a key's curve.
pub type ScalarOf<K> = <<K as Key>::Curve as Pairing>::ScalarField;

/// The part of our proving key that the contribution log chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBody {
    /// The constraints that the key proves.
    pub system: ConstraintSystem,
    /// The points; γ is 1.
    pub points: Points,
}

/// A proving key as it is kept: body, label and contribution log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvingKey {
    pub body: KeyBody,
    /// Who made it and how far it may be trusted, in words.
    pub label: String,
    /// One entry a contribution, oldest first.
    pub log: Vec<Contribution>,
    /// SHA-256 of the body's bytes (`key_format`).
    pub hash: [u8; 32],
}

impl ProvingKey {
    /// A key around a body; computes the body's hash.
    pub fn new(body: KeyBody, label: String, log: Vec<Contribution>) -> Self {
        let hash = body.hash();
        Self { body, label, log, hash }
    }

    /// The key that verifies this key's proofs.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.body.points.verifying_key(G2Affine::generator())
    }

    /// The contribution log as JSON, for people.
    pub fn log_json(&self) -> String {
        serde_json::to_string_pretty(&self.log).expect("a log of strings and numbers")
    }

    /// Errors with [`Error::NoContribution`] while delta is still gamma up to sign: then anyone can forge.
    pub fn require_contribution(&self) -> Result<(), Error> {
        if self.log.is_empty() || self.verifying_key().is_open() {
            return Err(Error::NoContribution);
        }
        Ok(())
    }
}

impl Key for ProvingKey {
    type Curve = Bn254;

    fn points(&self) -> &Points {
        &self.body.points
    }

    fn wires(&self) -> usize {
        self.body.system.wires
    }

    fn domain(&self) -> Result<Domain<Fr>, Error> {
        Domain::of(&self.body.system)
    }

    fn rows(&self, domain: &Domain<Fr>, witness: &[Fr]) -> Result<Rows<Fr>, Error> {
        qap::rows(&self.body.system, domain, witness)
    }

    fn require_contribution(&self) -> Result<(), Error> {
        self.require_contribution()
    }

    fn verifying_key(&self) -> VerifyingKey {
        self.verifying_key()
    }

    fn check_proofs(&self) -> bool {
        false
    }
}
