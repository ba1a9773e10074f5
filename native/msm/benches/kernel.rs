//! Products in each field and additions in each group, in nanoseconds of CPU time each: eight lanes with AVX-512 IFMA
//! against arkworks, and both kernels. Additions are measured hot (4096 points) and from random rows of 60 MiB, and
//! include everything but the digits: lists, prefetches, transposes and inversions. After them come, for each point,
//! what surrounds the additions: a whole sum of 2^12 terms on one thread, with a table and without, the table itself, and
//! the checks of points from outside.
//!
//! The first lines say what share of the multiplier's limit is reached: an addition in G1 is 23 L² + L multiply-adds for
//! L limbs (five products of 4 L² and a square of 3 L² + L), in G2 58 L² (Karatsuba's three products, each part reduced
//! once), eight lanes at a time; what one costs on this CPU is measured with nothing beside it.

use std::hint::black_box;
use std::time::Duration;

use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::{MontConfig, PrimeField, UniformRand};
use cpu_time::ThreadTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use w3bstream_field::Element;
use w3bstream_msm::curve::{Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, Sum};
use w3bstream_msm::kernel::{Entry, Instructions, Kernel, NEGATIVE, Scratch, Selected, select};
use w3bstream_msm::{PlanRequest, Point, PrecomputedBases, Scalar, encoding, msm, unheard};

/// Points that stay in the second-level cache, and terms of a whole sum.
const HOT: usize = 4096;
/// A table's size that does not, and the most that a whole sum's table takes.
const TABLE_BYTES: usize = 60 << 20;
/// Entries of a bucket, as many as an MSM of 2^16 points puts into each.
const GROUP: usize = 16;

/// `HOT` different points.
fn multiples<C: Curve>() -> Vec<Point<C>> {
    let step = Sum::<C>::generator();
    let multiples: Vec<Sum<C>> =
        std::iter::successors(Some(step), |last| Some(*last + step)).take(HOT).collect();
    Sum::<C>::normalize_batch(&multiples)
}

struct Sums<C: Curve> {
    kernel: Selected<C>,
    points: Vec<u64>,
    /// Where the points start: rows lie in as few cache lines as they can, as in tables.
    start: usize,
    entries: Vec<Entry>,
    counts: Vec<u32>,
    sums: Vec<u64>,
    scratch: Scratch<C>,
}

impl<C: Curve> Sums<C> {
    /// Groups of random entries of so many packed points; the points repeat after `HOT`.
    fn new(instructions: Instructions, rows: usize, groups: usize) -> Self {
        let kernel = select::<C>(instructions);
        let mut points = vec![0; HOT * C::POINT_WORDS];
        kernel.pack(&multiples::<C>(), &mut points);
        let mut table = vec![0; rows * C::POINT_WORDS + 8];
        let start = table.as_ptr().align_offset(64);
        for (word, value) in table[start..].iter_mut().zip(points.iter().cycle()).take(rows * C::POINT_WORDS)
        {
            *word = *value;
        }
        let numbers = std::iter::successors(Some(1u64), |last| {
            Some(last.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407))
        });
        let entry =
            |number: u64| ((number >> 33) as usize % rows) as Entry | (number >> 32) as Entry & NEGATIVE;
        Self {
            kernel,
            points: table,
            start,
            entries: numbers.take(groups * GROUP).map(entry).collect(),
            counts: vec![GROUP as u32; groups],
            sums: vec![0; groups * C::POINT_WORDS],
            scratch: Scratch::default(),
        }
    }

    fn additions(&self) -> u64 {
        (self.counts.len() * (GROUP - 1)) as u64
    }

    /// CPU time of all sums, once.
    fn time(&mut self) -> Duration {
        let Self { kernel, points, start, entries, counts, sums, scratch } = self;
        let clock = ThreadTime::now();
        kernel.sum_groups(scratch, &points[*start..], entries, counts, sums);
        clock.elapsed()
    }

    fn bench(mut self, group: &mut BenchmarkGroup<'_, WallTime>, name: &str) {
        let additions = self.additions();
        group.bench_function(format!("{}/{name}", C::NAME), |bencher| {
            bencher.iter_custom(|iterations| {
                let rounds = iterations.div_ceil(additions);
                let total: Duration = (0..rounds).map(|_| self.time()).sum();
                total.mul_f64(iterations as f64 / (rounds * additions) as f64)
            });
        });
    }
}

fn additions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("addition");
    in_group::<Bn254G1>(&mut group);
    in_group::<Bls12381G1>(&mut group);
    in_group::<Bn254G2>(&mut group);
    in_group::<Bls12381G2>(&mut group);
}

fn in_group<C: Curve>(group: &mut BenchmarkGroup<'_, WallTime>) {
    for (instructions, name) in [(Instructions::Detect, "ifma"), (Instructions::Portable, "words")] {
        if instructions == Instructions::Detect && w3bstream_field::Ifma::detect().is_none() {
            continue;
        }
        Sums::<C>::new(instructions, HOT, 1024).bench(group, &format!("{name}/hot"));
        let rows = TABLE_BYTES / (8 * C::POINT_WORDS);
        Sums::<C>::new(instructions, rows, 8192).bench(group, &format!("{name}/table"));
    }
}

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("point");
    around_additions::<Bn254G1>(&mut group);
    around_additions::<Bls12381G1>(&mut group);
    around_additions::<Bn254G2>(&mut group);
    around_additions::<Bls12381G2>(&mut group);
}

