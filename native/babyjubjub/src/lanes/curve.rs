//! Points of eight lanes on the mapped curve; see `crate::curve` for the curve, the formulas and the tables.
//!
//! Bounds, with r the modulus: a point's coordinates are below 2r, those of a table's entry below 16r.

use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField};
use w3bstream_field::LANES;

use super::{Constant, Lanes, Mask, square_root};
use crate::Fr;
use crate::curve::{A, D, Prepared, Table, root_of_a};

/// (X : Y : Z : T) of `crate::curve::Extended` in each lane.
#[derive(Clone, Copy)]
pub(super) struct Points {
    x: Lanes,
    y: Lanes,
    z: Lanes,
    t: Lanes,
}

impl Points {
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn identity() -> Self {
        let (zero, one) = (Lanes::zero(), Lanes::splat(&Constant::new(Fr::ONE)));
        Self { x: zero, y: one, z: one, t: zero }
    }

    /// Each lane's point plus its entry, or minus it where the mask has a bit.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add(&self, entries: [&Prepared; LANES], negative: Mask) -> Self {
        let (x, dt) =
            (Lanes::load(entries.map(|entry| &entry.x)), Lanes::load(entries.map(|entry| &entry.dt)));
        let y = Lanes::load(entries.map(|entry| &entry.y));
        let x = Lanes::select(negative, Lanes::zero().minus::<16>(x), x);
        let dt = Lanes::select(negative, Lanes::zero().minus::<16>(dt), dt);
        let (a, b, c) = (self.x.times(x), self.y.times(y), self.t.times(dt));
        let e = self.x.plus(self.y).times(x.plus(y)).minus::<2>(a).minus::<2>(b);
        let (f, g, h) = (self.z.minus::<2>(c), self.z.plus(c), b.minus::<2>(a));
        Self { x: e.times(f), y: g.times(h), z: f.times(g), t: e.times(h) }
    }

    /// Each lane's point plus, or minus, its scalar (below 2^255) times its table's point.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn accumulate<const BITS: usize>(
        mut self,
        tables: [&Table<BITS>; LANES],
        scalars: &[BigInt<4>; LANES],
        negative: bool,
    ) -> Self {
        let mut carries = [0; LANES];
        for row in 0..Table::<BITS>::ROWS {
            let (mut entries, mut minuses) = ([&Prepared::IDENTITY; LANES], 0);
            for (lane, carry) in carries.iter_mut().enumerate() {
                if let Some((entry, minus)) = tables[lane].pick(&scalars[lane], row, carry) {
                    entries[lane] = entry;
                    minuses |= Mask::from(minus != negative) << lane;
                }
            }
            self = self.add(entries, minuses);
        }
        self
    }

    /// Where the point is (x, y) as EIP-2494 writes it; both below 16r.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn are(&self, x: Lanes, y: Lanes) -> Mask {
        let mapped = x.times_constant(&Constant::new(root_of_a()));
        self.x.equals(mapped.times(self.z)) & self.y.equals(y.times(self.z))
    }
}

/// x of `crate::curve::Affine::decompress` in each lane that the mask says has one, below 3r; y below 16r.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn decompress(y: Lanes, negative: [bool; LANES]) -> (Lanes, Mask) {
    let yy = y.squared();
    let u = Lanes::splat(&Constant::new(Fr::ONE)).minus::<8>(yy);
    // Never 0, because a/d is no square.
    let v = Lanes::splat(&Constant::new(A)).minus::<2>(yy.times_constant(&Constant::new(D)));
    let x = square_root::of_quotients(u, v);
    let mut good = u.equals(x.squared().times(v));
    let mut flipped = 0;
    for (lane, (value, negative)) in x.integers().into_iter().zip(negative).enumerate() {
        if negative && value == Fr::ZERO.into_bigint() {
            good &= !(1 << lane);
        }
        let high = value > Fr::MODULUS_MINUS_ONE_DIV_TWO;
        flipped |= Mask::from(high != negative) << lane;
    }
    (Lanes::select(flipped, Lanes::zero().minus::<2>(x), x), good)
}
