//! The honest table: additions of every engine at equal and at a third of the memory, n = 2^10 … 2^21.
//!
//! `cargo run --release --example additions`. Full memory is what Luo, Fu and Gong's fastest table takes; Pippenger keeps
//! no table and is the same in both columns. An engine that does not fit is left out.

use w3bstream_msm::kernel::Layout;
use w3bstream_msm::{Bls12381G1, Bn254G1, Curve, EngineKind, PlanRequest, planner};

fn table<C: Curve>() {
    println!(
        "| {} | memory | engine | c | stride | additions | table MiB |\n|---|---|---|---|---|---|---|",
        C::NAME
    );
    for log in 10..=21 {
        let points = 1 << log;
        let unbound = PlanRequest { memory_bytes: u64::MAX, ..Default::default() };
        let widest = PlanRequest { engine: Some(EngineKind::LuoFuGong), ..unbound };
        let Ok(full) = planner::fastest::<C>(points, Layout::Radix52, &widest) else { continue };
        for (name, memory_bytes) in [("full", full.table_bytes), ("third", full.table_bytes / 3)] {
            let request = PlanRequest { memory_bytes, ..unbound };
            for plan in planner::candidates::<C>(points, Layout::Radix52, &request).into_iter().flatten() {
                println!(
                    "| 2^{log} | {name} | {} | {} | {} | {} | {:.1} |",
                    plan.engine.name(),
                    plan.window,
                    plan.stride,
                    plan.additions,
                    plan.table_bytes as f64 / f64::from(1 << 20)
                );
            }
        }
    }
}

fn main() {
    table::<Bn254G1>();
    table::<Bls12381G1>();
}
