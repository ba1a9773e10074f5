//! The libraries, each behind the same two steps: prepare once in its own form, sum as often as asked.

mod arkworks;
mod blst;
mod halo2;
mod mcl;
pub mod ours;

use serde_json::{Value, json};

use crate::groups::Input;

/// A library with its input in the form that it likes best.
pub struct Prepared {
    /// What must be done before each run and is no part of it.
    pub before: Box<dyn FnMut()>,
    /// The sum, as a point lies in a file.
    pub run: Box<dyn FnMut() -> Result<Vec<u8>, String>>,
    /// What the library says about how it will sum: engine, window, table.
    pub plan: Value,
}

impl Prepared {
    /// A library that needs nothing before a run and says nothing.
    pub fn plain(run: impl FnMut() -> Vec<u8> + 'static) -> Self {
        Self::after(|| (), run)
    }

    /// A library that needs something before each run.
    pub fn after(before: impl FnMut() + 'static, mut run: impl FnMut() -> Vec<u8> + 'static) -> Self {
        Self { before: Box::new(before), run: Box::new(move || Ok(run())), plan: Value::Null }
    }
}

/// The peers, with the versions in Cargo.lock.
pub fn versions() -> Value {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let start = lock.find(&format!("name = \"{name}\"\n")).map(|at| &lock[at..]);
        start.and_then(|rest| rest.split('"').nth(3)).unwrap_or("unknown").to_owned()
    };
    json!({
        "arkworks": format!("ark-ec {}", version("ark-ec")),
        "halo2curves": version("halo2curves"),
        "mcl": format!("mcl_rust {}", version("mcl_rust")),
        "blst": version("blst"),
        "ark-groth16": version("ark-groth16"),
    })
}

/// The library named so, ready; nothing where it has no such group or cannot use so many threads.
pub fn prepare(
    name: &str,
    input: &Input,
    threads: usize,
    options: &Value,
) -> Result<Option<Prepared>, String> {
    Ok(match name {
        "arkworks" => arkworks::prepare(input),
        "halo2curves" => halo2::prepare(input),
        "mcl" => mcl::prepare(input, threads),
        "blst" => blst::prepare(input),
        "ours" => Some(ours::prepare(input, options)?),
        _ => return Err(format!("there is no library {name}")),
    })
}
