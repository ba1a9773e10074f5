//! Every engine on every group gives the sum that adding one by one gives, and that arkworks gives.

mod support;

use ark_ec::{AffineRepr, CurveGroup, VariableBaseMSM};
use ark_ff::{Field, UniformRand, Zero};
use proptest::prelude::*;
use support::{naive, points, scalars};
use w3bstream_msm::{
    Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, EngineKind, Instructions, PlanRequest, Point,
    PrecomputedBases, Scalar, Sum, msm, unheard,
};

fn request(kind: EngineKind, window: u32, memory_bytes: u64) -> PlanRequest {
    PlanRequest { engine: Some(kind), window: Some(window), memory_bytes, ..Default::default() }
}

/// Without a table and with one of full memory, a third and a ninth of it, by one engine and window on both kernels.
fn agrees<C: Curve>(
    kind: EngineKind,
    window: u32,
    points: &[Point<C>],
    scalars: &[Scalar<C>],
    expected: Sum<C>,
) {
    for instructions in [Instructions::Detect, Instructions::Portable] {
        let mut request = PlanRequest { instructions, ..request(kind, window, u64::MAX) };
        let found = msm::<C>(points, scalars, &request, &unheard).expect("no table is needed");
        assert_eq!(found, expected, "{} {kind:?} {window} without a table", C::NAME);
        for _ in 0..3 {
            let bases = match PrecomputedBases::<C>::build(points, &request, &unheard) {
                Ok(bases) => bases,
                Err(error) => {
                    assert_eq!(error.kind(), "budget");
                    break;
                }
            };
            assert_eq!(bases.msm(scalars, &unheard).expect("not stopped"), expected, "{}", bases.plan());
            request.memory_bytes = bases.plan().table_bytes / 3;
        }
    }
}

fn every_window<C: Curve>() {
    let mut rng = ark_std::test_rng();
    let (points, scalars) = (points::<C>(24, &mut rng), scalars::<C>(24, &mut rng));
    let expected = naive::<C>(&points, &scalars);
    for kind in EngineKind::ALL {
        // Wider windows only have more buckets, which 24 points fill no better.
        for window in kind.windows().filter(|&window| window <= 10) {
            agrees::<C>(kind, window, &points, &scalars, expected);
        }
    }
}

/// Lists of scalars that real and hostile callers bring.
fn structured<C: Curve>(n: usize) -> Vec<Vec<Scalar<C>>> {
    let mut rng = ark_std::test_rng();
    let (zero, one) = (Scalar::<C>::zero(), Scalar::<C>::from(1u8));
    let half = Scalar::<C>::from(2u8).inverse().expect("two is not zero");
    let random = Scalar::<C>::rand(&mut rng);
    let powers = (0..n as u64).map(|at| Scalar::<C>::from(2u8).pow([at % 254])).collect();
    vec![
        vec![zero; n],
        vec![one; n],
        vec![-one; n],
        vec![half; n],
        vec![half - one; n],
        vec![random; n],
        (0..n).map(|at| if at % 3 == 0 { one } else { zero }).collect(),
        (0..n).map(|at| if at + 1 == n { random } else { zero }).collect(),
        (0..n).map(|at| Scalar::<C>::from(at as u64)).collect(),
        (0..n).map(|at| if at % 2 == 0 { random } else { -random }).collect(),
        powers,
    ]
}

/// Lists of points likewise: equal ones, a point and its opposite, infinity among others and alone.
fn degenerate<C: Curve>(n: usize) -> Vec<Vec<Point<C>>> {
    let mut rng = ark_std::test_rng();
    let some = points::<C>(n, &mut rng);
    vec![
        some.clone(),
        vec![some[0]; n],
        (0..n).map(|at| if at % 2 == 0 { some[0] } else { -some[0] }).collect(),
        (0..n).map(|at| if at % 3 == 0 { Point::<C>::zero() } else { some[at] }).collect(),
        vec![Point::<C>::zero(); n],
    ]
}

fn every_structure<C: Curve>() {
    for n in [1, 12] {
        for points in degenerate::<C>(n) {
            let lists = structured::<C>(n);
            let expected: Vec<Sum<C>> = lists.iter().map(|scalars| naive::<C>(&points, scalars)).collect();
            let chosen = EngineKind::ALL.map(|kind| request(kind, 6, u64::MAX)).into_iter();
            for request in chosen.chain([PlanRequest::default()]) {
                for instructions in [Instructions::Detect, Instructions::Portable] {
                    let request = PlanRequest { instructions, ..request };
                    let bases = PrecomputedBases::<C>::build(&points, &request, &unheard).expect("small");
                    for (scalars, expected) in lists.iter().zip(&expected) {
                        assert_eq!(bases.msm(scalars, &unheard).expect("not stopped"), *expected);
                        let found = msm::<C>(&points, scalars, &request, &unheard);
                        assert_eq!(found.expect("not stopped"), *expected, "{request:?}");
                    }
                }
            }
        }
    }
}

