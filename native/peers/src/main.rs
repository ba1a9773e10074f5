//! Sums and proofs by other libraries and by ours, one request a line on standard input, one answer a line.
//!
//! `benchmarks/msm` and `benchmarks/groth16` take turns between the libraries by asking for one run at a time, so that
//! all of them meet the same machine; the Go program in `gnark/` answers the same requests. Points and scalars lie in
//! files: a point is x ‖ y, each coordinate canonical and little-endian, c0 before c1 in G2, infinity all zero bytes; a
//! scalar is 32 bytes little-endian, below r.
//!
//! | file | job |
//! |---|---|
//! | `requests` | what can be asked, and the answers |
//! | `groups` | the four groups, how their points lie in files, random inputs with their known sum |
//! | `clock` | CPU time, wall time and memory of a run |
//! | `libraries` | one file a library |
//! | `port` | how fast this CPU issues IFMA products |
//! | `zkey`, `groth16` | arkworks' Groth16 prover on a snarkjs key |

mod clock;
mod groth16;
mod groups;
mod libraries;
mod port;
mod requests;
mod zkey;

use std::io::{BufRead, Write};

/// The threads that every library may use: the first argument.
fn threads() -> Result<usize, String> {
    let text = std::env::args().nth(1).ok_or("usage: peers THREADS")?;
    text.parse().ok().filter(|&threads| threads > 0).ok_or(format!("{text} is no number of threads"))
}

fn main() -> Result<(), String> {
    let threads = threads()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| error.to_string())?;
    let mut session = requests::Session::new(threads);
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| format!("{line}: {error}")))
            .and_then(|request| session.answer(request))
            .unwrap_or_else(|error| serde_json::json!({ "error": error }));
        writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}
