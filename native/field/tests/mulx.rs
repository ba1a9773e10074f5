//! Every operation on words of one element against ark-ff's, at the edges of the field and at random, on both fields of
//! BN254 and of BLS12-381.
#![cfg(target_arch = "x86_64")]

mod samples;

use ark_ff::{AdditiveGroup, Field, MontConfig};
use samples::{Numbers, edges};
use w3bstream_field::{Element, Mulx};

/// Random pairs a field: more than a million products in a release build.
const RANDOM: usize = if cfg!(debug_assertions) { 1 << 13 } else { 1 << 18 };

/// Ends of words of 64 bits.
const ENDS: [u64; 10] = [1, 63, 64, 127, 128, 192, 252, 256, 320, 379];

/// A pair's product for i² = -1.
fn product<F: Field>(a: [F; 2], b: [F; 2]) -> [F; 2] {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn agree<C: MontConfig<W>, const W: usize>(proof: Mulx, a: [Element<C, W>; 2], b: [Element<C, W>; 2]) {
    let words = |element: Element<C, W>| element.0.0;
    let modulus = C::MODULUS.0;
    // What was there before must not matter.
    let mut out = [u64::MAX; W];
    let [x, y] = [words(a[0]), words(b[0])];
    proof.multiply::<C, W>(&mut out, &x, &y);
    assert_eq!(out, words(a[0] * b[0]));
    proof.multiply::<C, W>(&mut out, &x, &x);
    assert_eq!(out, words(a[0].square()));
    proof.multiply::<C, W>(&mut out, &x, &modulus);
    assert_eq!(out, [0; W]);
    proof.subtract::<C, W>(&mut out, &x, &y);
    assert_eq!(out, words(a[0] - b[0]));
    proof.subtract::<C, W>(&mut out, &x, &modulus);
    assert_eq!(out, x);
    proof.add::<C, W>(&mut out, &x, &y);
    assert_eq!(out, words(a[0] + b[0]));
    proof.negate_if::<C, W>(&mut out, &x, true);
    assert_eq!(out, if a[0] == Element::ZERO { modulus } else { words(-a[0]) });
    proof.negate_if::<C, W>(&mut out, &x, false);
    assert_eq!(out, x);
    let mut pair = [[u64::MAX; W]; 2];
    proof.multiply_pairs::<C, W>(&mut pair, &a.map(words), &b.map(words));
    assert_eq!(pair, product(a, b).map(words));
    proof.square_pair::<C, W>(&mut pair, &a.map(words));
    assert_eq!(pair, product(a, a).map(words));
    // The modulus in place of zero.
    let [mut full, mut negated] = [a.map(words), b.map(words)];
    (full[0], negated[1]) = (modulus, modulus);
    proof.multiply_pairs::<C, W>(&mut pair, &full, &negated);
    assert_eq!(pair, product([Element::ZERO, a[1]], [b[0], Element::ZERO]).map(words));
    proof.multiply_pairs::<C, W>(&mut pair, &[modulus; 2], &[modulus; 2]);
    assert_eq!(pair, [[0; W]; 2]);
}

fn agrees<C: MontConfig<W>, const W: usize>() {
    let Some(proof) = Mulx::detect() else {
        return;
    };
    let edges = edges::<C, W>(&ENDS);
    for (at, a) in edges.iter().enumerate() {
        for (to, b) in edges.iter().enumerate() {
            let [c, d] = [edges[(at + to) % edges.len()], edges[(3 * at + 7 * to) % edges.len()]];
            agree(proof, [*a, c], [*b, d]);
            agree(proof, [c, *a], [d, *b]);
        }
    }
    let mut numbers = Numbers(17);
    for _ in 0..RANDOM {
        let [a, b, c, d] = std::array::from_fn(|_| numbers.element::<Element<C, W>>());
        agree(proof, [a, b], [c, d]);
    }
}

#[test]
fn words_agree_with_arkworks_in_the_base_field_of_bn254() {
    agrees::<ark_bn254::FqConfig, 4>();
}

#[test]
fn words_agree_with_arkworks_in_the_scalars_of_bn254() {
    agrees::<ark_bn254::FrConfig, 4>();
}

#[test]
fn words_agree_with_arkworks_in_the_base_field_of_bls12_381() {
    agrees::<ark_bls12_381::FqConfig, 6>();
}