fn no_points<C: Curve>() {
    for kind in EngineKind::ALL {
        agrees::<C>(kind, 4, &[], &[], Sum::<C>::zero());
    }
}

macro_rules! on_every_group {
    ($($name:ident: $group:ty),*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn every_engine_and_window_agrees() {
                every_window::<$group>();
            }

            #[test]
            fn structured_scalars_and_degenerate_points_agree() {
                every_structure::<$group>();
            }

            #[test]
            fn no_points_sum_to_infinity() {
                no_points::<$group>();
            }
        }
    )*};
}

on_every_group!(bn254_g1: Bn254G1, bn254_g2: Bn254G2, bls12_381_g1: Bls12381G1, bls12_381_g2: Bls12381G2);

/// A thousand points through chunks, partitions and several levels of the reduction, against arkworks.
fn against_arkworks<C: Curve>(n: usize) {
    let mut rng = ark_std::test_rng();
    let (points, scalars) = (points::<C>(n, &mut rng), scalars::<C>(n, &mut rng));
    let expected = <Sum<C> as VariableBaseMSM>::msm(&points, &scalars).expect("equal lengths");
    for kind in EngineKind::ALL {
        let request = PlanRequest { engine: Some(kind), ..Default::default() };
        let bases = PrecomputedBases::<C>::build(&points, &request, &unheard).expect("small");
        assert_eq!(bases.msm(&scalars, &unheard).expect("not stopped"), expected, "{}", bases.plan());
        let found = msm::<C>(&points, &scalars, &request, &unheard).expect("not stopped");
        assert_eq!(found, expected, "{} {kind:?} without a table", C::NAME);
        // The first scalars take the first bases.
        let some = n / 3;
        let expected =
            <Sum<C> as VariableBaseMSM>::msm(&points[..some], &scalars[..some]).expect("equal lengths");
        assert_eq!(bases.msm(&scalars[..some], &unheard).expect("not stopped"), expected);
    }
}

#[test]
fn thousands_of_points_agree_with_arkworks() {
    against_arkworks::<Bn254G1>(5000);
    against_arkworks::<Bn254G2>(1000);
    against_arkworks::<Bls12381G1>(3000);
    against_arkworks::<Bls12381G2>(1000);
}

#[test]
fn a_witness_of_bits_is_cut_between_threads() {
    let mut rng = ark_std::test_rng();
    let some = points::<Bn254G1>(64, &mut rng);
    let n = 200_000;
    let points: Vec<_> = (0..n).map(|at| some[at % 64]).collect();
    let scalars: Vec<_> = (0..n).map(|at| Scalar::<Bn254G1>::from(u8::from(at % 5 != 0))).collect();
    let expected: Sum<Bn254G1> =
        (0..n).filter(|at| at % 5 != 0).fold(Zero::zero(), |sum: Sum<Bn254G1>, at| sum + points[at]);
    let request = PlanRequest::default();
    let bases = PrecomputedBases::<Bn254G1>::build(&points, &request, &unheard).expect("small");
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let found = pool.install(|| bases.msm(&scalars, &unheard)).expect("not stopped");
        assert_eq!(found, expected, "{threads} threads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn mixtures_agree(
        kinds in prop::collection::vec(0..8u8, 1..60),
        engine in 0..5usize,
        window in 2..6u32,
        seed in any::<u64>(),
    ) {
        let mut rng = ark_std::rand::SeedableRng::seed_from_u64(seed);
        let rng: &mut ark_std::rand::rngs::StdRng = &mut rng;
        let some = points::<Bls12381G1>(8, rng);
        let points: Vec<_> = kinds.iter().map(|&kind| match kind {
            0 => Point::<Bls12381G1>::zero(),
            kind => if seed >> kind & 1 == 0 { some[kind as usize] } else { -some[kind as usize / 2] },
        }).collect();
        let scalars: Vec<_> = kinds.iter().enumerate().map(|(at, &kind)| match (kind as usize + at) % 5 {
            0 => Scalar::<Bls12381G1>::zero(),
            1 => Scalar::<Bls12381G1>::from(seed),
            2 => -Scalar::<Bls12381G1>::from(u64::from(kind)),
            _ => Scalar::<Bls12381G1>::rand(rng),
        }).collect();
        let expected = naive::<Bls12381G1>(&points, &scalars);
        agrees::<Bls12381G1>(EngineKind::ALL[engine], 2 * window, &points, &scalars, expected);
        let found = msm::<Bls12381G1>(&points, &scalars, &PlanRequest::default(), &unheard);
        prop_assert_eq!(found.expect("not stopped").into_affine(), expected.into_affine());
    }
}
