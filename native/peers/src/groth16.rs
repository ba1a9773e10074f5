//! arkworks' Groth16 prover (ark-groth16) on a snarkjs key.
//!
//! Everything is ark-groth16's own code but the reduction from rows to the quotient: snarkjs' keys hold H in the
//! Lagrange basis of the odd points of the domain of twice the size, so the prover hands over A·B − C there and saves
//! the last inverse FFT. That is the reduction by which every user of arkworks proves on a snarkjs key.

use std::path::Path;

use ark_bn254::{Bn254, Fr};
use ark_ff::{BigInteger, PrimeField, UniformRand};
use ark_groth16::r1cs_to_qap::{LibsnarkReduction, R1CSToQAP};
use ark_groth16::{Groth16, Proof};
use ark_poly::EvaluationDomain;
use ark_relations::gr1cs::{ConstraintSystemRef, Result as R1CSResult, SynthesisError};
use ark_relations::utils::matrix::Matrix;
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use rayon::prelude::*;

use crate::zkey::{Key, read_key, read_witness};

/// snarkjs' reduction.
struct SnarkjsReduction;

fn product<F: PrimeField>(row: &[(F, usize)], wires: &[F]) -> F {
    row.iter().map(|(value, wire)| if value.is_one() { wires[*wire] } else { *value * wires[*wire] }).sum()
}

impl R1CSToQAP for SnarkjsReduction {
    fn instance_map_with_evaluation<F: PrimeField, D: EvaluationDomain<F>>(
        system: ConstraintSystemRef<F>,
        point: &F,
    ) -> R1CSResult<(Vec<F>, Vec<F>, Vec<F>, F, usize, usize)> {
        LibsnarkReduction::instance_map_with_evaluation::<F, D>(system, point)
    }

    fn witness_map_from_matrices<F: PrimeField, D: EvaluationDomain<F>>(
        matrices: &[Matrix<F>],
        inputs: usize,
        constraints: usize,
        wires: &[F],
    ) -> R1CSResult<Vec<F>> {
        let domain = D::new(constraints + inputs).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        let size = domain.size();
        let rows = |matrix: &Matrix<F>| {
            let mut values: Vec<F> = matrix.par_iter().map(|row| product(row, wires)).collect();
            values.resize(size, F::zero());
            values
        };
        let (mut a, mut b) = (rows(&matrices[0]), rows(&matrices[1]));
        a[constraints..constraints + inputs].copy_from_slice(&wires[..inputs]);
        let mut c: Vec<F> = a.par_iter().zip(&b).map(|(a, b)| *a * b).collect();
        let root = F::get_root_of_unity(2 * size as u64).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        let coset = domain.get_coset(root).ok_or(SynthesisError::PolynomialDegreeTooLarge)?;
        for values in [&mut a, &mut b, &mut c] {
            domain.ifft_in_place(values);
            coset.fft_in_place(values);
        }
        a.par_iter_mut().zip(&b).zip(&c).for_each(|((a, b), c)| *a = *a * b - c);
        Ok(a)
    }

    fn h_query_scalars<F: PrimeField, D: EvaluationDomain<F>>(
        max_power: usize,
        point: F,
        vanishing: F,
        delta_inverse: F,
    ) -> Result<Vec<F>, SynthesisError> {
        LibsnarkReduction::h_query_scalars::<F, D>(max_power, point, vanishing, delta_inverse)
    }
}

/// A key with a witness.
pub struct Prover {
    key: Key,
    wires: Vec<Fr>,
}

impl Prover {
    /// Reads both files.
    pub fn read(zkey: &Path, wtns: &Path) -> Result<Self, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Self { key: read_key(&read(zkey)?)?, wires: read_witness(&read(wtns)?)? })
    }

    /// Rows of the key.
    pub fn constraints(&self) -> usize {
        self.key.constraints
    }

    /// A proof: a, b, c, big-endian, G2 in EIP-197 order, 256 bytes.
    ///
    /// The blinding comes from the wires' count alone: enough for a benchmark, and nowhere else.
    pub fn prove(&self) -> Result<Vec<u8>, String> {
        let mut random = StdRng::seed_from_u64(self.wires.len() as u64);
        let proof = Groth16::<Bn254, SnarkjsReduction>::create_proof_with_reduction_and_matrices(
            &self.key.proving,
            Fr::rand(&mut random),
            Fr::rand(&mut random),
            &self.key.matrices,
            self.key.inputs,
            self.key.constraints,
            &self.wires,
        );
        Ok(bytes(&proof.map_err(|error| error.to_string())?))
    }
}

fn bytes(proof: &Proof<Bn254>) -> Vec<u8> {
    let (a, b, c) = (&proof.a, &proof.b, &proof.c);
    [a.x, a.y, b.x.c1, b.x.c0, b.y.c1, b.y.c0, c.x, c.y]
        .iter()
        .flat_map(|value| value.into_bigint().to_bytes_be())
        .collect()
}
