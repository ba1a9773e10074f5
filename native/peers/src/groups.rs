//! The four groups, how their points lie in files, and random inputs whose sum is known.

use std::io::Write;
use std::path::Path;

use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ec::{AffineRepr, CurveConfig, CurveGroup, PrimeGroup, ScalarMul};
use ark_ff::{BigInteger, Field, PrimeField, UniformRand, Zero};
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use serde::Deserialize;

/// A group that sums are taken in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
pub enum Group {
    #[serde(rename = "bn254-g1")]
    Bn254G1,
    #[serde(rename = "bn254-g2")]
    Bn254G2,
    #[serde(rename = "bls12-381-g1")]
    Bls12381G1,
    #[serde(rename = "bls12-381-g2")]
    Bls12381G2,
}

impl Group {
    /// Bytes of a point in a file.
    pub fn point_bytes(self) -> usize {
        match self {
            Self::Bn254G1 => 64,
            Self::Bn254G2 => 128,
            Self::Bls12381G1 => 96,
            Self::Bls12381G2 => 192,
        }
    }
}

/// Bytes of a scalar in a file.
pub const SCALAR_BYTES: usize = 32;

/// What a sum is taken of, as it lies in the files.
pub struct Input<'a> {
    pub group: Group,
    pub points: &'a [u8],
    pub scalars: &'a [u8],
}

impl Input<'_> {
    /// The points, one slice each.
    pub fn each_point(&self) -> std::slice::ChunksExact<'_, u8> {
        self.points.chunks_exact(self.group.point_bytes())
    }

    /// The scalars, one slice each.
    pub fn each_scalar(&self) -> std::slice::ChunksExact<'_, u8> {
        self.scalars.chunks_exact(SCALAR_BYTES)
    }

    /// The points in arkworks' form.
    pub fn ark_points<C: SWCurveConfig>(&self) -> Vec<Affine<C>> {
        self.each_point().map(decode).collect()
    }

    /// The scalars in arkworks' form, in the Montgomery domain.
    pub fn ark_scalars<F: PrimeField>(&self) -> Vec<F> {
        self.each_scalar().map(F::from_le_bytes_mod_order).collect()
    }
}

fn coordinate_bytes<F: Field>(value: &F, out: &mut Vec<u8>) {
    for part in value.to_base_prime_field_elements() {
        out.extend(part.into_bigint().to_bytes_le());
    }
}

fn coordinate<F: Field>(bytes: &[u8]) -> F {
    let part = bytes.len() / F::extension_degree() as usize;
    let parts = bytes.chunks_exact(part).map(F::BasePrimeField::from_le_bytes_mod_order);
    F::from_base_prime_field_elems(parts).expect("as many parts as the degree")
}

/// A point as it lies in a file.
pub fn encode<C: SWCurveConfig>(point: &Affine<C>) -> Vec<u8> {
    let mut out = Vec::new();
    let (x, y) = point.xy().unwrap_or_default();
    coordinate_bytes(&x, &mut out);
    coordinate_bytes(&y, &mut out);
    out
}

/// A point from its bytes in a file.
pub fn decode<C: SWCurveConfig>(bytes: &[u8]) -> Affine<C> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Affine::identity();
    }
    let (x, y) = bytes.split_at(bytes.len() / 2);
    Affine::new_unchecked(coordinate(x), coordinate(y))
}

/// Writes as many random points and scalars as the largest of `counts`, and returns for each count the sum of so many.
///
/// Points are sᵢ·G with random sᵢ that are kept here, so that the sum is (Σ kᵢsᵢ)·G: no library is asked for it.
fn generate_in<C: SWCurveConfig>(
    seed: u64,
    counts: &[usize],
    points: &Path,
    scalars: &Path,
) -> std::io::Result<Vec<Vec<u8>>> {
    type Scalar<C> = <C as CurveConfig>::ScalarField;
    let mut random = StdRng::seed_from_u64(seed);
    let most = counts.iter().copied().max().unwrap_or(0);
    let logs: Vec<Scalar<C>> = (0..most).map(|_| UniformRand::rand(&mut random)).collect();
    let factors: Vec<Scalar<C>> = (0..most).map(|_| UniformRand::rand(&mut random)).collect();
    let all = Projective::<C>::generator().batch_mul(&logs);
    let mut file = std::io::BufWriter::new(std::fs::File::create(points)?);
    all.iter().try_for_each(|point| file.write_all(&encode(point)))?;
    file.flush()?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(scalars)?);
    factors.iter().try_for_each(|factor| file.write_all(&factor.into_bigint().to_bytes_le()))?;
    file.flush()?;
    let sum_of = |count: usize| {
        let products = logs[..count].iter().zip(&factors[..count]).map(|(log, factor)| *log * factor);
        let total = products.fold(Scalar::<C>::zero(), |sum, product| sum + product);
        encode(&(Projective::<C>::generator() * total).into_affine())
    };
    Ok(counts.iter().map(|&count| sum_of(count)).collect())
}

/// See [`generate_in`].
pub fn generate(
    group: Group,
    seed: u64,
    counts: &[usize],
    points: &Path,
    scalars: &Path,
) -> std::io::Result<Vec<Vec<u8>>> {
    match group {
        Group::Bn254G1 => generate_in::<ark_bn254::g1::Config>(seed, counts, points, scalars),
        Group::Bn254G2 => generate_in::<ark_bn254::g2::Config>(seed, counts, points, scalars),
        Group::Bls12381G1 => generate_in::<ark_bls12_381::g1::Config>(seed, counts, points, scalars),
        Group::Bls12381G2 => generate_in::<ark_bls12_381::g2::Config>(seed, counts, points, scalars),
    }
}
