//! Sums of groups, in all kernels and all four groups, against arkworks' complete addition: random, equal and opposite
//! points, infinity, every sign and power of the endomorphism, empty groups, giant ones, and borders of vectors, batches
//! and chunks.

use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{AdditiveGroup, Field, Zero};
use proptest::prelude::*;
use w3bstream_msm::curve::{Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, Point, Scalar, Sum};
use w3bstream_msm::kernel::{
    Entry, Instructions, Kernel, Layout, NEGATIVE, POWER_SHIFT, Scratch, Selected, select,
};

/// Numbers that reach every bit, from a multiplicative generator of 64-bit words (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end
    }
}

/// Consecutive multiples of the generator from `first` on, with infinity in place of every `without`th.
fn multiples<C: Curve>(first: u64, count: usize, without: usize) -> Vec<Point<C>> {
    let step = Sum::<C>::generator();
    let sums: Vec<Sum<C>> =
        std::iter::successors(Some(step * Scalar::<C>::from(first)), |last| Some(*last + step))
            .take(count)
            .collect();
    let mut points = Sum::<C>::normalize_batch(&sums);
    points.iter_mut().step_by(without).skip(1).for_each(|point| *point = Point::<C>::identity());
    points
}

/// The entry's point, by arkworks.
fn turned<C: Curve>(points: &[Point<C>], entry: Entry) -> Point<C> {
    let mut point = points[(entry & ((1 << POWER_SHIFT) - 1)) as usize];
    for _ in 0..entry >> POWER_SHIFT & 3 {
        point.x = point.x.mul_by_base_prime_field(&C::BETA);
    }
    if entry & NEGATIVE != 0 { -point } else { point }
}

struct Tried<C: Curve> {
    kernel: Selected<C>,
    points: Vec<Point<C>>,
    packed: Vec<u64>,
    scratch: Scratch<C>,
}

impl<C: Curve> Tried<C> {
    fn new(instructions: Instructions, points: &[Point<C>]) -> Self {
        let kernel = select::<C>(instructions);
        let mut packed = vec![0; points.len() * C::POINT_WORDS];
        kernel.pack(points, &mut packed);
        assert_eq!(kernel.unpack(&packed), points);
        Self { kernel, points: points.to_vec(), packed, scratch: Scratch::default() }
    }

    fn sums(&mut self, entries: &[Entry], counts: &[u32]) -> Vec<Point<C>> {
        // What was there before must not matter.
        let mut sums = vec![u64::MAX; counts.len() * C::POINT_WORDS];
        self.kernel.sum_groups(&mut self.scratch, &self.packed, entries, counts, &mut sums);
        self.kernel.unpack(&sums)
    }

    fn check(&mut self, entries: &[Entry], counts: &[u32]) {
        let mut rest = entries;
        let expected: Vec<Sum<C>> = counts
            .iter()
            .map(|count| {
                let (own, after) = rest.split_at(*count as usize);
                rest = after;
                own.iter().map(|entry| Sum::<C>::from(turned::<C>(&self.points, *entry))).sum()
            })
            .collect();
        let (found, expected) = (self.sums(entries, counts), Sum::<C>::normalize_batch(&expected));
        for (group, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "group {group} of {} entries, {}", counts[group], C::NAME);
        }
    }
}

/// The kernels that this machine can run.
fn kernels() -> impl Iterator<Item = Instructions> {
    [Instructions::Baseline, Instructions::Portable, Instructions::Detect].into_iter()
}

fn random_groups<C: Curve>(instructions: Instructions) {
    let mut tried = Tried::<C>::new(instructions, &multiples::<C>(3, 300, 17));
    let mut numbers = Numbers(5);
    for most in [1, 2, 3, 9, 40] {
        let counts: Vec<u32> = (0..150).map(|_| numbers.below(most + 1) as u32).collect();
        let total: u32 = counts.iter().sum();
        let mut entry = || {
            let turn =
                (numbers.below(3) << POWER_SHIFT) as Entry | if numbers.below(2) == 1 { NEGATIVE } else { 0 };
            numbers.below(300) as Entry | turn
        };
        let entries: Vec<Entry> = (0..total).map(|_| entry()).collect();
        tried.check(&entries, &counts);
        let plain: Vec<Entry> = entries.iter().map(|entry| entry & ((1 << POWER_SHIFT) - 1)).collect();
        tried.check(&plain, &counts);
    }
    tried.check(&[], &[]);
    tried.check(&[], &[0, 0, 0]);
}

