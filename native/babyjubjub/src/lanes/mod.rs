//! The same hashes and the same equation for eight readings at a time, on CPUs with AVX-512 IFMA.
//!
//! Verdicts and hashes are those of the path over single elements; tests hold the two together. Every entry point takes
//! an `Ifma`, which exists only on such a CPU; what is behind it enables the features and is safe code.

mod curve;
mod poseidon;
mod square_root;

use ark_ff::AdditiveGroup;
use w3bstream_field::{Ifma, LANES, Mask};

use crate::Fr;
use crate::curve::base_table;
use crate::reading::Claim;

type Lanes = w3bstream_field::Lanes<ark_bn254::FrConfig>;
type Wide = w3bstream_field::Wide<ark_bn254::FrConfig>;
type Constant = w3bstream_field::Constant<ark_bn254::FrConfig>;

/// P2 of up to eight pairs.
pub(crate) fn p2(_: Ifma, pairs: &[[Fr; 2]]) -> [Fr; LANES] {
    // SAFETY: the CPU has the features, as the `Ifma` says.
    unsafe { p2_of(pairs) }
}

/// For up to eight claims (one at least) the message, where the key signed it.
pub(crate) fn signed(_: Ifma, claims: &[&Claim]) -> [Option<Fr>; LANES] {
    // SAFETY: the CPU has the features, as the `Ifma` says.
    unsafe { signed_of(std::array::from_fn(|lane| claims[lane.min(claims.len() - 1)])) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn p2_of(pairs: &[[Fr; 2]]) -> [Fr; LANES] {
    let side = |at: usize| {
        Lanes::load(std::array::from_fn(|lane| pairs.get(lane).map_or(&Fr::ZERO, |pair| &pair[at])))
    };
    poseidon::p2([side(0), side(1)]).store()
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn signed_of(claims: [&Claim; LANES]) -> [Option<Fr>; LANES] {
    let messages = messages(claims);
    let good = verdicts(claims, messages);
    let values = messages.store();
    std::array::from_fn(|lane| (good >> lane & 1 == 1).then_some(values[lane]))
}

/// m of encodings.md §1.3 in each lane, below 2r. A lane whose payload has ended keeps its state.
#[target_feature(enable = "avx512f,avx512ifma")]
fn messages(claims: [&Claim; LANES]) -> Lanes {
    let lengths = claims.map(|claim| claim.length());
    let mut state = Lanes::load(lengths.each_ref());
    let longest = claims.iter().map(|claim| claim.chunks()).max().unwrap_or(0);
    for at in 0..longest {
        let chunks = claims.map(|claim| claim.chunk(at));
        let next = poseidon::p2([state, Lanes::load(chunks.each_ref())]);
        let mut more: Mask = 0;
        for (lane, claim) in claims.iter().enumerate() {
            more |= Mask::from(at < claim.chunks()) << lane;
        }
        state = Lanes::select(more, next, state);
    }
    let field = |at: usize| Lanes::load(claims.map(|claim| &claim.fields()[at]));
    poseidon::p5([field(0), field(1), field(2), field(3), state])
}

/// Where S*B8 = R8 + 8*h*A, and R8 is a point.
#[target_feature(enable = "avx512f,avx512ifma")]
fn verdicts(claims: [&Claim; LANES], messages: Lanes) -> Mask {
    let y = Lanes::load(claims.map(|claim| &claim.signature.y));
    let (x, good) = curve::decompress(y, claims.map(|claim| claim.signature.negative));
    let key = [
        Lanes::load(claims.map(|claim| &claim.key.point.x)),
        Lanes::load(claims.map(|claim| &claim.key.point.y)),
    ];
    let h = poseidon::p5([x, y, key[0], key[1], messages]).integers();
    let left = curve::Points::identity().accumulate(
        [base_table(); LANES],
        &claims.map(|claim| claim.signature.s),
        false,
    );
    good & left.accumulate(claims.map(|claim| &claim.key.table), &h, true).are(x, y)
}

#[cfg(test)]
mod tests;
