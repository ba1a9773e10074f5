//! Eight coordinates: elements of the base field (D = 1), or of its quadratic extension with u² = -1 (D = 2).
//!
//! Bounds are those of each part. With p the modulus, products of what is below jp and kp are below (2jk / M + 2)p, which
//! is 3p where jk is at most M / 2 (42 for BN254, far more for BLS12-381); of D = 1 they are below 2p.

#![allow(
    clippy::missing_safety_doc,
    reason = "the functions are safe; clippy takes `target_feature` for `unsafe`"
)]

use ark_ff::{Field, MontConfig};
use w3bstream_field::{Constant, Element, Lanes, Loose, Mask, Wide};

/// Eight coordinates.
pub(super) struct Coordinates<C, const W: usize, const L: usize, const D: usize>(pub [Lanes<C, W, L>; D]);

/// Eight coordinates whose carries wait.
pub(super) struct LooseCoordinates<C, const W: usize, const L: usize, const D: usize>(
    pub [Loose<C, W, L>; D],
);

macro_rules! copied {
    ($($name:ident)*) => {$(
        impl<C, const W: usize, const L: usize, const D: usize> Clone for $name<C, W, L, D> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<C, const W: usize, const L: usize, const D: usize> Copy for $name<C, W, L, D> {}
    )*};
}

copied!(Coordinates LooseCoordinates);

impl<C: MontConfig<W>, const W: usize, const L: usize, const D: usize> Coordinates<C, W, L, D> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zero() -> Self {
        Self([Lanes::zero(); D])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn one() -> Self {
        let mut one = Self::zero();
        one.0[0] = Lanes::splat(&Constant::new(Element::ONE));
        one
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn loose(self) -> LooseCoordinates<C, W, L, D> {
        let mut loose = [self.0[0].loose(); D];
        for (loose, part) in loose.iter_mut().zip(self.0) {
            *loose = part.loose();
        }
        LooseCoordinates(loose)
    }

    /// `yes` where the mask has a bit, else `no`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn select(mask: Mask, yes: Self, no: Self) -> Self {
        let mut chosen = no;
        for at in 0..D {
            chosen.0[at] = Lanes::select(mask, yes.0[at], no.0[at]);
        }
        chosen
    }

    /// The product. For D = 2 Karatsuba's three, and each part reduced once.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn times(self, other: Self) -> Self {
        if D == 1 {
            return self.with(self.0[0].times(other.0[0]));
        }
        let (mut real, mut imaginary, mut cross) = (Wide::zero(), Wide::zero(), Wide::zero());
        real.add_product(&self.0[0], &other.0[0]);
        imaginary.add_product(&self.0[1], &other.0[1]);
        cross.add_product(&self.0[0].plus(self.0[1]), &other.0[0].plus(other.0[1]));
        let cross = cross.minus(&real).minus(&imaginary).reduce();
        // Above -p, because the second product is below M * p².
        let real = real.minus(&imaginary).reduce_above::<1>();
        let mut product = self.with(real);
        product.0[1] = cross;
        product
    }

    /// The square, each part below 2p for what is below 5p / 2.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn squared(self) -> Self {
        if D == 1 {
            return self.with(self.0[0].squared());
        }
        let (a, b) = (self.0[0], self.0[1]);
        let mut square = self.with(a.plus(b).times(a.minus::<3>(b)));
        square.0[1] = a.plus(a).times(b);
        square
    }

    /// The product with an element of the base field in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn scaled(mut self, by: Lanes<C, W, L>) -> Self {
        for part in &mut self.0 {
            *part = part.times(by);
        }
        self
    }

    /// Each lane's inverse, or nothing where one of them is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn inverse(self) -> Option<Self> {
        if D == 1 {
            return Some(self.with(self.0[0].inverse()?));
        }
        let norm = self.0[0].squared().plus(self.0[1].squared()).inverse()?;
        let mut inverse = self.with(self.0[0].times(norm));
        inverse.0[1] = self.0[1].times(norm).loose().negated(Mask::MAX).settled::<2>();
        Some(inverse)
    }

    /// Where the element is 0.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn zeros(self) -> Mask {
        let mut zeros = Mask::MAX;
        for part in self.0 {
            zeros &= part.zeros();
        }
        zeros
    }

    /// The same with another first part.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn with(mut self, first: Lanes<C, W, L>) -> Self {
        self.0[0] = first;
        self
    }
}

impl<C: MontConfig<W>, const W: usize, const L: usize, const D: usize> LooseCoordinates<C, W, L, D> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn plus(mut self, other: Self) -> Self {
        for (part, other) in self.0.iter_mut().zip(other.0) {
            *part = part.plus(other);
        }
        self
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn minus(mut self, other: Self) -> Self {
        for (part, other) in self.0.iter_mut().zip(other.0) {
            *part = part.minus(other);
        }
        self
    }

    /// The negative in lanes whose bit is set.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn negated(mut self, lanes: Mask) -> Self {
        for part in &mut self.0 {
            *part = part.negated(lanes);
        }
        self
    }

    /// `yes` where the mask has a bit, else `no`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn select(mask: Mask, yes: Self, no: Self) -> Self {
        let mut chosen = no;
        for at in 0..D {
            chosen.0[at] = Loose::select(mask, yes.0[at], no.0[at]);
        }
        chosen
    }

    /// See `Loose::settled`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn settled<const TIMES: u64>(self) -> Coordinates<C, W, L, D> {
        let mut settled = [self.0[0].settled::<TIMES>(); D];
        for (settled, part) in settled.iter_mut().zip(self.0).skip(1) {
            *settled = part.settled::<TIMES>();
        }
        Coordinates(settled)
    }

    /// See `Loose::lowered`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub fn lowered<const TIMES: u64>(self) -> Coordinates<C, W, L, D> {
        let mut lowered = [self.0[0].lowered::<TIMES>(); D];
        for (lowered, part) in lowered.iter_mut().zip(self.0).skip(1) {
            *lowered = part.lowered::<TIMES>();
        }
        Coordinates(lowered)
    }
}
