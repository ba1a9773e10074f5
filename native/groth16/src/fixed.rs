//! Values of fixed size as the arithmetic holds them: little-endian integers, field elements as Montgomery limbs (R =
//! 2^256 for 254- and 255-bit fields, 2^384 for BLS12-381's base field), points as x ‖ y with the real part first.
//!
//! Our key file and snarkjs' `.zkey` both hold their values so: loading is a copy and a check instead of a Montgomery
//! conversion a value. Every limb is checked to be below its modulus and every point to be on its curve; infinity is
//! all zero.

use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{BigInt, Fp, MontBackend, MontConfig, PrimeField, QuadExtConfig, QuadExtField, Zero};

/// A value of fixed size.
pub trait Fixed: Sized + Copy + Send + Sync {
    /// Bytes of a value.
    const SIZE: usize;
    /// Appends the value's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// The value from `SIZE` bytes; `None` when they are not one.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Fixed for u32 {
    const SIZE: usize = 4;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl<C: MontConfig<N>, const N: usize> Fixed for Fp<MontBackend<C, N>, N> {
    const SIZE: usize = 8 * N;
    fn write(&self, out: &mut Vec<u8>) {
        for limb in self.0.0 {
            out.extend_from_slice(&limb.to_le_bytes());
        }
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut limbs = [0u64; N];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.get(..Self::SIZE)?.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        (BigInt(limbs) < Self::MODULUS).then(|| Self::new_unchecked(BigInt(limbs)))
    }
}

impl<P: QuadExtConfig<BaseField: Fixed>> Fixed for QuadExtField<P> {
    const SIZE: usize = 2 * P::BaseField::SIZE;
    fn write(&self, out: &mut Vec<u8>) {
        self.c0.write(out);
        self.c1.write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (real, imaginary) = bytes.split_at_checked(P::BaseField::SIZE)?;
        Some(Self::new(P::BaseField::read(real)?, P::BaseField::read(imaginary)?))
    }
}

impl<P: SWCurveConfig<BaseField: Fixed>> Fixed for Affine<P> {
    const SIZE: usize = 2 * P::BaseField::SIZE;
    fn write(&self, out: &mut Vec<u8>) {
        // Infinity has no coordinates, but arkworks keeps zeros there ("load-bearing", its `Affine::identity` says).
        self.x.write(out);
        self.y.write(out);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (x, y) = bytes.split_at_checked(P::BaseField::SIZE)?;
        let (x, y) = (P::BaseField::read(x)?, P::BaseField::read(y)?);
        if x.is_zero() && y.is_zero() {
            return Some(Self::zero());
        }
        let point = Self::new_unchecked(x, y);
        point.is_on_curve().then_some(point)
    }
}
