//! Reads a `.zkey` strictly: every length is checked against the header before its section is read, every index, value
//! and point before it is kept. So a hostile file costs no more memory than a few times its own size.

use ark_ec::pairing::Pairing;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::montgomery_radix;
use crate::Error;
use crate::curve::{Curve, Point, Scalar};
use crate::encoding::WORD;
use crate::error::malformed;
use crate::fixed::Fixed;
use crate::iden3::{Cursor, Sections};
use crate::key::{Key, Points};
use crate::qap::{self, Domain, Halves, domain_size, require_domain_size};
use crate::r1cs::{Coefficients, ConstraintSystem, Matrix};
use crate::verify::VerifyingKey;

const WHAT: &str = "zkey file";
/// Bytes of a term: matrix, row and wire, then the value.
const TERM: usize = 3 * u32::SIZE + WORD;
/// Bytes of the circuit's hash before the number of contributions.
const CIRCUIT_HASH: usize = 64;

/// What an imported key knows of its constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rows<F> {
    /// A and B, from the `.zkey`.
    Halves(Halves<F>),
    /// All three, from the `.r1cs` that belongs to it.
    System(ConstraintSystem<F>),
}

/// A key that came as a `.zkey`. Who contributed to it, and whether its points are right, is for `snarkjs zkey verify` to
/// say; here every proof is checked before it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKey<E: Curve> {
    points: Points<E>,
    gamma_g2: E::G2Affine,
    wires: usize,
    domain: usize,
    rows: Rows<E::ScalarField>,
    contributions: u32,
    sha256: [u8; 32],
}

struct Header<E: Pairing> {
    wires: usize,
    public: usize,
    domain: usize,
    alpha_g1: E::G1Affine,
    beta_g1: E::G1Affine,
    beta_g2: E::G2Affine,
    gamma_g2: E::G2Affine,
    delta_g1: E::G1Affine,
    delta_g2: E::G2Affine,
}

fn sections(bytes: &[u8]) -> Result<Sections<'_>, Error> {
    Sections::read(WHAT, bytes, "zkey", 1, 10)
}

/// Whether the header names the curve; the header's other fields are then next.
fn is<E: Curve>(header: &mut Cursor) -> Result<bool, Error> {
    Ok(header.field::<E::BaseField>()? && header.field::<E::ScalarField>()?)
}

/// The name of the file's curve ([`Curve::NAME`]). Errors: not a `.zkey`, or another curve.
pub fn curve_of(bytes: &[u8]) -> Result<&'static str, Error> {
    let mut header = sections(bytes)?.require(2, "header")?;
    if is::<ark_bn254::Bn254>(&mut header.clone())? {
        Ok(ark_bn254::Bn254::NAME)
    } else if is::<ark_bls12_381::Bls12_381>(&mut header)? {
        Ok(ark_bls12_381::Bls12_381::NAME)
    } else {
        Err(malformed(WHAT, "its curve is neither BN254 nor BLS12-381"))
    }
}

/// A point of the file: infinity, or on the curve and in the subgroup.
fn point<P: Point>(bytes: &[u8]) -> Result<P, &'static str> {
    let point = P::read(bytes).ok_or("is not on the curve, or a coordinate is not below the modulus")?;
    if point.is_in_subgroup() { Ok(point) } else { Err("is not in the prime-order subgroup") }
}

/// The points of a section whose length was checked.
fn points<P: Point>(bytes: &[u8], name: &'static str) -> Result<Vec<P>, Error> {
    bytes
        .par_chunks_exact(P::SIZE)
        .enumerate()
        .with_min_len(64)
        .map(|(index, bytes)| {
            point(bytes)
                .map_err(|reason| malformed(WHAT, format!("point {index} of its {name} section {reason}")))
        })
        .collect()
}

fn read_header<E: Curve>(mut cursor: Cursor) -> Result<Header<E>, Error> {
    if !is::<E>(&mut cursor)? {
        return Err(malformed(WHAT, format!("its curve is not {}", E::NAME)));
    }
    let (wires, public, domain) = (cursor.u32()? as usize, cursor.u32()? as usize, cursor.u32()? as usize);
    if public >= wires {
        return Err(malformed(WHAT, format!("{public} public signals of {wires} wires")));
    }
    require_domain_size(WHAT, domain)?;
    let header = Header {
        wires,
        public,
        domain,
        alpha_g1: one(&mut cursor, "alpha")?,
        beta_g1: one(&mut cursor, "beta")?,
        beta_g2: one(&mut cursor, "beta")?,
        gamma_g2: one(&mut cursor, "gamma")?,
        delta_g1: one(&mut cursor, "delta")?,
        delta_g2: one(&mut cursor, "delta")?,
    };
    cursor.end("the header")?;
    Ok(header)
}

