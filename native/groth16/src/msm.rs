//! Multi-scalar multiplication: the one door that the prover and the audits use, for G1 and G2.
//!
//! Today it is arkworks' windowed-NAF bucket method with XYZZ buckets, which sorts scalars by size first: circuit
//! witnesses are mostly bits and small words. Another algorithm replaces the body of [`msm`] and nothing else.

use ark_bn254::{Fr, g1, g2};
use ark_ec::short_weierstrass::Projective;
use ark_ec::{CurveGroup, VariableBaseMSM};

/// A group with a multi-scalar multiplication.
pub trait Msm: CurveGroup<ScalarField = Fr> {
    /// Σ scalars[i]·bases[i]. Points at infinity and zero scalars are allowed.
    ///
    /// # Panics
    /// If the lengths differ: the callers hold both sides, so a difference is a defect.
    fn msm(bases: &[Self::Affine], scalars: &[Fr]) -> Self;
}

// The impl headers name the configurations: coherence does not look through ark-bn254's aliases.
impl Msm for Projective<g1::Config> {
    fn msm(bases: &[Self::Affine], scalars: &[Fr]) -> Self {
        assert_eq!(bases.len(), scalars.len(), "one scalar a base");
        <Self as VariableBaseMSM>::msm_unchecked(bases, scalars)
    }
}

impl Msm for Projective<g2::Config> {
    fn msm(bases: &[Self::Affine], scalars: &[Fr]) -> Self {
        assert_eq!(bases.len(), scalars.len(), "one scalar a base");
        <Self as VariableBaseMSM>::msm_unchecked(bases, scalars)
    }
}

/// Σ scalars[i]·bases[i] in G1 or G2.
pub fn msm<G: Msm>(bases: &[G::Affine], scalars: &[Fr]) -> G {
    <G as Msm>::msm(bases, scalars)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bn254::{G1Projective, G2Projective};
    use ark_ff::Zero;
    use ark_std::UniformRand;
    use proptest::prelude::*;

    fn naive<G: Msm>(bases: &[G::Affine], scalars: &[Fr]) -> G {
        bases.iter().zip(scalars).map(|(base, scalar)| *base * scalar).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn equals_the_naive_sum(small in prop::collection::vec(any::<i32>(), 0..40)) {
            let mut rng = ark_std::test_rng();
            let scalars: Vec<Fr> = small
                .iter()
                .map(|&word| if word % 3 == 0 { Fr::rand(&mut rng) } else { Fr::from(i64::from(word)) })
                .collect();
            let g1: Vec<_> = scalars.iter().enumerate().map(|(i, _)| {
                if i % 7 == 3 { G1Projective::zero().into_affine() } else { G1Projective::rand(&mut rng).into_affine() }
            }).collect();
            let g2: Vec<_> = scalars.iter().map(|_| G2Projective::rand(&mut rng).into_affine()).collect();
            prop_assert_eq!(msm::<G1Projective>(&g1, &scalars), naive::<G1Projective>(&g1, &scalars));
            prop_assert_eq!(msm::<G2Projective>(&g2, &scalars), naive::<G2Projective>(&g2, &scalars));
        }
    }
}
