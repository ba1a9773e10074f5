//! What can be asked on standard input, and the answers.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::{Cost, measured};
use crate::groth16;
use crate::groups::{Group, Input, SCALAR_BYTES, generate};
use crate::libraries::{self, Prepared};
use crate::port;

/// A request: one JSON object, `do` says which.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Versions, instruction sets, and how fast the CPU issues IFMA products.
    Hello,
    /// Write random points and scalars, and say their sum for each count.
    Generate { group: Group, seed: u64, counts: Vec<usize>, points: PathBuf, scalars: PathBuf },
    /// Take the files as the inputs of this group from now on.
    Load { group: Group, points: PathBuf, scalars: PathBuf },
    /// What our planner picks of each engine for so many points.
    Plans {
        group: Group,
        count: usize,
        #[serde(default)]
        options: Value,
    },
    /// One sum of the first `count` points by one library. `options` are the library's; `memory` asks for its peak.
    Sum {
        library: String,
        group: Group,
        count: usize,
        #[serde(default)]
        options: Value,
        #[serde(default)]
        memory: bool,
    },
    /// Give back what a library prepared.
    Forget {
        library: String,
        group: Group,
        count: usize,
        #[serde(default)]
        options: Value,
    },
    /// Read a snarkjs key and a witness for arkworks.
    Key { zkey: PathBuf, wtns: PathBuf },
    /// One proof by arkworks.
    Prove,
}

type Place = (String, Group, usize, String);

struct Files {
    points: Vec<u8>,
    scalars: Vec<u8>,
}

/// What was loaded and prepared.
pub struct Session {
    threads: usize,
    files: HashMap<Group, Files>,
    prepared: HashMap<Place, Prepared>,
    prover: Option<groth16::Prover>,
}

impl Session {
    /// Nothing loaded.
    pub fn new(threads: usize) -> Self {
        Self { threads, files: HashMap::new(), prepared: HashMap::new(), prover: None }
    }

    /// The answer, or what is wrong with the request.
    pub fn answer(&mut self, request: Request) -> Result<Value, String> {
        match request {
            Request::Hello => Ok(json!({
                "versions": libraries::versions(),
                "ifma": w3bstream_field::Ifma::detect().is_some(),
                "vpmadd52_ns": port::product_ns(),
            })),
            Request::Generate { group, seed, counts, points, scalars } => {
                let sums =
                    generate(group, seed, &counts, &points, &scalars).map_err(|error| error.to_string())?;
                let named = counts.iter().map(usize::to_string).zip(sums.iter().map(hex::encode));
                Ok(json!({ "sums": named.collect::<HashMap<_, _>>() }))
            }
            Request::Load { group, points, scalars } => self.load(group, &points, &scalars),
            Request::Plans { group, count, options } => {
                Ok(json!({ "plans": libraries::ours::plans(group, count, &options)? }))
            }
            Request::Sum { library, group, count, options, memory } => {
                self.sum(&library, group, count, &options, memory)
            }
            Request::Forget { library, group, count, options } => {
                let place = (library, group, count, options.to_string());
                Ok(json!({ "forgotten": self.prepared.remove(&place).is_some() }))
            }
            Request::Key { zkey, wtns } => {
                let prover = groth16::Prover::read(&zkey, &wtns)?;
                let constraints = prover.constraints();
                self.prover = Some(prover);
                Ok(json!({ "constraints": constraints }))
            }
            Request::Prove => {
                let prover = self.prover.as_ref().ok_or("no key was read")?;
                let (cost, proof) = measured(false, || prover.prove());
                Ok(with_cost(json!({ "proof": hex::encode(proof?) }), &cost))
            }
        }
    }

    fn load(&mut self, group: Group, points: &PathBuf, scalars: &PathBuf) -> Result<Value, String> {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let files = Files { points: read(points)?, scalars: read(scalars)? };
        let count = files.points.len() / group.point_bytes();
        if !files.points.len().is_multiple_of(group.point_bytes())
            || files.scalars.len() != count * SCALAR_BYTES
        {
            return Err(format!(
                "{} bytes of points, {} of scalars",
                files.points.len(),
                files.scalars.len()
            ));
        }
        self.prepared.retain(|place, _| place.1 != group);
        self.files.insert(group, files);
        Ok(json!({ "count": count }))
    }

    fn sum(
        &mut self,
        library: &str,
        group: Group,
        count: usize,
        options: &Value,
        memory: bool,
    ) -> Result<Value, String> {
        let place = (library.to_owned(), group, count, options.to_string());
        let mut prepare_ms = None;
        if !self.prepared.contains_key(&place) {
            let files = self.files.get(&group).ok_or("no inputs were loaded")?;
            let points = files.points.get(..count * group.point_bytes()).ok_or("more than was loaded")?;
            let input = Input { group, points, scalars: &files.scalars[..count * SCALAR_BYTES] };
            let (cost, made) = measured(false, || libraries::prepare(library, &input, self.threads, options));
            let Some(made) = made? else { return Ok(json!({ "unable": true })) };
            prepare_ms = Some(cost.cpu_ms);
            self.prepared.insert(place.clone(), made);
        }
        let prepared = self.prepared.get_mut(&place).expect("put there above");
        (prepared.before)();
        let (cost, sum) = measured(memory, || (prepared.run)());
        let answer = json!({ "sum": hex::encode(sum?), "plan": prepared.plan, "prepare_ms": prepare_ms });
        Ok(with_cost(answer, &cost))
    }
}

fn with_cost(mut answer: Value, cost: &Cost) -> Value {
    let fields = serde_json::to_value(cost).expect("numbers");
    if let (Some(answer), Value::Object(fields)) = (answer.as_object_mut(), fields) {
        answer.extend(fields);
    }
    answer
}
