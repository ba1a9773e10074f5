//! Secret scalars from the operating system's random source.

use ark_ff::PrimeField;
use zeroize::Zeroizing;

use crate::Error;

/// A uniform non-zero scalar. 64 bytes are reduced mod r, so the bias is below 2^-250.
pub fn scalar<F: PrimeField>() -> Result<Zeroizing<F>, Error> {
    loop {
        let mut bytes = Zeroizing::new([0u8; 64]);
        getrandom::fill(bytes.as_mut()).map_err(|error| Error::Random(error.to_string()))?;
        let value = Zeroizing::new(F::from_le_bytes_mod_order(bytes.as_ref()));
        if !value.is_zero() {
            return Ok(value);
        }
    }
}

/// `count` public 128-bit weights for a random linear combination: a false equation passes with probability 2^-128.
pub fn weights<F: PrimeField>(count: usize) -> Result<Vec<F>, Error> {
    let mut bytes = vec![0u8; count * 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes.chunks_exact(16).map(F::from_le_bytes_mod_order).collect())
}
