//! Fuzzes the MSM crate's sums: every engine, window and stride, with and without a table, with the CPU's best
//! instructions and with portable ones, against arkworks.
#![no_main]

mod groups;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use arbitrary::Arbitrary;
use ark_ec::PrimeGroup;
use ark_ff::{Field, PrimeField, Zero};
use groups::{in_group, logarithms, naive};
use w3bstream_msm::{
    Curve, EngineKind, Error, Instructions, PlanRequest, Point, PrecomputedBases, Scalar, Sum, msm, unheard,
};

/// Scalars where carries, signs and halves turn over.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small {
        value: u16,
        negative: bool,
    },
    /// 2^bits plus or minus a little.
    Power {
        bits: u8,
        little: i8,
    },
    /// A share of the order plus or minus a little.
    Share {
        of: u8,
        little: i8,
    },
    /// A polynomial in λ: where a scalar's halves are small.
    Halves {
        one: i32,
        lambda: i32,
    },
    Any([u64; 4]),
}

/// A point, how often, and what it is multiplied by.
#[derive(Arbitrary, Debug)]
struct Term {
    point: u8,
    times: u8,
    scalar: Number,
}

#[derive(Arbitrary, Debug)]
struct Case {
    group: u8,
    engine: Option<u8>,
    window: Option<u8>,
    /// The table gets the memory of the fastest plan divided by this, which makes strides.
    divisor: u8,
    /// Scalars left out at the end.
    fewer: u8,
    terms: Vec<Term>,
}

/// Windows above it have more buckets than so few points could fill, and take long.
const WIDEST: u32 = 12;
const MOST: usize = 200;

fn signed<F: PrimeField>(value: i64) -> F {
    if value < 0 { -F::from(value.unsigned_abs()) } else { F::from(value.unsigned_abs()) }
}

fn number<C: Curve>(number: Number, lambda: Scalar<C>) -> Scalar<C> {
    match number {
        Number::Small { value, negative } => signed(if negative { -i64::from(value) } else { value.into() }),
        Number::Power { bits, little } => {
            Scalar::<C>::from(2u8).pow([u64::from(bits)]) + signed::<Scalar<C>>(little.into())
        }
        Number::Share { of, little } => {
            let share = Scalar::<C>::from(u64::from(of.max(1))).inverse().expect("below the order");
            share + signed::<Scalar<C>>(little.into())
        }
        Number::Halves { one, lambda: times } => {
            signed::<Scalar<C>>(one.into()) + lambda * signed::<Scalar<C>>(times.into())
        }
        Number::Any(words) => Scalar::<C>::from_le_bytes_mod_order(&words.map(u64::to_le_bytes).concat()),
    }
}

/// The group's points with their logarithms, made once.
fn known<C: Curve>() -> &'static [(Scalar<C>, Point<C>)] {
    static ALL: LazyLock<Mutex<HashMap<TypeId, &'static (dyn Any + Send + Sync)>>> =
        LazyLock::new(Mutex::default);
    let mut all = ALL.lock().expect("no one panicked");
    let made = *all.entry(TypeId::of::<C>()).or_insert_with(|| Box::leak(Box::new(logarithms::<C>())));
    made.downcast_ref::<Vec<(Scalar<C>, Point<C>)>>().expect("put there under its type")
}

fn compare<C: Curve>(case: &Case) {
    let known = known::<C>();
    let lambda = known[7].0;
    let (mut logarithm, mut points, mut scalars) = (Vec::new(), Vec::new(), Vec::new());
    for term in &case.terms {
        let (power, point) = known[usize::from(term.point) % known.len()];
        let scalar = number::<C>(term.scalar, lambda);
        for _ in 0..(usize::from(term.times) % 70 + 1).min(MOST - points.len()) {
            logarithm.push(power * scalar);
            points.push(point);
            scalars.push(scalar);
        }
    }
    let sum = |count: usize| Sum::<C>::generator() * logarithm[..count].iter().sum::<Scalar<C>>();
    let (all, some) = (points.len(), points.len().saturating_sub(case.fewer.into()));
    let (expected, expected_of_some) = (sum(all), sum(some));
    // Few enough to add one by one: then nothing depends on the logarithms.
    if all <= 6 {
        assert_eq!(naive::<C>(&points, &scalars), expected);
    }
    let engine = case.engine.map(|number| EngineKind::ALL[usize::from(number) % EngineKind::ALL.len()]);
    let windows: Vec<u32> =
        engine.unwrap_or(EngineKind::Bgmw).windows().filter(|&window| window <= WIDEST).collect();
    let window = case.window.map(|number| windows[usize::from(number) % windows.len()]);
    for instructions in [Instructions::Detect, Instructions::Portable] {
        let request = PlanRequest { memory_bytes: u64::MAX, instructions, engine, window };
        let found = msm::<C>(&points, &scalars, &request, &unheard);
        assert_eq!(found, Ok(expected), "{} {request:?}", C::NAME);
        let check = |bases: &PrecomputedBases<C>| {
            assert_eq!(bases.len(), all);
            assert_eq!(bases.msm(&scalars, &unheard), Ok(expected), "{} {request:?}", bases.plan());
            let found = bases.msm(&scalars[..some], &unheard);
            assert_eq!(found, Ok(expected_of_some), "{} {some} {request:?}", bases.plan());
        };
        let bases = PrecomputedBases::<C>::build(&points, &request, &unheard).expect("small");
        check(&bases);
        let memory_bytes = bases.plan().table_bytes / u64::from(case.divisor.max(1));
        match PrecomputedBases::<C>::build(&points, &PlanRequest { memory_bytes, ..request }, &unheard) {
            Ok(bases) => {
                assert!(bases.table_bytes() <= memory_bytes);
                check(&bases);
            }
            Err(error) => assert!(matches!(error, Error::Budget { .. }), "{error}"),
        }
        let mut longer = scalars.clone();
        longer.push(Scalar::<C>::zero());
        assert!(matches!(bases.msm(&longer, &unheard), Err(Error::Length { .. })));
    }
}

libfuzzer_sys::fuzz_target!(|case: Case| in_group!(case.group, compare(&case)));
