//! How much faster than ark-poly: `cargo run --release -p w3bstream-ntt --example ratio -- [log sizes] [threads]`.
//!
//! Both run in this process by turns, with the same values; each figure is the least CPU time of all repetitions, which
//! other programs on the machine disturb least. With several threads it is the sum over them.

use std::time::{Duration, Instant};

use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use w3bstream_ntt::{Domain, Instructions, Scalar};

/// Fewer for large domains, which take seconds.
fn repetitions(log_size: u32) -> usize {
    if log_size <= 18 { 15 } else { 3 }
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "the process has a CPU clock");
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Least CPU and wall time so far.
#[derive(Clone, Copy)]
struct Least(Duration, Duration);

impl Least {
    fn time(&mut self, work: impl FnOnce()) {
        let (cpu, wall) = (cpu_time(), Instant::now());
        work();
        (self.0, self.1) = (self.0.min(cpu_time() - cpu), self.1.min(wall.elapsed()));
    }
}

fn ours<F: Scalar>(domain: &Domain<F>, to_coset: bool, values: &mut [F]) {
    let done = if to_coset { domain.to_coset(values) } else { domain.forward(values) };
    done.expect("the right length");
}

fn measure<F: Scalar>(field: &str, log_size: u32) {
    let plain = Radix2EvaluationDomain::<F>::new(1 << log_size).expect("a domain");
    let [fastest, portable] = [Instructions::Fastest, Instructions::Portable]
        .map(|instructions| Domain::<F>::new(log_size, instructions).expect("a domain"));
    let coset = plain.get_coset(fastest.shift()).expect("a coset");
    let mut source = ark_std::test_rng();
    let values: Vec<F> = (0..1 << log_size).map(|_| F::rand(&mut source)).collect();
    for to_coset in [false, true] {
        let mut least = [Least(Duration::MAX, Duration::MAX); 3];
        for _ in 0..repetitions(log_size) {
            let mut columns = [values.clone(), values.clone(), values.clone()];
            least[0].time(|| {
                if to_coset {
                    plain.ifft_in_place(&mut columns[0]);
                    coset.fft_in_place(&mut columns[0]);
                } else {
                    plain.fft_in_place(&mut columns[0]);
                }
            });
            least[1].time(|| ours(&fastest, to_coset, &mut columns[1]));
            least[2].time(|| ours(&portable, to_coset, &mut columns[2]));
            assert!(columns[0] == columns[1] && columns[0] == columns[2], "the same values");
        }
        report(field, log_size, to_coset, &least);
    }
}

fn report(field: &str, log_size: u32, to_coset: bool, least: &[Least; 3]) {
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
    let [ark, fastest, portable] = least.map(|Least(cpu, _)| milliseconds(cpu));
    let [ark_wall, fastest_wall, portable_wall] = least.map(|Least(_, wall)| milliseconds(wall));
    let what = if to_coset { "to coset" } else { "forward" };
    println!(
        "{field:>9} 2^{log_size:<2} {what:<8} | CPU ms: ark-poly {ark:8.2}, fastest {fastest:8.2} ({:5.2}x), portable \
         {portable:8.2} ({:5.2}x) | wall ms: {ark_wall:8.2}, {fastest_wall:8.2}, {portable_wall:8.2}",
        ark / fastest,
        ark / portable,
    );
}

/// "10,12" is a list, "16" a list of one.
fn numbers(argument: Option<String>, default: &str) -> Vec<u32> {
    let list = argument.unwrap_or_else(|| default.to_owned());
    list.split(',').map(|number| number.parse().expect("numbers, with commas between them")).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let sizes = numbers(arguments.next(), "10,12,14,16,17,18");
    for threads in numbers(arguments.next(), "1") {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build().expect("a pool");
        println!("{threads} thread(s)");
        pool.install(|| {
            for &log_size in &sizes {
                measure::<ark_bn254::Fr>("BN254", log_size);
                measure::<ark_bls12_381::Fr>("BLS12-381", log_size);
            }
        });
    }
}
