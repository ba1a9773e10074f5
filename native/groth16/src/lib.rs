//! Groth16 (J. Groth, "On the Size of Pairing-based Non-interactive Arguments", EUROCRYPT 2016, §3.2) over BN254 and
//! BLS12-381.
//!
//! In come an iden3 `.r1cs` file or a snarkjs `.zkey`, and a full witness; out come keys, proofs and refusals. Arithmetic
//! is arkworks'; the prover, the set-up, the contribution chain and every byte format are ours. Set-up and contributions
//! are for BN254 only, the curve that the EVM verifies. One part a file:
//!
//! | file | job |
//! |---|---|
//! | `curve` | the two curves |
//! | `encoding`, `fixed` | canonical bytes; values as the arithmetic holds them |
//! | `iden3` | the bounded section reader of iden3's files |
//! | `r1cs`, `wtns`, `zkey` | strict readers of the three formats; our key as a `.zkey` |
//! | `qap` | rows, Lagrange bases and the quotient's evaluations |
//! | `setup` | phase 1 and the initial key |
//! | `ceremony`, `transcript` | phase 2 contributions and their checks |
//! | `key`, `key_format` | the proving key and its file |
//! | `msm`, `ntt` | the only doors to multi-scalar multiplication and to the number-theoretic transform |
//! | `tables` | stored multiples of a key's points |
//! | `scale` | many points times one scalar |
//! | `prove`, `verify`, `batch` | what the names say |

pub mod batch;
pub mod ceremony;
pub mod curve;
pub mod encoding;
pub mod error;
pub mod fixed;
pub mod iden3;
pub mod key;
pub mod key_format;
pub mod msm;
mod ntt;
pub mod prove;
pub mod qap;
pub mod r1cs;
pub mod random;
pub mod scale;
pub mod setup;
pub mod tables;
pub mod transcript;
pub mod verify;
pub mod wtns;
pub mod zkey;

pub use error::Error;

/// Called with a stage's name and the fraction done, 0 to 1; `false` stops the work with [`Error::Cancelled`].
pub type Progress<'a> = &'a (dyn Fn(&str, f64) -> bool + Sync);

/// Runs `work` on a pool of `threads` worker threads (0 = one a core), so that several provers on one machine do not
/// take each other's cores.
pub fn on_threads<T: Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Error::Resources(error.to_string()))?;
    pool.install(work)
}

/// Reports progress and turns a `false` into [`Error::Cancelled`].
pub(crate) fn report(progress: Progress, stage: &str, fraction: f64) -> Result<(), Error> {
    if progress(stage, fraction) { Ok(()) } else { Err(Error::Cancelled) }
}

/// Items of a stage that are worked on between two progress calls.
pub(crate) const CHUNK: usize = 1 << 14;

/// Counts the items of a stage as they are done.
pub(crate) struct Count<'a> {
    progress: Progress<'a>,
    stage: &'static str,
    done: usize,
    total: usize,
}

impl<'a> Count<'a> {
    pub(crate) fn new(progress: Progress<'a>, stage: &'static str, total: usize) -> Self {
        Self { progress, stage, done: 0, total }
    }

    /// Reports `items` more of them as done.
    pub(crate) fn add(&mut self, items: usize) -> Result<(), Error> {
        self.done += items;
        report(self.progress, self.stage, self.done as f64 / self.total as f64)
    }
}
