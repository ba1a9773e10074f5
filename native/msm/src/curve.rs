//! The four groups that the engines sum in, and how their endomorphism acts.

use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ff::{Field, MontFp};

use crate::kernel::montgomery::{Montgomery, Subtract};

/// A group of prime order r on a curve y² = x³ + b, with an endomorphism φ(x, y) = (βx, y) = λ·(x, y), λ² + λ + 1 = 0
/// modulo r.
pub trait Curve: Copy + Send + Sync + 'static {
    /// arkworks' parameters of the group.
    type Config: SWCurveConfig<BaseField: Field<BasePrimeField = Self::Prime> + Subtract>;
    /// The prime field that coordinates are made of; G2's are two of it each.
    type Prime: Montgomery;
    /// The kernel for CPUs with AVX-512 IFMA.
    #[cfg(target_arch = "x86_64")]
    type Lanewise: crate::kernel::Kernel<Self> + From<w3bstream_field::Ifma> + Send;
    /// Arithmetic for CPUs with `mulx` and `adx`.
    #[cfg(target_arch = "x86_64")]
    type Assembly: crate::kernel::arithmetic::Arithmetic<Self> + From<w3bstream_field::Mulx>;
    /// β of the endomorphism. λ is arkworks' for BN254's G1 and the one below 2^128 for BLS12-381's; the other root for
    /// the G2 of each.
    const BETA: Self::Prime;
    /// What this crate does with points of the group, compiled here once.
    #[doc(hidden)]
    fn entries() -> &'static dyn crate::bases::Entries<Self>;
    /// As people write it: `bn254-g1`.
    const NAME: &'static str;
    /// Number of the group in table files.
    const ID: u32;
    /// Elements of `Prime` in a coordinate: 1 for G1, 2 for G2.
    const DEGREE: usize;
    /// Words of 64 bits in an element of `Prime`.
    const WORDS: usize;
    /// Words of 64 bits in a packed point.
    const POINT_WORDS: usize = 2 * Self::DEGREE * Self::WORDS;
}

/// A point as arkworks has it.
pub type Point<C> = Affine<<C as Curve>::Config>;
/// A coordinate of a point.
pub type Coordinate<C> = <<C as Curve>::Config as ark_ec::CurveConfig>::BaseField;
/// A sum of points.
pub type Sum<C> = Projective<<C as Curve>::Config>;
/// An integer modulo the group's order.
pub type Scalar<C> = <<C as Curve>::Config as ark_ec::CurveConfig>::ScalarField;

macro_rules! curve {
    (
        $name:ident, $text:literal, $id:literal, $config:path, $prime:path, $parameters:path,
        $degree:literal, $words:literal, $limbs:literal, $beta:expr
    ) => {
        #[doc = concat!("The group ", $text, ".")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Curve for $name {
            type Config = $config;
            type Prime = $prime;
            #[cfg(target_arch = "x86_64")]
            type Lanewise = crate::kernel::ifma::Lanewise<Self, $parameters, $words, $limbs, $degree>;
            #[cfg(target_arch = "x86_64")]
            type Assembly = crate::kernel::mulx::Assembly<$parameters, $words, $degree>;
            const BETA: $prime = $beta;
            fn entries() -> &'static dyn crate::bases::Entries<Self> {
                &crate::bases::OnThisCpu
            }
            const NAME: &'static str = $text;
            const ID: u32 = $id;
            const DEGREE: usize = $degree;
            const WORDS: usize = $words;
        }
    };
}

const BN254_BETA: ark_bn254::Fq =
    MontFp!("21888242871839275220042445260109153167277707414472061641714758635765020556616");
const BLS12_381_BETA: ark_bls12_381::Fq = MontFp!(
    "4002409555221667392624310435006688643935503118305586438271171395842971157480381377015405980053539358417135540939436"
);

curve!(
    Bn254G1,
    "bn254-g1",
    1,
    ark_bn254::g1::Config,
    ark_bn254::Fq,
    ark_bn254::FqConfig,
    1,
    4,
    5,
    BN254_BETA
);
curve!(
    Bn254G2,
    "bn254-g2",
    2,
    ark_bn254::g2::Config,
    ark_bn254::Fq,
    ark_bn254::FqConfig,
    2,
    4,
    5,
    BN254_BETA
);
curve!(
    Bls12381G1,
    "bls12-381-g1",
    3,
    ark_bls12_381::g1::Config,
    ark_bls12_381::Fq,
    ark_bls12_381::FqConfig,
    1,
    6,
    8,
    BLS12_381_BETA
);
curve!(
    Bls12381G2,
    "bls12-381-g2",
    4,
    ark_bls12_381::g2::Config,
    ark_bls12_381::Fq,
    ark_bls12_381::FqConfig,
    2,
    6,
    8,
    BLS12_381_BETA
);