/// A point of the header, which may not be infinity.
fn one<P: Point>(cursor: &mut Cursor, name: &str) -> Result<P, Error> {
    let point: P =
        point(cursor.take(P::SIZE)?).map_err(|reason| malformed(WHAT, format!("{name} {reason}")))?;
    if point.is_zero() { Err(malformed(WHAT, format!("{name} is infinity"))) } else { Ok(point) }
}

struct Term<'a> {
    matrix: usize,
    row: usize,
    wire: u32,
    value: &'a [u8; WORD],
}

fn read_term<'a>(bytes: &'a [u8], domain: usize, wires: usize) -> Result<Term<'a>, Error> {
    let mut cursor = Cursor::new(WHAT, bytes);
    let (matrix, row, wire) = (cursor.u32()? as usize, cursor.u32()? as usize, cursor.u32()?);
    if matrix > 1 || row >= domain || wire as usize >= wires {
        let term = format!("matrix {matrix}, row {row} of {domain}, wire {wire} of {wires}");
        return Err(malformed(WHAT, format!("a term is out of range: {term}")));
    }
    Ok(Term { matrix, row, wire, value: cursor.array()? })
}

/// The terms sorted into rows, in the file's order within a row.
fn read_halves<F: Scalar>(mut cursor: Cursor, domain: usize, wires: usize) -> Result<Halves<F>, Error> {
    let count = cursor.u32()? as usize;
    let terms = cursor.rest("terms", count, TERM)?.chunks_exact(TERM);
    let empty = || Matrix { starts: vec![0; domain + 1], ..Matrix::default() };
    let mut matrices = [empty(), empty()];
    for bytes in terms.clone() {
        let term = read_term(bytes, domain, wires)?;
        matrices[term.matrix].starts[term.row + 1] += 1;
    }
    for matrix in &mut matrices {
        for row in 0..domain {
            matrix.starts[row + 1] += matrix.starts[row];
        }
        let terms = matrix.starts[domain] as usize;
        matrix.wires.resize(terms, 0);
        matrix.coefficients.resize(terms, 0);
    }
    let mut next = [0, 1].map(|index| matrices[index].starts.clone());
    let radix = montgomery_radix::<F>();
    let inverse = radix.inverse().expect("a power of two is not a multiple of r");
    let limbs = |value: &F| {
        let mut out = Vec::new();
        (*value * radix).write(&mut out);
        out
    };
    let decode = |bytes: &[u8; WORD]| {
        let value = F::read(bytes).ok_or_else(|| malformed(WHAT, "a term's value is not below the modulus"));
        value.map(|value| value * inverse)
    };
    let mut table = Coefficients::new(limbs);
    for bytes in terms {
        let term = read_term(bytes, domain, wires)?;
        let place = &mut next[term.matrix][term.row];
        matrices[term.matrix].wires[*place as usize] = term.wire;
        matrices[term.matrix].coefficients[*place as usize] = table.id(term.value, decode)?;
        *place += 1;
    }
    let [a, b] = matrices;
    Ok(Halves { coefficients: table.values, a, b })
}

/// The wires whose point is not infinity, and those points.
fn sparse<P: Point>(points: Vec<P>) -> (Vec<u32>, Vec<P>) {
    let used = points.into_iter().enumerate().filter(|(_, point)| !point.is_zero());
    used.map(|(wire, point)| (wire as u32, point)).unzip()
}

/// Number of contributions; what they say is not read.
fn read_contributions(mut cursor: Cursor) -> Result<u32, Error> {
    cursor.take(CIRCUIT_HASH)?;
    cursor.u32()
}

/// The sections of points, each as long as the header says.
struct PointSections<'a> {
    ic: &'a [u8],
    a: &'a [u8],
    b_g1: &'a [u8],
    b_g2: &'a [u8],
    l: &'a [u8],
    h: &'a [u8],
}

impl<'a> PointSections<'a> {
    fn of<E: Curve>(sections: &Sections<'a>, header: &Header<E>) -> Result<Self, Error> {
        let &Header { wires, public, domain, .. } = header;
        let section = |kind, name, count, size| {
            sections.require(kind, name).and_then(|body| body.rest(name, count, size))
        };
        let (g1, g2) = (E::G1Affine::SIZE, E::G2Affine::SIZE);
        Ok(Self {
            ic: section(3, "IC", public + 1, g1)?,
            a: section(5, "A", wires, g1)?,
            b_g1: section(6, "B in G1", wires, g1)?,
            b_g2: section(7, "B in G2", wires, g2)?,
            l: section(8, "C", wires - public - 1, g1)?,
            h: section(9, "H", domain, g1)?,
        })
    }

