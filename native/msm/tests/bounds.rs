//! Budgets, cancellation, threads and lengths: refused or kept before anything large happens.

mod support;

use ark_ff::Zero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{naive, points, scalars};
use w3bstream_msm::{
    Bls12381G1, Bn254G1, Bn254G2, EngineKind, Error, PlanRequest, PrecomputedBases, Sum, kernel::Layout, msm,
    planner, unheard,
};

type Bases = PrecomputedBases<Bn254G1>;

#[test]
fn a_budget_is_kept_by_every_plan_and_refused_when_too_small() {
    for n in [1usize, 1 << 10, 1 << 16, 1 << 21] {
        for memory_bytes in [1u64 << 16, 1 << 24, 1 << 28, 1 << 33, u64::MAX] {
            let request = PlanRequest { memory_bytes, ..Default::default() };
            match planner::candidates::<Bn254G1>(n, Layout::Radix52, &request) {
                Ok(plans) => {
                    assert!(plans.iter().all(|plan| plan.table_bytes <= memory_bytes), "{n} {memory_bytes}")
                }
                Err(error) => {
                    assert_eq!(error, Error::Budget { needed: n as u64 * 64, allowed: memory_bytes })
                }
            }
        }
    }
    let points = points::<Bn254G1>(100, &mut ark_std::test_rng());
    let request = PlanRequest { memory_bytes: 100 * 64 - 1, ..Default::default() };
    let refused = Bases::build(&points, &request, &unheard).err();
    assert_eq!(refused, Some(Error::Budget { needed: 6400, allowed: 6399 }));
}

#[test]
fn plans_say_what_tables_take() {
    let points = points::<Bn254G2>(33, &mut ark_std::test_rng());
    for kind in EngineKind::ALL {
        for window in kind.windows().filter(|&window| window <= 14) {
            for memory_bytes in [u64::MAX, 60_000, 20_000] {
                let request = PlanRequest {
                    engine: Some(kind),
                    window: Some(window),
                    memory_bytes,
                    ..Default::default()
                };
                let Ok(bases) = PrecomputedBases::<Bn254G2>::build(&points, &request, &unheard) else {
                    continue;
                };
                assert!(bases.plan().table_bytes <= memory_bytes);
                assert_eq!(bases.table_bytes(), bases.plan().table_bytes, "{}", bases.plan());
            }
        }
    }
}

#[test]
fn more_points_than_entries_address_are_refused_before_allocation() {
    let request = PlanRequest {
        engine: Some(EngineKind::Bgmw),
        window: Some(4),
        memory_bytes: u64::MAX,
        ..Default::default()
    };
    // 2^30 points of one column each do not fit 29 bits; no memory is touched by planning.
    let refused = planner::fastest::<Bn254G1>(1 << 30, Layout::Words, &request).err();
    assert_eq!(refused.map(|error| error.kind()), Some("too-many"));
}

#[test]
fn windows_that_do_not_exist_are_refused() {
    let points = points::<Bn254G1>(9, &mut ark_std::test_rng());
    for (engine, window) in [(None, 0), (None, 99), (Some(EngineKind::Eisenstein), 7)] {
        let request = PlanRequest { engine, window: Some(window), ..Default::default() };
        assert_eq!(Bases::build(&points, &request, &unheard).err().map(|error| error.kind()), Some("plan"));
    }
}

#[test]
fn lengths_that_differ_are_refused() {
    let points = points::<Bn254G1>(9, &mut ark_std::test_rng());
    let scalars = scalars::<Bn254G1>(10, &mut ark_std::test_rng());
    let bases = Bases::build(&points, &PlanRequest::default(), &unheard).expect("small");
    let expected = Error::Length { what: "scalars", expected: 9, found: 10 };
    assert_eq!(bases.msm(&scalars, &unheard), Err(expected.clone()));
    assert_eq!(msm::<Bn254G1>(&points, &scalars, &PlanRequest::default(), &unheard), Err(expected));
    assert_eq!(bases.msm(&[], &unheard), Ok(Sum::<Bn254G1>::zero()));
}

#[test]
fn progress_rises_to_its_end_and_stops_where_it_is_told_to() {
    let mut rng = ark_std::test_rng();
    let (points, scalars) = (points::<Bn254G1>(3000, &mut rng), scalars::<Bn254G1>(3000, &mut rng));
    let heard = Mutex::new(Vec::new());
    let listen = |done: f64| {
        heard.lock().expect("no panic").push(done);
        true
    };
    let bases = Bases::build(&points, &PlanRequest::default(), &listen).expect("small");
    assert_eq!(heard.lock().expect("no panic").last(), Some(&1.0), "the build ends at all");
    heard.lock().expect("no panic").clear();
    assert!(bases.msm(&scalars, &listen).is_ok());
    let heard = heard.into_inner().expect("no panic");
    assert!(
        heard.iter().all(|done| (0.0..=1.0).contains(done)) && heard.last().is_some_and(|&done| done > 0.9)
    );

    for allowed in 0..heard.len() {
        let calls = AtomicUsize::new(0);
        let stop = |_| calls.fetch_add(1, Ordering::Relaxed) < allowed;
        assert_eq!(bases.msm(&scalars, &stop), Err(Error::Cancelled), "after {allowed} calls");
    }
    let never = |_| false;
    assert_eq!(Bases::build(&points, &PlanRequest::default(), &never).err(), Some(Error::Cancelled));
    let found = msm::<Bn254G1>(&points, &scalars, &PlanRequest::default(), &never);
    assert_eq!(found, Err(Error::Cancelled));
}

#[test]
fn numbers_of_threads_give_one_result() {
    let mut rng = ark_std::test_rng();
    let (points, scalars) = (points::<Bls12381G1>(700, &mut rng), scalars::<Bls12381G1>(700, &mut rng));
    let expected = naive::<Bls12381G1>(&points, &scalars);
    let request = PlanRequest::default();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let bases = PrecomputedBases::<Bls12381G1>::build(&points, &request, &unheard).expect("small");
            assert_eq!(bases.msm(&scalars, &unheard), Ok(expected), "{threads} threads");
            assert_eq!(msm::<Bls12381G1>(&points, &scalars, &request, &unheard), Ok(expected));
        });
    }
}

#[test]
fn one_table_serves_many_callers_at_once() {
    let mut rng = ark_std::test_rng();
    let points = points::<Bn254G1>(300, &mut rng);
    let bases = Bases::build(&points, &PlanRequest::default(), &unheard).expect("small");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let scalars = scalars::<Bn254G1>(300, &mut rng);
            let (bases, points) = (&bases, &points);
            scope.spawn(move || {
                assert_eq!(bases.msm(&scalars, &unheard), Ok(naive::<Bn254G1>(points, &scalars)));
            });
        }
    });
}

#[test]
fn plans_are_told_in_one_line() {
    let plan =
        planner::fastest::<Bn254G1>(1 << 16, Layout::Radix52, &PlanRequest::default()).expect("a gibibyte");
    let line = plan.to_string();
    assert!(line.starts_with("bn254-g1 65536 points: ") && !line.contains('\n'), "{line}");
    assert!(
        line.contains(&plan.additions.to_string()) && line.contains(&plan.table_bytes.to_string()),
        "{line}"
    );
}