fn special_pairs<C: Curve>(instructions: Instructions) {
    // P, -P as an entry, 2P, infinity, the negative of P as a point, φ(P) as a point.
    let point = multiples::<C>(7, 1, usize::MAX)[0];
    let twice = (point + point).into_affine();
    let mut turned_point = point;
    turned_point.x = turned_point.x.mul_by_base_prime_field(&C::BETA);
    let points = [point, twice, Point::<C>::identity(), -point, turned_point];
    let mut tried = Tried::<C>::new(instructions, &points);
    let all: Vec<Entry> = (0..points.len() as Entry)
        .flat_map(|at| {
            (0..3).flat_map(move |power| [0, NEGATIVE].map(|sign| at | power << POWER_SHIFT | sign))
        })
        .collect();
    let pairs: Vec<Entry> = all.iter().flat_map(|a| all.iter().flat_map(|b| [*a, *b])).collect();
    tried.check(&pairs, &vec![2; pairs.len() / 2]);
    tried.check(&all, &vec![1; all.len()]);
    let triples: Vec<Entry> = pairs.chunks_exact(2).flat_map(|pair| [pair[0], pair[1], pair[0]]).collect();
    tried.check(&triples, &vec![3; triples.len() / 3]);
    for same in [0, 2, NEGATIVE | 4] {
        for count in [2, 3, 4, 7, 8, 9, 15, 16, 17, 63, 64, 65] {
            tried.check(&vec![same; count], &[count as u32]);
        }
    }
    // Every second one the opposite: infinity after the first round, or the second.
    let opposite: Vec<Entry> = (0..64).map(|at| if at % 2 == 0 { 0 } else { NEGATIVE }).collect();
    tried.check(&opposite, &[64]);
    tried.check(&opposite, &[16, 16, 0, 1, 31]);
    let later: Vec<Entry> = (0..64).map(|at| if at % 4 < 2 { 0 } else { 3 }).collect();
    tried.check(&later, &[64]);
}

fn giant_groups<C: Curve>(instructions: Instructions) {
    let points = multiples::<C>(1, 97, 13);
    let mut tried = Tried::<C>::new(instructions, &points);
    let total: Sum<C> = points.iter().sum();
    // Around a chunk of 16384, and many times that: k turns over all points and a part of one.
    for count in [16383usize, 16384, 16385, 32768, 70001] {
        let entries: Vec<Entry> = (0..count).map(|at| (at % points.len()) as Entry).collect();
        let rest: Sum<C> = points[..count % points.len()].iter().sum();
        let expected = total * Scalar::<C>::from((count / points.len()) as u64) + rest;
        assert_eq!(tried.sums(&entries, &[count as u32]), [expected.into_affine()], "{count}");
    }
    // A giant between small ones, and chunks that end inside the list.
    let counts = [3u32, 0, 20_000, 1, 2, 16_000, 300, 200, 0];
    let entries: Vec<Entry> = (0..counts.iter().sum()).map(|at: u32| (at * 31) % 97).collect();
    tried.check(&entries, &counts);
}

fn doubles<C: Curve>(instructions: Instructions) {
    for (count, times) in [(0, 3), (1, 1), (7, 4), (8, 2), (1025, 3), (2100, 2)] {
        let points = multiples::<C>(2, count, 11);
        let mut tried = Tried::<C>::new(instructions, &points);
        tried.kernel.double_all(&mut tried.scratch, &mut tried.packed, times);
        let expected: Vec<Sum<C>> = points
            .iter()
            .map(|point| (0..times).fold(Sum::<C>::from(*point), |sum, _| sum.double()))
            .collect();
        assert_eq!(tried.kernel.unpack(&tried.packed), Sum::<C>::normalize_batch(&expected));
    }
}

