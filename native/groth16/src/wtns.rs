//! Strict reader of iden3's `.wtns` format, version 2: a full witness with its field (snarkjs, `wtns_utils.js`).

use zeroize::Zeroizing;

use crate::Error;
use crate::curve::Scalar;
use crate::encoding::{WORD, read_scalars_le};
use crate::error::malformed;
use crate::iden3::Sections;

const WHAT: &str = "wtns file";

/// Every wire's value, the constant one first; wiped when dropped.
///
/// Errors: [`Error::Malformed`] for another field, a count that is not the number of values, a value that is not below
/// the modulus.
pub fn read<F: Scalar>(bytes: &[u8]) -> Result<Zeroizing<Vec<F>>, Error> {
    let sections = Sections::read(WHAT, bytes, "wtns", 2, 2)?;
    let mut header = sections.require(1, "header")?;
    if !header.field::<F>()? {
        return Err(malformed(WHAT, format!("its field is not the key's, circom's --prime {}", F::PRIME)));
    }
    let count = header.u32()? as usize;
    header.end("the header")?;
    read_scalars_le("witness", sections.require(2, "values")?.rest("values", count, WORD)?)
}
