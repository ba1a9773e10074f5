//! Both kernels give what ark-poly gives, bit for bit, for every size and kind of transform.

use ark_ff::{FftField, Field, One, Zero};
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::StdRng;
use proptest::prelude::*;
use w3bstream_ntt::{Domain, Error, Instructions, MAX_LOG_SIZE, Scalar};

type Bn254 = ark_bn254::Fr;
type Bls12381 = ark_bls12_381::Fr;

const BOTH: [Instructions; 2] = [Instructions::Fastest, Instructions::Portable];

fn random<F: Scalar>(log_size: u32, seed: u64) -> Vec<F> {
    let mut source = StdRng::seed_from_u64(seed);
    (0..1 << log_size).map(|_| F::rand(&mut source)).collect()
}

/// Columns that reach the ends of the ranges: constant, alternating, one value only, all but one the greatest.
fn structured<F: Scalar>(log_size: u32) -> Vec<Vec<F>> {
    let size = 1 << log_size;
    let mut single = vec![F::zero(); size];
    single[size - 1] = -F::one();
    let mut all_but_one = vec![-F::one(); size];
    all_but_one[size / 2] = F::zero();
    let alternating = (0..size).map(|at| if at % 2 == 0 { F::one() } else { -F::one() }).collect();
    let words = (0..size as u64).map(F::from).collect();
    vec![vec![F::zero(); size], vec![-F::one(); size], single, all_but_one, alternating, words]
}

fn equals_ark<F: Scalar>(domain: &Domain<F>, values: &[F]) {
    let plain = Radix2EvaluationDomain::<F>::new(values.len()).expect("a domain");
    assert_eq!((domain.generator(), domain.size()), (plain.group_gen, plain.size()));
    let coset = plain.get_coset(domain.shift()).expect("a coset");
    let ours = |transform: fn(&Domain<F>, &mut [F]) -> Result<(), Error>| {
        let mut column = values.to_vec();
        transform(domain, &mut column).expect("the right length");
        column
    };
    let size = values.len();
    assert!(ours(Domain::forward) == plain.fft(values), "forward, {size}");
    assert!(ours(Domain::inverse) == plain.ifft(values), "inverse, {size}");
    assert!(ours(Domain::coset_forward) == coset.fft(values), "coset forward, {size}");
    assert!(ours(Domain::coset_inverse) == coset.ifft(values), "coset inverse, {size}");
    assert!(ours(Domain::to_coset) == coset.fft(&plain.ifft(values)), "to coset, {size}");
}

fn every_size<F: Scalar>() {
    for log_size in 1..=13 {
        for instructions in BOTH {
            let domain = Domain::<F>::new(log_size, instructions).expect("a domain");
            equals_ark(&domain, &random(log_size, log_size.into()));
            if log_size <= 9 {
                structured(log_size).iter().for_each(|values| equals_ark(&domain, values));
            }
        }
    }
}

#[test]
fn every_size_bn254() {
    every_size::<Bn254>();
}

#[test]
fn every_size_bls12_381() {
    every_size::<Bls12381>();
}

/// The largest columns of vectors have 2^12 of them; 2^18 is where rows of 2^9 follow on columns of 2^9.
#[test]
fn large_domains_give_the_same_on_both_kernels() {
    for log_size in [16, 17, 18] {
        let [fastest, portable] =
            BOTH.map(|instructions| Domain::<Bls12381>::new(log_size, instructions).expect("a domain"));
        let mut values = vec![vec![-Bls12381::one(); 1 << log_size], random(log_size, 1)];
        for column in &mut values {
            let mut other = column.clone();
            fastest.to_coset(column).expect("the right length");
            portable.to_coset(&mut other).expect("the right length");
            assert!(*column == other, "2^{log_size}");
        }
        let coset = Radix2EvaluationDomain::<Bls12381>::new(1 << log_size)
            .and_then(|domain| domain.get_coset(fastest.shift()))
            .expect("a coset");
        coset.ifft_in_place(&mut values[0]);
        let last = values[0].pop();
        assert!(
            last == Some(Bls12381::zero()) && values[0][0] == -Bls12381::one(),
            "a constant's coefficients"
        );
    }
}

/// Σ_i x_i w^(ik) is short where few coefficients are not 0.
#[test]
fn a_domain_of_a_million_points() {
    let domain = Domain::<Bn254>::new(20, Instructions::Fastest).expect("a domain");
    let mut values = vec![Bn254::zero(); 1 << 20];
    for at in [1, 5, (1 << 20) - 1] {
        values[at] = -Bn254::one();
    }
    let coefficients = values.clone();
    domain.coset_forward(&mut values).expect("the right length");
    for k in [0, 1, 4097, 123_456, (1 << 20) - 1] {
        let point = domain.shift() * domain.generator().pow([k as u64]);
        assert_eq!(values[k], -(point + point.pow([5]) + point.pow([(1 << 20) - 1])));
    }
    domain.coset_inverse(&mut values).expect("the right length");
    assert!(values == coefficients);
}

