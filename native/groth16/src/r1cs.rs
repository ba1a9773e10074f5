//! Strict reader of iden3's binary `.r1cs` format, version 1 (github.com/iden3/r1csfile, `doc/r1cs_bin_format.md`).
//!
//! Every count is checked against the bytes that are there before anything is allocated; a field other than BN254's
//! scalar field, a wire past the last one, a coefficient that is not below r, a custom gate, a repeated section and
//! trailing bytes are refused.

use std::collections::HashMap;

use ark_bn254::Fr;
use ark_ff::{BigInteger, One, PrimeField};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::encoding::{WORD, read_scalar_le};
use crate::error::malformed;

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
pub struct ConstraintSystem {
    /// SHA-256 of the `.r1cs` file.
    pub sha256: [u8; 32],
    /// Number of wires, the constant one included.
    pub wires: usize,
    /// Public signals: outputs, then public inputs. They are wires 1 to `public`.
    pub public: usize,
    /// Number of rows.
    pub constraints: usize,
    /// The distinct coefficients; index 0 is 1 and index 1 is −1, the two that circuits use most.
    pub coefficients: Vec<Fr>,
    pub a: Matrix,
    pub b: Matrix,
    pub c: Matrix,
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(|| {
            malformed(WHAT, format!("ends early: {count} bytes wanted, {} left", self.bytes.len()))
        })?;
        self.bytes = tail;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("4 bytes")))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("8 bytes")))
    }

    fn end(&self, what: &str) -> Result<(), Error> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(malformed(WHAT, format!("{} bytes after {what}", self.bytes.len())))
        }
    }
}

struct Header {
    wires: u32,
    public: u32,
    constraints: u32,
    labels: u64,
}

fn read_header(bytes: &[u8]) -> Result<Header, Error> {
    let mut cursor = Cursor { bytes };
    if cursor.u32()? as usize != WORD || cursor.take(WORD)? != Fr::MODULUS.to_bytes_le() {
        return Err(malformed(WHAT, "its field is not BN254's scalar field; compile with --prime bn128"));
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

/// Sections by type, each at most once, nothing after the last.
fn read_sections(bytes: &[u8]) -> Result<HashMap<u32, &[u8]>, Error> {
    let mut cursor = Cursor { bytes };
    if cursor.take(4)? != b"r1cs" {
        return Err(malformed(WHAT, "does not start with \"r1cs\""));
    }
    let version = cursor.u32()?;
    if version != 1 {
        return Err(malformed(WHAT, format!("version {version} instead of 1")));
    }
    let mut sections = HashMap::new();
    for _ in 0..cursor.u32()? {
        let (kind, size) = (cursor.u32()?, cursor.u64()?);
        let size = usize::try_from(size).map_err(|_| malformed(WHAT, "a section larger than memory"))?;
        let body = cursor.take(size)?;
        match kind {
            1..=3 => {}
            4 | 5 if body.iter().all(|&byte| byte == 0) => {}
            4 | 5 => return Err(malformed(WHAT, "custom gates are not Groth16 constraints")),
            _ => return Err(malformed(WHAT, format!("unknown section {kind}"))),
        }
        if sections.insert(kind, body).is_some() {
            return Err(malformed(WHAT, format!("section {kind} appears twice")));
        }
    }
    cursor.end("the last section")?;
    Ok(sections)
}

/// The distinct coefficients met so far.
struct Coefficients {
    values: Vec<Fr>,
    index: HashMap<[u8; WORD], u32>,
}

impl Coefficients {
    fn new() -> Self {
        let mut table = Self { values: Vec::new(), index: HashMap::new() };
        for value in [Fr::one(), -Fr::one()] {
            let bytes = value.into_bigint().to_bytes_le().try_into().expect("32 bytes");
            table.index.insert(bytes, table.values.len() as u32);
            table.values.push(value);
        }
        table
    }

    fn id(&mut self, bytes: &[u8; WORD]) -> Result<u32, Error> {
        if let Some(&id) = self.index.get(bytes) {
            return Ok(id);
        }
        let value = read_scalar_le("r1cs coefficient", bytes)?;
        let id = self.values.len() as u32;
        self.values.push(value);
        self.index.insert(*bytes, id);
        Ok(id)
    }
}

fn read_row(
    cursor: &mut Cursor,
    header: &Header,
    table: &mut Coefficients,
    matrix: &mut Matrix,
) -> Result<(), Error> {
    for _ in 0..cursor.u32()? {
        let wire = cursor.u32()?;
        if wire >= header.wires {
            return Err(malformed(WHAT, format!("wire {wire} of {}", header.wires)));
        }
        matrix.wires.push(wire);
        matrix.coefficients.push(table.id(cursor.take(WORD)?.try_into().expect("32 bytes"))?);
    }
    let end = u32::try_from(matrix.wires.len()).map_err(|_| malformed(WHAT, "more than 2^32 terms"))?;
    matrix.starts.push(end);
    Ok(())
}

impl ConstraintSystem {
    /// Reads a `.r1cs` file. Errors: [`Error::Malformed`] with what was wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let sections = read_sections(bytes)?;
        let section = |kind: u32, name: &str| {
            sections.get(&kind).copied().ok_or_else(|| malformed(WHAT, format!("has no {name} section")))
        };
        let header = read_header(section(1, "header")?)?;
        if let Some(map) = sections.get(&3)
            && (map.len() as u64 != 8 * u64::from(header.wires) || header.labels < u64::from(header.wires))
        {
            return Err(malformed(WHAT, "the wire-to-label map does not fit the number of wires"));
        }
        let mut cursor = Cursor { bytes: section(2, "constraints")? };
        let mut table = Coefficients::new();
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
