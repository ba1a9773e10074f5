//! The proving key's file: fast to load, damaged or changed files refused.
//!
//! ```text
//! "W3BG16PK" ‖ version u32 = 1 ‖ label length u32 ‖ label (UTF-8) ‖ log length u32 ‖ log (JSON)
//!            ‖ body length u64 ‖ body ‖ checksum = SHA-256(all before the body ‖ SHA-256(body))
//! ```
//! Integers are little-endian. The body is the constraint system in compressed rows, then the points in the order of
//! [`Points`]. Values are as `fixed` says: every limb is checked to be below its modulus and every point to be on its
//! curve; infinity is all zero and allowed only in `l`, `h`.
//! Whether the points are the right ones is what the contribution chain shows (`ceremony`), not the checksum.

use ark_bn254::{Fr, G1Affine, G2Affine};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::error::malformed;
use crate::fixed::Fixed;
use crate::key::{KeyBody, Points, ProvingKey};
use crate::r1cs::{ConstraintSystem, Matrix};
use crate::transcript;

const MAGIC: &[u8; 8] = b"W3BG16PK";
const VERSION: u32 = 1;
const WHAT: &str = "key file";

fn write_all<T: Fixed>(values: &[T], out: &mut Vec<u8>) {
    (values.len() as u32).write(out);
    values.iter().for_each(|value| value.write(out));
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(|| malformed(WHAT, "ends early"))?;
        self.bytes = tail;
        Ok(head)
    }

    fn one<T: Fixed>(&mut self, name: &'static str) -> Result<T, Error> {
        T::read(self.take(T::SIZE)?).ok_or_else(|| malformed(WHAT, format!("{name} is not a valid value")))
    }

    fn all<T: Fixed>(&mut self, name: &'static str) -> Result<Vec<T>, Error> {
        let count = self.one::<u32>(name)? as usize;
        let bytes = self.take(count.checked_mul(T::SIZE).ok_or_else(|| malformed(WHAT, "ends early"))?)?;
        let values: Option<Vec<T>> =
            bytes.par_chunks_exact(T::SIZE).with_min_len(1024).map(T::read).collect();
        values.ok_or_else(|| malformed(WHAT, format!("{name} holds an invalid value")))
    }

    fn exactly<T: Fixed>(&mut self, name: &'static str, count: usize) -> Result<Vec<T>, Error> {
        let values = self.all(name)?;
        if values.len() == count {
            Ok(values)
        } else {
            Err(malformed(WHAT, format!("{name} holds {} values instead of {count}", values.len())))
        }
    }
}

fn write_matrix(matrix: &Matrix, out: &mut Vec<u8>) {
    write_all(&matrix.starts, out);
    write_all(&matrix.wires, out);
    write_all(&matrix.coefficients, out);
}

fn read_matrix(
    reader: &mut Reader,
    constraints: usize,
    wires: usize,
    coefficients: usize,
) -> Result<Matrix, Error> {
    let starts: Vec<u32> = reader.exactly("matrix rows", constraints + 1)?;
    let terms = *starts.last().expect("one more than rows") as usize;
    let matrix = Matrix {
        starts,
        wires: reader.exactly("matrix wires", terms)?,
        coefficients: reader.exactly("matrix terms", terms)?,
    };
    let ordered = matrix.starts[0] == 0 && matrix.starts.windows(2).all(|pair| pair[0] <= pair[1]);
    let bounded = matrix.wires.iter().all(|&wire| (wire as usize) < wires)
        && matrix.coefficients.iter().all(|&id| (id as usize) < coefficients);
    if ordered && bounded { Ok(matrix) } else { Err(malformed(WHAT, "a matrix row is out of range")) }
}

fn write_system(system: &ConstraintSystem, out: &mut Vec<u8>) {
    out.extend_from_slice(&system.sha256);
    for count in [system.wires, system.public, system.constraints] {
        (count as u32).write(out);
    }
    write_all(&system.coefficients, out);
    for matrix in [&system.a, &system.b, &system.c] {
        write_matrix(matrix, out);
    }
}

fn read_system(reader: &mut Reader) -> Result<ConstraintSystem, Error> {
    let sha256 = reader.take(32)?.try_into().expect("32 bytes");
    let mut count = |name| reader.one::<u32>(name).map(|value| value as usize);
    let (wires, public, constraints) = (count("wires")?, count("public")?, count("constraints")?);
    if public >= wires {
        return Err(malformed(WHAT, format!("{public} public signals of {wires} wires")));
    }
    let coefficients: Vec<Fr> = reader.all("coefficients")?;
    let mut matrix = || read_matrix(reader, constraints, wires, coefficients.len());
    let (a, b, c) = (matrix()?, matrix()?, matrix()?);
    Ok(ConstraintSystem { sha256, wires, public, constraints, coefficients, a, b, c })
}

fn read_wires(reader: &mut Reader, name: &'static str, wires: usize) -> Result<Vec<u32>, Error> {
    let list: Vec<u32> = reader.all(name)?;
    let ascending = list.windows(2).all(|pair| pair[0] < pair[1]);
    if ascending && list.last().is_none_or(|&last| (last as usize) < wires) {
        Ok(list)
    } else {
        Err(malformed(WHAT, format!("{name} is not ascending or out of range")))
    }
}