    fn read<E: Curve>(&self, header: &Header<E>) -> Result<Points<E>, Error> {
        let (a_wires, a) = sparse(points(self.a, "A")?);
        let (b_wires, b_g1) = sparse(points(self.b_g1, "B in G1")?);
        let (b_wires_g2, b_g2) = sparse(points(self.b_g2, "B in G2")?);
        if b_wires != b_wires_g2 {
            return Err(malformed(WHAT, "a wire has a B point in one group only"));
        }
        let points = Points {
            alpha_g1: header.alpha_g1,
            beta_g1: header.beta_g1,
            beta_g2: header.beta_g2,
            delta_g1: header.delta_g1,
            delta_g2: header.delta_g2,
            ic: points(self.ic, "IC")?,
            a_wires,
            a,
            b_wires,
            b_g1,
            b_g2,
            l: points(self.l, "C")?,
            h: points(self.h, "H")?,
        };
        if points.any_verifying_infinity() {
            return Err(malformed(WHAT, "a point of the verifying key is infinity"));
        }
        Ok(points)
    }
}

impl<E: Curve> ImportedKey<E> {
    /// Reads a `.zkey`. Errors: [`Error::Malformed`] with what was wrong, also for another curve.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let sections = sections(bytes)?;
        let mut cursor = sections.require(1, "protocol")?;
        let protocol = cursor.u32()?;
        cursor.end("the protocol")?;
        if protocol != 1 {
            return Err(malformed(WHAT, format!("protocol {protocol} is not Groth16, which is 1")));
        }
        let header = read_header::<E>(sections.require(2, "header")?)?;
        // All lengths before anything is kept that the header sizes, and the cheap checks before those of the points.
        let points = PointSections::of(&sections, &header)?;
        let contributions = read_contributions(sections.require(10, "contributions")?)?;
        let halves = read_halves(sections.require(4, "terms")?, header.domain, header.wires)?;
        let points = points.read(&header)?;
        Ok(Self {
            points,
            gamma_g2: header.gamma_g2,
            wires: header.wires,
            domain: header.domain,
            rows: Rows::Halves(halves),
            contributions,
            sha256: Sha256::digest(bytes).into(),
        })
    }

    /// The key with the `.r1cs` it was made from, so that it can name the constraint that a witness breaks.
    ///
    /// Errors: [`Error::Malformed`] when the A or B rows, or a count, are not the key's.
    pub fn with_r1cs(mut self, system: ConstraintSystem<E::ScalarField>) -> Result<Self, Error> {
        let fits = (system.wires, system.public) == (self.wires, self.public())
            && domain_size(&system)? == self.domain
            && match &self.rows {
                Rows::Halves(halves) => same_halves(halves, &system),
                Rows::System(known) => *known == system,
            };
        if !fits {
            return Err(malformed("r1cs file", "is not the one that the zkey was made from"));
        }
        self.rows = Rows::System(system);
        Ok(self)
    }

    /// Whether the key has its `.r1cs`, so that it can name the constraint that a witness breaks.
    pub fn names_constraints(&self) -> bool {
        matches!(self.rows, Rows::System(_))
    }

    /// Points of the evaluation domain.
    pub fn domain_size(&self) -> usize {
        self.domain
    }

    /// How many phase-2 contributions the file says it has had.
    pub fn contributions(&self) -> u32 {
        self.contributions
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// A row as a sorted list of wires and values.
fn sorted<F: Scalar>(matrix: &Matrix, coefficients: &[F], row: usize) -> Vec<(usize, F)> {
    let mut terms: Vec<_> = matrix.row(row).map(|(wire, id)| (wire, coefficients[id])).collect();
    terms.sort_unstable();
    terms
}

/// Whether the file's rows are the system's, followed by the public rows wire_j · 0 = 0.
fn same_halves<F: Scalar>(halves: &Halves<F>, system: &ConstraintSystem<F>) -> bool {
    let row = |row: usize| {
        let (a, b) =
            (sorted(&halves.a, &halves.coefficients, row), sorted(&halves.b, &halves.coefficients, row));
        match row.checked_sub(system.constraints) {
            None => {
                a == sorted(&system.a, &system.coefficients, row)
                    && b == sorted(&system.b, &system.coefficients, row)
            }
            Some(wire) if wire <= system.public => a == [(wire, F::one())] && b.is_empty(),
            Some(_) => a.is_empty() && b.is_empty(),
        }
    };
    (0..halves.a.starts.len() - 1).into_par_iter().with_min_len(256).all(row)
}

impl<E: Curve> Key for ImportedKey<E> {
    type Curve = E;

    fn points(&self) -> &Points<E> {
        &self.points
    }

    fn wires(&self) -> usize {
        self.wires
    }

    fn domain(&self) -> Result<Domain<E::ScalarField>, Error> {
        Domain::of_size(WHAT, self.domain)
    }

    fn rows(
        &self,
        domain: &Domain<E::ScalarField>,
        witness: &[E::ScalarField],
    ) -> Result<qap::Rows<E::ScalarField>, Error> {
        match &self.rows {
            Rows::Halves(halves) => Ok(halves.rows(witness)),
            Rows::System(system) => qap::rows(system, domain, witness),
        }
    }

    fn verifying_key(&self) -> VerifyingKey<E> {
        self.points.verifying_key(self.gamma_g2)
    }

    fn check_proofs(&self) -> bool {
        true
    }
}
