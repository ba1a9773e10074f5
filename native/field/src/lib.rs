//! Arithmetic on eight elements of a prime field at a time, for CPUs with AVX-512 IFMA; and on one, with `mulx` and `adx`.
//!
//! Elements are those of ark-ff; the modulus is theirs (`MontConfig`). A field has `W` words of 64 bits and here `L` limbs
//! of 52: 4 and 5 (the defaults) for both fields of BN254 and the scalars of BLS12-381, 6 and 8 for its base field. Whether the CPU can is asked once, with
//! [`Ifma::detect`]; the answer is a value that entry points take, so that nothing here can run where it may not.
//! Callers keep a path over single ark-ff elements for every other CPU, or over their words where [`Mulx::detect`] finds
//! `mulx` and `adx`. Not constant-time: public data only.
//!
//! | file | job |
//! |---|---|
//! | `limbs` | radix 2^52: words, limbs, multiples of the modulus, known at compile time |
//! | `lanes` | eight elements: sums, products, comparison, in and out |
//! | `loose` | sums and differences whose carries wait |
//! | `wide` | sums of products that are reduced once |
//! | `rows` | eight rows of eight words, as vectors of one word each and back |
//! | `mulx` | one element at a time, with `mulx` and `adx` |
//! | `divsteps` | the inverse of one element |
//! | `inverse` | one inversion for eight lanes |

use ark_ff::{Fp, MontBackend};

mod divsteps;
#[cfg(target_arch = "x86_64")]
mod inverse;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod limbs;
#[cfg(target_arch = "x86_64")]
mod loose;
#[cfg(target_arch = "x86_64")]
mod mulx;
#[cfg(target_arch = "x86_64")]
pub mod rows;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use divsteps::inverse;
#[cfg(target_arch = "x86_64")]
pub use lanes::{Lanes, Mask};
#[cfg(target_arch = "x86_64")]
pub use limbs::{Constant, limit};
#[cfg(target_arch = "x86_64")]
pub use loose::Loose;
#[cfg(target_arch = "x86_64")]
pub use mulx::Mulx;
#[cfg(target_arch = "x86_64")]
pub use wide::Wide;

/// An element of the prime field whose parameters are `C`, in `W` words.
pub type Element<C, const W: usize = 4> = Fp<MontBackend<C, W>, W>;

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
