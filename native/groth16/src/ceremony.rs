//! Phase 2 (Bowe, Gabizon, Miers, eprint 2017/1050, §7): each contributor multiplies δ by a secret x, divides L and H
//! by it, and forgets it. The key is sound if one of them did forget.

use std::time::{SystemTime, UNIX_EPOCH};

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::Field;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::malformed;
use crate::key::{KeyBody, ProvingKey};
use crate::msm::Msm;
use crate::scale::scale_all;
use crate::transcript::{Contribution, Knowledge, chain_hash, hash_to_g2, same_ratio, verify_log};
use crate::{CHUNK, Count, Error, Progress, random};

/// Longest contributor name, in bytes.
const NAME_LIMIT: usize = 200;

fn scale(points: &mut [G1Affine], by: &Fr, count: &mut Count) -> Result<(), Error> {
    for chunk in points.chunks_mut(CHUNK) {
        scale_all(chunk, by);
        count.add(chunk.len())?;
    }
    Ok(())
}

/// Adds a contribution to `key` with a secret from the operating system. `name` is 1 to 200 bytes.
///
/// Errors: a key whose log does not hold ([`Error::Chain`]), a bad name, [`Error::Random`], [`Error::Cancelled`].
pub fn contribute(key: &ProvingKey, name: &str, progress: Progress) -> Result<ProvingKey, Error> {
    if name.is_empty() || name.len() > NAME_LIMIT {
        return Err(malformed(
            "contributor name",
            format!("{} bytes, 1 to {NAME_LIMIT} allowed", name.len()),
        ));
    }
    verify_log(key)?;
    let x = random::scalar::<Fr>()?;
    let inverse = Zeroizing::new(x.inverse().expect("drawn non-zero"));
    let mut body = key.body.clone();
    let mut count = Count::new(progress, "contribution", body.points.l.len() + body.points.h.len());
    scale(&mut body.points.l, &inverse, &mut count)?;
    scale(&mut body.points.h, &inverse, &mut count)?;
    body.points.delta_g1 = (body.points.delta_g1 * *x).into_affine();
    body.points.delta_g2 = (body.points.delta_g2 * *x).into_affine();
    let mut next = ProvingKey::new(body, key.label.clone(), key.log.clone());
    let entry = entry(key, &next, name, &x)?;
    next.log.push(entry);
    Ok(next)
}

fn entry(before: &ProvingKey, after: &ProvingKey, name: &str, x: &Fr) -> Result<Contribution, Error> {
    let clock =
        SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| Error::Resources(error.to_string()))?;
    let s = (G1Affine::generator() * *random::scalar::<Fr>()?).into_affine();
    let mut entry = Contribution {
        index: before.log.len() as u32,
        name: name.to_owned(),
        time: clock.as_secs(),
        key_before: before.hash,
        key_after: after.hash,
        proof: Knowledge {
            delta_g1: after.body.points.delta_g1,
            delta_g2: after.body.points.delta_g2,
            s,
            s_x: (s * x).into_affine(),
            r_x: G2Affine::generator(),
        },
    };
    let initial = before.log.first().map_or(before.hash, |first| first.key_before);
    let chain = chain_hash(&before.body.system.sha256, &initial, &before.log);
    entry.proof.r_x = (hash_to_g2(&entry.challenge(&chain)) * x).into_affine();
    Ok(entry)
}

/// Audits `key` against the initial key it came from: the log, everything that phase 2 must not change, and that L and H
/// were divided by exactly what δ was multiplied with.
///
/// Errors: [`Error::Chain`] with the reason, [`Error::NoContribution`].
pub fn verify_contributions(initial: &ProvingKey, key: &ProvingKey) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Chain { index: key.log.len().saturating_sub(1), reason });
    key.require_contribution()?;
    if !initial.log.is_empty() || initial.body.points.delta_g2 != G2Affine::generator() {
        return refuse("the key to compare with already has contributions");
    }
    if key.log[0].key_before != initial.hash || initial.body.hash() != initial.hash {
        return refuse("the log does not start from the initial key");
    }
    if key.body.hash() != key.hash {
        return refuse("the log does not end at this key");
    }
    verify_log(key)?;
    if !same_phase_one(&initial.body, &key.body) {
        return refuse("phase 2 changed a part that it must leave alone");
    }
    if key.body.points.b_g2.par_iter().any(|point| !point.is_in_correct_subgroup_assuming_on_curve()) {
        return refuse("a B point lies outside the prime-order subgroup");
    }
    let weights = random::weights(key.body.points.b_g1.len())?;
    let b_g1 = G1Projective::checked_sum(&key.body.points.b_g1, &weights).into_affine();
    let b_g2 = G2Projective::checked_sum(&key.body.points.b_g2, &weights).into_affine();
    if !same_ratio(&G1Affine::generator(), &b_g1, &G2Affine::generator(), &b_g2) {
        return refuse("the B queries of G1 and G2 differ");
    }
    for (before, after) in
        [(&initial.body.points.l, &key.body.points.l), (&initial.body.points.h, &key.body.points.h)]
    {
        let weights = random::weights(before.len())?;
        let before = G1Projective::checked_sum(before, &weights).into_affine();
        let after = G1Projective::checked_sum(after, &weights).into_affine();
        if !same_ratio(&after, &before, &G2Affine::generator(), &key.body.points.delta_g2) {
            return refuse("the L or H query was not divided by what delta was multiplied with");
        }
    }
    Ok(())
}

fn same_phase_one(initial: &KeyBody, key: &KeyBody) -> bool {
    let same_system = initial.system == key.system;
    let (initial, key) = (&initial.points, &key.points);
    same_system
        && (initial.alpha_g1, initial.beta_g1, initial.beta_g2) == (key.alpha_g1, key.beta_g1, key.beta_g2)
        && (&initial.ic, &initial.a_wires, &initial.a) == (&key.ic, &key.a_wires, &key.a)
        && (&initial.b_wires, &initial.b_g1, &initial.b_g2) == (&key.b_wires, &key.b_g1, &key.b_g2)
        && (initial.l.len(), initial.h.len()) == (key.l.len(), key.h.len())
}