impl KeyBody {
    fn to_bytes(&self) -> Vec<u8> {
        let points = &self.points;
        let count = points.ic.len()
            + points.a.len()
            + points.b_g1.len()
            + 2 * points.b_g2.len()
            + points.l.len()
            + points.h.len();
        let terms = self.system.a.wires.len() + self.system.b.wires.len() + self.system.c.wires.len();
        let mut out = Vec::with_capacity(64 * count + 8 * terms + 12 * self.system.constraints + (1 << 16));
        write_system(&self.system, &mut out);
        points.alpha_g1.write(&mut out);
        points.beta_g1.write(&mut out);
        points.beta_g2.write(&mut out);
        points.delta_g1.write(&mut out);
        points.delta_g2.write(&mut out);
        write_all(&points.ic, &mut out);
        write_all(&points.a_wires, &mut out);
        write_all(&points.a, &mut out);
        write_all(&points.b_wires, &mut out);
        write_all(&points.b_g1, &mut out);
        write_all(&points.b_g2, &mut out);
        write_all(&points.l, &mut out);
        write_all(&points.h, &mut out);
        out
    }

    /// SHA-256 of the body's bytes: what the contribution log and the key's name stand on.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bytes };
        let system = read_system(&mut reader)?;
        let (wires, public) = (system.wires, system.public);
        let size = crate::qap::domain_size(&system)?;
        let alpha_g1 = reader.one("alpha")?;
        let beta_g1 = reader.one("beta")?;
        let beta_g2 = reader.one("beta")?;
        let delta_g1 = reader.one("delta")?;
        let delta_g2 = reader.one("delta")?;
        let ic = reader.exactly("ic", public + 1)?;
        let a_wires = read_wires(&mut reader, "wires of A", wires)?;
        let a: Vec<G1Affine> = reader.exactly("A query", a_wires.len())?;
        let b_wires = read_wires(&mut reader, "wires of B", wires)?;
        let b_g1: Vec<G1Affine> = reader.exactly("B query in G1", b_wires.len())?;
        let b_g2: Vec<G2Affine> = reader.exactly("B query in G2", b_wires.len())?;
        let l = reader.exactly("L query", wires - public - 1)?;
        let h = reader.exactly("H query", size)?;
        if !reader.bytes.is_empty() {
            return Err(malformed(WHAT, format!("{} bytes after the last point", reader.bytes.len())));
        }
        let points = Points {
            alpha_g1,
            beta_g1,
            beta_g2,
            delta_g1,
            delta_g2,
            ic,
            a_wires,
            a,
            b_wires,
            b_g1,
            b_g2,
            l,
            h,
        };
        if points.any_verifying_infinity() {
            return Err(malformed(WHAT, "a point of the verifying key is infinity"));
        }
        Ok(Self { system, points })
    }
}

impl ProvingKey {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let log = serde_json::to_vec(&self.log).expect("a log of strings and numbers");
        let body = self.body.to_bytes();
        let mut out = Vec::with_capacity(body.len() + log.len() + self.label.len() + 64);
        out.extend_from_slice(MAGIC);
        VERSION.write(&mut out);
        for part in [self.label.as_bytes(), &log] {
            (part.len() as u32).write(&mut out);
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let checksum = Sha256::new().chain_update(&out).chain_update(Sha256::digest(&body)).finalize();
        out.extend_from_slice(&body);
        out.extend_from_slice(&checksum);
        out
    }

    /// Reads a key file: checksum, then every value, then the contribution log against the body.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bytes };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(malformed(WHAT, "is not a W3bstream Groth16 key"));
        }
        let version: u32 = reader.one("version")?;
        if version != VERSION {
            return Err(malformed(
                WHAT,
                format!("version {version} instead of {VERSION}; run the set-up again"),
            ));
        }
        let mut part = || {
            let length = reader.one::<u32>("length")? as usize;
            reader.take(length)
        };
        let (label, log) = (part()?, part()?);
        let length = u64::from_le_bytes(reader.take(8)?.try_into().expect("8 bytes"));
        let head = &bytes[..bytes.len() - reader.bytes.len()];
        let body = reader.take(usize::try_from(length).map_err(|_| malformed(WHAT, "ends early"))?)?;
        let hash: [u8; 32] = Sha256::digest(body).into();
        let checksum = Sha256::new().chain_update(head).chain_update(hash).finalize();
        if reader.bytes != checksum.as_slice() {
            return Err(Error::Checksum);
        }
        let label =
            std::str::from_utf8(label).map_err(|_| malformed(WHAT, "its label is not UTF-8"))?.to_owned();
        let log = serde_json::from_slice(log)
            .map_err(|error| malformed(WHAT, format!("contribution log: {error}")))?;
        let key = Self { body: KeyBody::read(body)?, label, log, hash };
        transcript::verify_log(&key)?;
        Ok(key)
    }
}
