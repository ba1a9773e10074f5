//! Arithmetic on eight elements of a prime field below 2^254 at a time, for CPUs with AVX-512 IFMA.
//!
//! Elements are those of ark-ff; the modulus is theirs (`MontConfig`). Whether the CPU can is asked once, with
//! [`Ifma::detect`]; the answer is a value that entry points take, so that nothing here can run where it may not.
//! Callers keep a path over single ark-ff elements for every other CPU. Not constant-time: public data only.
//!
//! | file | job |
//! |---|---|
//! | `limbs` | radix 2^52: words, limbs, multiples of the modulus, known at compile time |
//! | `lanes` | eight elements: sums, products, comparison, in and out |
//! | `wide` | sums of products that are reduced once |

use ark_ff::{Fp, MontBackend};

#[cfg(target_arch = "x86_64")]
mod lanes;
mod limbs;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(target_arch = "x86_64")]
pub use lanes::{Lanes, Mask};
pub use limbs::Constant;
#[cfg(target_arch = "x86_64")]
pub use wide::Wide;

/// An element of the prime field whose parameters are `C`.
pub type Element<C> = Fp<MontBackend<C, 4>, 4>;

/// Elements in a vector.
pub const LANES: usize = 8;

/// Proof that this CPU, and the system on it, run AVX-512 IFMA: it exists only where `detect` found them.
#[derive(Clone, Copy, Debug)]
pub struct Ifma(());

impl Ifma {
    /// The proof, or nothing on a CPU without AVX-512F and IFMA.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        #[cfg(not(target_arch = "x86_64"))]
        let found = false;
        found.then_some(Self(()))
    }
}