/// Sums that go through many rounds agree to the last bit once unpacked.
fn kernels_agree<C: Curve>() {
    let points = multiples::<C>(1 << 40, 4000, 50);
    let mut numbers = Numbers(99);
    let counts: Vec<u32> = (0..2000).map(|_| numbers.below(24) as u32).collect();
    let total: u32 = counts.iter().sum();
    let entries: Vec<Entry> = (0..total)
        .map(|_| {
            numbers.below(4000) as Entry
                | (numbers.below(3) << POWER_SHIFT) as Entry
                | (numbers.below(2) as Entry * NEGATIVE)
        })
        .collect();
    let of = |instructions| Tried::<C>::new(instructions, &points).sums(&entries, &counts);
    let expected = of(Instructions::Baseline);
    assert_eq!(of(Instructions::Portable), expected);
    assert_eq!(of(Instructions::Detect), expected);
}

fn endomorphism_is_a_cube_root<C: Curve>() {
    assert!((C::BETA.square() + C::BETA + C::Prime::ONE).is_zero());
    let point = Point::<C>::generator();
    let [once, twice] = [1 << POWER_SHIFT, 2 << POWER_SHIFT].map(|power| turned::<C>(&[point], power));
    assert!(once.is_on_curve() && (point + once + twice).is_zero());
}

macro_rules! in_every_group {
    ($($function:ident)*) => {$(
        mod $function {
            use super::*;

            in_every_group!(@ $function: bn254_g1 Bn254G1, bn254_g2 Bn254G2, bls12_381_g1 Bls12381G1, bls12_381_g2 Bls12381G2);
        }
    )*};
    (@ $function:ident: $($name:ident $group:ident),*) => {$(
        #[test]
        fn $name() {
            kernels().for_each(super::$function::<$group>);
        }
    )*};
}

in_every_group!(random_groups special_pairs giant_groups doubles);

#[test]
fn all_kernels_give_the_same_bits() {
    kernels_agree::<Bn254G1>();
    kernels_agree::<Bn254G2>();
    kernels_agree::<Bls12381G1>();
    kernels_agree::<Bls12381G2>();
}

#[test]
fn the_endomorphism_has_order_three() {
    endomorphism_is_a_cube_root::<Bn254G1>();
    endomorphism_is_a_cube_root::<Bn254G2>();
    endomorphism_is_a_cube_root::<Bls12381G1>();
    endomorphism_is_a_cube_root::<Bls12381G2>();
}

#[test]
fn words_are_in_arkworks_form() {
    for instructions in [Instructions::Baseline, Instructions::Portable] {
        assert_eq!(select::<Bn254G1>(instructions).layout(), Layout::Words);
    }
    let ifma = w3bstream_field::Ifma::detect().is_some();
    let expected = if ifma { Layout::Radix52 } else { Layout::Words };
    assert_eq!(select::<Bn254G1>(Instructions::Detect).layout(), expected);
}

#[test]
fn an_index_outside_is_refused() {
    for instructions in kernels() {
        let lanewise = instructions == Instructions::Detect && w3bstream_field::Ifma::detect().is_some();
        let expected = if lanewise { "index 4 lies in the points" } else { "range end index" };
        let mut tried = Tried::<Bn254G1>::new(instructions, &multiples::<Bn254G1>(1, 4, 9));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tried.sums(&[0, 4], &[2])));
        let said = refused.expect_err("refused");
        let said = said.downcast_ref::<String>().expect("a message");
        assert!(said.contains(expected), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_groups_of_any_entries(
        entries in prop::collection::vec((0u32..12, 0u32..3, any::<bool>()), 0..200),
        cuts in prop::collection::vec(0usize..200, 0..30),
    ) {
        let entries: Vec<Entry> = entries
            .iter()
            .map(|(at, power, minus)| at | (power << POWER_SHIFT) | (u32::from(*minus) * NEGATIVE))
            .collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(entries.len())).collect();
        cuts.extend([0, entries.len()]);
        cuts.sort_unstable();
        let counts: Vec<u32> = cuts.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect();
        for instructions in kernels() {
            Tried::<Bn254G1>::new(instructions, &multiples::<Bn254G1>(1, 12, 5)).check(&entries, &counts);
            Tried::<Bls12381G2>::new(instructions, &multiples::<Bls12381G2>(1, 12, 5)).check(&entries, &counts);
        }
    }
}
