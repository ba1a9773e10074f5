//! Strict reader of iden3's binary `.r1cs` format, version 1 (github.com/iden3/r1csfile, `doc/r1cs_bin_format.md`).
//!
//! Every count is checked against the bytes that are there before anything is allocated; another field, a wire past the
//! last one, a coefficient that is not below r, a custom gate, a repeated section and trailing bytes are refused.

use std::collections::HashMap;

use ark_bn254::Fr;
use ark_ff::BigInteger;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::curve::Scalar;
use crate::encoding::{WORD, read_scalar_le};
use crate::error::malformed;
use crate::iden3::{Cursor, Sections};

/// A wire number fits 28 bits: the domain has at most 2^28 points (2-adicity of r − 1).
const LIMIT: u32 = 1 << 27;
const WHAT: &str = "r1cs file";

/// One of the three matrices in compressed sparse rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Row i holds terms `starts[i]..starts[i + 1]`; one more entry than rows.
    pub starts: Vec<u32>,
    /// The wire of each term.
    pub wires: Vec<u32>,
    /// The term's coefficient as an index into [`ConstraintSystem::coefficients`].
    pub coefficients: Vec<u32>,
}

impl Matrix {
    /// The terms (wire, coefficient index) of one row.
    pub fn row(&self, index: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let range = self.starts[index] as usize..self.starts[index + 1] as usize;
        self.wires[range.clone()]
            .iter()
            .zip(&self.coefficients[range])
            .map(|(&w, &c)| (w as usize, c as usize))
    }
}

/// A rank-1 constraint system: for every row, (A·z)(B·z) = C·z with z the wires, z[0] = 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintSystem<F = Fr> {
    /// SHA-256 of the `.r1cs` file.
    pub sha256: [u8; 32],
    /// Number of wires, the constant one included.
    pub wires: usize,
    /// Public signals: outputs, then public inputs. They are wires 1 to `public`.
    pub public: usize,
    /// Number of rows.
    pub constraints: usize,
    /// The distinct coefficients; index 0 is 1 and index 1 is −1, the two that circuits use most.
    pub coefficients: Vec<F>,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
}

struct Header {
    wires: u32,
    public: u32,
    constraints: u32,
    labels: u64,
}

fn read_header<F: Scalar>(mut cursor: Cursor) -> Result<Header, Error> {
    if !cursor.field::<F>()? {
        return Err(malformed(
            WHAT,
            format!("its field is not the curve's; compile with --prime {}", F::PRIME),
        ));
    }
    let (wires, outputs, inputs, private) = (cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let (labels, constraints) = (cursor.u64()?, cursor.u32()?);
    cursor.end("the header")?;
    let named = 1 + u64::from(outputs) + u64::from(inputs) + u64::from(private);
    if wires > LIMIT || constraints > LIMIT || named > u64::from(wires) {
        return Err(malformed(
            WHAT,
            format!("{wires} wires for {named} named ones and {constraints} constraints"),
        ));
    }
    Ok(Header { wires, public: outputs + inputs, constraints, labels })
}

/// Sections: 1 header, 2 constraints, 3 wire labels, 4 and 5 custom gates.
fn read_sections(bytes: &[u8]) -> Result<Sections<'_>, Error> {
    let sections = Sections::read(WHAT, bytes, "r1cs", 1, 5)?;
    let gates = [4, 5].into_iter().filter_map(|kind| sections.get(kind));
    if gates.flatten().any(|&byte| byte != 0) {
        return Err(malformed(WHAT, "custom gates are not Groth16 constraints"));
    }
    Ok(sections)
}

/// The distinct coefficients met so far, by their bytes in the file.
pub(crate) struct Coefficients<F> {
    pub(crate) values: Vec<F>,
    index: HashMap<[u8; WORD], u32>,
}

impl<F: Scalar> Coefficients<F> {
    /// Holds 1 and −1; `bytes` says how the file writes a value.
    pub(crate) fn new(bytes: impl Fn(&F) -> Vec<u8>) -> Self {
        let mut table = Self { values: Vec::new(), index: HashMap::new() };
        for value in [F::one(), -F::one()] {
            let bytes = bytes(&value).try_into().expect("32 bytes");
            table.index.insert(bytes, table.values.len() as u32);
            table.values.push(value);
        }
        table
    }

    /// The index of a value; `read` says how the file's bytes are read.
    pub(crate) fn id(
        &mut self,
        bytes: &[u8; WORD],
        read: impl Fn(&[u8; WORD]) -> Result<F, Error>,
    ) -> Result<u32, Error> {
        if let Some(&id) = self.index.get(bytes) {
            return Ok(id);
        }
        let value = read(bytes)?;
        let id = self.values.len() as u32;
        self.values.push(value);
        self.index.insert(*bytes, id);
        Ok(id)
    }
}

fn read_row<F: Scalar>(
    cursor: &mut Cursor,
    header: &Header,
    table: &mut Coefficients<F>,
    matrix: &mut Matrix,
) -> Result<(), Error> {
    for _ in 0..cursor.u32()? {
        let wire = cursor.u32()?;
        if wire >= header.wires {
            return Err(malformed(WHAT, format!("wire {wire} of {}", header.wires)));
        }
        matrix.wires.push(wire);
        matrix
            .coefficients
            .push(table.id(cursor.array()?, |bytes| read_scalar_le("r1cs coefficient", bytes))?);
    }
    let end = u32::try_from(matrix.wires.len()).map_err(|_| malformed(WHAT, "more than 2^32 terms"))?;
    matrix.starts.push(end);
    Ok(())
}

impl<F: Scalar> ConstraintSystem<F> {
    /// Reads a `.r1cs` file. Errors: [`Error::Malformed`] with what was wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let sections = read_sections(bytes)?;
        let header = read_header::<F>(sections.require(1, "header")?)?;
        if let Some(map) = sections.get(3)
            && (map.len() as u64 != 8 * u64::from(header.wires) || header.labels < u64::from(header.wires))
        {
            return Err(malformed(WHAT, "the wire-to-label map does not fit the number of wires"));
        }
        let mut cursor = sections.require(2, "constraints")?;
        let mut table = Coefficients::new(|value: &F| value.into_bigint().to_bytes_le());
        let mut matrices = [Matrix::default(), Matrix::default(), Matrix::default()];
        for matrix in &mut matrices {
            matrix.starts.push(0);
        }
        for _ in 0..header.constraints {
            for matrix in &mut matrices {
                read_row(&mut cursor, &header, &mut table, matrix)?;
            }
        }
        cursor.end("the last constraint")?;
        let [a, b, c] = matrices;
        Ok(Self {
            sha256: Sha256::digest(bytes).into(),
            wires: header.wires as usize,
            public: header.public as usize,
            constraints: header.constraints as usize,
            coefficients: table.values,
            a,
            b,
            c,
        })
    }
}
