//! snarkjs' `.zkey` files (Groth16, version 1; snarkjs 0.7, `zkey_new.js`, `zkey_utils.js`): an iden3 file of
//!
//! | section | holds |
//! |---|---|
//! | 1 | protocol u32 = 1 |
//! | 2 | q and r, each with its length u32; wires, public signals, domain u32; [α]_1 [β]_1 [β]_2 [γ]_2 [δ]_1 [δ]_2 |
//! | 3 | IC, one G1 point a public wire |
//! | 4 | number of terms u32, then each: matrix (0 = A, 1 = B) u32, row u32, wire u32, value |
//! | 5, 6, 7 | A in G1, B in G1, B in G2, one point a wire, infinity where it has none |
//! | 8 | C, our L: one G1 point a private wire |
//! | 9 | H, one G1 point a point of the domain |
//! | 10 | circuit hash (64 bytes), number of contributions u32, contributions |
//!
//! Points are as `fixed` says, little-endian Montgomery limbs. A term's value is written as value·R² mod r, which is what
//! snarkjs multiplies a plain witness with. Their H query is ours: the odd points of the Lagrange basis over the domain
//! of twice the size. The file does not hold the matrix C.

mod export;
mod import;

pub use export::export;
pub use import::{ImportedKey, curve_of};

use ark_ff::PrimeField;

/// R = 2^256 as a field element: the factor between a value and its Montgomery limbs.
fn montgomery_radix<F: PrimeField>() -> F {
    F::from(2u64).pow([8 * crate::encoding::WORD as u64])
}
