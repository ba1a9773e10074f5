//! Groth16 (J. Groth, "On the Size of Pairing-based Non-interactive Arguments", EUROCRYPT 2016, §3.2) over BN254.
//!
//! In come an iden3 `.r1cs` file and a full witness; out come keys, proofs and refusals. Arithmetic is arkworks';
//! the prover, the set-up, the contribution chain and every byte format are ours. One part a file:
//!
//! | file | job |
//! |---|---|
//! | `r1cs` | strict reader of the `.r1cs` format |
//! | `qap` | rows, Lagrange bases and the quotient's evaluations |
//! | `setup` | phase 1 and the initial key |
//! | `ceremony`, `transcript` | phase 2 contributions and their checks |
//! | `key`, `key_format` | the proving key and its file |
//! | `msm` | the only door to multi-scalar multiplication |
//! | `scale` | many points times one scalar |
//! | `prove`, `verify` | what the names say |
//! | `zkey` | export to snarkjs' format |

pub mod ceremony;
pub mod encoding;
pub mod error;
pub mod key;
pub mod key_format;
pub mod msm;
pub mod prove;
pub mod qap;
pub mod r1cs;
pub mod random;
pub mod scale;
pub mod setup;
pub mod transcript;
pub mod verify;
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
