//! Number-theoretic transforms over the scalar fields of BN254 and BLS12-381: the values of a polynomial on the powers
//! of a root of unity w, or on a coset of them, from its coefficients, and back.
//!
//! All transforms are one formula, X_k = c · h^k · Σ_i s^i · x_i · w^(ik): s is the coset's shift on the way there, h
//! and c its inverse and 1/n on the way back. It is computed by the four-step method (Bailey, "FFTs in external or
//! hierarchical memory", J. Supercomputing 4, 1990): n = rows · columns, a transform down each column, a factor for each
//! element, a transform along each row. Both are near the root of n, so that one fits into the second-level cache,
//! and s, h and c cost next to nothing: they join factors that are there anyway.
//!
//! Eight columns, then eight rows, lie in the eight lanes of the vectors, so no layer moves elements between lanes;
//! between the two steps blocks of 8 x 8 elements are transposed. On other CPUs one element takes the lanes' place.
//! Both give the same canonical elements. Not constant-time.
//!
//! | file | job |
//! |---|---|
//! | `domain` | sizes, roots, and the five transforms |
//! | `tables` | powers of the roots, made once a domain |
//! | `lanes` | the transform on AVX-512 IFMA |
//! | `butterflies` | radix-4 layers over vectors |
//! | `moves` | elements into vectors and out of them |
//! | `portable` | the transform on any CPU |

#[cfg(target_arch = "x86_64")]
mod butterflies;
mod domain;
mod error;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod moves;
mod portable;
mod tables;

pub use domain::{Domain, Instructions, Scalar};
pub use error::Error;

/// The largest domain has 2^24 points: half a gibibyte of elements.
pub const MAX_LOG_SIZE: u32 = 24;