fn around_additions<C: Curve>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let points = multiples::<C>();
    let mut source = ark_std::test_rng();
    let scalars: Vec<_> = points.iter().map(|_| Scalar::<C>::rand(&mut source)).collect();
    let bytes = encoding::points_to_bytes::<C>(&points);
    let request = PlanRequest { memory_bytes: TABLE_BYTES as u64, ..PlanRequest::default() };
    let build = || PrecomputedBases::<C>::build(&points, &request, &unheard).expect("room for a table");
    let bases = build();
    for_each_point::<C, _>(group, "sum", || msm::<C>(&points, &scalars, &request, &unheard));
    for_each_point::<C, _>(group, "sum over a table", || bases.msm(&scalars, &unheard));
    for_each_point::<C, _>(group, "table", build);
    for_each_point::<C, _>(group, "decode", || encoding::points::<C>(&bytes));
}

/// A `HOT`-th of the CPU time of `work` on a pool of one thread.
fn for_each_point<C: Curve, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    work: impl Fn() -> T + Sync,
) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    group.bench_function(format!("{}/{name}", C::NAME), |bencher| {
        bencher.iter_custom(|iterations| {
            let rounds = iterations.div_ceil(HOT as u64);
            let total = pool.install(|| {
                let clock = ThreadTime::now();
                (0..rounds).for_each(|_| drop(black_box(work())));
                clock.elapsed()
            });
            total.mul_f64(iterations as f64 / (rounds * HOT as u64) as f64)
        });
    });
}

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product");
    in_field::<ark_bn254::FqConfig, 4, 5>(&mut group, "bn254-fq");
    in_field::<ark_bn254::FrConfig, 4, 5>(&mut group, "bn254-fr");
    in_field::<ark_bls12_381::FqConfig, 6, 8>(&mut group, "bls12-381-fq");
    in_field::<ark_bls12_381::FrConfig, 4, 5>(&mut group, "bls12-381-fr");
}

fn in_field<C: MontConfig<W>, const W: usize, const L: usize>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
) {
    let factor = Element::<C, W>::from_le_bytes_mod_order(&[0xA5; 64]);
    let mut values = [factor; 8];
    group.bench_function(format!("{name}/arkworks"), |bencher| {
        bencher.iter_custom(|iterations| {
            let start = ThreadTime::now();
            for _ in 0..iterations.div_ceil(8) {
                for value in &mut values {
                    *value *= factor;
                }
            }
            black_box(values);
            start.elapsed().mul_f64(iterations as f64 / (iterations.div_ceil(8) * 8) as f64)
        });
    });
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = w3bstream_field::Ifma::detect() {
        group.bench_function(format!("{name}/ifma"), |bencher| {
            bencher.iter_custom(|iterations| {
                let rounds = iterations.div_ceil(64);
                let total = lanes::products::<C, W, L>(proof, factor, rounds);
                total.mul_f64(iterations as f64 / (rounds * 64) as f64)
            });
        });
    }
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use std::arch::x86_64::*;

    use w3bstream_field::{Constant, Ifma, Lanes};

    use super::*;

    /// CPU time of 64 products, eight independent vectors, so many times.
    pub fn products<C: MontConfig<W>, const W: usize, const L: usize>(
        _: Ifma,
        factor: Element<C, W>,
        rounds: u64,
    ) -> Duration {
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn run<C: MontConfig<W>, const W: usize, const L: usize>(
            factor: Element<C, W>,
            rounds: u64,
        ) -> Duration {
            let factor = Lanes::<C, W, L>::splat(&Constant::new(factor));
            let mut values = [factor; 8];
            let start = ThreadTime::now();
            for _ in 0..rounds {
                for value in &mut values {
                    *value = value.times(factor);
                }
            }
            black_box(values);
            start.elapsed()
        }
        // SAFETY: the CPU has the features, as the `Ifma` says.
        unsafe { run::<C, W, L>(factor, rounds) }
    }

    /// Nanoseconds of a multiply-add of eight lanes where nothing else runs: the least of some runs.
    fn multiply_add(_: Ifma) -> f64 {
        #[target_feature(enable = "avx512f,avx512ifma")]
        fn run(rounds: u64) -> Duration {
            let (mut sums, factor) = ([_mm512_set1_epi64(3); 16], black_box(_mm512_set1_epi64(5)));
            let start = ThreadTime::now();
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm512_madd52lo_epu64(*sum, factor, factor);
                }
            }
            black_box(sums);
            start.elapsed()
        }
        const ROUNDS: u64 = 100_000;
        // SAFETY: the CPU has the features, as the `Ifma` says.
        let least = (0..20).map(|_| unsafe { run(ROUNDS) }).min().unwrap_or_default();
        least.as_nanos() as f64 / (16 * ROUNDS) as f64
    }

    /// Prints each group's share of the limit.
    pub fn shares(proof: Ifma) {
        let one = multiply_add(proof);
        println!("multiply-add of eight lanes: {one:.3} ns");
        share::<Bn254G1>(one);
        share::<Bls12381G1>(one);
        share::<Bn254G2>(one);
        share::<Bls12381G2>(one);
    }

    fn share<C: Curve>(one: f64) {
        let limbs = (64 * C::WORDS).div_ceil(52);
        let count = if C::DEGREE == 1 { 23 * limbs * limbs + limbs } else { 58 * limbs * limbs };
        let mut sums = Sums::<C>::new(Instructions::Detect, HOT, 1024);
        let least = (0..20).map(|_| sums.time()).min().unwrap_or_default();
        let (limit, found) = (one * count as f64 / 8.0, least.as_nanos() as f64 / sums.additions() as f64);
        println!("{}: {found:.1} ns, limit {limit:.1} ns, share {:.0} %", C::NAME, 100.0 * limit / found);
    }
}

fn shares(_: &mut Criterion) {
    #[cfg(target_arch = "x86_64")]
    if let Some(proof) = w3bstream_field::Ifma::detect() {
        lanes::shares(proof);
    }
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = kernel; config = short(); targets = shares, products, additions, whole);
criterion_main!(kernel);
