//! Verification of many proofs under one key (the small-exponents test of Bellare, Garay, Rabin, EUROCRYPT 1998, §3, on
//! Groth16's equation): with random 128-bit weights ρ_i from the operating system, drawn after the proofs are fixed,
//!
//! Π e(ρ_i·A_i, B_i) = e(Σρ_i·α, β) · e(Σ_j (Σ_i ρ_i·signal_ij)·ic_j, γ) · e(Σ ρ_i·C_i, δ).
//!
//! That is n + 3 Miller loops and one final exponentiation instead of 4n and n. All points are in groups of prime order
//! r, so if any proof is false the equation holds with probability at most 2^-128; without weights two false proofs could
//! cancel out. When it fails, halves are tested with the same weights and the Miller loops that are there already, down
//! to single proofs, where the equation is the verifier's own.

use ark_ec::CurveGroup;
use ark_ec::pairing::MillerLoopOutput;
use ark_ff::{One, Zero};
use rayon::prelude::*;

use crate::curve::Curve;
use crate::msm::Msm;
use crate::random;
use crate::verify::{Proof, VerifyingKey, signals_from_bytes};
use crate::{Error, Progress, report};

/// Proofs whose Miller loops share their squarings.
const SHARED: usize = 8;

/// Public signals with the proof of them.
#[derive(Clone, Debug)]
pub struct Claim<E: Curve> {
    pub signals: Vec<E::ScalarField>,
    pub proof: Proof<E>,
}

/// A claim's weight and e(ρ·A, B) before the final exponentiation.
struct Weighted<'a, E: Curve> {
    claim: &'a Claim<E>,
    weight: E::ScalarField,
    weighted_a: E::G1Affine,
}

/// Why a claim is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its bytes are no proof, no signals, or of another number of signals than the key has.
    #[error("{0}")]
    Malformed(Error),
    /// The equation does not hold.
    #[error("the proof does not hold")]
    False,
}

/// The claims that are refused under `key`, ascending, from their bytes: (public signals, proof) each, as
/// `verify::signals_from_bytes` and [`Proof::from_bytes`] read them. One that does not decode is refused alone, the
/// others are tested without it.
///
/// Errors: [`Error::Random`], [`Error::Cancelled`].
pub fn refused_bytes<E: Curve, S: AsRef<[u8]> + Sync, P: AsRef<[u8]> + Sync>(
    key: &VerifyingKey<E>,
    claims: &[(S, P)],
    progress: Progress,
) -> Result<Vec<(usize, Refusal)>, Error> {
    let decode = |(signals, proof): &(S, P)| {
        let claim = Claim {
            signals: signals_from_bytes(signals.as_ref())?,
            proof: Proof::from_bytes(proof.as_ref())?,
        };
        key.require_count(&claim.signals).map(|()| claim)
    };
    let decoded: Vec<Result<Claim<E>, Error>> = claims.par_iter().map(decode).collect();
    report(progress, "decode", 0.1)?;
    let (mut whole, mut places, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (place, claim) in decoded.into_iter().enumerate() {
        match claim {
            Ok(claim) => {
                whole.push(claim);
                places.push(place);
            }
            Err(error) => bad.push((place, Refusal::Malformed(error))),
        }
    }
    bad.extend(refused(key, &whole, progress)?.into_iter().map(|index| (places[index], Refusal::False)));
    bad.sort_unstable_by_key(|(place, _)| *place);
    Ok(bad)
}

/// The positions of the claims that do not hold under `key`, ascending; none for no claims.
///
/// Runs on the current thread pool ([`crate::on_threads`]). Every point must be in its subgroup, as
/// [`Proof::from_bytes`] and [`VerifyingKey::from_bytes`] make sure. Errors: a claim with a wrong number of signals,
/// [`Error::Random`], [`Error::Cancelled`].
pub fn refused<E: Curve>(
    key: &VerifyingKey<E>,
    claims: &[Claim<E>],
    progress: Progress,
) -> Result<Vec<usize>, Error> {
    claims.iter().try_for_each(|claim| key.require_count(&claim.signals))?;
    let weights = random::weights::<E::ScalarField>(claims.len())?;
    let weighted: Vec<_> = claims
        .par_iter()
        .zip(weights)
        .map(|(claim, weight)| {
            let weighted_a = (claim.proof.a * weight).into_affine();
            Weighted { claim, weight, weighted_a }
        })
        .collect();
    report(progress, "weights", 0.2)?;
    let whole = product::<E>(weighted.par_chunks(SHARED).map(miller).collect());
    report(progress, "pairings", 0.8)?;
    let mut refused = Vec::new();
    if !claims.is_empty() && !holds(key, &weighted, whole) {
        let single: Vec<_> = weighted.par_chunks(1).map(miller).collect();
        search(key, &weighted, &single, 0, progress, &mut refused)?;
    }
    report(progress, "batch", 1.0)?;
    Ok(refused)
}

/// e(ρ·A, B) of some claims, multiplied, before the final exponentiation.
fn miller<E: Curve>(claims: &[Weighted<E>]) -> E::TargetField {
    let (a, b): (Vec<_>, Vec<_>) = claims.iter().map(|one| (one.weighted_a, one.claim.proof.b)).unzip();
    E::multi_miller_loop(a, b).0
}

fn product<E: Curve>(factors: Vec<E::TargetField>) -> E::TargetField {
    factors.into_iter().fold(E::TargetField::one(), |product, factor| product * factor)
}

/// Whether the equation holds for these claims; `left` is their e(ρ·A, B), multiplied.
fn holds<E: Curve>(key: &VerifyingKey<E>, claims: &[Weighted<E>], left: E::TargetField) -> bool {
    let weights: Vec<_> = claims.iter().map(|one| one.weight).collect();
    let total: E::ScalarField = weights.iter().sum();
    let mut inputs = vec![total];
    inputs.resize(key.ic.len(), E::ScalarField::zero());
    for one in claims {
        for (sum, signal) in inputs[1..].iter_mut().zip(&one.claim.signals) {
            *sum += one.weight * signal;
        }
    }
    let c: Vec<_> = claims.iter().map(|one| one.claim.proof.c).collect();
    let g1 = [key.alpha_g1 * total, E::G1::checked_sum(&key.ic, &inputs), E::G1::checked_sum(&c, &weights)];
    let right = E::multi_miller_loop(
        E::G1::normalize_batch(&g1.map(|point| -point)),
        [key.beta_g2, key.gamma_g2, key.delta_g2],
    );
    E::final_exponentiation(MillerLoopOutput(left * right.0)).is_some_and(|value| value.is_zero())
}

/// Finds the false claims among some that do not all hold. `first` is the position of the first one.
fn search<E: Curve>(
    key: &VerifyingKey<E>,
    claims: &[Weighted<E>],
    single: &[E::TargetField],
    first: usize,
    progress: Progress,
    refused: &mut Vec<usize>,
) -> Result<(), Error> {
    report(progress, "search", 0.8)?;
    let half = claims.len() / 2;
    if half == 0 {
        refused.push(first);
        return Ok(());
    }
    let (left, right) = claims.split_at(half);
    let (left_single, right_single) = single.split_at(half);
    let left_holds = holds(key, left, product::<E>(left_single.to_vec()));
    if !left_holds {
        search(key, left, left_single, first, progress, refused)?;
    }
    // The whole is false: when its left half holds, its right half cannot.
    if left_holds || !holds(key, right, product::<E>(right_single.to_vec())) {
        search(key, right, right_single, first + half, progress, refused)?;
    }
    Ok(())
}
