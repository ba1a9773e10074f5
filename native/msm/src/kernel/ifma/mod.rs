//! The kernel for CPUs with AVX-512 IFMA: eight additions side by side.
//!
//! | file | job |
//! |---|---|
//! | `coordinates` | eight coordinates, of G1 or G2 |
//! | `points` | packed points into vectors and back |
//! | `batch` | additions with one inversion |

mod batch;
mod coordinates;
mod points;

use std::marker::PhantomData;

use ark_ec::AffineRepr;
use ark_ff::{BigInt, BigInteger, Field, Fp, MontConfig, PrimeField};
use w3bstream_field::{Constant, Element, Ifma, LANES};

use super::tree::{Adder, Tree};
use super::{Entry, Kernel, Layout};
use crate::curve::{Coordinate, Curve, Point};
use batch::Batch;
use coordinates::Coordinates;
use points::{Points, Rows, store};

/// The kernel of group `G`, whose coordinates have `D` parts of `W` words or `L` limbs in the field `C`.
pub struct Lanewise<G, C, const W: usize, const L: usize, const D: usize> {
    proof: Ifma,
    /// β and its square.
    beta: [Constant<C, W, L>; 2],
    group: PhantomData<G>,
}

impl<G, C, const W: usize, const L: usize, const D: usize> From<Ifma> for Lanewise<G, C, W, L, D>
where
    G: Curve<Prime = Element<C, W>>,
    C: MontConfig<W>,
{
    fn from(proof: Ifma) -> Self {
        Self { proof, beta: [Constant::new(G::BETA), Constant::new(G::BETA.square())], group: PhantomData }
    }
}

impl<G, C, const W: usize, const L: usize, const D: usize> Adder for Lanewise<G, C, W, L, D>
where
    G: Curve<Prime = Element<C, W>>,
    C: MontConfig<W>,
{
    type Memory = Batch<C, W, L, D>;

    const POINT_WORDS: usize = 2 * D * W;

    fn add<const TURNED: bool>(
        &self,
        memory: &mut Self::Memory,
        points: &[u64],
        first: &[Entry],
        second: &[Entry],
        sums: &mut [u64],
    ) {
        let _: Ifma = self.proof;
        // SAFETY: the CPU has the features, as the `Ifma` says.
        unsafe { memory.add::<TURNED>(&self.beta, points, [first, second], sums) }
    }

    fn turn(&self, points: &[u64], entries: &[Entry], turned: &mut [u64]) {
        let _: Ifma = self.proof;
        // SAFETY: the CPU has the features, as the `Ifma` says.
        unsafe { turn::<C, W, L, D>(&self.beta, points, entries, turned) }
    }

    fn double(&self, memory: &mut Self::Memory, points: &mut [u64]) {
        let _: Ifma = self.proof;
        // SAFETY: the CPU has the features, as the `Ifma` says.
        unsafe { memory.double(&self.beta, points) }
    }
}

/// See `Adder::turn`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn turn<C: MontConfig<W>, const W: usize, const L: usize, const D: usize>(
    beta: &[Constant<C, W, L>; 2],
    points: &[u64],
    entries: &[Entry],
    turned: &mut [u64],
) {
    assert_eq!(turned.len(), entries.len() * 2 * D * W);
    let rows = Rows::new(points, entries, 2 * D * W);
    let (mut eight, zero) = (Points::<C, W, L, D>::infinity(), Coordinates::zero());
    for (at, turned) in turned.chunks_mut(LANES * 2 * D * W).enumerate() {
        rows.load::<_, _, _, _, true>(at, beta, &mut eight);
        let y = Coordinates::select(eight.infinite, zero, eight.y.lowered::<3>());
        store(&eight.x, &y, turned);
    }
}

impl<G, C, const W: usize, const L: usize, const D: usize> Kernel<G> for Lanewise<G, C, W, L, D>
where
    G: Curve<Prime = Element<C, W>>,
    C: MontConfig<W>,
{
    type Scratch = Tree<Batch<C, W, L, D>>;

    fn layout(&self) -> Layout {
        Layout::Radix52
    }

    fn pack(&self, points: &[Point<G>], packed: &mut [u64]) {
        assert_eq!(packed.len(), points.len() * G::POINT_WORDS, "room for the points");
        // ark-ff's form is for 2^(64 W), ours for 2^(52 L).
        let up = Element::<C, W>::from(2u64).pow([(52 * L - 64 * W) as u64]);
        for (point, packed) in points.iter().zip(packed.chunks_exact_mut(G::POINT_WORDS)) {
            packed.fill(0);
            if let Some((x, y)) = point.xy() {
                let parts = x.to_base_prime_field_elements().chain(y.to_base_prime_field_elements());
                for (part, words) in parts.zip(packed.chunks_exact_mut(W)) {
                    words.copy_from_slice(&(part * up).0.0);
                }
            }
        }
    }

    fn unpack(&self, packed: &[u64]) -> Vec<Point<G>> {
        assert!(packed.len().is_multiple_of(G::POINT_WORDS), "whole points");
        let up = Element::<C, W>::from(2u64).pow([(52 * L - 64 * W) as u64]);
        let down = up.inverse().expect("two is not 0");
        let part = |words: &[u64]| below_modulus::<C, W>(words) * down;
        let coordinate = |words: &[u64]| {
            Coordinate::<G>::from_base_prime_field_elems(words.chunks_exact(W).map(part)).expect("D parts")
        };
        let point = |words: &[u64]| {
            if words.iter().all(|word| *word == 0) {
                return Point::<G>::identity();
            }
            let (x, y) = words.split_at(D * W);
            Point::<G>::new_unchecked(coordinate(x), coordinate(y))
        };
        packed.chunks_exact(G::POINT_WORDS).map(point).collect()
    }

    fn sum_groups(
        &self,
        scratch: &mut Self::Scratch,
        points: &[u64],
        entries: &[Entry],
        counts: &[u32],
        sums: &mut [u64],
    ) {
        scratch.sum_groups(self, points, entries, counts, sums);
    }

    fn double_all(&self, scratch: &mut Self::Scratch, points: &mut [u64], times: u32) {
        scratch.double_all(self, points, times);
    }
}

/// Words that may be a few times the modulus too high.
fn below_modulus<C: MontConfig<W>, const W: usize>(words: &[u64]) -> Element<C, W> {
    let mut value = BigInt::<W>::default();
    value.0.copy_from_slice(words);
    while value >= Element::<C, W>::MODULUS {
        value.sub_with_borrow(&Element::<C, W>::MODULUS);
    }
    Fp(value, PhantomData)
}
