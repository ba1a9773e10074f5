//! Multi-scalar multiplication, twice: the accelerator's for a prover with tables, whose proofs are checked anyway, and
//! arkworks' for one without and for those who check. A defect of the fast engines can cost a proof; it must not make one
//! hold.

use std::path::Path;

use ark_ec::short_weierstrass::Projective;
use ark_ec::{CurveGroup, VariableBaseMSM};
use w3bstream_msm::{
    BasesDigest, Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Error, Instructions, Plan, PlanRequest,
    PrecomputedBases, Report,
};

/// A group with both multiplications.
pub trait Msm: CurveGroup {
    /// Bases with their stored multiples.
    type Table: Send + Sync;

    /// Σ scalars[i]·bases[i] by arkworks. Points at infinity and zero scalars are allowed.
    ///
    /// # Panics
    /// If the lengths differ: the callers hold both sides, so a difference is a defect.
    fn checked_sum(bases: &[Self::Affine], scalars: &[Self::ScalarField]) -> Self;

    /// Σ scalars[i]·bases[i] over a table.
    fn fast_sum_over(
        table: &Self::Table,
        scalars: &[Self::ScalarField],
        report: Report,
    ) -> Result<Self, Error>;

    /// A table of at most `bytes` bytes.
    fn build(bases: &[Self::Affine], bytes: u64, report: Report) -> Result<Self::Table, Error>;

    /// A table from a file, if it was made of these bases.
    fn open(path: &Path, bases: &[Self::Affine]) -> Result<Self::Table, Error>;

    /// Writes a table, whole or not at all.
    fn save(table: &Self::Table, path: &Path) -> Result<(), Error>;

    /// What the planner picked.
    fn plan(table: &Self::Table) -> &Plan;
}

macro_rules! groups {
    ($($config:ty => $group:ty),*) => {$(
        impl Msm for Projective<$config> {
            type Table = PrecomputedBases<$group>;

            fn checked_sum(bases: &[Self::Affine], scalars: &[Self::ScalarField]) -> Self {
                assert_eq!(bases.len(), scalars.len(), "one scalar a base");
                <Self as VariableBaseMSM>::msm_unchecked(bases, scalars)
            }

            fn fast_sum_over(
                table: &Self::Table,
                scalars: &[Self::ScalarField],
                report: Report,
            ) -> Result<Self, Error> {
                table.msm(scalars, report)
            }

            fn build(bases: &[Self::Affine], bytes: u64, report: Report) -> Result<Self::Table, Error> {
                let request = PlanRequest { memory_bytes: bytes, ..PlanRequest::default() };
                PrecomputedBases::build(bases, &request, report)
            }

            fn open(path: &Path, bases: &[Self::Affine]) -> Result<Self::Table, Error> {
                PrecomputedBases::open(path, &BasesDigest::of::<$group>(bases), Instructions::Detect)
            }

            fn save(table: &Self::Table, path: &Path) -> Result<(), Error> {
                table.save(path)
            }

            fn plan(table: &Self::Table) -> &Plan {
                table.plan()
            }
        }
    )*};
}

groups!(
    ark_bn254::g1::Config => Bn254G1,
    ark_bn254::g2::Config => Bn254G2,
    ark_bls12_381::g1::Config => Bls12381G1,
    ark_bls12_381::g2::Config => Bls12381G2
);

#[cfg(test)]
mod tests {
    use super::*;
    use ark_std::UniformRand;
    use proptest::prelude::*;
    use w3bstream_msm::unheard;

    fn equals_the_naive_sum<G: Msm>(words: &[i32]) {
        let mut rng = ark_std::test_rng();
        let scalar = |word: i32| match word % 3 {
            0 => G::ScalarField::rand(&mut ark_std::test_rng()),
            _ => G::ScalarField::from(i64::from(word)),
        };
        let scalars: Vec<_> = words.iter().map(|&word| scalar(word)).collect();
        let mut bases: Vec<_> = words.iter().map(|_| G::rand(&mut rng).into_affine()).collect();
        bases.iter_mut().skip(3).step_by(7).for_each(|base| *base = G::zero().into_affine());
        let naive: G = bases.iter().zip(&scalars).map(|(base, scalar)| *base * scalar).sum();
        assert_eq!(G::checked_sum(&bases, &scalars), naive);
        let table = G::build(&bases, 1 << 20, &unheard).unwrap();
        assert_eq!(G::fast_sum_over(&table, &scalars, &unheard), Ok(naive));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_group_equals_the_naive_sum(words in prop::collection::vec(any::<i32>(), 0..40)) {
            equals_the_naive_sum::<ark_bn254::G1Projective>(&words);
            equals_the_naive_sum::<ark_bn254::G2Projective>(&words);
            equals_the_naive_sum::<ark_bls12_381::G1Projective>(&words);
            equals_the_naive_sum::<ark_bls12_381::G2Projective>(&words);
        }
    }
}
