//! The prover (Groth16 §3.2): from the full witness to (A, B, C), blinded by r and s from the operating system.

use std::time::Instant;

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::One;
use zeroize::Zeroizing;

use crate::curve::{Curve, Scalar};
use crate::encoding::{WORD, read_scalars_le};
use crate::error::malformed;
use crate::key::{Key, Points, ScalarOf};
use crate::msm::Msm;
use crate::tables::Tables;
use crate::verify::{Proof, verify};
use crate::{Error, Progress, random, report, wtns};

/// Seconds by stage, in order.
pub type Timings = Vec<(&'static str, f64)>;

struct Stages<'a> {
    progress: Progress<'a>,
    timings: Timings,
    started: Instant,
}

impl Stages<'_> {
    /// The stages are a fraction of the work each, measured at 110,000 constraints.
    fn done(&mut self, stage: &'static str, fraction: f64) -> Result<(), Error> {
        self.timings.push((stage, self.started.elapsed().as_secs_f64()));
        self.started = Instant::now();
        report(self.progress, stage, fraction)
    }

    /// Σ scalars[i]·bases[i], by the accelerator where the bases have a table, as the work between two fractions.
    fn sum<G: Msm>(
        &mut self,
        stage: &'static str,
        (from, to): (f64, f64),
        (bases, table): (&[G::Affine], Option<&G::Table>),
        scalars: &[G::ScalarField],
    ) -> Result<G, Error> {
        let progress = self.progress;
        let heard = |done: f64| progress(stage, from + done * (to - from));
        let sum = match table {
            Some(table) => G::fast_sum_over(table, scalars, &heard)?,
            None => G::checked_sum(bases, scalars),
        };
        self.done(stage, to)?;
        Ok(sum)
    }
}

/// The witness from circom's order: one 32-byte little-endian word a wire, each below r, the first one 1.
pub fn witness_from_bytes<K: Key>(key: &K, bytes: &[u8]) -> Result<Zeroizing<Vec<ScalarOf<K>>>, Error> {
    let wires = key.wires();
    if bytes.len() != wires * WORD {
        return Err(malformed(
            "witness",
            format!("{} bytes instead of {} for {wires} wires", bytes.len(), wires * WORD),
        ));
    }
    let witness = read_scalars_le("witness", bytes)?;
    require_witness(key, &witness)?;
    Ok(witness)
}

/// The witness from a `.wtns` file. Errors as [`wtns::read`], or when it is not for the key's wires.
pub fn witness_from_wtns<K: Key>(key: &K, bytes: &[u8]) -> Result<Zeroizing<Vec<ScalarOf<K>>>, Error> {
    let witness = wtns::read(bytes)?;
    require_witness(key, &witness)?;
    Ok(witness)
}

fn require_witness<K: Key>(key: &K, witness: &[ScalarOf<K>]) -> Result<(), Error> {
    if witness.len() != key.wires() {
        return Err(malformed("witness", format!("{} wires instead of {}", witness.len(), key.wires())));
    }
    if !witness.first().is_some_and(One::is_one) {
        return Err(malformed("witness", "its first wire is not 1"));
    }
    Ok(())
}

fn pick<F: Scalar>(witness: &[F], wires: &[u32]) -> Zeroizing<Vec<F>> {
    Zeroizing::new(wires.iter().map(|&wire| witness[wire as usize]).collect())
}

/// Proves that `witness` (every wire, the constant one first) satisfies the key's constraints.
///
/// Runs on the current thread pool ([`crate::on_threads`]). Errors: [`Error::NoContribution`], a witness of another
/// length, [`Error::Unsatisfied`] with the first broken constraint, [`Error::ProofFails`] from a key that cannot name
/// it, [`Error::Random`], [`Error::Resources`], [`Error::Cancelled`].
pub fn prove<K: Key>(
    key: &K,
    witness: &[ScalarOf<K>],
    progress: Progress,
) -> Result<(Proof<K::Curve>, Timings), Error> {
    prove_over(key, None, witness, progress)
}

/// [`prove`] with the stored multiples of this key's points.
pub fn prove_over<K: Key>(
    key: &K,
    tables: Option<&Tables<K::Curve>>,
    witness: &[ScalarOf<K>],
    progress: Progress,
) -> Result<(Proof<K::Curve>, Timings), Error> {
    key.require_contribution()?;
    require_witness(key, witness)?;
    let mut stages = Stages { progress, timings: Vec::new(), started: Instant::now() };
    let domain = key.domain()?;
    let rows = key.rows(&domain, witness)?;
    stages.done("constraints", 0.03)?;
    let quotient = domain.quotient_values(rows);
    stages.done("quotient", 0.1)?;
    let proof = blinded(key.points(), tables, witness, &quotient, &mut stages)?;
    if key.check_proofs() && !verify(&key.verifying_key(), &witness[1..=key.public()], &proof)? {
        return Err(Error::ProofFails);
    }
    Ok((proof, stages.timings))
}

/// The five multi-scalar multiplications, blinded.
fn blinded<E: Curve>(
    points: &Points<E>,
    tables: Option<&Tables<E>>,
    witness: &[E::ScalarField],
    quotient: &[E::ScalarField],
    stages: &mut Stages,
) -> Result<Proof<E>, Error> {
    let h: E::G1 = stages.sum("h", (0.1, 0.3), (&points.h, tables.map(|of| &of.h)), quotient)?;
    let private = &witness[points.ic.len()..];
    let l: E::G1 = stages.sum("l", (0.3, 0.45), (&points.l, tables.map(|of| &of.l)), private)?;
    let r = random::scalar::<E::ScalarField>()?;
    let s = random::scalar::<E::ScalarField>()?;
    let a_witness = pick(witness, &points.a_wires);
    let a: E::G1 = stages.sum("a", (0.45, 0.6), (&points.a, tables.map(|of| &of.a)), &a_witness)?;
    let a = a + points.alpha_g1 + points.delta_g1 * *r;
    let b_witness = pick(witness, &points.b_wires);
    let b_g1: E::G1 = stages.sum("b1", (0.6, 0.7), (&points.b_g1, tables.map(|of| &of.b_g1)), &b_witness)?;
    let b_g1 = b_g1 + points.beta_g1 + points.delta_g1 * *s;
    let b_g2: E::G2 = stages.sum("b2", (0.7, 1.0), (&points.b_g2, tables.map(|of| &of.b_g2)), &b_witness)?;
    let b_g2 = b_g2 + points.beta_g2 + points.delta_g2 * *s;
    let c = l + h + a * *s + b_g1 * *r - points.delta_g1.into_group() * (*r * *s);
    Ok(Proof { a: a.into_affine(), b: b_g2.into_affine(), c: c.into_affine() })
}
