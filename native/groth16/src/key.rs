//! The proving key: the constraint system with the points that prove it, and the log of its contributions.

use ark_bn254::{G1Affine, G2Affine};
use ark_ec::AffineRepr;

use crate::Error;
use crate::r1cs::ConstraintSystem;
use crate::transcript::Contribution;
use crate::verify::VerifyingKey;

/// What set-up draws and phase 2 never changes, with what it does change (`delta_*`, `l`, `h`).
///
/// Brackets: [x]_1 = x·G1, [x]_2 = x·G2. A_i, B_i, C_i are the QAP polynomials of wire i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBody {
    /// The constraints that the key proves.
    pub system: ConstraintSystem,
    /// [α]_1
    pub alpha_g1: G1Affine,
    /// [β]_1
    pub beta_g1: G1Affine,
    /// [β]_2
    pub beta_g2: G2Affine,
    /// [δ]_1
    pub delta_g1: G1Affine,
    /// [δ]_2
    pub delta_g2: G2Affine,
    /// [β·A_i(τ) + α·B_i(τ) + C_i(τ)]_1 of the public wires, the constant one first. γ is 1.
    pub ic: Vec<G1Affine>,
    /// Wires whose A_i(τ) is not zero, ascending.
    pub a_wires: Vec<u32>,
    /// [A_i(τ)]_1 of `a_wires`.
    pub a: Vec<G1Affine>,
    /// Wires whose B_i(τ) is not zero, ascending.
    pub b_wires: Vec<u32>,
    /// [B_i(τ)]_1 of `b_wires`.
    pub b_g1: Vec<G1Affine>,
    /// [B_i(τ)]_2 of `b_wires`.
    pub b_g2: Vec<G2Affine>,
    /// [(β·A_i(τ) + α·B_i(τ) + C_i(τ))/δ]_1 of the private wires, in order.
    pub l: Vec<G1Affine>,
    /// [coset Lagrange basis at τ · Z(τ)/Z(coset)/δ]_1, see `qap`.
    pub h: Vec<G1Affine>,
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
        VerifyingKey {
            alpha_g1: self.body.alpha_g1,
            beta_g2: self.body.beta_g2,
            gamma_g2: G2Affine::generator(),
            delta_g2: self.body.delta_g2,
            ic: self.body.ic.clone(),
        }
    }

    /// The contribution log as JSON, for people.
    pub fn log_json(&self) -> String {
        serde_json::to_string_pretty(&self.log).expect("a log of strings and numbers")
    }

    /// Errors with [`Error::NoContribution`] while delta is still gamma up to sign: then anyone can forge.
    pub fn require_contribution(&self) -> Result<(), Error> {
        let gamma = G2Affine::generator();
        if self.log.is_empty() || self.body.delta_g2 == gamma || self.body.delta_g2 == -gamma {
            return Err(Error::NoContribution);
        }
        Ok(())
    }
}
