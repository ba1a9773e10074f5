//! Ours (native/msm): with a table of the planner's choice or without one, on the fastest instructions or the portable.

use serde::Deserialize;
use serde_json::{Value, json};
use w3bstream_msm::kernel::{Kernel, select};
use w3bstream_msm::{
    Bls12381G1, Bls12381G2, Bn254G1, Bn254G2, Curve, EngineKind, Instructions, Plan, PlanRequest, Point,
    PrecomputedBases, Scalar, Sum, encoding, msm, planner, unheard,
};

use super::Prepared;
use crate::groups::{Group, Input};

/// How to sum. Nothing said: no table, the fastest instructions, any engine and window.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Precompute a table.
    table: bool,
    /// Leave IFMA alone.
    portable: bool,
    /// This engine only.
    engine: Option<String>,
    /// This window only.
    window: Option<u32>,
    /// Bytes that the table may take.
    memory_bytes: Option<u64>,
}

impl Options {
    fn read(options: &Value) -> Result<Self, String> {
        if options.is_null() {
            return Ok(Self::default());
        }
        serde_json::from_value(options.clone()).map_err(|error| error.to_string())
    }

    fn request(&self) -> Result<PlanRequest, String> {
        let named = |name: &String| {
            let found = EngineKind::ALL.into_iter().find(|kind| kind.name() == name);
            found.ok_or(format!("there is no engine {name}"))
        };
        let default = PlanRequest::default();
        Ok(PlanRequest {
            memory_bytes: self.memory_bytes.unwrap_or(default.memory_bytes),
            instructions: if self.portable { Instructions::Portable } else { Instructions::Detect },
            engine: self.engine.as_ref().map(named).transpose()?,
            window: self.window,
        })
    }
}

fn described(plan: &Plan) -> Value {
    json!({
        "engine": plan.engine.name(),
        "window": plan.window,
        "stride": plan.stride,
        "additions": plan.additions,
        "table_bytes": plan.table_bytes,
    })
}

/// What the planner picks of each engine, or why nothing fits.
fn plans_of<C: Curve>(count: usize, request: &PlanRequest) -> Result<Value, String> {
    let found = planner::candidates::<C>(count, select::<C>(request.instructions).layout(), request);
    Ok(found.map_err(|error| error.to_string())?.iter().map(described).collect())
}

/// See [`plans_of`].
pub fn plans(group: Group, count: usize, options: &Value) -> Result<Value, String> {
    let request = Options::read(options)?.request()?;
    match group {
        Group::Bn254G1 => plans_of::<Bn254G1>(count, &request),
        Group::Bn254G2 => plans_of::<Bn254G2>(count, &request),
        Group::Bls12381G1 => plans_of::<Bls12381G1>(count, &request),
        Group::Bls12381G2 => plans_of::<Bls12381G2>(count, &request),
    }
}

fn prepared<C: Curve>(input: &Input, options: &Options) -> Result<Prepared, String> {
    let request = options.request()?;
    // The benchmark made the points itself, or a test did that wants to see them summed: they are in the group.
    let points: Vec<Point<C>> = input.ark_points::<C::Config>();
    let scalars: Vec<Scalar<C>> = input.ark_scalars();
    let bytes = |sum: Sum<C>| encoding::sum_to_bytes::<C>(&sum);
    if options.table {
        let bases =
            PrecomputedBases::<C>::build(&points, &request, &unheard).map_err(|error| error.to_string())?;
        let mut plan = described(bases.plan());
        plan["table_bytes"] = json!(bases.table_bytes());
        let run = move || bases.msm(&scalars, &unheard).map(bytes).map_err(|error| error.to_string());
        return Ok(Prepared { before: Box::new(|| ()), run: Box::new(run), plan });
    }
    let run =
        move || msm::<C>(&points, &scalars, &request, &unheard).map(bytes).map_err(|error| error.to_string());
    Ok(Prepared { before: Box::new(|| ()), run: Box::new(run), plan: Value::Null })
}

/// Ready to sum; a table is built here.
pub fn prepare(input: &Input, options: &Value) -> Result<Prepared, String> {
    let options = Options::read(options)?;
    match input.group {
        Group::Bn254G1 => prepared::<Bn254G1>(input, &options),
        Group::Bn254G2 => prepared::<Bn254G2>(input, &options),
        Group::Bls12381G1 => prepared::<Bls12381G1>(input, &options),
        Group::Bls12381G2 => prepared::<Bls12381G2>(input, &options),
    }
}
