//! iden3's binary files (`.r1cs`, `.wtns`, `.zkey`): magic, version u32, number of sections u32, then for each section
//! its type u32, length u64 and body; integers little-endian (github.com/iden3/r1csfile, `doc/r1cs_bin_format.md`).
//!
//! Nothing is copied or allocated here but one slice a section. A section cannot overlap another, since each starts
//! where the one before it ended; one that is repeated, unknown, missing or longer than the file, and bytes after the
//! last one, are refused.

use ark_ff::{BigInteger, PrimeField};

use crate::Error;
use crate::error::malformed;

/// What is left of a file or section. `what` names the file in errors.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// All of `bytes`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    /// Bytes that were not taken yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or_else(|| {
            malformed(self.what, format!("ends early: {count} bytes wanted, {} left", self.bytes.len()))
        })?;
        self.bytes = tail;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    /// The next four bytes as an integer.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The next eight bytes as an integer.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether the next bytes are a field's: the number of bytes of an element, then the modulus.
    pub fn field<F: PrimeField>(&mut self) -> Result<bool, Error> {
        let modulus = F::MODULUS.to_bytes_le();
        let size = self.u32()? as usize;
        Ok(self.take(size)? == modulus)
    }

    /// Requires that nothing is left after `what`.
    pub fn end(&self, what: &str) -> Result<(), Error> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(malformed(self.what, format!("{} bytes after {what}", self.bytes.len())))
        }
    }

    /// All that is left, required to be `count` values of `size` bytes.
    pub fn rest(self, name: &str, count: usize, size: usize) -> Result<&'a [u8], Error> {
        if count.checked_mul(size) == Some(self.bytes.len()) {
            return Ok(self.bytes);
        }
        let found = self.bytes.len();
        Err(malformed(
            self.what,
            format!("its {name} section has {found} bytes, not {count} values of {size}"),
        ))
    }
}

/// The sections of a file by type.
#[derive(Debug)]
pub struct Sections<'a> {
    what: &'static str,
    /// Section `index + 1`.
    bodies: Vec<Option<&'a [u8]>>,
}

impl<'a> Sections<'a> {
    /// The sections of a file, which may be of types 1 to `last`. `what` names the file in errors.
    pub fn read(
        what: &'static str,
        bytes: &'a [u8],
        magic: &str,
        version: u32,
        last: u32,
    ) -> Result<Self, Error> {
        let mut cursor = Cursor::new(what, bytes);
        if cursor.take(magic.len())? != magic.as_bytes() {
            return Err(malformed(what, format!("does not start with {magic:?}")));
        }
        let found = cursor.u32()?;
        if found != version {
            return Err(malformed(what, format!("version {found} instead of {version}")));
        }
        let mut bodies = vec![None; last as usize];
        for _ in 0..cursor.u32()? {
            let (kind, size) = (cursor.u32()?, cursor.u64()?);
            let size = usize::try_from(size).map_err(|_| malformed(what, "a section larger than memory"))?;
            let body = cursor.take(size)?;
            let place = (kind as usize).checked_sub(1).and_then(|index| bodies.get_mut(index));
            let place = place.ok_or_else(|| malformed(what, format!("unknown section {kind}")))?;
            if place.replace(body).is_some() {
                return Err(malformed(what, format!("section {kind} appears twice")));
            }
        }
        cursor.end("the last section")?;
        Ok(Self { what, bodies })
    }

    /// The body of a section, if the file has it.
    pub fn get(&self, kind: usize) -> Option<&'a [u8]> {
        self.bodies.get(kind.checked_sub(1)?).copied().flatten()
    }

    /// The body of a section that the file must have.
    pub fn require(&self, kind: usize, name: &str) -> Result<Cursor<'a>, Error> {
        let body = self.get(kind).ok_or_else(|| malformed(self.what, format!("has no {name} section")))?;
        Ok(Cursor::new(self.what, body))
    }
}