#[test]
fn threads_change_nothing() {
    for instructions in BOTH {
        let domain = Domain::<Bn254>::new(14, instructions).expect("a domain");
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut values = random(14, 2);
            pool.install(|| domain.to_coset(&mut values)).expect("the right length");
            values
        };
        let alone = on(1);
        assert!((2..6).all(|threads| on(threads) == alone));
        // Many callers of one domain at once.
        let alone = &alone;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut values = random(14, 2);
                    domain.to_coset(&mut values).expect("the right length");
                    assert!(values == *alone);
                });
            }
        });
    }
}

#[test]
fn other_roots_and_shifts() {
    for instructions in BOTH {
        for log_size in [3, 8] {
            // Another generator of the same group, and a shift that is in no such group.
            let ark = Radix2EvaluationDomain::<Bn254>::new(1 << log_size).expect("a domain");
            let (generator, shift) = (ark.group_gen.pow([5]), Bn254::from(7));
            let domain = Domain::with_roots(log_size, generator, shift, instructions).expect("a domain");
            let coefficients: Vec<Bn254> = random(log_size, 3);
            let mut values = coefficients.clone();
            domain.coset_forward(&mut values).expect("the right length");
            for (k, value) in values.iter().enumerate() {
                let point = shift * generator.pow([k as u64]);
                let expected = coefficients.iter().rev().fold(Bn254::zero(), |sum, next| sum * point + next);
                assert_eq!(*value, expected);
            }
            domain.coset_inverse(&mut values).expect("the right length");
            assert_eq!(values, coefficients);
        }
    }
}

#[test]
fn the_coset_of_new_is_the_odd_one() {
    let domain = Domain::<Bls12381>::new(10, Instructions::Fastest).expect("a domain");
    assert_eq!(domain.shift().square(), domain.generator());
    assert_eq!(domain.shift().pow([1 << 10]), -Bls12381::one());
    assert_eq!(domain.shift(), Bls12381::get_root_of_unity(1 << 11).expect("a root"));
}

#[test]
fn what_is_no_domain_is_refused() {
    for log_size in [0, MAX_LOG_SIZE + 1, 62, 63, 64, u32::MAX] {
        assert_eq!(
            Domain::<Bn254>::new(log_size, Instructions::Fastest).err(),
            Some(Error::Size { log_size })
        );
    }
    let root = Bn254::get_root_of_unity(1 << 4).expect("a root");
    let refused = |generator, shift| Domain::with_roots(4, generator, shift, Instructions::Fastest).err();
    for generator in [Bn254::zero(), Bn254::one(), root.square(), Bn254::from(3)] {
        assert_eq!(refused(generator, root), Some(Error::Root { what: "generator", log_size: 4 }));
    }
    assert_eq!(refused(root, Bn254::zero()), Some(Error::Root { what: "shift", log_size: 4 }));
    let domain = Domain::<Bn254>::new(6, Instructions::Fastest).expect("a domain");
    for length in [0, 63, 65, 128] {
        let mut values = vec![Bn254::one(); length];
        assert_eq!(domain.forward(&mut values), Err(Error::Length { expected: 64, actual: length }));
        assert_eq!(values, vec![Bn254::one(); length]);
    }
}

fn properties<F: Scalar>(log_size: u32, seed: u64, factor: u64) -> Result<(), TestCaseError> {
    let [fastest, portable] =
        BOTH.map(|instructions| Domain::<F>::new(log_size, instructions).expect("a domain"));
    let (left, right) = (random::<F>(log_size, seed), random::<F>(log_size, seed ^ 1));
    let sum: Vec<F> = left.iter().zip(&right).map(|(l, r)| *l * F::from(factor) + r).collect();
    let image = |domain: &Domain<F>, values: &[F]| {
        let mut values = values.to_vec();
        domain.to_coset(&mut values).expect("the right length");
        values
    };
    let (of_left, of_right, of_sum) =
        (image(&fastest, &left), image(&fastest, &right), image(&fastest, &sum));
    prop_assert!(of_left.iter().zip(&of_right).map(|(l, r)| *l * F::from(factor) + r).eq(of_sum));
    prop_assert!(image(&portable, &left) == of_left);
    let mut back = left.clone();
    fastest.forward(&mut back).expect("the right length");
    portable.inverse(&mut back).expect("the right length");
    prop_assert!(back == left);
    portable.coset_forward(&mut back).expect("the right length");
    fastest.coset_inverse(&mut back).expect("the right length");
    prop_assert!(back == left);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_and_invertible(log_size in 1u32..=10, seed: u64, factor: u64) {
        properties::<Bn254>(log_size, seed, factor)?;
        properties::<Bls12381>(log_size, seed, factor)?;
    }
}
