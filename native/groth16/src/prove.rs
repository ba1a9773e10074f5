//! The prover (Groth16 §3.2): from the full witness to (A, B, C), blinded by r and s from the operating system.

use std::time::Instant;

use ark_bn254::{Fr, G1Projective, G2Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::One;
use zeroize::Zeroizing;

use crate::encoding::{WORD, read_scalar_le};
use crate::error::malformed;
use crate::key::ProvingKey;
use crate::msm::msm;
use crate::qap::{Domain, rows};
use crate::verify::Proof;
use crate::{Error, Progress, random, report};

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
}

/// The witness from circom's order: one 32-byte little-endian word a wire, each below r, the first one 1.
pub fn witness_from_bytes(key: &ProvingKey, bytes: &[u8]) -> Result<Zeroizing<Vec<Fr>>, Error> {
    let wires = key.body.system.wires;
    if bytes.len() != wires * WORD {
        return Err(malformed(
            "witness",
            format!("{} bytes instead of {} for {wires} wires", bytes.len(), wires * WORD),
        ));
    }
    let (words, _) = bytes.as_chunks::<WORD>();
    let witness = words.iter().map(|word| read_scalar_le("witness", word)).collect::<Result<Vec<_>, _>>()?;
    if !witness[0].is_one() {
        return Err(malformed("witness", "its first wire is not 1"));
    }
    Ok(Zeroizing::new(witness))
}

fn pick(witness: &[Fr], wires: &[u32]) -> Zeroizing<Vec<Fr>> {
    Zeroizing::new(wires.iter().map(|&wire| witness[wire as usize]).collect())
}

/// Proves that `witness` (every wire, the constant one first) satisfies the key's constraints.
///
/// Runs on the current thread pool ([`crate::on_threads`]). Errors: [`Error::NoContribution`], a witness of another
/// length, [`Error::Unsatisfied`] with the first broken constraint, [`Error::Random`], [`Error::Cancelled`].
pub fn prove(key: &ProvingKey, witness: &[Fr], progress: Progress) -> Result<(Proof, Timings), Error> {
    key.require_contribution()?;
    let body = &key.body;
    if witness.len() != body.system.wires || !witness[0].is_one() {
        return Err(malformed(
            "witness",
            format!("{} wires instead of {}", witness.len(), body.system.wires),
        ));
    }
    let mut stages = Stages { progress, timings: Vec::new(), started: Instant::now() };
    let domain = Domain::of(&body.system)?;
    let rows = rows(&body.system, &domain, witness)?;
    stages.done("constraints", 0.03)?;
    let quotient = domain.quotient_values(rows);
    stages.done("quotient", 0.1)?;
    let h: G1Projective = msm(&body.h, &quotient);
    stages.done("h", 0.3)?;
    let l: G1Projective = msm(&body.l, &witness[body.system.public + 1..]);
    stages.done("l", 0.45)?;
    let (r, s) = (random::scalar()?, random::scalar()?);
    let a: G1Projective =
        msm::<G1Projective>(&body.a, &pick(witness, &body.a_wires)) + body.alpha_g1 + body.delta_g1 * *r;
    stages.done("a", 0.6)?;
    let b_witness = pick(witness, &body.b_wires);
    let b_g1: G1Projective = msm::<G1Projective>(&body.b_g1, &b_witness) + body.beta_g1 + body.delta_g1 * *s;
    stages.done("b1", 0.7)?;
    let b_g2: G2Projective = msm::<G2Projective>(&body.b_g2, &b_witness) + body.beta_g2 + body.delta_g2 * *s;
    let c = l + h + a * *s + b_g1 * *r - body.delta_g1.into_group() * (*r * *s);
    stages.done("b2", 1.0)?;
    Ok((Proof { a: a.into_affine(), b: b_g2.into_affine(), c: c.into_affine() }, stages.timings))
}
